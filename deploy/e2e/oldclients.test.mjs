// Clients of Socket.IO 2, the stock one from npm: served with ALLOW_EIO3, refused without.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import old from 'socket.io-client-v2';
import { withCluster } from './lib/cluster.mjs';
import { addAll, entryOf } from './lib/stream.mjs';
import { token } from './lib/tokens.mjs';
import { stays, timed, until } from './lib/wait.mjs';

const ways = { polling: ['polling'], WebSocket: ['websocket'], upgrading: ['polling', 'websocket'] };
const TEXT = 'é€😀\u2028"]:4';

/** An old client with all that it was told. */
class OldClient {
  told = [];

  constructor(url, options) {
    this.socket = old(url, { forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 500, ...options });
    for (const name of ['connect', 'disconnect', 'error', 'connect_error']) this.socket.on(name, (what) => this.told.push([name, what]));
    for (const name of ['connected', 'pong', 'notificacion_aviso', 'solicitud_created']) {
      this.socket.on(name, (data) => this.told.push([name, data]));
    }
  }

  all(name) {
    return this.told.filter(([first]) => first === name).map(([, data]) => data);
  }

  ask(...args) {
    return timed(`${args[0]} answered`, new Promise((resolve) => { this.socket.emit(...args, resolve); }));
  }
}

const aviso = (user, n) => entryOf({ name: 'notificacion_aviso', data: JSON.stringify({ user_id: user, n, text: TEXT }) });

async function received(what, client, from, to) {
  const got = () => client.all('notificacion_aviso').filter(({ n }) => n >= from);
  await until(`${what}: has ${to}`, () => got().some(({ n }) => n === to - 1));
  assert.deepEqual(got().map(({ n }) => n), Array.from({ length: to - from }, (_, i) => from + i), what);
  assert.ok(got().every(({ text }) => text === TEXT), what);
}

test('clients of Socket.IO 2: connect, order, acks, pings, a restarted node', { timeout: 90_000 }, async () => {
  const env = { ALLOW_EIO3: 'true', PING_INTERVAL: '1s', PING_TIMEOUT: '2s', DRAIN_WINDOW: '200ms', LOG_LEVEL: 'debug' };
  await withCluster({ nodes: 2, proxy: false, env }, async (cluster) => {
    const [node, other] = cluster.nodes;
    const clients = Object.entries(ways).flatMap(([way, transports], i) => {
      const [byQuery, byHeader] = [token(`Q-${i}`, 'client'), token(`H-${i}`, 'client')];
      return [
        { what: `${way}, token in the query`, user: `Q-${i}`, client: new OldClient(node.url, { transports, query: { token: byQuery } }) },
        {
          what: `${way}, token in a header`,
          user: `H-${i}`,
          client: new OldClient(node.url, {
            transports,
            transportOptions: Object.fromEntries(transports.map((t) => [t, { extraHeaders: { Authorization: `Bearer ${byHeader}` } }])),
          }),
        },
      ];
    });
    const modern = cluster.client({ on: other, user: 'M', role: 'admin' });
    try {
      await modern.connect();
      for (const { what, user, client } of clients) {
        await until(`${what}: greeted`, () => client.all('connected').length === 1);
        const [{ user_id: who, recovered }] = client.all('connected');
        assert.deepEqual([who, recovered], [user, false], what);
      }
      const publish = (from, to) => addAll(cluster.redis,
        Array.from({ length: to - from }, (_, i) => clients.map(({ user }) => aviso(user, from + i))).flat());
      await publish(0, 300);
      await addAll(cluster.redis, clients.map(({ user }) => entryOf({
        name: 'solicitud_created', data: JSON.stringify({ solicitud_id: `S-${user}`, client_id: user }),
      })));
      for (const { what, user, client } of clients) {
        await received(what, client, 0, 300);
        await until(`${what}: named`, () => client.all('solicitud_created').length === 1);
        assert.deepEqual(await client.ask('subscribe_solicitud', { solicitud_id: `S-${user}` }), { ok: true, room: `solicitud_S-${user}` }, what);
        assert.equal((await client.ask('subscribe_solicitud', { solicitud_id: 'S-foreign' })).error?.code, 'forbidden', what);
        // What says that it is binary, and is not.
        client.socket.binary(true);
        assert.equal((await client.ask('subscribe_solicitud', { solicitud_id: 'S-foreign' })).error?.code, 'forbidden', what);
        client.socket.emit('ping ', Buffer.from([1, 2, 3])); // nobody listens to it
        client.socket.emit('ping', { data: Buffer.from([1, 2, 3]) });
      }
      await until('modern clients are served beside them', () => modern.received.length === clients.length);
      for (const { what, client } of clients) await until(`${what}: answered`, () => client.all('pong').length === 1);
      // Longer than a client that did not ping would live.
      await stays(3500, 'all are connected', () => clients.every(({ client }) => client.all('disconnect').length === 0));

      await node.process.kill();
      const missed = await publish(300, 320); // relayed while they are away: missed, for there is no recovery
      await until('they are relayed', async () => await cluster.redis.get('{teloo}:committed') === missed.at(-1), { timeout: 20_000 });
      cluster.startNode(node);
      await cluster.ready();
      for (const { what, client } of clients) {
        await until(`${what}: is back`, () => client.all('connected').length === 2, { timeout: 20_000 });
        assert.equal(client.all('connected')[1].recovered, false, what);
      }
      await publish(320, 340);
      for (const { what, client } of clients) {
        await received(what, client, 320, 340);
        assert.equal(client.all('notificacion_aviso').filter(({ n }) => n >= 300 && n < 320).length, 0, what);
      }
      const log = node.process.text();
      assert.ok(!/eyJ|[?&]token=/.test(log), 'no token is logged');
    } finally {
      clients.forEach(({ client }) => client.socket.close());
    }
    for (const [way, transports] of Object.entries(ways)) {
      const refused = new OldClient(node.url, { transports, query: { token: 'no token' } });
      await until(`${way}: refused`, () => refused.all('error').length > 0).finally(() => refused.socket.close());
      assert.deepEqual(refused.all('error')[0], { code: 'token_invalid' }, way);
      assert.deepEqual(refused.all('connected'), [], way);
    }
    cluster.processes.checkCalm();
  });
});

test('without ALLOW_EIO3, clients of Socket.IO 2 are told why they are refused', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 1, proxy: false }, async ({ nodes: [node] }) => {
    for (const transports of Object.values(ways)) {
      const refused = new OldClient(node.url, { transports, query: { token: token('C', 'client') } });
      await until('refused', () => refused.all('connect_error').length > 0).finally(() => refused.socket.close());
      assert.deepEqual(refused.all('connect'), []);
    }
    const res = await fetch(`${node.url}/socket.io/?EIO=3&transport=polling`);
    assert.equal(res.status, 400);
    assert.deepEqual(await res.json(), { code: 5, message: 'Unsupported protocol version' });
    // Nor may the token of a modern client stand in the query.
    const modern = await fetch(`${node.url}/socket.io/?EIO=4&transport=polling&token=${token('C', 'client')}`);
    const { sid } = JSON.parse((await modern.text()).slice(1));
    const url = `${node.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`;
    await fetch(url, { method: 'POST', body: '40' });
    assert.match(await (await fetch(url)).text(), /^44.*token_missing/);
  });
});
