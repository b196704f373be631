// A malformed entry costs itself alone: it is a dead letter with its reason, and the next event flows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertReceived, connectAll } from './lib/clients.mjs';
import { getJSON, withCluster } from './lib/cluster.mjs';
import { seenAs } from './lib/routing.mjs';
import { DEAD, addAll, entryOf, readAll } from './lib/stream.mjs';
import { until } from './lib/wait.mjs';

const PER_KIND = 50;

const flat = (fields) => Object.entries(fields).flat();
const ok = { event: 'oferta_created', data: '{"solicitud_id":"s1"}' };
const payload = (value) => ['payload', typeof value === 'string' ? value : JSON.stringify(value)];
const good = (n) => ({ name: 'oferta_created', data: `{"n":${n},"solicitud_id":"s${n % 5}"}` });

/** Twenty kinds of malformed entries: the fields of the entry, and the reason for which each is a dead letter. */
const KINDS = {
  'no event': [flat({ data: ok.data }), 'malformed'],
  'unknown event': [flat({ ...ok, event: 'pedido_created' }), 'unknown_event'],
  'event of another case': [flat({ ...ok, event: 'Oferta_created' }), 'unknown_event'],
  'event too long': [flat({ ...ok, event: `oferta_${'x'.repeat(65)}` }), 'unknown_event'],
  'event with a newline': [flat({ ...ok, event: 'oferta_created\n' }), 'unknown_event'],
  'no data': [flat({ event: ok.event }), 'bad_data'],
  'data is not JSON': [flat({ ...ok, data: '{"solicitud_id":"s1"' }), 'bad_data'],
  'data is an array': [flat({ ...ok, data: '[{"solicitud_id":"s1"}]' }), 'bad_data'],
  'data is null': [flat({ ...ok, data: 'null' }), 'bad_data'],
  'data is not UTF-8': [['event', ok.event, 'data', Buffer.from('7b2261223a22ff227d', 'hex')], 'bad_data'],
  'data too large': [flat({ ...ok, data: `{"solicitud_id":"s1","x":"${'y'.repeat(64 * 1024)}"}` }), 'data_too_large'],
  'rooms is not JSON': [flat({ ...ok, rooms: 'admin' }), 'bad_rooms'],
  'rooms is not an array': [flat({ ...ok, rooms: '"admin"' }), 'bad_rooms'],
  'rooms has a number': [flat({ ...ok, rooms: '["admin",7]' }), 'bad_rooms'],
  'rooms has an overlong one': [flat({ ...ok, rooms: JSON.stringify(['r'.repeat(1000)]) }), 'bad_rooms'],
  'nobody to send it to': [flat({ event: 'notificacion_created', data: '{"texto":"hola"}' }), 'no_route'],
  'an id is an object': [flat({ ...ok, data: '{"solicitud_id":{"$ne":null}}' }), 'bad_id'],
  'payload is not JSON': [payload('event=oferta_created'), 'bad_payload'],
  'payload is an array': [payload([ok]), 'bad_payload'],
  'payload with data as text': [payload(ok), 'bad_data'],
};

test('1,000 malformed entries of 20 kinds between good ones', { timeout: 120_000 }, async () => {
  const kinds = Object.entries(KINDS);
  assert.equal(kinds.length, 20);
  await withCluster({ nodes: 3, proxy: false }, async (cluster) => {
    const incarnations = await identities(cluster);
    const clients = cluster.nodes.map((on, i) => cluster.client({ on, user: `admin-${i}`, role: 'admin' }));
    await connectAll(clients);

    const goods = [];
    const entries = [];
    const bad = new Map(); // position among the entries → [kind, reason]
    for (let i = 0; i < PER_KIND; i++) {
      for (const [kind, [fields, reason]] of kinds) {
        const event = good(goods.length);
        goods.push(event);
        entries.push(entryOf(event));
        bad.set(entries.length, [kind, reason, fields]);
        entries.push(fields);
      }
    }
    goods.push(good(goods.length));
    entries.push(entryOf(goods.at(-1)));
    const ids = await addAll(cluster.redis, entries, 100);

    const want = goods.map(seenAs);
    await until('the last good event arrived', () => clients.every((c) => c.received.at(-1) === want.at(-1)), { timeout: 60_000 });
    clients.forEach((c) => assertReceived(c, want));

    await until('all dead letters', async () => (await readAll(cluster.redis, DEAD)).length >= bad.size);
    const dead = await readAll(cluster.redis, DEAD);
    assert.equal(dead.length, bad.size);
    const bySource = new Map(dead.map((d) => [d.dead_source_id, d]));
    const reasons = {};
    for (const [at, [kind, , fields]] of bad) {
      const letter = bySource.get(ids[at]);
      assert.ok(letter, `${kind}: entry ${ids[at]} is a dead letter`);
      assert.ok(letter.dead_node && letter.dead_deliveries >= 1 && letter.dead_at, `${kind}: ${Object.keys(letter)}`);
      if (typeof fields[1] === 'string') assert.equal(letter[fields[0]], fields[1], `${kind}: the original fields are kept`);
      reasons[kind] = letter.dead_reason;
    }
    assert.deepEqual(reasons, Object.fromEntries(kinds.map(([kind, [, reason]]) => [kind, reason])));

    cluster.nodes.forEach((n) => assert.equal(n.process.end, undefined, `${n.name} still runs`));
    assert.deepEqual(await identities(cluster), incarnations, 'no node restarted');
    clients.forEach((c) => assert.deepEqual(c.disconnects, []));
    cluster.processes.checkCalm();
  });
});

/** Each node's start, from its uptime: it changes when a node restarts, whoever restarts it. */
async function identities(cluster) {
  return Promise.all(cluster.nodes.map(async (n) => {
    const { body } = await getJSON(`${n.url}/`);
    assert.equal(body.node, n.name);
    return cluster.redis.sendCommand(['HKEYS', '{teloo}:presence:nodes'])
      .then((all) => all.filter((id) => id.startsWith(`${n.name}:`)));
  }));
}
