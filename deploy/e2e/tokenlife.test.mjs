// The life of a token: told of, renewed in place, expired, and what was granted taken back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POLLING, WEBSOCKET, assertReceived, connectAll } from './lib/clients.mjs';
import { withCluster } from './lib/cluster.mjs';
import { seenAs } from './lib/routing.mjs';
import { addAll, entryOf } from './lib/stream.mjs';
import { sign, token } from './lib/tokens.mjs';
import { stays, until, within } from './lib/wait.mjs';

const LEEWAY = 30; // seconds for which a node takes an expired token, and serves its socket

const now = () => Math.floor(Date.now() / 1000);

/** A token that expires, leeway included, `seconds` from now. */
const endingIn = (seconds, user, role, more) => token(user, role, { exp: now() - LEEWAY + seconds, iat: now() - 600, ...more });

const oferta = (n, solicitud = 's1') => ({
  name: 'oferta_created', data: `{"n":${n},"solicitud_id":"${solicitud}","advisor_id":"someone"}`,
});

const write = (cluster, events) => addAll(cluster.redis, events.map((e) => entryOf(e)));

const refresh = (client, newToken) => client.ask('refresh_token', { token: newToken });

test('an expiring token is told of; a client that fetches tokens comes back by itself and misses nothing', { timeout: 120_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    const [one, two] = cluster.nodes;
    const make = (user, transports, more) => {
      let first = true;
      const tokens = (cb) => {
        cb({ token: first ? endingIn(4, user, 'client', { solicitudes: ['s1'] }) : token(user, 'client', { solicitudes: ['s1'] }) });
        first = false;
      };
      return cluster.client({ on: one, user, role: 'client', transports, auth: tokens, ...more });
    };
    const clients = [make('u', WEBSOCKET), make('v', POLLING)];
    const writer = cluster.client({ on: two, user: 'w', role: 'advisor' });
    await connectAll([...clients, writer]);
    await Promise.all([...clients, writer].map((c) => c.subscribe('s1')));
    for (const c of clients) {
      await until('told', () => c.seen('token_expiring').length === 1);
      assert.ok(Math.abs(c.seen('token_expiring')[0].expires_at / 1000 - (now() - LEEWAY)) < 10);
    }
    const events = Array.from({ length: 400 }, (_, n) => oferta(n));
    let n = 0;
    await until('both have come back', async () => {
      if (n < events.length) await write(cluster, events.slice(n, n += 4));
      return clients.every((c) => c.greetings.length === 2);
    }, { timeout: 30_000, every: 50 });
    await write(cluster, events.slice(n));
    await until('all have all', () => [...clients, writer].every((c) => c.received.length >= events.length), { timeout: 30_000 });
    for (const c of clients) {
      assert.deepEqual(c.disconnects, ['transport close'], `${c}`);
      assert.deepEqual(c.seen('token_expired').map((e) => e.code), ['token_expired'], `${c}`);
      assert.equal(c.greetings[1].recovered, true, `${c}`);
      assert.equal(c.socket.recovered, true, `${c}`);
      assert.deepEqual(c.errors, [], `${c}`);
      assertReceived(c, events.map(seenAs));
    }
    assert.deepEqual(writer.seen('user_left'), [], 'nobody was away for long');
  });
});

test('a client that brings the expired token again is told so, and its session waits for a good one', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    const client = cluster.client({ on: cluster.nodes[0], user: 'u', role: 'advisor', auth: { token: endingIn(2, 'u', 'advisor') } });
    await client.connect();
    await client.subscribe('s1');
    await until('refused', () => client.errors.length === 1);
    assert.equal(client.errors[0].data.code, 'token_expired');
    assert.deepEqual(client.disconnects, ['transport close']);
    await write(cluster, [oferta(1), oferta(2)]);
    client.socket.auth = { token: token('u', 'advisor') };
    await client.connect();
    assert.equal(client.socket.recovered, true);
    await until('both are here', () => client.received.length === 2);
    assertReceived(client, [oferta(1), oferta(2)].map(seenAs));
  });
});

