import { io } from 'socket.io-client';
import { Backoff, Timers } from './backoff.js';
import { call } from './callback.js';
import type { Connected, ErrorCode, Id, RefreshDone, SubscriptionAnswer, TokenExpiring } from './events.js';
import { judge } from './refusal.js';
import { Tokens } from './tokens.js';
import type {
  ConnectOptions, EndReason, RealtimeClient, RealtimeSocket, ServerToClientEvents, State, WaitReason,
} from './types.js';

/** How long things may take, in milliseconds. */
export const WAITS = {
  /** An answer of the gateway, before it is asked for again. */
  answer: 10_000,
  /** A call of getToken. Three of them have room between the gateway's notice and the expiry. */
  token: 20_000,
  /** A connect, from its beginning to the greeting. */
  connect: 30_000,
};

/** A connection that held for as long, in milliseconds, begins the waits anew. */
const STABLE = 10_000;

/** Renewals of a token are about as far apart at least, in milliseconds. */
const RECENT = 30_000;

/** What the gateway says where the same request may succeed a little later. */
const PASSING: readonly ErrorCode[] = ['unavailable', 'rate_limited'];

/** Milliseconds over which onResync is spread, if the page says nothing. */
const RESYNC_SPREAD = 2000;

/** How many tokens in a row may be refused before the client ends. */
const REFUSALS = 5;

/** Connects a page to the gateway, and keeps it connected until `close`, or until that cannot be. */
export function connect(url: string, options: ConnectOptions): RealtimeClient {
  return new Client(url, options);
}

/** The client, with the waits that tests shorten. */
export class Client implements RealtimeClient {
  readonly socket: RealtimeSocket;

  private current: State = { status: 'connecting' };
  private readonly min: number;
  private readonly backoff: Backoff;
  private readonly timers = new Timers();
  private readonly tokens: Tokens;
  /** What the present attempt connects with. */
  private token = '';
  /** The solicitudes to be in, by their rooms. */
  private readonly wanted = new Map<string, Id>();
  /** What is asked for a room, the last of it. */
  private readonly asking = new Map<string, Promise<SubscriptionAnswer>>();
  /** Waiting for a connection, or the end. */
  private waiting: Array<() => void> = [];
  /** Counts connections and losses, so that what belongs to an earlier one can tell. */
  private era = 0;
  private connectedBefore = false;
  /** Something was missed that the page has not been told of. */
  private owed = false;
  private connectedAt = 0;
  private refusals = 0;
  /** What the gateway said before it closed for good. */
  private fault: EndReason | undefined;
  /** The token that has to be renewed, until that has begun. */
  private expiring: TokenExpiring | undefined;
  /** The era whose token is being renewed. */
  private renewing = -1;
  private renewedAt = 0;

  constructor(url: string, private readonly options: ConnectOptions, private readonly waits = WAITS) {
    this.min = options.backoff?.min ?? 1000;
    this.backoff = new Backoff(this.min, options.backoff?.max ?? 30_000);
    this.tokens = new Tokens(options.getToken, this.timers, (fault) => this.tell(fault), waits.token);
    this.socket = io(url, {
      withCredentials: true,
      ...options.socket,
      autoConnect: false,
      forceNew: true,
      // What socket.io-client does not retry, a refused connect, is retried here; so all is.
      reconnection: false,
      // It would send a renewal again on the next connection.
      retries: 0,
      auth: (give) => give({ token: this.token }),
    });
    this.listen();
    call(options.onState, this.current);
    void this.begin();
  }

  get state(): State {
    return this.current;
  }

  on<Name extends keyof ServerToClientEvents>(name: Name, handler: ServerToClientEvents[Name]): () => void {
    // Its types cannot follow a name that is a parameter.
    const socket = this.socket as unknown as {
      on(name: string, listener: (data: unknown) => void): void;
      off(name: string, listener: (data: unknown) => void): void;
    };
    // If it threw, other handlers would not be called, and the event would come again after a loss: socket.io-client takes
    // note of an event's position behind them.
    const listener = (data: unknown) => call(handler as (data: unknown) => void, data);
    socket.on(name, listener);
    return () => socket.off(name, listener);
  }

  subscribe(solicitud: Id): Promise<SubscriptionAnswer> {
    this.wanted.set(roomOf(solicitud), solicitud);
    return quiet(this.ask('subscribe_solicitud', solicitud));
  }

