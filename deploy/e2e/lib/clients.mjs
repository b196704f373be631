// Official clients, each with a ledger of what it was sent.

import assert from 'node:assert/strict';
import { io } from 'socket.io-client';
import * as stock from 'socket.io-parser';
import { canonical } from './json.mjs';
import { ROLE_ROOM, isDomainEvent } from './routing.mjs';
import { token } from './tokens.mjs';
import { timed, until } from './wait.mjs';

const TEXT = Symbol('packet text');

/** The stock decoder, which also keeps each packet's text on its arguments. */
class KeepingDecoder extends stock.Decoder {
  decodeString(text) {
    const packet = super.decodeString(text);
    if (Array.isArray(packet.data)) {
      for (const arg of packet.data) {
        if (arg && typeof arg === 'object') Object.defineProperty(arg, TEXT, { value: text });
      }
    }
    return packet;
  }
}

const parser = { Encoder: stock.Encoder, Decoder: KeepingDecoder };

// An event packet as its text without its type, and without the position that the gateway may append to it.
function asSeen(event, data) {
  const text = data?.[TEXT] ?? JSON.stringify([event, data]);
  return canonical(text.slice(text.indexOf('['))).replace(/,"\d+-\d+"\]$/, ']');
}

export const POLLING = ['polling'];
export const WEBSOCKET = ['websocket'];
export const UPGRADING = ['polling', 'websocket'];

export class Client {
  /** Domain events in order of arrival, as canonical text. */
  received = [];

  /** Every other event: `{event, data}`. */
  others = [];

  /** Each `connected` greeting, oldest first. */
  greetings = [];

  disconnects = [];

  errors = [];

  constructor(url, { user, role, transports = WEBSOCKET, claims = {}, auth, ...options }) {
    this.user = user;
    this.role = role;
    this.transports = transports;
    this.roleRoom = ROLE_ROOM[String(role).toLowerCase()];
    /** The rooms it is in, as far as it knows. */
    this.rooms = new Set([`user_${user}`, this.roleRoom]);
    const socket = io(url, {
      auth: auth ?? { token: token(user, role, claims) },
      transports,
      parser,
      // The cookie jar of Node's client: behind the load balancer, requests of a session must stick to its node.
      withCredentials: true,
      forceNew: true,
      autoConnect: false,
      reconnectionDelay: 100,
      reconnectionDelayMax: 1000,
      ...options,
    });
    this.socket = socket;
    socket.onAny((event, data) => {
      if (isDomainEvent(event)) this.received.push(asSeen(event, data));
      else if (event === 'connected') this.greetings.push(data);
      else this.others.push({ event, data });
    });
    socket.on('disconnect', (reason) => this.disconnects.push(reason));
    socket.on('connect_error', (err) => this.errors.push(err));
  }

  /** Connects and waits for the greeting. */
  async connect(timeout = 30_000) {
    const before = this.greetings.length;
    this.socket.connect();
    await until(`${this}: connected`, () => this.socket.connected && this.greetings.length > before, { timeout })
      .catch((err) => {
        throw new Error(`${err.message}; last connect_error: ${this.errors.at(-1)?.message}`);
      });
    return this;
  }

  /** The name of the node that it is, or was last, connected to. */
  get node() {
    return this.greetings.at(-1)?.node;
  }

  get connected() {
    return this.socket.connected;
  }

  /** Emits with an ack; the answer, or an error after the timeout. */
  ask(event, ...args) {
    return timed(`${this}: ${event} answered`, this.socket.emitWithAck(event, ...args));
  }

  async subscribe(solicitud) {
    const answer = await this.ask('subscribe_solicitud', { solicitud_id: solicitud });
    if (!answer?.ok) throw new Error(`${this}: subscribe ${solicitud}: ${JSON.stringify(answer)}`);
    this.rooms.add(answer.room);
    return answer;
  }

  async unsubscribe(solicitud) {
    const answer = await this.ask('unsubscribe_solicitud', { solicitud_id: solicitud });
    if (!answer?.ok) throw new Error(`${this}: unsubscribe ${solicitud}: ${JSON.stringify(answer)}`);
    this.rooms.delete(answer.room);
    return answer;
  }

  /** The payloads of the other events of this name. */
  seen(event) {
    return this.others.filter((o) => o.event === event).map((o) => o.data);
  }

  close() {
    this.socket.disconnect();
  }

  toString() {
    return `${this.role} ${this.user} (${this.transports.join('+')})`;
  }
}

/** Runs `work` on each item, at most `width` at a time. */
export async function each(items, width, work) {
  const queue = items.entries();
  await Promise.all(Array.from({ length: width }, async () => {
    for (const [i, item] of queue) await work(item, i);
  }));
}

/** Connects all, some at a time, as browsers that arrive would. */
export const connectAll = (clients, width = 25) => each(clients, width, (c) => c.connect());

/** The distinct users of the connected clients, by role room, as `/stats` counts them. */
export function count(clients) {
  const up = clients.filter((c) => c.connected);
  const users = (list) => new Set(list.map((c) => c.user)).size;
  const of = (room) => users(up.filter((c) => c.roleRoom === room));
  return {
    connected_users: users(up),
    admins_connected: of('admin'),
    advisors_connected: of('advisor'),
    clients_connected: of('client'),
    connections: up.length,
  };
}

/** Asserts that a client was sent exactly `want`, in this order; says where it differs first. */
export function assertReceived(client, want) {
  const got = client.received;
  const at = want.findIndex((w, i) => got[i] !== w);
  const first = at < 0 ? want.length : at;
  assert.ok(
    at < 0 && got.length === want.length,
    `${client} on ${client.node}: received ${got.length}, expected ${want.length}; differs first at ${first}:\n`
      + `  want ${want[first]}\n  got  ${got[first]}`,
  );
}
