// A Node server with the official adapter is a member of the gateway's cluster like any other; matrix.test.mjs has it
// feature by feature.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { createAdapter } from '@socket.io/redis-streams-adapter';
import { createCluster } from 'redis';
import { Server } from 'socket.io';
import { assertReceived, connectAll } from './lib/clients.mjs';
import { withCluster } from './lib/cluster.mjs';
import { RedisCluster } from './lib/kinds.mjs';
import { ADAPTER } from './lib/members.mjs';
import { expectedFor, seenAs } from './lib/routing.mjs';
import { addAll, connectRedis, entryOf } from './lib/stream.mjs';
import { stays, timed, until } from './lib/wait.mjs';

/** A Socket.IO server of Node on the cluster's Redis; its sockets take their user from the handshake. */
async function nodeServer(cluster, redis, adapter = ADAPTER) {
  redis ??= await connectRedis(cluster.redisPort);
  const http = createServer();
  const io = new Server(http, {
    adapter: createAdapter(redis, adapter),
  });
  io.on('connection', (socket) => {
    const { user, role } = socket.handshake.auth;
    socket.data = { user_id: user, role };
    socket.join([`user_${user}`, role]);
    socket.on('join', (room, ack) => { socket.join(room); ack(); });
    socket.emit('connected', { node: 'node-js' });
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const close = async () => {
    await io.close();
    redis.destroy();
  };
  return { io, url: `http://127.0.0.1:${http.address().port}`, close };
}

async function withNodeServer(body) {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    const server = await nodeServer(cluster);
    try {
      const clients = {
        admin: cluster.client({ on: cluster.nodes[0], user: 'ana', role: 'admin' }),
        advisor: cluster.client({ on: cluster.nodes[1], user: 'berta', role: 'advisor' }),
        client: cluster.client({ on: cluster.nodes[1], user: 'carla', role: 'client' }),
        foreign: cluster.client({ on: server, user: 'nora', role: 'advisor', auth: { user: 'nora', role: 'advisor' } }),
      };
      await connectAll(Object.values(clients));
      await reading(server.io, clients);
      await body({ cluster, clients, ...server });
    } finally {
      await server.close();
    }
  });
}

/** Waits until the official adapter reads and answers: it starts at the log's end and subscribes in the background. */
async function reading(io, clients) {
  await until('the Node server sees all sockets', async () => {
    io.emit('hello');
    const seen = await io.fetchSockets();
    return seen.length === Object.keys(clients).length && Object.values(clients).every((c) => c.seen('hello').length > 0);
  }, { every: 200 });
}

const alone = (list, some) => list.map((c) => [c.user, some.includes(c)]);

/** Emits by `emit(event)` and asserts that exactly `receivers` get it. */
async function reaches(clients, receivers, event, emit) {
  const all = Object.values(clients);
  await emit();
  await until(`${event} arrives`, () => receivers.every((c) => c.seen(event).length > 0));
  await stays(200, `${event} at its receivers only, once`, () => all
    .every((c) => c.seen(event).length === (receivers.includes(c) ? 1 : 0)))
    .catch((err) => assert.deepEqual(all.map((c) => [c.user, c.seen(event).length > 0]), alone(all, receivers), err));
}

test('broadcasts of a Node server reach the gateway\'s clients', { timeout: 60_000 }, async () => {
  await withNodeServer(async ({ io, clients }) => {
    const { admin, advisor, client, foreign } = clients;
    await advisor.subscribe('7');
    await reaches(clients, [admin], 'to_role', () => io.to('admin').emit('to_role', { n: 1 }));
    await reaches(clients, [client], 'to_user', () => io.to('user_carla').emit('to_user', { n: 1 }));
    await reaches(clients, [advisor, foreign], 'to_both', () => io.to('solicitud_7').to('advisor').emit('to_both', {}));
    await reaches(clients, [client, admin], 'all_but', () => io.except('advisor').emit('all_but', {}));
    const binary = Buffer.from([0, 1, 2, 255]);
    await reaches(clients, [advisor], 'binary', () => io.to('solicitud_7').emit('binary', binary));
    assert.deepEqual(Buffer.from(advisor.seen('binary')[0]), binary);
    assert.deepEqual(admin.seen('to_role'), [{ n: 1 }]);
  });
});

