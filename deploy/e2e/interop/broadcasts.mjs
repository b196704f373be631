import assert from 'node:assert/strict';
import { until } from '../lib/wait.mjs';

const group = 'Broadcasts';

const VALUES = [
  null, true, -1.5, 9_007_199_254_740_991, '', 'ñ 🚗 \u0000 \u2028 "', [], {}, [[[]]], { a: { b: [1, { c: null }] } }, '1-2-3',
];

const bytes = (n) => Buffer.from(Array.from({ length: n }, (_, i) => i % 256));

/** What JavaScript has beside JSON's values, and what it is by the time it arrives: as JSON.stringify says. */
const TEXTUAL = [
  [new Date(0), '1970-01-01T00:00:00.000Z'], [undefined, null], [{ a: undefined, b: 1 }, { b: 1 }], [new Map([[1, 2]]), {}], [new Set([1]), {}],
  [Number.NaN, null], [-Infinity, null], [-0, 0], [2 ** 60, 2 ** 60], [-(2 ** 53), -(2 ** 53)], [1e21, 1e21], [5e-324, 5e-324], [{ toJSON: () => 'itself' }, 'itself'],
];

/** The same beside binary, where Node's adapter says it otherwise. */
const BESIDE_BINARY = [
  [Buffer.from([1]), Buffer.from([1])], [Uint16Array.of(1, 258), Buffer.from(Uint16Array.of(1, 258).buffer)], [new DataView(new ArrayBuffer(2), 1), Buffer.from([0])],
  [new Date(1.5e12 + 1), '2017-07-14T02:40:00.001Z'], [new Date(-1), '1969-12-31T23:59:59.999Z'], [undefined, null], [{ a: undefined, b: 1 }, { a: null, b: 1 }],
  [new Map([[1, 2]]), {}], [new Set([1]), {}], [Number.NaN, null], [-Infinity, null], [-0, 0], [2 ** 60, 2 ** 60], [2 ** 53 - 1, 2 ** 53 - 1], [-(2 ** 53 - 1), -(2 ** 53 - 1)],
  [2 ** 32, 2 ** 32], [1e21, 1e21], [5e-324, 5e-324], [new ArrayBuffer(2), {}],
];

const column = (pairs, i) => pairs.map((pair) => pair[i]);

let dynamic = 0;

/** A client by polling that reads only when it is told to: between polls nothing can be written to it. */
async function idlePoller(cell) {
  const base = `${cell.to.url}/socket.io/?EIO=4&transport=polling`;
  const opened = await (await fetch(base)).text();
  const url = `${base}&sid=${JSON.parse(opened.slice(1)).sid}`;
  const say = async (packet) => assert.equal(await (await fetch(url, { method: 'POST', body: packet })).text(), 'ok');
  const poll = async () => (await (await fetch(url)).text()).split('\x1e');
  await say('40{"name":"idle","rooms":["idle"]}');
  const seen = [];
  await until('the poller is welcomed', async () => {
    seen.push(...await poll());
    return seen.some((p) => p.includes('welcome'));
  });
  return { poll, leave: () => say('1') };
}

