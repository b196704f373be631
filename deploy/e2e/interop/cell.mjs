// One cell of the matrix: what a server of one kind does to sockets, or servers, of another.

import assert from 'node:assert/strict';
import { Listener } from '../lib/members.mjs';
import { until } from '../lib/wait.mjs';

const FENCE = 'fence';

let fences = 0;

export class Cell {
  /**
   * `from` calls, and `to` is the other server. `listeners` are four clients, one of each server, which stay: each is in the
   * rooms of its own name and `everybody`, `target` is on `to`, and `own` on `from`.
   */
  constructor({ from, to, members, listeners, context }) {
    Object.assign(this, { from, to, members, listeners, context });
    this.target = listeners.find((l) => l.name === to.name);
    this.own = listeners.find((l) => l.name === from.name);
    this.others = listeners.filter((l) => l !== this.target);
    this.fresh = [];
  }

  call(command) {
    return this.from.call(command);
  }

  emit(options, event, ...args) {
    return this.call({ call: 'emit', ...options, event, args });
  }

  ask(options, event, ...args) {
    return this.call({ call: 'ask', timeout: 10_000, ...options, event, args });
  }

  /** A client of `to`, or of another, for this cell alone. */
  async join(name, options = {}, on = this.to) {
    const client = new Listener(on, `${name}-${++fences}`, options);
    this.fresh.push(client);
    return client.connect();
  }

  /** Returns when all that was sent before by `from` has arrived at the clients that stay. */
  async fence() {
    const mark = `${FENCE}-${++fences}`;
    await this.emit({}, FENCE, mark);
    await until(`${mark} arrives`, () => this.listeners.every((l) => l.received.some((e) => e[0] === FENCE && e[1] === mark)));
  }

  /** Asserts that the clients named, and no others of those that stay, are sent these events by `act`, in this order. */
  async sends(receivers, events, act) {
    this.listeners.forEach((l) => l.received.splice(0));
    await act();
    await this.fence();
    const seen = this.listeners.map((l) => [l.name, l.received.filter((e) => e[0] !== FENCE)]);
    assert.deepEqual(seen, this.listeners.map((l) => [l.name, receivers.includes(l) ? events : []]));
  }

  /** Returns when what was told to servers has arrived, as far as there is a way behind it. */
  async follow() {
    if (this.from.heard) await this.ask({ to: ['nobody'] }, 'question');
    else await this.fence();
  }

  close() {
    this.fresh.forEach((c) => c.close());
  }
}
