// Servers of a cluster, and who emits to them, beside the gateway's nodes, each doing what it is told by `call`: Node's with the official adapter,
// and Go's with the gateway's.

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { encode } from '@msgpack/msgpack';
import { createAdapter } from '@socket.io/redis-streams-adapter';
import { Server } from 'socket.io';
import { io } from 'socket.io-client';
import { freePort } from './processes.mjs';
import { until } from './wait.mjs';

const HOST = process.env.INTEROP_BIN || fileURLToPath(new URL('../../../bin/interop', import.meta.url));

/** What a Node server's adapter needs in order to be a member of the gateway's cluster. */
export const ADAPTER = {
  streamName: '{teloo}:log', channelPrefix: '{teloo}', sessionKeyPrefix: '{teloo}:session:', maxLen: 500_000,
};

const namespaces = ['/', '/custom', /^\/dynamic-\d+$/];

/** A Socket.IO server of Node's. `redis` is its own: it is closed with it. */
export class NodeMember {
  kind = 'Node';

  /** Server-side events that arrived, with their arguments. */
  #heard = [];

  constructor(name, redis, { adapter = ADAPTER, ...options } = {}) {
    Object.assign(this, { name, redis });
    this.http = createServer();
    this.io = new Server(this.http, {
      adapter: createAdapter(redis, adapter),
      connectionStateRecovery: { maxDisconnectionDuration: 120_000 },
      ...options,
    });
    namespaces.forEach((nsp) => this.#serve(this.io.of(nsp)));
  }

  async start() {
    this.http.listen(0, '127.0.0.1');
    await once(this.http, 'listening');
    this.url = `http://127.0.0.1:${this.http.address().port}`;
    return this;
  }

  #serve(nsp) {
    nsp.on('connection', (socket) => {
      const { name, rooms = [], user } = socket.handshake.auth;
      Object.assign(socket.data, { name }, user && { user_id: user });
      socket.join(rooms);
      socket.emit('welcome', this.name);
    });
    for (const event of ['rumour', 'heard-by-node']) {
      nsp.on(event, (...args) => {
        const ack = typeof args.at(-1) === 'function' ? args.pop() : undefined;
        this.#heard.push([event, ...args]);
        ack?.({ name: this.name, told: args });
      });
    }
  }

  async heard() {
    return this.#heard;
  }

  async call({ nsp = '/', from, through, ...c }) {
    const all = this.io.of(nsp);
    if (c.call === 'tell') return all.serverSideEmit(c.event, ...c.args);
    if (c.call === 'inquire') return all.serverSideEmitWithAck(c.event, ...c.args);
    let op = from ? all.sockets.get(from).to(c.to ?? []) : all.to(c.to ?? []);
    op = op.except(c.except ?? []);
    if (c.local) op = op.local;
    if (c.volatile) op = op.volatile;
    if (c.compress !== undefined) op = op.compress(c.compress);
    if (c.timeout) op = op.timeout(c.timeout);
    if (through) return this.#through(op, c);
    switch (c.call) {
      case 'emit': return op.emit(c.event, ...c.args);
      case 'ask': return op.emitWithAck(c.event, ...c.args);
      case 'fetch': return (await op.fetchSockets()).map(({ id, rooms, data, handshake }) => ({ id, rooms: [...rooms], data, handshake }));
      case 'join': return op.socketsJoin(c.rooms);
      case 'leave': return op.socketsLeave(c.rooms);
      case 'disconnect': return op.disconnectSockets(c.close);
      default: throw new Error(`unknown call ${c.call}`);
    }
  }

  async #through(op, c) {
    const found = await op.fetchSockets();
    if (found.length !== 1) throw new Error(`${found.length} sockets`);
    const [socket] = found;
    switch (c.call) {
      case 'emit': return socket.emit(c.event, ...c.args);
      case 'ask': return [await socket.timeout(c.timeout).emitWithAck(c.event, ...c.args)];
      case 'join': return socket.join(c.rooms);
      case 'leave': return c.rooms.forEach((room) => socket.leave(room));
      case 'disconnect': return socket.disconnect(c.close);
      default: throw new Error(`unknown call ${c.call}`);
    }
  }

  async close() {
    if (this.closed) return;
    this.closed = true;
    await this.io.close();
    await this.redis.close(); // behind the sessions that the adapter writes without waiting
  }

  die() {
    return this.close();
  }
}

const inward = (v) => {
  if (v?.$binary !== undefined) return Buffer.from(v.$binary, 'base64');
  if (Array.isArray(v)) return v.map(inward);
  if (v && typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([key, value]) => [key, inward(value)]));
  return v;
};

