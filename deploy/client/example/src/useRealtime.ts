import { connect, type ConnectOptions, type RealtimeClient, type ServerToClientEvents, type State } from '@teloo/realtime-client';
import { useEffect, useEffectEvent, useState } from 'react';

/** A client for as long as the component lives. `gap` is true from a gap on until it is settled. */
export function useRealtime(url: string, getToken: ConnectOptions['getToken']) {
  const [client, setClient] = useState<RealtimeClient>();
  const [state, setState] = useState<State>({ status: 'connecting' });
  const [gap, setGap] = useState(false);
  const token = useEffectEvent(getToken);
  useEffect(() => {
    const own = connect(url, { getToken: (reason) => token(reason), onState: setState, onResync: () => setGap(true) });
    setClient(own);
    return () => own.close();
  }, [url]);
  return { client, state, gap, settled: () => setGap(false) };
}

/** Calls the latest `handler` for each event of that name. */
export function useRealtimeEvent<Name extends keyof ServerToClientEvents>(
  client: RealtimeClient | undefined, name: Name, handler: (data: Parameters<ServerToClientEvents[Name]>[0]) => void,
) {
  const latest = useEffectEvent(handler);
  useEffect(() => client?.on(name, ((data: Parameters<ServerToClientEvents[Name]>[0]) => latest(data)) as ServerToClientEvents[Name]),
    [client, name]);
}
