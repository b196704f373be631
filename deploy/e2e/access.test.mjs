// Who is let in, what clients are told, and how nodes come and go under them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POLLING, UPGRADING, WEBSOCKET, connectAll, count } from './lib/clients.mjs';
import { ORIGIN, getJSON, withCluster } from './lib/cluster.mjs';
import { addAll, entryOf } from './lib/stream.mjs';
import { sign, token } from './lib/tokens.mjs';
import { stays, timed, until, within } from './lib/wait.mjs';

const now = () => Math.floor(Date.now() / 1000);
const claims = (more) => ({ sub: 'u1', role: 'client', iat: now(), exp: now() + 600, ...more });

/** Connects once and returns the refusal's code. */
function refusal(cluster, options) {
  const client = cluster.client({ user: 'x', role: 'client', reconnection: false, ...options });
  const refused = new Promise((resolve, reject) => {
    client.socket.once('connect_error', (err) => resolve(err.data?.code ?? `without a code: ${err.message}`));
    client.socket.once('connect', () => reject(new Error('was let in')));
  });
  client.socket.connect();
  return timed('refused', refused).finally(() => client.close());
}

test('a bad token is refused with its code', { timeout: 60_000 }, async () => {
  const bad = {
    'no token': [{}, 'token_missing'],
    'an empty token': [{ token: '' }, 'token_missing'],
    'not a token': [{ token: 'abc' }, 'token_invalid'],
    'not a string': [{ token: { a: 1 } }, 'token_invalid'],
    'another secret': [{ token: sign(claims(), { secret: 'another-secret-of-at-least-32-bytes' }) }, 'token_invalid'],
    'no signature': [{ token: sign(claims(), { alg: 'none' }) }, 'token_invalid'],
    'an algorithm that is not allowed': [{ token: sign(claims(), { alg: 'HS512' }) }, 'token_invalid'],
    'a header that lies': [{ token: sign(claims(), { alg: 'RS256' }) }, 'token_invalid'],
    'a changed payload': [{ token: tampered() }, 'token_invalid'],
    'no expiry': [{ token: sign(claims({ exp: undefined })) }, 'token_invalid'],
    'no user': [{ token: sign(claims({ sub: undefined })) }, 'token_invalid'],
    expired: [{ token: token('u1', 'client', { ttl: -120 }) }, 'token_expired'],
    'a role nobody knows': [{ token: token('u1', 'root') }, 'role_unknown'],
    'no role': [{ token: sign(claims({ role: undefined })) }, 'role_unknown'],
  };
  await withCluster({ nodes: 1, env: { WS_MAX_CONNECTIONS: '3' } }, async (cluster) => {
    const codes = {};
    for (const [kind, [auth]] of Object.entries(bad)) {
      codes[kind] = await refusal(cluster, { auth, transports: WEBSOCKET });
    }
    assert.deepEqual(codes, Object.fromEntries(Object.entries(bad).map(([kind, [, code]]) => [kind, code])));
    assert.equal(await refusal(cluster, { auth: { token: 'abc' }, transports: POLLING }), 'token_invalid');

    const three = [1, 2, 3].map((n) => cluster.client({ user: `u${n}`, role: 'client' }));
    await connectAll(three);
    assert.equal(await refusal(cluster, {}), 'server_full');
    three[0].close();
    await until('a seat is free again', () => refusal(cluster, {}).then(() => false, () => true));
    assert.doesNotMatch(cluster.nodes[0].process.text(), /eyJ[\w-]+\.[\w-]+/, 'no token in the log');
  });
});

test('too many handshakes of one address are refused, whatever it claims to be', { timeout: 60_000 }, async () => {
  const env = { TRUSTED_PROXIES: 'loopback', HANDSHAKE_RATE: '1', HANDSHAKE_BURST: '3', MAX_SOCKETS_PER_USER: '1' };
  await withCluster({ nodes: 1, proxy: true, env }, async (cluster) => {
    const ask = (headers, url = cluster.url) => fetch(`${url}/socket.io/?EIO=4&transport=polling`, { headers });
    const client = cluster.client({ user: 'u1', role: 'client', transports: WEBSOCKET });
    await connectAll([client]);
    assert.equal(await refusal(cluster, { user: 'u1', transports: WEBSOCKET }), 'rate_limited', 'one socket for one user');

    const answers = [];
    for (let i = 0; i < 6; i++) answers.push(await ask({ 'x-forwarded-for': `198.51.100.${i}`, origin: ORIGIN }));
    const refused = answers.filter((a) => a.status === 429);
    assert.ok(refused.length >= 3, `statuses ${answers.map((a) => a.status)}`);
    assert.equal(refused[0].headers.get('retry-after'), '1');
    assert.equal(refused[0].headers.get('access-control-allow-origin'), ORIGIN);
    assert.equal((await refused[0].json()).code, 'rate_limited');

    const direct = await ask({ 'x-forwarded-for': '203.0.113.7' }, cluster.nodes[0].url);
    assert.equal(direct.status, 200, 'another address, as a trusted proxy says');
    assert.ok(client.socket.connected, 'who is connected stays so');
  });
});