test('a token is renewed in place, by its own user and never by an older one', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 1, proxy: false }, async (cluster) => {
    const began = now();
    const client = await cluster.client({
      user: 'u', role: 'client', auth: { token: endingIn(8, 'u', 'client', { jti: 't1', solicitudes: ['s1'] }) },
    }).connect();
    await client.subscribe('s1');
    const refused = async (bad, code) => {
      const answer = await refresh(client, bad);
      assert.equal(answer.ok, false);
      assert.equal(answer.error.code, code);
    };
    await refused(token('v', 'client'), 'token_invalid');
    await refused(token('v', 'admin'), 'token_invalid');
    await refused(sign({ sub: 'u', role: 'admin', iat: began, exp: began + 3600 }, { secret: 'another-secret-of-at-least-32-bytes' }), 'token_invalid');
    await refused(token('u', 'admin', { exp: 1000 }), 'token_expired');
    await refused(token('u', 'root'), 'role_unknown');
    await refused(undefined, 'token_missing');
    client.socket.emit('refresh_token', { token: 'nonsense' });
    await until('told', () => client.seen('error').length === 1);
    assert.equal(client.seen('error')[0].code, 'token_invalid');

    const exp = began + 600;
    const good = token('u', 'client', { iat: began, exp, jti: 't2', solicitudes: ['s1'] });
    const answer = await refresh(client, good);
    assert.deepEqual(answer, { ok: true, expires_at: exp * 1000, role: 'client', rooms: ['client', 'user_u', 'solicitud_s1'] });
    assert.equal((await refresh(client, good)).ok, true, 'the same again');
    // A stolen one from before, with a role that the user had then.
    await refused(token('u', 'admin', { iat: began - 10, exp }), 'token_invalid');
    await refused(token('u', 'admin', { iat: began, exp: exp - 1 }), 'token_invalid');
    await stays(9000, 'it outlives its first token', () => client.connected);
    assert.deepEqual(client.disconnects, []);
    // What counts for a revocation is the token in force.
    const revoke = async (jti) => {
      await cluster.redis.sendCommand(['ZADD', '{teloo}:revoked', String(Date.now() + 3_600_000), `jti:${jti}`]);
      await cluster.redis.sendCommand(['INCR', '{teloo}:revoked:version']);
    };
    await revoke('t1');
    await stays(1500, 'the earlier one is of no matter', () => client.connected);
    await refused(token('u', 'client', { iat: began + 1, exp: exp + 1, jti: 't1' }), 'token_revoked');
    await revoke('t2');
    await until('closed', () => !client.connected);
    assert.deepEqual(client.disconnects, ['io server disconnect']);
  });
});