  unsubscribe(solicitud: Id): Promise<SubscriptionAnswer> {
    this.wanted.delete(roomOf(solicitud));
    return quiet(this.ask('unsubscribe_solicitud', solicitud));
  }

  close(): void {
    this.end('closed');
  }

  private listen(): void {
    const { socket } = this;
    socket.on('connected', (greeting) => void this.greeted(greeting));
    socket.on('token_expiring', (token) => {
      this.expiring = token;
      void this.renew();
    });
    socket.on('error', ({ code }) => {
      if (code === 'token_revoked' || code === 'event_flood') this.fault = code;
    });
    socket.on('unsubscribed', ({ room }) => this.wanted.delete(room));
    socket.on('connect_error', (error) => this.failed(error));
    socket.on('disconnect', (reason) => {
      if (reason === 'io server disconnect') this.end(this.fault ?? 'kicked');
      else if (reason !== 'io client disconnect') this.retry('connection_lost');
      else if (this.current.status !== 'waiting') this.end('closed'); // an attempt that was given up is ours
    });
  }

  /** Makes an attempt: a token first, so that the gateway is left alone while there is none. */
  private async begin(): Promise<void> {
    const { era } = this;
    // A page that closes in the same breath, as React's StrictMode makes it, asks for nothing.
    await Promise.resolve();
    if (era !== this.era) return;
    const token = await this.tokens.get(this.refusals > 0 ? 'refused' : 'connect');
    if (era !== this.era) return;
    if (token === undefined) {
      this.retry('token_unavailable');
      return;
    }
    this.token = token;
    this.socket.connect();
    await this.timers.sleep(this.waits.connect);
    if (era !== this.era) return;
    // A gateway that keeps the connection alive and never answers.
    this.retry('unreachable');
    this.socket.disconnect();
  }

  private tell(fault: unknown): void {
    if (this.current.status !== 'ended') call(this.options.onError, fault);
  }

  private async greeted(greeting: Connected): Promise<void> {
    if (this.current.status === 'ended') return;
    // Those that were asked for before the first connection are being asked for.
    const left = this.connectedBefore ? [...this.wanted].filter(([room]) => !greeting.rooms.includes(room)) : [];
    this.owed ||= this.connectedBefore && !greeting.recovered;
    const era = this.enterEra();
    this.connectedBefore = true;
    this.connectedAt = Date.now();
    this.refusals = 0;
    this.fault = undefined;
    this.become({ status: 'connected', greeting });
    const waiting = this.waiting.splice(0);
    waiting.forEach((go) => go());
    await Promise.allSettled(left.map(([, solicitud]) => this.enterAgain(solicitud)));
    if (!this.owed || era !== this.era) return; // in another era its greeting sees to it
    await this.timers.sleep(Math.random() * (this.options.resyncSpread ?? RESYNC_SPREAD));
    if (era !== this.era) return;
    this.owed = false;
    call(this.options.onResync);
  }

  private failed(error: unknown): void {
    const verdict = judge(error);
    if (verdict.refused) this.refusals += 1;
    if (verdict.end) this.end(verdict.end);
    else if (verdict.refused && this.refusals >= REFUSALS) this.end(verdict.refused);
    else this.retry(verdict.wait, verdict.least);
  }

  /** Connects anew after a while; once, however many events tell of one loss. */
  private retry(reason: WaitReason, least = 0): void {
    if (this.current.status === 'ended' || this.current.status === 'waiting') return;
    if (this.current.status === 'connected' && Date.now() - this.connectedAt > STABLE) this.backoff.reset();
    const era = this.enterEra();
    const retryIn = this.backoff.next(least);
    this.become({ status: 'waiting', reason, retryIn });
    void this.timers.sleep(retryIn).then(() => {
      if (era !== this.era) return;
      this.become({ status: 'connecting' });
      if (era === this.era) void this.begin();
    });
  }

  private enterEra(): number {
    this.expiring = undefined;
    // One that found the connection dead waits for the next, which has a newer token.
    this.socket.sendBuffer = this.socket.sendBuffer.filter(({ data }) => data[0] !== 'refresh_token');
    this.era += 1;
    return this.era;
  }

  private end(reason: EndReason): void {
    if (this.current.status === 'ended') return;
    this.enterEra();
    this.become({ status: 'ended', reason });
    this.timers.end();
    const waiting = this.waiting.splice(0);
    waiting.forEach((go) => go());
    this.socket.disconnect();
  }

