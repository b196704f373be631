// Every event reaches exactly the right clients, in order and once, through three nodes and a load balancer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POLLING, UPGRADING, WEBSOCKET, assertReceived, connectAll, each } from './lib/clients.mjs';
import { withCluster } from './lib/cluster.mjs';
import { flow } from './lib/events.mjs';
import { expectedFor, roomsOf } from './lib/routing.mjs';
import { addAll, entryOf, readAll, DEAD } from './lib/stream.mjs';
import { until } from './lib/wait.mjs';

const EVENTS = 2000;

const ids = (prefix, n) => Array.from({ length: n }, (_, i) => `${prefix}${i + 1}`);

const world = {
  solicitudes: [...ids('', 12), ...ids('sol-', 8), 'ñ é/%20#'],
  // The numeric ones are sent as JSON integers at times.
  clients: [...ids('90', 9), ...ids('cliente-', 9)],
  advisors: [...ids('asesor-', 14), '8001'],
};
world.users = [...world.clients, ...world.advisors, 'jefa', 'nadie'];

/** Sixty sockets: 14 of admins, 20 of advisors, 26 of clients; every other one of each role polls. */
function people(cluster) {
  const roles = [
    ...['admin', 'analyst', 'support', 'Admin'].flatMap((role) => [1, 2, 3, 4].map((n) => [role, `${role}-${n}`])).slice(0, 13),
    ['admin', 'jefa'],
    ...world.advisors.map((user) => ['advisor', user]),
    ...world.advisors.slice(0, 5).map((user) => ['advisor', user]), // second tabs
    ...world.clients.map((user) => ['client', user]),
    ...world.clients.slice(0, 8).map((user) => ['client', user]), // second tabs
  ];
  assert.equal(roles.length, 60);
  return roles.map(([role, user], i) => {
    const transports = i % 2 ? POLLING : [WEBSOCKET, UPGRADING][(i / 2) % 2];
    // Half of the clients' grants are claims of their tokens.
    const claims = role === 'client' && i % 4 < 2 ? { solicitudes: world.solicitudes } : {};
    const client = cluster.client({ user, role, transports, claims });
    client.claimed = 'solicitudes' in claims;
    return client;
  });
}

/** Grants and subscriptions, and some of them taken back before the first event. */
async function subscribeAll(cluster, clients) {
  const expiry = Date.now() + 3_600_000;
  for (const s of world.solicitudes.filter((_, i) => i % 2 === 0)) {
    for (const user of world.clients) {
      await cluster.redis.sendCommand(['ZADD', `{teloo}:grants:${encodeURIComponent(s)}`, String(expiry), user]);
    }
  }
  await each(clients, 20, async (client, i) => {
    const allowed = world.solicitudes.filter((_, k) => client.role !== 'client' || client.claimed || k % 2 === 0);
    const mine = allowed.filter((_, k) => (k + i) % 4 === 0);
    for (const s of mine) await client.subscribe(/^\d+$/.test(s) && i % 3 === 0 ? Number(s) : s);
    for (const s of mine.filter((_, k) => k % 3 === 2)) await client.unsubscribe(s);
    if (mine.length && i % 5 === 0) await client.subscribe(mine[0]); // again: still once
  });
}

test('2,000 events through 3 nodes reach 60 clients exactly as the contract says', { timeout: 180_000 }, async () => {
  await withCluster({ nodes: 3 }, async (cluster) => {
    const clients = people(cluster);
    await connectAll(clients);
    await subscribeAll(cluster, clients);

    const perNode = new Set(clients.map((c) => c.node));
    assert.equal(perNode.size, 3, 'the load balancer spreads the clients over all nodes');
    assert.equal(clients.filter((c) => c.socket.io.engine.transport.name === 'polling').length, 30);

    const events = flow(EVENTS, world);
    await addAll(cluster.redis, events.map(entryOf), 200);

    const expected = new Map(clients.map((c) => [c, expectedFor(events, c.rooms)]));
    const total = [...expected.values()].reduce((n, list) => n + list.length, 0);
    assert.ok(total > EVENTS * 5 && new Set(events.flatMap(roomsOf)).size > 50, 'the flow is worth the test');
    // One more for everybody: once it is there, nothing that was to come before it can still be under way.
    const last = { name: 'notificacion_end', data: '{"user_id":"x"}', rooms: ['admin', 'advisor', 'client'] };
    await addAll(cluster.redis, [entryOf(last)]);
    await until('everybody has the last event', () => clients.every((c) => c.received.at(-1)?.includes('notificacion_end')), {
      timeout: 60_000,
    }).catch((err) => {
      clients.forEach((c) => assertReceived(c, [...expected.get(c), ...expectedFor([last], c.rooms)]));
      throw err;
    });

    for (const client of clients) {
      assert.deepEqual(client.disconnects, [], `${client} stayed connected`);
      assertReceived(client, [...expected.get(client), ...expectedFor([last], client.rooms)]);
    }
    assert.deepEqual(await readAll(cluster.redis, DEAD), [], 'no event is a dead letter');
    cluster.processes.checkCalm();
    console.log(`${total} deliveries to ${clients.length} clients`);
  });
});
