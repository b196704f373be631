// A client that comes back has what it missed, in order and once; and nobody comes back to what isn't his any more.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POLLING, WEBSOCKET, assertReceived, connectAll } from './lib/clients.mjs';
import { withCluster } from './lib/cluster.mjs';
import { seenAs } from './lib/routing.mjs';
import { LOG, addAll, entryOf, readAll, relayed } from './lib/stream.mjs';
import { token } from './lib/tokens.mjs';
import { stays, until } from './lib/wait.mjs';

const oferta = (n, solicitud = 's1') => ({
  name: 'oferta_created', data: `{"n":${n},"solicitud_id":"${solicitud}","advisor_id":"someone"}`,
});

const write = (cluster, events) => addAll(cluster.redis, events.map((e) => entryOf(e)));

/** Breaks a client's connection as a network does: without a word. */
function cut(client) {
  const { transport } = client.socket.io.engine;
  if (transport.ws) transport.ws._socket.destroy();
  else client.socket.io.engine.close();
}

/** The texts of all Socket.IO packets that a client is sent from now on. */
function wire(client) {
  const packets = [];
  client.socket.io.on('packet', (packet) => packets.push(packet));
  return packets;
}

const greeted = (client, times) => until(`${client} is greeted ${times} times`, () => client.greetings.length >= times);

const CONNECT_ERROR = 4;

test('kill -9 of a node: its clients have everything, in order, on the others', { timeout: 120_000 }, async () => {
  await withCluster({ nodes: 3 }, async (cluster) => {
    const clients = Array.from({ length: 30 }, (_, i) => cluster.client({
      user: `u${i}`, role: i % 3 ? 'advisor' : 'admin', transports: i % 2 ? POLLING : WEBSOCKET,
    }));
    await connectAll(clients);
    await Promise.all(clients.map((c) => c.subscribe('s1')));
    const events = Array.from({ length: 600 }, (_, n) => oferta(n));
    await write(cluster, events.slice(0, 200));
    const victim = cluster.node(clients[0].node);
    const moving = clients.filter((c) => c.node === victim.name);
    victim.process.mayEnd = true;
    victim.process.child.kill('SIGKILL');
    await write(cluster, events.slice(200, 400));
    await Promise.all(moving.map((c) => greeted(c, 2)));
    await write(cluster, events.slice(400));
    await until('all have all', () => clients.every((c) => c.received.length >= events.length), { timeout: 60_000 });
    clients.forEach((c) => assertReceived(c, events.map(seenAs)));
    for (const c of moving) {
      assert.equal(c.greetings.at(-1).recovered, true, `${c}`);
      assert.equal(c.socket.recovered, true, `${c}`);
      assert.ok(c.greetings.at(-1).rooms.includes('solicitud_s1'), `${c}: ${c.greetings.at(-1).rooms}`);
    }
  });
});

test('a client that was never sent an event recovers, too', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 1, proxy: false }, async (cluster) => {
    const client = await cluster.client({ user: 'u', role: 'client', claims: { solicitudes: ['s1'] } }).connect();
    await client.subscribe('s1');
    const engine = client.socket.io.engine;
    client.socket.io.reconnection(false);
    cut(client);
    await until('the loss is noticed', () => !client.connected);
    await write(cluster, [oferta(1), oferta(2, 'other'), oferta(3)]);
    await until('relayed', async () => relayed(await readAll(cluster.redis, LOG)).length === 3);
    await client.connect();
    assert.notEqual(client.socket.io.engine, engine);
    assert.equal(client.socket.recovered, true);
    await until('both are here', () => client.received.length === 2);
    assertReceived(client, [oferta(1), oferta(3)].map(seenAs));
    assert.equal(client.others.filter((o) => o.event === 'user_joined').length, 0, 'nobody left or came');
  });
});

test('a returning client whose token is no good gets connect_error and not one event', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 1, proxy: false }, async (cluster) => {
    const client = await cluster.client({ user: 'u', role: 'advisor', reconnection: false }).connect();
    await client.subscribe('s1');
    cut(client);
    await until('the loss is noticed', () => !client.connected);
    await write(cluster, [oferta(1), oferta(2)]);
    const packets = wire(client);
    for (const [bad, code] of [
      [token('u', 'advisor', { exp: 1000 }), 'token_expired'], ['nonsense', 'token_invalid'], ['', 'token_missing'],
    ]) {
      client.socket.auth = { token: bad };
      const before = packets.length;
      client.socket.connect();
      await until('an answer', () => packets.length > before);
      assert.equal(packets.at(-1).data.data.code, code);
      client.socket.io.engine.close();
    }
    assert.deepEqual(packets.map((p) => p.type), [CONNECT_ERROR, CONNECT_ERROR, CONNECT_ERROR]);
    client.socket.auth = { token: token('u', 'advisor') };
    await client.connect();
    assert.equal(client.socket.recovered, true, 'with a good token the session goes on');
    await until('both are here', () => client.received.length === 2);
    assertReceived(client, [oferta(1), oferta(2)].map(seenAs));
  });
});