const outward = (v) => {
  if (Buffer.isBuffer(v)) return { $binary: v.toString('base64') };
  if (Array.isArray(v)) return v.map(outward);
  if (v && typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([key, value]) => [key, outward(value)]));
  return v;
};

/** A Socket.IO server of Go's: deploy/e2e/interop, which has the same application. */
export class GoMember {
  kind = 'Go';

  constructor(name, processes, args) {
    Object.assign(this, { name, processes, args });
  }

  async start() {
    if (!existsSync(HOST)) throw new Error(`${HOST} is missing: run make e2e, or set INTEROP_BIN`);
    const listen = `127.0.0.1:${await freePort()}`;
    this.url = `http://${listen}`;
    this.process = this.processes.start(this.name, HOST, ['-name', this.name, '-listen', listen, ...this.args]);
    await until(`${this.name} ready`, async () => this.processes.check() || (await fetch(`${this.url}/ready`)).ok);
    return this;
  }

  async #ask(path, options) {
    const res = await fetch(`${this.url}${path}`, { signal: AbortSignal.timeout(20_000), ...options });
    if (!res.ok) throw new Error(`${this.name}: ${res.status} ${await res.text()}`);
    const { value, error } = await res.json();
    if (error) throw Object.assign(new Error(error), { responses: inward(value) });
    return inward(value);
  }

  heard() {
    return this.#ask('/heard');
  }

  call(command) {
    return this.#ask('/do', { method: 'POST', body: JSON.stringify(outward(command)) });
  }

  async close() {
    if (!this.process.end) await this.process.kill();
  }

  die() {
    return this.process.kill('SIGKILL');
  }
}

const KINDS = { emit: 3, join: 4, leave: 5, disconnect: 6, tell: 9 };

const hasBinary = (v) => Buffer.isBuffer(v) || Boolean(v) && typeof v === 'object' && Object.values(v).some(hasBinary);

/**
 * Who only emits, into the cluster's log: what @socket.io/redis-streams-emitter writes, by the description of its format. The
 * package itself is in no registry that the tests can reach.
 */
export class StreamsEmitter {
  kind = 'emitter';

  name = 'emitter';

  constructor(redis) {
    this.redis = redis;
  }

  async call({ call, nsp = '/', to = [], except = [], volatile, compress, event, args, rooms, close }) {
    const opts = { rooms: to, except, flags: {} };
    if (volatile) opts.flags.volatile = true;
    if (compress !== undefined) opts.flags.compress = compress;
    const data = {
      emit: () => ({ packet: { type: 2, data: [event, ...args], nsp }, opts }),
      tell: () => ({ packet: [event, ...args] }),
      disconnect: () => ({ opts, close }),
    }[call]?.() ?? { opts, rooms };
    await this.redis.xAdd(ADAPTER.streamName, '*', {
      uid: 'emitter', nsp, type: String(KINDS[call]),
      data: hasBinary(data) ? Buffer.from(encode(data)).toString('base64') : JSON.stringify(data),
    }, { TRIM: { strategy: 'MAXLEN', strategyModifier: '~', threshold: ADAPTER.maxLen } });
  }
}

const POSITION = /^\d+-\d+$/;

/** An official client that keeps all it is sent, without the positions that recovery appends. */
export class Listener {
  /** Events as `[name, ...arguments]`, oldest first. */
  received = [];

  welcomes = [];

  disconnects = [];

  constructor(member, name, { rooms = [], nsp = '/', url = member.url, ...options } = {}) {
    this.name = name;
    this.socket = io(url + nsp, {
      auth: { name, rooms: [name, ...rooms] }, transports: ['websocket'], forceNew: true, autoConnect: false,
      extraHeaders: { 'user-agent': 'listener' },
      reconnectionDelay: 50, reconnectionDelayMax: 200, ...options,
    });
    this.socket.onAny((...args) => {
      if (args[0] === 'welcome' || args[0] === 'connected') this.welcomes.push(args[1]);
      else this.received.push(POSITION.test(args.at(-1)) ? args.slice(0, -1) : args);
    });
    this.socket.on('disconnect', (reason) => this.disconnects.push(reason));
  }

  get id() {
    return this.socket.id;
  }

  async connect() {
    this.socket.connect();
    await until(`${this.name} welcomed`, () => this.socket.connected && this.welcomes.length > 0);
    return this;
  }

  close() {
    this.socket.disconnect();
  }
}
