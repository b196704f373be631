// The operators' API, on a cluster: what it says has happened has happened on all nodes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertReceived, connectAll } from './lib/clients.mjs';
import { getJSON, withCluster } from './lib/cluster.mjs';
import { freePort } from './lib/processes.mjs';
import { seenAs } from './lib/routing.mjs';
import { token } from './lib/tokens.mjs';
import { until, within } from './lib/wait.mjs';

const KEY = 'end-to-end-admin-key-of-32-bytes-or-more';

const oferta = (n) => ({ name: 'oferta_created', data: `{"n":${n},"solicitud_id":"s1","advisor_id":"someone"}` });

/** Asks a node's admin API; `body` is sent as JSON. */
async function ask(base, method, path, body, headers = { authorization: `Bearer ${KEY}` }) {
  const res = await fetch(`${base}/admin/${path}`, {
    method,
    headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(15_000),
  });
  const text = await res.text();
  return { status: res.status, type: res.headers.get('content-type'), body: text && JSON.parse(text) };
}

test('events, sockets, grants, revocations and disconnects by one node, true on both', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false, env: { ADMIN_API_KEY: KEY } }, async (cluster) => {
    const [one, two] = cluster.nodes;
    const make = (on, user, role = 'client') => cluster.client({ on, user, role });
    const [a, b, other] = [make(one, 'u'), make(two, 'u'), make(two, 'v', 'advisor')];
    await connectAll([a, b, other]);

    // Granted, then an event.
    assert.equal((await ask(one.url, 'PUT', 'solicitudes/s1/grants/u')).status, 204);
    await Promise.all([a, b, other].map((c) => c.subscribe('s1')));
    const { name, data } = oferta(1);
    const published = await ask(one.url, 'POST', 'events', { event: name, data: JSON.parse(data), event_id: 'e-1' });
    assert.equal(published.status, 202);
    assert.match(published.body.id, /^\d+-\d+$/);
    await ask(two.url, 'POST', 'events', { event: name, data: JSON.parse(data), event_id: 'e-1' });
    await until('all have it', () => [a, b, other].every((c) => c.received.length === 1));
    [a, b, other].forEach((c) => assertReceived(c, [seenAs(oferta(1))]));
    const dead = await ask(one.url, 'POST', 'events', { event: 'solicitud_x', data: {} });
    assert.equal(dead.status, 422);
    assert.match(dead.type, /^application\/problem\+json/);

    // Both nodes' sockets are listed by either.
    for (const node of [one, two]) {
      const { status, body } = await ask(node.url, 'GET', 'users/u/sockets');
      assert.equal(status, 200);
      assert.deepEqual(body.sockets.map((s) => s.node).sort(), ['gw1', 'gw2']);
      for (const s of body.sockets) {
        assert.equal(s.role, 'client');
        assert.equal(s.address.startsWith('127.0.0.1'), true);
        assert.ok(Math.abs(Date.parse(s.connected_at) - Date.now()) < 60_000, s.connected_at);
        assert.ok(Date.parse(s.token_expires) > Date.now(), s.token_expires);
        assert.deepEqual(s.rooms.toSorted(), ['client', 'solicitud_s1', 'user_u']);
      }
    }
    assert.deepEqual((await ask(one.url, 'GET', 'users/nobody/sockets')).body.sockets, []);

    // Withdrawn, on both.
    assert.equal((await ask(two.url, 'DELETE', 'solicitudes/s1/grants/u')).status, 204);
    await within(1000, 'both are out', () => [a, b].every((c) => c.seen('unsubscribed').length === 1));

    // Disconnected for good, on both: the stock client stays away, and its session is not there when it is back.
    const gone = await ask(one.url, 'POST', 'users/u/disconnect');
    assert.deepEqual([gone.status, gone.body], [200, { user: 'u', disconnected: 2 }]);
    await within(1000, 'both are closed', () => [a, b].every((c) => c.disconnects.length === 1));
    assert.deepEqual([a, b].map((c) => c.disconnects[0]), ['io server disconnect', 'io server disconnect']);
    await a.connect();
    assert.equal(a.socket.recovered, false);

    // Revoked, on the node that was not asked.
    assert.equal((await ask(two.url, 'POST', 'revocations', { user: 'u' })).status, 204);
    await within(1000, 'closed', () => a.disconnects.length === 2);
    assert.deepEqual(a.seen('error').map((e) => e.code), ['token_revoked']);
    assert.equal(other.connected, true);
  });
});

test('who has no key gets nowhere, and the clients\' port has no admin API beside METRICS_PORT', { timeout: 60_000 }, async () => {
  const port = await freePort();
  await withCluster({ nodes: 1, proxy: false, env: { ADMIN_API_KEY: KEY, METRICS_PORT: String(port) } }, async (cluster) => {
    const inner = `http://127.0.0.1:${port}`;
    assert.equal((await ask(inner, 'GET', 'users/u/sockets')).status, 200);
    assert.equal((await ask(inner, 'GET', 'users/u/sockets', undefined, { 'x-api-key': KEY })).status, 200);
    for (const headers of [{}, { authorization: `Bearer ${KEY}x` }, { authorization: `Bearer ${token('u', 'admin')}` }, { 'x-api-key': '' }]) {
      const { status, type, body } = await ask(inner, 'POST', 'drain', undefined, headers);
      assert.equal(status, 401);
      assert.match(type, /^application\/problem\+json/);
      assert.equal(body.code, 'unauthorized');
    }
    assert.equal((await ask(cluster.nodes[0].url, 'GET', 'users/u/sockets')).status, 404);
    assert.equal((await getJSON(`${inner}/health`)).status, 200);
    assert.equal((await getJSON(`${inner}/stats`)).status, 200);
    const socketio = await fetch(`${inner}/socket.io/?EIO=4&transport=polling`);
    assert.equal(socketio.status, 404);
    await socketio.text();
    // By the twentieth wrong key the address is not even listened to, with the right one either.
    await until('refused unread', async () => (await ask(inner, 'POST', 'drain', undefined, { 'x-api-key': 'guess' })).status === 429);
    assert.equal((await ask(inner, 'GET', 'users/u/sockets')).status, 429);
  });
});

test('a node that is told to drain sends its clients to the others and takes none', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 2, env: { ADMIN_API_KEY: KEY } }, async (cluster) => {
    const clients = Array.from({ length: 12 }, (_, i) => cluster.client({ user: `u${i}`, role: 'advisor' }));
    await connectAll(clients);
    await Promise.all(clients.map((c) => c.subscribe('s1')));
    const [one, two] = cluster.nodes;
    assert.ok(clients.some((c) => c.greetings[0].node === 'gw1'));
    const drained = await ask(one.url, 'POST', 'drain');
    assert.deepEqual([drained.status, drained.body], [202, { node: 'gw1' }]);
    assert.equal((await ask(one.url, 'POST', 'drain')).status, 202);
    await until('not ready', async () => (await fetch(`${one.url}/health/ready`)).status === 503);
    await until('all are at the other node', () => clients.every((c) => c.connected && c.greetings.at(-1).node === 'gw2'), { timeout: 30_000 });
    await ask(one.url, 'POST', 'events', { event: 'oferta_created', data: JSON.parse(oferta(1).data) });
    await until('all have it', () => clients.every((c) => c.received.length === 1));
    for (const c of clients) if (c.greetings.length > 1) assert.equal(c.greetings.at(-1).recovered, true);
    assert.equal((await fetch(`${two.url}/health/ready`)).status, 200);
  });
});
