// Official clients, as many as the harness gives this process. Commands come in as JSON lines, reports go out as JSON
// lines; what a client receives is reported in bulk, but always before what happens to that client next.

import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

const KINDS = 'soen'; // the first letters of solicitud, oferta, evaluacion, notificacion
const DOMAIN = /^(solicitud|oferta|evaluacion|notificacion)_/;
const FLUSH_MS = 50;

let received = [];

function flush() {
  if (received.length === 0) return;
  process.stdout.write(`{"rx":[${received}]}\n`);
  received = [];
}

function report(ev, client, more = {}) {
  flush();
  process.stdout.write(`${JSON.stringify({ t: Date.now(), ev, c: client.id, ...more })}\n`);
}

class Client {
  /** Whether its session is in all of its rooms. */
  subscribed = false;

  /** Counts connections, so that a subscription of an earlier one is not taken for this one's. */
  turn = 0;

  constructor({ id, url, token, polling, solicitudes }, options) {
    Object.assign(this, { id, solicitudes, ws: !polling });
    this.socket = io(url, {
      auth: { token },
      transports: polling ? ['polling'] : ['websocket'],
      // The cookie jar of Node's client: requests of a session must stick to its node.
      withCredentials: true,
      forceNew: true,
      autoConnect: false,
      ...options,
    });
    this.socket.onAny((event, data) => this.take(event, data));
    this.socket.on('disconnect', (why) => this.down(why));
    this.socket.on('connect_error', (err) => this.refused(err));
  }

  take(event, data) {
    if (DOMAIN.test(event)) received.push(this.id, data?.n ?? -1, KINDS.indexOf(event[0]), Date.now());
    else if (event === 'connected') this.up(data);
  }

  up({ recovered, node, user_id: user }) {
    this.turn += 1;
    // A browser sends the load balancer's cookie with a WebSocket as well; Node's client has its jar for polling only.
    if (this.ws) this.socket.io.opts.extraHeaders = { cookie: `gateway_node=${node}` };
    report('up', this, { recovered, said: this.socket.recovered, node, user });
    // Rooms of a recovered session are the gateway's to restore, if it was in all of them.
    this.subscribed &&= recovered;
    if (this.subscribed) report('ready', this);
    else this.subscribe(this.turn);
  }

  async subscribe(turn) {
    try {
      const answers = await Promise.all(this.solicitudes.map((s) => this.socket.timeout(10_000)
        .emitWithAck('subscribe_solicitud', { solicitud_id: s })));
      if (turn !== this.turn) return;
      const refused = answers.find((a) => !a?.ok);
      if (refused) throw new Error(JSON.stringify(refused));
      this.subscribed = true;
      report('ready', this);
    } catch (err) {
      if (turn !== this.turn || !this.socket.connected) return;
      report('trouble', this, { why: `subscribe: ${err.message}` });
      setTimeout(() => turn === this.turn && this.socket.connected && this.subscribe(turn), 500);
    }
  }

  down(why) {
    this.turn += 1;
    report('down', this, { why });
    // The stock client stays away when the server says DISCONNECT; a page that is still open comes back.
    if (why === 'io server disconnect') this.again(300);
  }

  refused(err) {
    report('refused', this, { why: err.data?.code ?? err.message });
    // Nor does it try again when the server refused it by a packet.
    if (!this.socket.active) this.again(500);
  }

  again(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), delay * (0.5 + Math.random()));
  }

  connect() {
    clearTimeout(this.timer);
    // While it is active it connects by itself; another call would send a second CONNECT.
    if (!this.socket.active) this.socket.connect();
  }

  logout() {
    clearTimeout(this.timer);
    this.socket.disconnect();
  }

  /** Comes back on the same socket object, as somebody else if a token is given. */
  login(token) {
    if (token) this.socket.auth = { token };
    this.connect();
  }
}

const clients = new Map();

const commands = {
  start({ people, options, spread }) {
    for (const p of people) {
      const client = new Client(p, options);
      clients.set(p.id, client);
      setTimeout(() => client.connect(), Math.random() * spread);
    }
  },
  logout: ({ ids }) => ids.forEach((id) => clients.get(id).logout()),
  login: ({ id, token }) => clients.get(id).login(token),
  /** The next connect, whatever its cause, is as somebody else. */
  become: ({ id, token }) => { clients.get(id).socket.auth = { token }; },
  end() {
    flush();
    process.exit(0);
  },
};

setInterval(flush, FLUSH_MS);
const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const { cmd, ...args } = JSON.parse(line);
  commands[cmd](args);
});
// Without its harness it has no purpose.
input.on('close', () => process.exit(0));
