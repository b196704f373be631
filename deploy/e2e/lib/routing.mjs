// Who gets what, written from the event contract alone: the gateway's own table is what is being tested.

import { canonical } from './json.mjs';

const SUBJECT = /^(solicitud|oferta|evaluacion|notificacion)_/;

/** Role rooms by the role a token names. */
export const ROLE_ROOM = {
  admin: 'admin', analyst: 'admin', support: 'admin', advisor: 'advisor', client: 'client',
};

export const isDomainEvent = (name) => SUBJECT.test(name);

/** The rooms of an event `{name, data, rooms}`, where `data` is JSON text. */
export function roomsOf({ name, data, rooms }) {
  if (rooms) return rooms;
  // The ids are small or strings: a plain parse is exact for them.
  const d = JSON.parse(data);
  const user = (id) => (id === undefined ? [] : [`user_${id}`]);
  const solicitud = d.solicitud_id === undefined ? [] : [`solicitud_${d.solicitud_id}`];
  switch (SUBJECT.exec(name)[1]) {
    case 'solicitud':
      return [...solicitud, ...user(d.client_id), 'admin', ...(name === 'solicitud_created' ? ['advisor'] : [])];
    case 'oferta':
    case 'evaluacion':
      return [...solicitud, ...user(d.advisor_id), ...user(d.client_id), 'admin'];
    default:
      if (d.user_id !== undefined) return user(d.user_id);
      if (d.role !== undefined) return [ROLE_ROOM[d.role] ?? d.role];
      return (d.user_ids ?? []).flatMap(user);
  }
}

/** An event as a client's ledger shows it. */
export const seenAs = ({ name, data }) => canonical(`[${JSON.stringify(name)},${data}]`);

/** What a socket in these rooms is sent of a list of events, in order. */
export function expectedFor(events, rooms) {
  const mine = new Set(rooms);
  return events.filter((e) => !e.silent && roomsOf(e).some((r) => mine.has(r))).map(seenAs);
}