function tampered() {
  const [head, , signature] = token('u1', 'client').split('.');
  return [head, Buffer.from(JSON.stringify(claims({ role: 'admin' }))).toString('base64url'), signature].join('.');
}

test('what clients say and hear', { timeout: 90_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    const [one, two] = cluster.nodes;
    const make = (on, user, role, more) => cluster.client({ on, user, role, ...more });
    const admin = make(one, 'ana', 'SUPPORT');
    const advisor = make(two, 'berta', 'advisor');
    const client = make(one, 'carla', 'client', { claims: { solicitudes: ['1'] } });
    const header = make(two, 'dario', 'client', {
      auth: {}, extraHeaders: { authorization: `Bearer ${token('dario', 'client')}` },
    });
    const byUserID = make(two, 'eva', 'advisor', { auth: { token: sign(claims({ sub: undefined, user_id: 'eva', role: 'advisor' })) } });
    await connectAll([admin, advisor, client, header, byUserID]);

    const greeting = ({ rooms, ...rest }) => ({ ...rest, rooms: rooms.toSorted() });
    assert.deepEqual(greeting(admin.greetings[0]),
      { user_id: 'ana', role: 'admin', rooms: ['admin', 'user_ana'], node: 'gw1', recovered: false });
    assert.deepEqual([header, byUserID].map((c) => c.greetings[0].user_id), ['dario', 'eva']);

    client.socket.emit('ping');
    await until('pong', () => client.seen('pong').length === 1);
    assert.ok(Math.abs(Date.parse(client.seen('pong')[0].timestamp) - Date.now()) < 5000, 'pong carries the time');

    assert.deepEqual(await advisor.ask('subscribe_solicitud', { solicitud_id: '7' }), { ok: true, room: 'solicitud_7' });
    assert.deepEqual(await client.ask('subscribe_solicitud', { solicitud_id: 1 }), { ok: true, room: 'solicitud_1' });
    assert.deepEqual(await client.ask('unsubscribe_solicitud', { solicitud_id: 1 }), { ok: true, room: 'solicitud_1' });
    await refusesSubscriptions(client);

    // An event that names a user grants that user its solicitud.
    assert.equal((await client.ask('subscribe_solicitud', { solicitud_id: '8' })).error.code, 'forbidden');
    await addAll(cluster.redis, [entryOf({ name: 'solicitud_created', data: '{"solicitud_id":"8","client_id":"carla"}' })]);
    await until('told', () => client.received.length === 1);
    assert.deepEqual(await client.ask('subscribe_solicitud', { solicitud_id: '8' }), { ok: true, room: 'solicitud_8' });
    [admin, advisor, client, header].forEach((c) => assert.deepEqual(c.disconnects, []));
  });
});

async function refusesSubscriptions(client) {
  const requests = [
    [{ solicitud_id: '2' }], [{}], [], ['1'], [null], [[1]], [{ solicitud_id: '' }], [{ solicitud_id: null }],
    [{ solicitud_id: { a: 1 } }], [{ solicitud_id: 1.5 }], [{ solicitud_id: 'x'.repeat(129) }], [{ solicitud_id: 'a\nb' }],
  ];
  for (const event of ['subscribe_solicitud', 'unsubscribe_solicitud']) {
    for (const args of event.startsWith('un') ? requests.slice(1) : requests) {
      const answer = await client.ask(event, ...args);
      assert.equal(answer.ok, false, `${event} ${JSON.stringify(args)}`);
      assert.match(answer.error.code, /^[a-z_]+$/);
      assert.ok(answer.error.message);
    }
  }
  const before = client.seen('error').length;
  client.socket.emit('subscribe_solicitud', { solicitud_id: '2' });
  await until('an error without an ack is an event', () => client.seen('error').length === before + 1);
  assert.equal(client.seen('error').at(-1).code, 'forbidden');
}

