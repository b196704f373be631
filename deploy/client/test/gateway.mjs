// A gateway that does what a test wants, on the official Socket.IO server: faults of timing that a real one cannot be made to show.

import { createServer } from 'node:http';
import { Server } from 'socket.io';

/** Waits until `condition` holds; what it was waited for is in the error. */
export async function until(what, condition, timeout = 5000) {
  const end = Date.now() + timeout;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`timed out: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export class Gateway {
  /** Tokens of the connects, in order. */
  connects = [];

  /** Names and data of what clients asked, in order. */
  asked = [];

  handshakes = 0;

  sockets = [];

  /** Answers a request; a test puts its own here. */
  answer = (name, data) => (name === 'refresh_token'
    ? { ok: true, expires_at: Date.now() + 3_600_000, role: 'client', rooms: [] }
    : { ok: true, room: `solicitud_${data.solicitud_id}` });

  /** Refuses a connect with the code that it returns; a test puts its own here. */
  refuse = () => undefined;

  /** False: a connect is never answered. */
  answers = true;

  async start() {
    this.http = createServer();
    this.io = new Server(this.http, { transports: ['websocket'], serveClient: false });
    this.io.engine.on('connection', () => { this.handshakes += 1; });
    this.io.use((socket, next) => {
      this.connects.push(socket.handshake.auth.token);
      const code = this.refuse(socket.handshake.auth.token);
      if (code) next(Object.assign(new Error(code), { data: { code } }));
      else if (this.answers) next();
    });
    this.io.on('connection', (socket) => this.welcome(socket));
    await new Promise((resolve) => this.http.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${this.http.address().port}`;
  }

  welcome(socket) {
    this.sockets.push(socket);
    socket.onAny(async (name, data, ack) => {
      this.asked.push([name, data]);
      ack?.(await this.answer(name, data));
    });
    socket.emit('connected', { user_id: 'u', role: 'client', rooms: ['client'], node: 'n1', recovered: false });
  }

  get last() {
    return this.sockets.at(-1);
  }

  /** Breaks the latest connection as a network does. */
  cut() {
    this.last.conn.transport.socket.terminate();
  }

  async stop() {
    await this.io.close();
  }
}