export const broadcasts = [
  {
    group,
    name: 'to everybody',
    emitter: true,
    run: (cell) => cell.sends(cell.listeners, [['news', { n: 1 }]], () => cell.emit({}, 'news', { n: 1 })),
  },
  {
    group,
    name: 'to a room',
    emitter: true,
    run: (cell) => cell.sends([cell.target], [['news', 1, 'two']], () => cell.emit({ to: [cell.target.name] }, 'news', 1, 'two')),
  },
  {
    group,
    name: 'to several rooms, once to who is in more than one',
    emitter: true,
    run: (cell) => cell.sends(cell.listeners, [['news']], () => cell.emit({ to: [cell.target.name, 'everybody', 'nobody'] }, 'news')),
  },
  {
    group,
    name: 'to one socket by its id',
    emitter: true,
    run: (cell) => cell.sends([cell.target], [['news']], () => cell.emit({ to: [cell.target.id] }, 'news')),
  },
  {
    group,
    name: 'except a room',
    emitter: true,
    run: (cell) => cell.sends(cell.others, [['news']], () => cell.emit({ except: [cell.target.name] }, 'news')),
  },
  {
    group,
    name: 'to a room except another',
    emitter: true,
    run: (cell) => cell.sends([cell.target], [['news']], () => cell.emit(
      { to: ['everybody'], except: cell.others.map((l) => l.name) },
      'news',
    )),
  },
  {
    group,
    name: 'from a socket, to all but itself',
    run: (cell) => cell.sends(
      cell.listeners.filter((l) => l !== cell.own),
      [['news', 'mine']],
      () => cell.emit({ from: cell.own.id, to: ['everybody'] }, 'news', 'mine'),
    ),
  },
  {
    group,
    name: '`local`: not to another server',
    run: (cell) => cell.sends([cell.own], [['news']], () => cell.emit({ local: true }, 'news')),
  },
  {
    group,
    name: '`compress`',
    emitter: true,
    run: (cell) => cell.sends([cell.target], [['news']], () => cell.emit({ to: [cell.target.name], compress: false }, 'news')),
  },
  {
    group,
    name: '`volatile`: only to who can take it now',
    emitter: true,
    async run(cell) {
      await cell.sends([cell.target], [['now']], () => cell.emit({ to: [cell.target.name], volatile: true }, 'now'));
      const idle = await idlePoller(cell);
      await cell.emit({ to: ['idle'], volatile: true }, 'now');
      await cell.emit({ to: ['idle'] }, 'later');
      await cell.fence();
      const seen = [];
      await until('the poller is sent something', async () => {
        seen.push(...await idle.poll());
        return seen.some((p) => p.includes('fence'));
      });
      const names = seen.filter((p) => p.startsWith('42')).map((p) => JSON.parse(p.slice(2))[0]);
      await idle.leave();
      assert.deepEqual(names, ['later', 'fence']);
    },
  },
  {
    group,
    name: 'of a namespace',
    emitter: true,
    async run(cell) {
      const inside = await cell.join('inside', { nsp: '/custom' });
      await cell.sends([], [], () => cell.emit({ nsp: '/custom' }, 'news', 1));
      await cell.emit({ nsp: '/custom' }, 'last');
      await until('it arrives', () => inside.received.some(([event]) => event === 'last'));
      assert.deepEqual(inside.received, [['news', 1], ['last']]);
    },
  },
  {
    group,
    name: 'of a dynamic namespace',
    emitter: true,
    async run(cell) {
      const nsp = `/dynamic-${++dynamic}`;
      const inside = await cell.join('inside', { nsp });
      await cell.sends([], [], () => cell.emit({ nsp, to: [inside.name] }, 'news', 1));
      await cell.emit({ nsp }, 'last');
      await until('it arrives', () => inside.received.some(([event]) => event === 'last'));
      assert.deepEqual(inside.received, [['news', 1], ['last']]);
    },
  },
  {
    group,
    name: 'to rooms that are numbers (Go: their text), or by mistake nothing',
    emitter: true,
    only: (from) => from !== 'Go',
    async run(cell) {
      await cell.call({ call: 'join', to: [cell.target.name], rooms: [7, -1.5] });
      await cell.sends([cell.target], [['news', 1], ['news', 2]], async () => {
        await cell.emit({ to: [7, null, 'nobody'] }, 'news', 1);
        await cell.emit({ to: [-1.5] }, 'news', 2);
        await cell.emit({ to: [null] }, 'news', 3);
        await cell.emit({ to: ['everybody'], except: [7, ...cell.others.map((l) => l.name)] }, 'news', 4);
      });
      await cell.call({ call: 'leave', to: [7], rooms: [-1.5, 7] });
      await cell.sends([], [], () => cell.emit({ to: [7, -1.5] }, 'news'));
    },
  },
  {
    group,
    name: 'what JavaScript has beside JSON: dates, undefined, Map, Set, odd numbers, toJSON',
    only: (from) => from === 'Node',
    run: (cell) => cell.sends([cell.target], [['values', ...column(TEXTUAL, 1), 'end']], () => cell.emit(
      { to: [cell.target.name] },
      'values',
      ...column(TEXTUAL, 0),
      'end',
    )),
  },
  {
    group,
    name: 'the same beside binary, with typed arrays (an ArrayBuffer itself arrives empty)',
    only: (from) => from === 'Node',
    run: (cell) => cell.sends([cell.target], [['values', ...column(BESIDE_BINARY, 1), 'end']], () => cell.emit(
      { to: [cell.target.name] },
      'values',
      ...column(BESIDE_BINARY, 0),
      'end',
    )),
  },
  {
    group,
    name: 'JSON values of every kind',
    emitter: true,
    run: (cell) => cell.sends([cell.target], [['values', ...VALUES, 'end']], () => cell.emit({ to: [cell.target.name] }, 'values', ...VALUES, 'end')),
  },
  {
    group,
    name: 'binary: arguments, nested, several, empty, every byte',
    emitter: true,
    run(cell) {
      const args = [bytes(256), { a: [bytes(1), { b: bytes(0) }] }, 'text', [bytes(3)]];
      return cell.sends([cell.target], [['blob', ...args]], () => cell.emit({ to: [cell.target.name] }, 'blob', ...args));
    },
  },
  {
    group,
    name: 'what would end a client\'s connection (11 binary arguments, a made-up placeholder): not sent on',
    emitter: true,
    only: (_, to) => to === 'Go', // Node sends it, and again when the client comes back
    async run(cell) {
      const before = cell.target.disconnects.length;
      const alone = { _placeholder: true, num: 9 };
      await cell.sends([cell.target], [['fine', alone], ['fine', ...Array(10).fill(bytes(1))]], async () => {
        await cell.emit({ to: [cell.target.name] }, 'bad', ...Array(11).fill(bytes(1)));
        await cell.emit({ to: [cell.target.name] }, 'bad', bytes(1), { a: [{ _placeholder: true, num: 9 }] });
        await cell.emit({ to: [cell.target.name] }, 'fine', alone);
        await cell.emit({ to: [cell.target.name] }, 'fine', ...Array(10).fill(bytes(1)));
      });
      assert.equal(cell.target.disconnects.length, before);
    },
  },
  {
    group,
    name: '300 kB, as text and as binary',
    emitter: true,
    run(cell) {
      const args = ['ü'.repeat(150_000), bytes(300_000)];
      return cell.sends([cell.target], [['text', args[0], 1], ['blob', args[1]]], async () => {
        await cell.emit({ to: [cell.target.name] }, 'text', args[0], 1);
        await cell.emit({ to: [cell.target.name] }, 'blob', args[1]);
      });
    },
  },
  {
    group,
    name: '300 in a row: each once, in order',
    emitter: true,
    run(cell) {
      const all = Array.from({ length: 300 }, (_, n) => ['row', n, n % 50 ? 'text' : bytes(2)]);
      return cell.sends(cell.listeners, all, async () => {
        for (const [event, ...args] of all) await cell.emit({ to: ['everybody'] }, event, ...args);
      });
    },
  },
];
