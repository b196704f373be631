import assert from 'node:assert/strict';
import { until } from '../lib/wait.mjs';

const group = 'Sockets';

/** Found by the caller if that can, and otherwise by the other server. */
const fetched = (cell, options) => (cell.from.heard ? cell.from : cell.to).call({ call: 'fetch', ...options });

const names = async (cell, options) => (await fetched(cell, options)).map((s) => s.data.name).toSorted();

const namesOf = (clients) => clients.map((c) => c.name).toSorted();

/** Waits until exactly these clients are found. */
const found = (cell, options, clients) => until(
  `${clients.length} found`,
  async () => JSON.stringify(await names(cell, options)) === JSON.stringify(namesOf(clients)),
);

/** A client that is in two namespaces by one connection, and in the room `doomed` of the first. */
async function connectedTwice(cell) {
  const doomed = await cell.join('doomed', { rooms: ['doomed'], reconnection: false });
  const beside = doomed.socket.io.socket('/custom', { auth: { name: 'beside' } }).connect();
  await until('connected twice', () => beside.connected);
  return { doomed, beside };
}

export const sockets = [
  {
    group,
    name: 'fetchSockets: of every server',
    async run(cell) {
      assert.deepEqual(await names(cell, {}), namesOf(cell.listeners));
    },
  },
  {
    group,
    name: 'fetchSockets: in a room, except another',
    async run(cell) {
      assert.deepEqual(await names(cell, { to: [cell.target.name, 'nobody'] }), [cell.target.name]);
      assert.deepEqual(await names(cell, { to: ['everybody'], except: [cell.target.name] }), namesOf(cell.others));
    },
  },
  {
    group,
    name: 'fetchSockets: `local`',
    async run(cell) {
      assert.deepEqual(await names(cell, { local: true }), [cell.own.name]);
    },
  },
  {
    group,
    name: 'fetchSockets: id, rooms, data, handshake',
    async run(cell) {
      const [one] = await fetched(cell, { to: [cell.target.name] });
      assert.equal(one.id, cell.target.id);
      assert.deepEqual(one.rooms.toSorted(), [cell.target.id, cell.target.name, 'everybody'].toSorted());
      assert.deepEqual(one.data, { name: cell.target.name });
      assert.match(one.handshake.address, /127\.0\.0\.1/);
      assert.equal(one.handshake.auth.name, cell.target.name);
      // Each in its library's form.
      assert.equal(String(one.handshake.headers[cell.from.kind === 'Go' ? 'User-Agent' : 'user-agent']), 'listener');
      assert.equal(String(one.handshake.query.EIO), '4');
    },
  },
  {
    group,
    name: 'socketsJoin and socketsLeave',
    emitter: true,
    async run(cell) {
      await cell.call({ call: 'join', to: [cell.target.name], rooms: ['club', 'other'] });
      await found(cell, { to: ['club'] }, [cell.target]);
      await cell.sends([cell.target], [['news']], () => cell.emit({ to: ['club', 'other'] }, 'news'));
      await cell.call({ call: 'leave', to: ['everybody'], rooms: ['club'] });
      await found(cell, { to: ['club'] }, []);
      await found(cell, { to: ['other'] }, [cell.target]);
      await cell.sends([], [], () => cell.emit({ to: ['club'] }, 'news'));
      await cell.call({ call: 'leave', to: [cell.target.name], rooms: ['other'] });
      await found(cell, { to: ['other'] }, []);
    },
  },
  {
    group,
    name: 'socketsJoin and socketsLeave: `local`',
    async run(cell) {
      await cell.call({ call: 'join', to: ['everybody'], rooms: ['here'], local: true });
      await cell.sends([cell.own], [['news']], () => cell.emit({ to: ['here'] }, 'news'));
      await cell.call({ call: 'join', to: ['everybody'], rooms: ['here'] });
      await found(cell, { to: ['here'] }, cell.listeners);
      await cell.call({ call: 'leave', to: ['everybody'], rooms: ['here'], local: true });
      await found(cell, { to: ['here'] }, cell.listeners.filter((l) => l !== cell.own));
      await cell.call({ call: 'leave', to: ['here'], rooms: ['here'] });
      await found(cell, { to: ['here'] }, []);
    },
  },
  {
    group,
    name: 'events before and after socketsJoin keep their order',
    emitter: true,
    async run(cell) {
      await cell.sends([cell.target], [['in', 1]], async () => {
        await cell.emit({ to: ['den'] }, 'early', 0);
        await cell.call({ call: 'join', to: [cell.target.name], rooms: ['den'] });
        await cell.emit({ to: ['den'] }, 'in', 1);
        await cell.call({ call: 'leave', to: [cell.target.name], rooms: ['den'] });
        await cell.emit({ to: ['den'] }, 'late', 2);
      });
    },
  },
  {
    group,
    name: 'disconnectSockets: of the namespace',
    emitter: true,
    async run(cell) {
      const { doomed, beside } = await connectedTwice(cell);
      await cell.emit({ to: ['doomed'] }, 'goodbye');
      await cell.call({ call: 'disconnect', to: ['doomed'], close: false });
      await until('disconnected', () => doomed.disconnects.length > 0);
      assert.deepEqual(doomed.disconnects, ['io server disconnect']);
      assert.deepEqual(doomed.received, [['goodbye']]);
      await found(cell, {}, cell.listeners);
      assert.equal(beside.connected, true);
    },
  },
  {
    group,
    name: 'disconnectSockets: with their connections',
    emitter: true,
    async run(cell) {
      const { doomed, beside } = await connectedTwice(cell);
      await cell.call({ call: 'disconnect', to: ['doomed'], close: true });
      await until('closed', () => doomed.disconnects.length > 0 && !beside.connected);
      assert.deepEqual(doomed.disconnects, ['io server disconnect']);
    },
  },
  {
    group,
    name: 'a socket found by fetchSockets: emit, join, leave, disconnect',
    async run(cell) {
      const one = await cell.join('one', { reconnection: false });
      const its = { to: [one.name], through: true };
      await cell.call({ call: 'emit', ...its, event: 'hello', args: [{ n: 1 }] });
      await until('it is told', () => one.received.length > 0);
      assert.deepEqual(one.received, [['hello', { n: 1 }]]);
      await cell.call({ call: 'join', ...its, rooms: ['suite'] });
      await found(cell, { to: ['suite'] }, [one]);
      await cell.call({ call: 'leave', ...its, rooms: ['suite'] });
      await found(cell, { to: ['suite'] }, []);
      await cell.call({ call: 'disconnect', ...its, close: true });
      await until('it is gone', () => one.disconnects.length > 0);
    },
  },
];