  private become(state: State): void {
    this.current = state;
    call(this.options.onState, state);
  }

  /** Renews the token in place, until that has succeeded or the connection is lost. */
  private async renew(): Promise<void> {
    const { era } = this;
    if (this.renewing === era) return;
    this.renewing = era;
    while (this.expiring && era === this.era) {
      // A token that lasts less than the gateway's notice is expiring as soon as it is there.
      const left = this.expiring.expires_at - Date.now();
      const recent = Date.now() - this.renewedAt < RECENT;
      this.expiring = undefined;
      if (recent) await this.timers.sleep(Math.min(Math.max(left / 2, 1000), RECENT));
      await this.renewOnce(era);
    }
    if (this.renewing === era) this.renewing = -1;
  }

  private async renewOnce(era: number): Promise<void> {
    const waits = new Backoff(this.min, 10_000);
    let token: string | undefined;
    while (era === this.era) {
      token ??= await this.tokens.get('expiring');
      if (token !== undefined && era === this.era) {
        const fault = await this.offer(token, era);
        if (fault === undefined) return;
        if (!PASSING.includes(fault)) token = undefined; // another is needed
      }
      await this.timers.sleep(waits.next());
    }
  }

  /** Offers a token to the gateway; returns what was wrong, or undefined. */
  private async offer(token: string, era: number): Promise<ErrorCode | undefined> {
    try {
      const answer = await this.socket.timeout(this.waits.answer).emitWithAck('refresh_token', { token });
      if (answer.ok && era === this.era) this.renewed(answer);
      if (answer.ok) return undefined;
      this.tell(new Error(`refresh_token: ${answer.error.code}`));
      return answer.error.code;
    } catch {
      return 'unavailable'; // no answer, or the connection was lost
    }
  }

  /** Takes note of a renewal, and tells the page of another role. */
  private renewed({ role, rooms }: RefreshDone): void {
    this.renewedAt = Date.now();
    if (this.current.status !== 'connected' || this.current.greeting.role === role) return;
    this.become({ status: 'connected', greeting: { ...this.current.greeting, role, rooms } });
  }

  /** Enters a room that it was in; that this is no longer allowed is told, for nobody waits for the answer. */
  private async enterAgain(solicitud: Id): Promise<void> {
    const answer = await this.ask('subscribe_solicitud', solicitud);
    if (!answer.ok) this.tell(new Error(`subscribe_solicitud ${solicitud}: ${answer.error.code}`));
  }

  /** Asks for one thing after the other where they are about the same room; the last of it says whether to be in it. */
  private async ask(event: Subscription, solicitud: Id): Promise<SubscriptionAnswer> {
    const room = roomOf(solicitud);
    const own = Promise.resolve(this.asking.get(room)).catch(() => undefined).then(() => this.askUntilAnswered(event, solicitud));
    this.asking.set(room, own);
    const isLast = () => this.asking.get(room) === own;
    try {
      const answer = await own;
      if (isLast() && event === 'subscribe_solicitud' && answer.ok) this.wanted.set(room, solicitud);
      else if (isLast()) this.wanted.delete(room);
      return answer;
    } finally {
      if (isLast()) this.asking.delete(room);
    }
  }

  private async askUntilAnswered(event: Subscription, solicitud: Id): Promise<SubscriptionAnswer> {
    const waits = new Backoff(500, 10_000);
    for (;;) {
      await this.connected();
      try {
        const answer = await this.socket.timeout(this.waits.answer).emitWithAck(event, { solicitud_id: solicitud });
        if (answer.ok || !PASSING.includes(answer.error.code)) return answer;
      } catch {
        // no answer, or the connection was lost
      }
      await this.timers.sleep(waits.next());
    }
  }

  /** Resolves when there is a connection; rejects when there will be none. */
  private async connected(): Promise<void> {
    while (this.current.status !== 'connected') {
      if (this.current.status === 'ended') throw new Error(`the client has ended: ${this.current.reason}`);
      await new Promise<void>((go) => this.waiting.push(go));
    }
  }
}

/** A promise whose rejection nobody has to look at. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

type Subscription = 'subscribe_solicitud' | 'unsubscribe_solicitud';

const roomOf = (solicitud: Id): string => `solicitud_${solicitud}`;
