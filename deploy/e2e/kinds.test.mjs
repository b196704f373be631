// Each kind of Redis, and the rights that its users have: the same things work on all.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertReceived, connectAll } from './lib/clients.mjs';
import { getJSON, withCluster } from './lib/cluster.mjs';
import { Encrypted, RedisCluster, Sentinels } from './lib/kinds.mjs';
import { seenAs } from './lib/routing.mjs';
import { addAll, connectRedis, entryOf } from './lib/stream.mjs';
import { until } from './lib/wait.mjs';

const KEY = 'end-to-end-admin-key-of-32-bytes-or-more';

const oferta = (n) => ({ name: 'oferta_created', data: `{"n":${n},"solicitud_id":"s1","advisor_id":"someone"}` });

async function ask(node, method, path, body) {
  const res = await fetch(`${node.url}/admin/${path}`, {
    method,
    headers: { authorization: `Bearer ${KEY}`, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(15_000),
  });
  const text = await res.text();
  assert.ok(res.ok, `${method} ${path}: ${res.status} ${text}`);
  return text && JSON.parse(text);
}

/** Asks until it works: Redis may have just been replaced. */
const insist = (...args) => until(`${args[1]} ${args[2]}`, () => ask(...args).then(() => true), { timeout: 30_000, every: 200 });

/** Breaks a client's connection as a network does. */
function cut(client) {
  const { transport } = client.socket.io.engine;
  if (transport.ws) transport.ws._socket.destroy();
  else client.socket.io.engine.close();
}

/** All that a node does with Redis, from event `from` on; it ends with the users that it made, each revoked. */
async function everything(cluster, clients, from) {
  const [one, two] = cluster.nodes;
  const events = Array.from({ length: 100 }, (_, n) => oferta(from + n));
  await addAll(cluster.redis, events.slice(0, 50).map(entryOf));
  await until('half of the events', () => clients.every((c) => c.received.length >= from + 50), { timeout: 60_000 });
  // A lost connection recovers.
  const [back] = clients;
  const greetings = back.greetings.length;
  cut(back);
  await addAll(cluster.redis, events.slice(50).map(entryOf));
  await until('greeted again', () => back.greetings.length > greetings, { timeout: 30_000 });
  assert.equal(back.greetings.at(-1).recovered, true);
  await until('all events', () => clients.every((c) => c.received.length >= from + 100), { timeout: 60_000 });
  const all = Array.from({ length: from + 100 }, (_, n) => seenAs(oferta(n)));
  clients.forEach((c) => assertReceived(c, all));

  // Requests reach the other node, grants and withdrawals too, and a revocation closes what it should.
  const guest = cluster.client({ on: two, user: `guest${from}`, role: 'client' });
  await guest.connect();
  await insist(one, 'PUT', `solicitudes/s2/grants/${guest.user}`);
  await guest.subscribe('s2');
  await until('listed by the other node', async () => (await ask(one, 'GET', `users/${guest.user}/sockets`)).sockets[0]?.node === two.name,
    { timeout: 30_000 });
  await insist(one, 'DELETE', `solicitudes/s2/grants/${guest.user}`);
  await until('out of the room', () => guest.seen('unsubscribed').length > 0);
  await until('true figures', async () => {
    const stats = await Promise.all(cluster.nodes.map((n) => cluster.stats(n)));
    return stats.every((s) => s.connected_users === clients.length + 1 && s.nodes.length === cluster.nodes.length && !s.stale);
  }, { timeout: 30_000 });
  await insist(one, 'POST', 'revocations', { user: guest.user });
  await until('revoked', () => !guest.connected);
}

async function connected(cluster) {
  const clients = cluster.nodes.map((on, i) => cluster.client({ on, user: `u${i}`, role: 'advisor' }));
  await connectAll(clients);
  await Promise.all(clients.map((c) => c.subscribe('s1')));
  return clients;
}

test('TLS with certificates on both sides', { timeout: 120_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false, kind: new Encrypted(), env: { ADMIN_API_KEY: KEY } }, async (cluster) => {
    await everything(cluster, await connected(cluster), 0);
    // Neither a server that nobody vouches for is talked to, nor a client without a certificate.
    const [, two] = cluster.nodes;
    for (const [env, why] of [[{ REDIS_CA_PATH: '' }, /unknown authority/], [{ REDIS_CERT_PATH: '', REDIS_KEY_PATH: '' }, /certificate required/]]) {
      await two.process.kill();
      const said = two.process.text().length;
      cluster.startNode(two, env);
      await until(`refused: ${why}`, () => why.test(two.process.text().slice(said)), { timeout: 30_000 });
      await until('not well', async () => (await getJSON(`${two.url}/health`)).status === 503);
    }
  });
});

for (const [name, Kind, env] of [['Sentinel', Sentinels, { REDIS_WAIT_REPLICAS: '1' }], ['a Redis Cluster', RedisCluster, {}]]) {
  test(`${name}, through the loss of its master`, { timeout: 240_000 }, async () => {
    const kind = new Kind();
    await withCluster({ nodes: 2, proxy: false, kind, env: { ADMIN_API_KEY: KEY, ...env } }, async (cluster) => {
      const clients = await connected(cluster);
      await everything(cluster, clients, 0);
      const before = clients.map((c) => c.disconnects.length);
      await kind.failOver();
      await cluster.ready();
      assert.deepEqual(clients.map((c) => c.disconnects.length), before, 'nobody was disconnected by that');
      await everything(cluster, clients, 100);
    });
  });
}

test("the Core API's user has what the Core API needs, and no more", { timeout: 60_000 }, async (t) => {
  await withCluster({ nodes: 1, env: { ADMIN_API_KEY: KEY } }, async (cluster) => {
    const core = await connectRedis(cluster.redisPort, { username: 'core-api', password: 'change-me-core-api' });
    t.after(() => core.destroy());
    const client = cluster.client({ user: 'u', role: 'client' });
    await client.connect();
    await core.sendCommand(['ZADD', '{teloo}:grants:s1', String(Date.now() + 60_000), 'u']);
    await client.subscribe('s1');
    await addAll(core, [entryOf(oferta(0))]);
    await core.sendCommand(['WAIT', '0', '10']);
    await until('received', () => client.received.length === 1);
    await core.multi().addCommand(['ZREM', '{teloo}:grants:s1', 'u'])
      .addCommand(['XADD', '{teloo}:withdrawn', 'MAXLEN', '~', '10000', '*', 'solicitud', 's1', 'user', 'u']).exec();
    await until('withdrawn', () => client.seen('unsubscribed').length === 1);
    await core.multi().addCommand(['ZADD', '{teloo}:revoked', 'GT', String(Date.now() + 60_000), 'jti:7f3a'])
      .addCommand(['HSET', '{teloo}:revoked:before', 'user:u', String(Math.floor(Date.now() / 1000))])
      .addCommand(['INCR', '{teloo}:revoked:version']).exec();
    await until('revoked', () => !client.connected);
    for (const command of [
      ['XRANGE', '{teloo}:events', '-', '+'], ['XADD', '{teloo}:log', '*', 'a', 'b'], ['GET', '{teloo}:revoked'], ['FLUSHALL'],
      ['ZADD', 'other', '1', 'a'], ['XTRIM', '{teloo}:events', 'MAXLEN', '0'], ['PUBLISH', '{teloo}#/#', ''],
    ]) await assert.rejects(core.sendCommand(command), /NOPERM/, command.join(' '));
  });
});
