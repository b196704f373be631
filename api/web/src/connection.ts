import { io, type Socket } from "socket.io-client";
import { tokenFor } from "./demo";

export type State = "disconnected" | "connecting" | "connected" | "reconnecting" | "refused";

export interface Ack {
  ok: boolean;
  room?: string;
  error?: { code: string; message: string };
}

export interface Watcher {
  state(state: State): void;
  event(name: string, args: unknown[]): void;
  error(text: string): void;
  transport(name: string): void;
}

/** One Socket.IO connection of the stock client, as a TeLOO front end would hold it. */
export class Connection {
  #socket: Socket | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly #watch: Watcher;

  constructor(watch: Watcher) {
    this.#watch = watch;
  }

  get connected(): boolean {
    return this.#socket?.connected ?? false;
  }

  open(role: string, user: string): void {
    this.close();
    this.#watch.state("connecting");
    const socket = io({
      forceNew: true,
      timeout: 10_000,
      reconnectionDelay: 500,
      reconnectionDelayMax: 5_000,
      // Asked anew at every connect: a token may have expired, and a restarted development gateway has new keys.
      auth: (send) => {
        tokenFor(role, user).then(
          (token) => send({ token }),
          (err: Error) => {
            this.#watch.error(err.message);
            send({});
          },
        );
      },
    });
    this.#socket = socket;
    this.#listen(socket);
  }

  #listen(socket: Socket): void {
    const watch = this.#watch;
    const current = () => socket === this.#socket;
    socket.on("connect", () => {
      watch.error("");
      watch.state("connected");
      const engine = socket.io.engine;
      watch.transport(engine.transport.name);
      engine.on("upgrade", (transport) => watch.transport(transport.name));
    });
    socket.on("disconnect", (reason) => {
      if (!current()) return;
      watch.transport("");
      if (reason === "io client disconnect") return watch.state("disconnected");
      watch.state("reconnecting");
      // The client reconnects by itself unless the server ended it, as a node does that is being replaced.
      if (!socket.active) this.#retry = setTimeout(() => socket.connect(), 300 + Math.random() * 1_200);
    });
    socket.on("connect_error", (err: Error & { data?: { code?: string } }) => {
      if (!current()) return;
      const code = err.data?.code;
      watch.error(code === undefined ? `Cannot connect: ${err.message}` : `${code}: ${err.message}`);
      watch.state(socket.active ? "reconnecting" : "refused");
    });
    socket.onAny((name: string, ...args: unknown[]) => watch.event(name, args));
  }

  close(): void {
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.offAny();
    socket.disconnect();
    this.#watch.transport("");
    this.#watch.state("disconnected");
  }

  /** Asks the server and waits for its answer; a missing one is an answer too. */
  async ask(event: string, data: unknown): Promise<Ack> {
    const socket = this.#socket;
    if (!socket?.connected) return { ok: false, error: { code: "not_connected", message: "connect first" } };
    try {
      return (await socket.timeout(5_000).emitWithAck(event, data)) as Ack;
    } catch {
      return { ok: false, error: { code: "timeout", message: `no answer to ${event} within 5 s` } };
    }
  }

  send(event: string): void {
    this.#socket?.emit(event);
  }
}