test('a revoked token is closed everywhere within a second, and nobody comes back with it', { timeout: 90_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    const revoke = async (...command) => {
      await cluster.redis.sendCommand(command);
      await cluster.redis.sendCommand(['INCR', '{teloo}:revoked:version']);
    };
    const claims = { jti: 't1', solicitudes: ['s1'] };
    const [a, b, away, other] = [0, 1, 1, 0].map((on, i) => cluster.client({
      on: cluster.nodes[on], user: i < 3 ? 'u' : 'v', role: 'client', reconnection: false, claims: i < 3 ? claims : {},
    }));
    await connectAll([a, b, away, other]);
    const session = `{teloo}:session:${away.socket._pid}`;
    await until('the session is written', async () => await cluster.redis.sendCommand(['EXISTS', session]) === 1);
    cut(away);
    await until('the loss is noticed', () => !away.connected);
    const began = Date.now();
    await revoke('ZADD', '{teloo}:revoked', String(Date.now() + 3_600_000), 'jti:t1');
    await until('both are closed', () => !a.connected && !b.connected);
    assert.ok(Date.now() - began < 1000, `after ${Date.now() - began} ms`);
    for (const c of [a, b]) {
      assert.deepEqual(c.disconnects, ['io server disconnect']);
      assert.equal(c.others.find((o) => o.event === 'error')?.data.code, 'token_revoked');
    }
    assert.ok(other.connected);
    // Who was away when it happened is told, and sent not one event, with that token or another.
    await write(cluster, [oferta(1)]);
    const packets = wire(away);
    away.socket.connect();
    await until('an answer', () => packets.length > 0);
    assert.deepEqual(packets.map((p) => p.type), [CONNECT_ERROR]);
    assert.equal(packets[0].data.data.code, 'token_revoked');
    away.socket.auth = { token: token('u', 'client', { jti: 't2' }) };
    await away.connect();
    assert.equal(away.socket.recovered, false);
    // All that a user had until now, by every node.
    await revoke('HSET', '{teloo}:revoked:before', 'user:u', String(Math.floor(Date.now() / 1000)));
    await until('closed again', () => !away.connected);
    assert.ok(other.connected);
    assert.equal(away.received.length, 0);
  });
});

test("another user's session is never given, and his next login works", { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    const client = await cluster.client({ on: cluster.nodes[0], user: 'u', role: 'advisor', reconnection: false }).connect();
    await client.subscribe('s1');
    cut(client);
    await until('the loss is noticed', () => !client.connected);
    await write(cluster, [oferta(1)]);
    const packets = wire(client);
    client.socket.auth = { token: token('v', 'advisor') };
    client.socket.connect();
    await until('an answer', () => packets.length > 0);
    assert.deepEqual(packets.map((p) => p.type), [CONNECT_ERROR]);
    assert.equal(packets[0].data.data.code, 'token_invalid');
    await client.connect();
    assert.equal(client.socket.recovered, false);
    assert.equal(client.greetings.at(-1).user_id, 'v');
    assert.deepEqual(client.greetings.at(-1).rooms, ['advisor', 'user_v']);
    // The session that ended is not given to its own user either.
    const back = cluster.client({ on: cluster.nodes[1], user: 'u', role: 'advisor' });
    back.socket._pid = client.socket._pid;
    back.socket._lastOffset = '1-0';
    await back.connect();
    assert.equal(back.socket.recovered, false);
    await stays(300, 'nothing is replayed', () => client.received.length === 0 && back.received.length === 0);
  });
});

test('who logs out or is kicked does not come back to his session', { timeout: 90_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    for (const transports of [WEBSOCKET, POLLING]) {
      const client = await cluster.client({ on: cluster.nodes[0], user: 'u', role: 'advisor', transports }).connect();
      for (let times = 1; times <= 10; times++) {
        client.socket.disconnect();
        await client.connect();
        assert.equal(client.socket.recovered, false, `logged out ${times} times, ${transports}`);
      }
      const kick = JSON.stringify({ opts: { rooms: ['user_u'], except: [], flags: {} }, close: true });
      await cluster.redis.sendCommand(['XADD', LOG, '*', 'uid', 'x', 'nsp', '/', 'type', '6', 'data', kick]);
      await until('kicked', () => !client.connected);
      await client.connect();
      assert.equal(client.socket.recovered, false, 'kicked');
      client.close();
    }
  });
});

test('a kick that a client was away for is not missed', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    const [dying, staying] = cluster.nodes;
    const client = await cluster.client({ on: dying, user: 'u', role: 'advisor', reconnection: false }).connect();
    // Sessions are written in batches; one that is not there yet would not recover whether or not the kick is heeded.
    const session = `{teloo}:session:${client.socket._pid}`;
    await until('the session is written', async () => await cluster.redis.sendCommand(['EXISTS', session]) === 1);
    dying.process.mayEnd = true;
    dying.process.child.kill('SIGKILL');
    await until('the loss is noticed', () => !client.connected);
    const kick = JSON.stringify({ opts: { rooms: ['user_u'], except: [], flags: {} }, close: true });
    await cluster.redis.sendCommand(['XADD', LOG, '*', 'uid', 'x', 'nsp', '/', 'type', '6', 'data', kick]);
    const back = cluster.client({ on: staying, user: 'u', role: 'advisor' });
    back.socket._pid = client.socket._pid;
    back.socket._lastOffset = client.socket._lastOffset;
    await until('served', () => {
      back.socket.connect();
      return back.greetings.length > 0;
    });
    assert.equal(back.socket.recovered, false);
    assert.equal(back.greetings.at(-1).recovered, false);
  });
});
