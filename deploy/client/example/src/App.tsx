import type { DomainEvents, State } from '@teloo/realtime-client';
import { useEffect, useState, type SubmitEvent } from 'react';
import { useRealtime, useRealtimeEvent } from './useRealtime';

type Name = keyof DomainEvents;

/** How often an event came, and what it said last. */
type Seen = Partial<Record<Name, { count: number; last: string }>>;

const NAMES: readonly Name[] = [
  'solicitud_created', 'solicitud_updated', 'solicitud_closed', 'oferta_submitted', 'oferta_accepted', 'oferta_rejected',
  'evaluacion_created', 'notificacion_aviso', 'notificacion_read',
];

/** A development gateway gives tokens to anybody; yours come from your own backend. */
async function getToken(): Promise<string> {
  const answer = await fetch('/demo/token', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ role: 'admin', user_id: 'example' }),
  });
  if (!answer.ok) throw new Error(`no token: ${answer.status}`);
  const { token } = await answer.json() as { token: string };
  return token;
}

function words(state: State): string {
  switch (state.status) {
    case 'connected':
      return `connected to ${state.greeting.node} as ${state.greeting.role}`;
    case 'waiting':
      return `waiting (${state.reason}), next attempt in ${Math.round(state.retryIn / 1000)} s`;
    case 'ended':
      return `ended: ${state.reason}`;
    default:
      return 'connecting';
  }
}

export function App() {
  const { client, state, gap, settled } = useRealtime(window.location.origin, getToken);
  const [seen, setSeen] = useState<Seen>({});
  const [offer, setOffer] = useState<string>();
  const [answer, setAnswer] = useState('');

  useEffect(() => {
    const stops = NAMES.map((name) => client?.on(name, (data: DomainEvents[Name]) => setSeen((before) => ({
      ...before, [name]: { count: (before[name]?.count ?? 0) + 1, last: JSON.stringify(data) },
    }))));
    return () => stops.forEach((stop) => stop?.());
  }, [client]);
  useRealtimeEvent(client, 'oferta_submitted', ({ price, currency, advisor_id }) => { // typed: prize does not compile
    setOffer(`${price.toLocaleString()} ${currency ?? ''} by ${advisor_id}`);
  });

  async function subscribe(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault();
    const solicitud = String(new FormData(event.currentTarget).get('solicitud'));
    const told = await client?.subscribe(solicitud);
    if (told) setAnswer(told.ok ? `in ${told.room}` : told.error.message);
  }

  return (
    <main>
      <h1>Realtime events</h1>
      <p role="status">{words(state)}</p>
      {gap && (
        <p role="alert">
          Some events were missed. <button type="button" onClick={() => { setSeen({}); settled(); }}>Load again</button>
        </p>
      )}
      <form onSubmit={(event) => void subscribe(event)}>
        <label>Solicitud <input name="solicitud" required /></label> <button type="submit">Subscribe</button> <output>{answer}</output>
      </form>
      {offer !== undefined && <p>Last offer: {offer}</p>}
      <table>
        <thead><tr><th scope="col">Event</th><th scope="col">Count</th><th scope="col">Last</th></tr></thead>
        <tbody>
          {NAMES.map((name) => {
            const of = seen[name];
            return of && <tr key={name} data-event={name}><td>{name}</td><td>{of.count}</td><td>{of.last}</td></tr>;
          })}
        </tbody>
      </table>
    </main>
  );
}
