import type { ManagerOptions, Socket, SocketOptions } from 'socket.io-client';
import type { Answers, Connected, DomainEvents, GatewayEvents, Id, Requests, SubscriptionAnswer } from './events.js';

type Handlers<Events> = { [Name in keyof Events]: (data: Events[Name]) => void };

/** What a socket may listen to. */
export type ServerToClientEvents = Handlers<DomainEvents> & Handlers<GatewayEvents>;

/** What a socket may emit; each is answered. */
export type ClientToServerEvents = {
  [Name in keyof Requests]: Requests[Name] extends null
    ? (ack: (answer: Answers[Name]) => void) => void
    : (request: Requests[Name], ack: (answer: Answers[Name]) => void) => void;
};

export type RealtimeSocket = Socket<ServerToClientEvents, ClientToServerEvents>;

/** Why a token is asked for: for a connect, before the present one expires, or since the last one was refused. */
export type TokenReason = 'connect' | 'expiring' | 'refused';

/** Why a client has ended. Only `close` is the page's own doing. */
export type EndReason =
  | 'closed'
  | 'kicked'
  | 'event_flood'
  | 'token_revoked'
  | 'role_unknown'
  | 'token_missing'
  | 'token_invalid'
  | 'token_expired';

/** Why a client waits before its next attempt. */
export type WaitReason =
  | 'connection_lost'
  | 'unreachable'
  | 'token_unavailable'
  | 'token_refused'
  | 'server_full'
  | 'rate_limited';

export type State =
  | { status: 'connecting' }
  | { status: 'connected'; greeting: Connected }
  | { status: 'waiting'; reason: WaitReason; /** Milliseconds until the next attempt. */ retryIn: number }
  | { status: 'ended'; reason: EndReason };

/** Options of socket.io-client that are not the page's to set. */
type Ours =
  | 'auth'
  | 'autoConnect'
  | 'forceNew'
  | 'multiplex'
  | 'retries'
  | 'reconnection'
  | 'reconnectionAttempts'
  | 'reconnectionDelay'
  | 'reconnectionDelayMax'
  | 'randomizationFactor';

export interface ConnectOptions {
  /**
   * Returns a token of the user. It is called for each connect and before the token expires, never while another call of
   * this client is out. If it throws, gives none or takes over 20 s, it is called again later.
   */
  getToken: (reason: TokenReason) => string | Promise<string>;
  /** Told of each state, the first one included. */
  onState?: (state: State) => void;
  /**
   * The client was away for longer than can be replayed: what the page shows has to be loaded again. Its subscriptions are
   * back by then, so that nothing is missed between the two.
   */
  onResync?: () => void;
  /**
   * Milliseconds over which calls of onResync are spread, since all pages of a gateway may have to load at once. 0 calls at
   * once. Default 2,000.
   */
  resyncSpread?: number;
  /** Told of what getToken threw, and of what went wrong without consequences. What handlers throw goes to the window's error event. */
  onError?: (fault: unknown) => void;
  /** Milliseconds of the shortest and the longest wait between attempts; each is doubled and spread. Default 1,000 and 30,000. */
  backoff?: { min?: number; max?: number };
  /** Options of socket.io-client; how it reconnects is this client's. */
  socket?: Partial<Omit<ManagerOptions & SocketOptions, Ours>>;
}

export interface RealtimeClient {
  /** For emits, and for what is not in this interface. It is connected and disconnected by the client alone. */
  readonly socket: RealtimeSocket;
  readonly state: State;
  /** Listens to an event until the function that it returns is called. */
  on<Name extends keyof ServerToClientEvents>(name: Name, handler: ServerToClientEvents[Name]): () => void;
  /**
   * Enters a solicitud's room, and stays in it whatever happens to the connection, until it is left or the access is
   * withdrawn. The answer may take as long as there is no connection; it rejects when the client ends.
   */
  subscribe(solicitud: Id): Promise<SubscriptionAnswer>;
  unsubscribe(solicitud: Id): Promise<SubscriptionAnswer>;
  /** Ends the client for good. */
  close(): void;
}