test('user_joined and user_left: once for each user, not for each tab, nor for a quick reconnect', { timeout: 120_000 }, async () => {
  await withCluster({ nodes: 3, proxy: false }, async (cluster) => {
    const [one, two, three] = cluster.nodes;
    const make = (on, user, role = 'advisor') => cluster.client({ on, user, role, reconnection: false });
    const watcher = make(one, 'watcher', 'admin');
    const outsider = make(one, 'outsider', 'admin');
    const tabs = [make(one, 'berta'), make(two, 'berta'), make(three, 'berta')];
    const fragile = make(three, 'fred');
    await connectAll([watcher, outsider, ...tabs, fragile]);
    await watcher.subscribe('7');
    for (const c of [...tabs, fragile]) await c.subscribe('7');

    const about = (user, event) => watcher.seen(event).filter((m) => m.user_id === user);
    await until('both joined', () => about('berta', 'user_joined').length && about('fred', 'user_joined').length);
    assert.deepEqual(about('berta', 'user_joined'), [{ user_id: 'berta', role: 'advisor', room: 'solicitud_7' }]);

    tabs[0].close();
    await tabs[1].unsubscribe('7');
    await stays(6500, 'a tab is left, so the user is', () => about('berta', 'user_left').length === 0);

    // Gone and back on another node, within the 5 s that user_left waits.
    tabs[2].close();
    const back = await make(two, 'berta').connect();
    await back.subscribe('7');
    await stays(6500, 'neither left nor joined', () => about('berta', 'user_left').length === 0
      && about('berta', 'user_joined').length === 1);

    back.close();
    await until('left', () => about('berta', 'user_left').length === 1, { timeout: 12_000 });
    assert.deepEqual(about('berta', 'user_left'), [{ user_id: 'berta', role: 'advisor', room: 'solicitud_7' }]);

    await three.process.kill('SIGKILL');
    await until('the user of a killed node left', () => about('fred', 'user_left').length === 1, { timeout: 15_000 });
    await stays(1500, 'once', () => about('fred', 'user_left').length === 1 && about('berta', 'user_left').length === 1);
    assert.deepEqual(watcher.seen('user_joined').map((m) => m.user_id).sort(), ['berta', 'fred'], 'not of oneself');
    assert.deepEqual(outsider.others, [], 'others are told nothing');
  });
});

test('browsers of other origins are refused', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 1 }, async (cluster) => {
    const poll = (origin, method = 'GET') => fetch(`${cluster.nodes[0].url}/socket.io/?EIO=4&transport=polling`, {
      method, headers: { origin, ...(method === 'OPTIONS' && { 'access-control-request-method': 'POST' }) },
    });
    const allowed = await poll(ORIGIN);
    assert.equal(allowed.status, 200);
    assert.equal(allowed.headers.get('access-control-allow-origin'), ORIGIN);
    assert.equal(allowed.headers.get('access-control-allow-credentials'), 'true');
    assert.equal((await poll(ORIGIN, 'OPTIONS')).headers.get('access-control-allow-origin'), ORIGIN);
    for (const origin of ['https://evil.example', `${ORIGIN}.evil.example`, 'null']) {
      const refused = await poll(origin);
      assert.notEqual(refused.headers.get('access-control-allow-origin'), origin);
      assert.notEqual(refused.headers.get('access-control-allow-origin'), '*');
    }
    const from = (origin) => cluster.client({
      user: 'u1', role: 'client', transports: WEBSOCKET, reconnection: false, extraHeaders: { origin },
    });
    await from(ORIGIN).connect();
    const evil = from('https://evil.example');
    evil.socket.connect();
    await until('a WebSocket of another origin is refused', () => evil.errors.length > 0);
    assert.equal(evil.connected, false);
  });
});