test('events of the stream reach a Node server\'s clients', { timeout: 60_000 }, async () => {
  await withNodeServer(async ({ cluster, clients }) => {
    await clients.foreign.ask('join', 'solicitud_5');
    clients.foreign.rooms.add('solicitud_5');
    const events = Array.from({ length: 300 }, (_, n) => ({
      name: ['solicitud_created', 'oferta_created', 'evaluacion_completed'][n % 3],
      data: `{"n":${n},"solicitud_id":${n % 10},"nota":"ñ🚗"}`,
    }));
    await addAll(cluster.redis, events.map(entryOf), 50);
    const { foreign, admin } = clients;
    const want = expectedFor(events, foreign.rooms);
    assert.ok(want.length > 100);
    await until('all arrived', () => foreign.received.length >= want.length && admin.received.length >= 300);
    assertReceived(foreign, want);
    assertReceived(admin, events.map(seenAs));
  });
});

test('a Node server inspects and moves the gateway\'s sockets', { timeout: 60_000 }, async () => {
  await withNodeServer(async ({ io, clients }) => {
    const { admin, advisor, client, foreign } = clients;
    const sockets = await io.fetchSockets();
    assert.deepEqual(
      sockets.map((s) => s.data.user_id).sort(),
      ['ana', 'berta', 'carla', 'nora'],
    );
    const berta = sockets.find((s) => s.data.user_id === 'berta');
    assert.deepEqual([...berta.rooms].filter((r) => r !== berta.id).sort(), ['advisor', 'user_berta']);
    assert.equal((await io.in('user_carla').fetchSockets()).length, 1);

    io.in('advisor').socketsJoin('vip');
    await until('joined', async () => (await io.in('vip').fetchSockets()).length === 2);
    await reaches(clients, [advisor, foreign], 'to_vip', () => io.to('vip').emit('to_vip', {}));
    io.in('user_berta').socketsLeave('vip');
    await until('left', async () => (await io.in('vip').fetchSockets()).length === 1);

    admin.socket.on('question', ({ n }, ack) => ack({ n: n + 1 }));
    assert.deepEqual(await io.timeout(5000).to('admin').emitWithAck('question', { n: 1 }), [{ n: 2 }]);

    io.in('user_carla').disconnectSockets(true);
    await until('closed', () => client.disconnects.length === 1);
    await stays(300, 'the others stay', () => [admin, advisor, foreign].every((c) => c.connected));
  });
});

test('serverSideEmit among Node servers works with gateway nodes in between', { timeout: 60_000 }, async () => {
  await withNodeServer(async ({ cluster, io }) => {
    const other = await nodeServer(cluster);
    try {
      const heard = [];
      other.io.on('rumour', (n) => heard.push(n));
      other.io.on('census', (ack) => ack('other'));
      await until('the other server hears', () => {
        io.serverSideEmit('rumour', 1);
        return heard.length > 0;
      }, { every: 200 });
      // Gateway nodes have no handler for it and say so at once, so that nobody waits for them.
      const { err, answers } = await timed('census', new Promise((resolve) => {
        io.serverSideEmit('census', (err, answers) => resolve({ err, answers }));
      }), 10_000);
      assert.equal(err, null);
      assert.deepEqual(answers.toSorted(), ['other', ...cluster.nodes.map(() => null)].toSorted());
      assert.equal((await io.fetchSockets()).length, 4, 'requests work as before');
    } finally {
      await other.close();
    }
  });
});

test('on a Redis Cluster, with sharded pub/sub', { timeout: 120_000 }, async () => {
  const kind = new RedisCluster();
  await withCluster({ nodes: 1, proxy: false, kind }, async (cluster) => {
    const redis = createCluster({ rootNodes: kind.all.map((one) => ({ url: `redis://127.0.0.1:${one.port}` })), defaults: { RESP: 2 } });
    await redis.connect();
    const server = await nodeServer(cluster, redis, { ...ADAPTER, useShardedPubSub: true });
    try {
      const clients = {
        admin: cluster.client({ on: cluster.nodes[0], user: 'ana', role: 'admin' }),
        foreign: cluster.client({ on: server, user: 'nora', role: 'advisor', auth: { user: 'nora', role: 'advisor' } }),
      };
      await connectAll(Object.values(clients));
      await reading(server.io, clients);
      const { admin, foreign } = clients;
      await reaches(clients, [admin], 'to_role', () => server.io.to('admin').emit('to_role', { n: 1 }));
      const event = { name: 'notificacion_nueva', data: '{"user_ids":["ana","nora"],"n":1}' };
      await addAll(cluster.redis, [entryOf(event)], 1);
      await until('it reaches both', () => admin.received.length > 0 && foreign.received.length > 0);
      assertReceived(admin, [seenAs(event)]);
      assertReceived(foreign, [seenAs(event)]);
      admin.socket.on('question', ({ n }, ack) => ack({ n: n + 1 }));
      assert.deepEqual(await server.io.timeout(5000).to('admin').emitWithAck('question', { n: 1 }), [{ n: 2 }]);
    } finally {
      await server.close();
    }
  });
});