test('a changed role moves the rooms at once, and stays moved after a recovery', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    const [one, two] = cluster.nodes;
    const iat = now();
    const as = (role, n, more) => token('u', role, { iat: iat + n, exp: iat + 3600 + n, ...more });
    let current = as('advisor', 0);
    const client = cluster.client({ on: one, user: 'u', role: 'advisor', auth: (cb) => cb({ token: current }) });
    const witness = cluster.client({ on: two, user: 'w', role: 'admin' });
    await connectAll([client, witness]);
    for (const s of ['s1', 's2']) await client.subscribe(s);
    for (const s of ['s1', 's2']) await witness.subscribe(s);
    await until('counted', async () => (await cluster.stats(two)).advisors_connected === 1);
    current = as('client', 0, { solicitudes: ['s1'] });
    const answer = await refresh(client, current);
    assert.deepEqual(answer.rooms, ['client', 'user_u', 'solicitud_s1']);
    assert.deepEqual(client.seen('unsubscribed').map((e) => [e.room, e.code]), [['solicitud_s2', 'forbidden']]);
    await within(3000, 'the figures follow', async () => {
      const s = await cluster.stats(two);
      return s.advisors_connected === 0 && s.clients_connected === 1 && s.connections === 2;
    });
    const created = { name: 'solicitud_created', data: '{"solicitud_id":"s9","client_id":"x"}' }; // for advisors
    await write(cluster, [created, oferta(1, 's2'), oferta(2, 's1')]);
    await until('the one that is his', () => client.received.length === 1);
    client.socket.io.engine.close();
    await write(cluster, [created, oferta(3, 's2'), oferta(4, 's1')]);
    await until('it comes back', () => client.greetings.length === 2);
    assert.equal(client.greetings[1].recovered, true);
    assert.deepEqual(client.greetings[1].rooms.toSorted(), ['client', 'solicitud_s1', 'user_u']);
    await until('the other one', () => client.received.length === 2);
    assertReceived(client, [oferta(2), oferta(4)].map(seenAs));
    await until('others saw him leave', () => witness.seen('user_left').length > 0);
    assert.deepEqual(witness.seen('user_left').map((e) => e.room), ['solicitud_s2']);
    assert.deepEqual(witness.seen('user_joined').filter((e) => e.role !== 'advisor'), [], 'who changes his role does not come');
    current = as('support', 1);
    assert.equal((await refresh(client, current)).role, 'admin');
    await write(cluster, [oferta(5, 's3')]);
    await until('as an admin', () => client.received.length === 3);
  });
});

test('a withdrawn grant takes a user out of the room on all nodes within a second', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    const [one, two] = cluster.nodes;
    const command = (...args) => cluster.redis.sendCommand(args);
    for (const user of ['u', 'v']) await command('ZADD', '{teloo}:grants:s1', String(Date.now() + 3_600_000), user);
    const make = (on, user, role = 'client') => cluster.client({ on, user, role });
    const [a, b, other, admin] = [make(one, 'u'), make(two, 'u'), make(two, 'v'), make(one, 'ana', 'admin')];
    await connectAll([a, b, other, admin]);
    await Promise.all([a, b, other, admin].map((c) => c.subscribe('s1')));
    const withdraw = (solicitud, user) => cluster.redis.multi()
      .addCommand(['ZREM', `{teloo}:grants:${solicitud}`, user])
      .addCommand(['XADD', '{teloo}:withdrawn', 'MAXLEN', '~', '10000', '*', 'solicitud', solicitud, 'user', user])
      .exec();
    await withdraw('s1', 'u');
    const took = await within(1000, 'both are out', () => [a, b].every((c) => c.seen('unsubscribed').length === 1));
    console.log(`out of the room after ${took} ms`);
    for (const c of [a, b]) {
      const [{ room, code }] = c.seen('unsubscribed');
      assert.deepEqual({ room, code }, { room: 'solicitud_s1', code: 'grant_withdrawn' });
      assert.equal((await c.ask('subscribe_solicitud', { solicitud_id: 's1' })).error.code, 'forbidden');
    }
    await write(cluster, [oferta(1)]);
    await until('the others have it', () => other.received.length === 1 && admin.received.length === 1);
    await until('others saw him leave', () => other.seen('user_left').length === 1);
    assert.deepEqual(other.seen('user_left'), [{ user_id: 'u', role: 'client', room: 'solicitud_s1' }]);
    assert.equal(a.received.length + b.received.length, 0);
    assert.deepEqual(other.seen('unsubscribed'), []);
    // Nor does who was away come back to it.
    other.socket.io.reconnection(false);
    other.socket.io.engine.close();
    await until('gone', () => !other.connected);
    await withdraw('s1', 'v');
    await write(cluster, [oferta(2)]);
    await other.connect();
    assert.equal(other.socket.recovered, true);
    assert.deepEqual(other.greetings.at(-1).rooms, ['client', 'user_v']);
    await stays(300, 'nothing is replayed', () => other.received.length === 1);
  });
});