test('SIGTERM: the clients of the node move to the others by themselves', { timeout: 120_000 }, async (t) => {
  await withCluster({ nodes: 3 }, async (cluster) => {
    const clients = Array.from({ length: 45 }, (_, i) => cluster.client({
      user: `u${i}`, role: 'advisor', transports: [WEBSOCKET, POLLING, UPGRADING][i % 3],
    }));
    await connectAll(clients);
    const leaving = cluster.nodes[1];
    const movers = clients.filter((c) => c.node === leaving.name);
    const others = clients.filter((c) => c.node !== leaving.name);
    assert.ok(movers.length >= 5, `the leaving node has ${movers.length} clients`);

    const ended = leaving.process.kill('SIGTERM', 25_000);
    await until('not ready', async () => (await fetch(`${leaving.url}/health/ready`)).status === 503, { every: 5 });
    assert.deepEqual([(await ended).code, (await ended).signal], [0, null]);
    await until('all are connected again', () => clients.every((c) => c.connected && c.node !== leaving.name), { timeout: 20_000 });
    movers.forEach((c) => assert.ok(c.greetings.length >= 2));
    others.forEach((c) => assert.deepEqual(c.disconnects, [], `${c} was left alone`));

    const ms = await within(1000, '/stats is right', async () => {
      const own = count(clients);
      const all = await Promise.all([cluster.nodes[0], cluster.nodes[2]].map((n) => cluster.stats(n)));
      return all.every((s) => s.connected_users === own.connected_users && s.connections === own.connections);
    });
    t.diagnostic(`${movers.length} clients moved; /stats right after ${ms} ms`);

    clients.forEach((c) => { c.received.length = 0; });
    await addAll(cluster.redis, [entryOf({ name: 'solicitud_created', data: '{"solicitud_id":"1"}' })]);
    await until('all get the next event', () => clients.every((c) => c.received.length === 1));
  });
});

test('polling sticks to its node by the cookie, and ends in order when the node drains', { timeout: 60_000 }, async () => {
  // Passed on, a request would be answered wherever it goes.
  await withCluster({ nodes: 3, env: { FORWARD_POLLS: 'false' } }, async (cluster) => {
    const open = async (cookie) => {
      const res = await fetch(`${cluster.url}/socket.io/?EIO=4&transport=polling`, { headers: cookie ? { cookie } : {} });
      assert.equal(res.status, 200);
      const set = res.headers.getSetCookie().map((c) => c.split(';')[0]).find((c) => c.startsWith('gateway_node='));
      return { sid: JSON.parse((await res.text()).slice(1)).sid, cookie: set ?? cookie };
    };
    const post = (s, cookie) => fetch(`${cluster.url}/socket.io/?EIO=4&transport=polling&sid=${s.sid}`, {
      method: 'POST', body: `40${JSON.stringify({ token: token('u1', 'client') })}`, headers: { cookie },
    });
    const session = await open();
    const again = await open(session.cookie);
    assert.equal(again.cookie, session.cookie, 'a second tab of the browser goes to the same node');
    assert.equal((await post(session, session.cookie)).status, 200);
    const wrong = cluster.nodes.map((n) => `gateway_node=${n.name}`).find((c) => c !== session.cookie);
    assert.equal((await post(again, wrong)).status, 400, 'another node does not know the session');

    // While its node drains, a session's requests still go there; new sessions do not, whatever their cookie.
    const leaving = cluster.node(session.cookie.split('=')[1]);
    await connectAll(Array.from({ length: 10 }, (_, i) => cluster.client({ on: leaving, user: `slow${i}`, role: 'client' })));
    const ended = leaving.process.kill('SIGTERM', 25_000);
    await until('new sessions go elsewhere', async () => (await open(session.cookie)).cookie !== session.cookie, { timeout: 10_000, every: 50 });
    assert.equal((await post(again, session.cookie)).status, 200, 'its node still serves the session');
    await ended;
  });
});

test('Redis away at start: live, not ready, then ready by itself', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false, redis: false }, async (cluster) => {
    const [node] = cluster.nodes;
    await until('live', async () => (await getJSON(`${node.url}/health/live`)).status === 200);
    assert.equal((await fetch(`${node.url}/health/ready`)).status, 503);
    assert.equal((await fetch(`${node.url}/health`)).status, 503);
    await until('a clear line in the log', () => /redis/i.test(node.process.text()));
    await stays(1000, 'still live and not ready', async () => (await fetch(`${node.url}/health/ready`)).status === 503
      && (await fetch(`${node.url}/health/live`)).status === 200);

    await cluster.startRedis();
    await cluster.ready();
    const client = await cluster.client({ on: node, user: 'ana', role: 'admin' }).connect();
    await addAll(cluster.redis, [entryOf({ name: 'solicitud_created', data: '{"solicitud_id":"1"}' })]);
    await until('events flow', () => client.received.length === 1);
  });
});
