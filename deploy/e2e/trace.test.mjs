// What became of an event: the true answer, whatever became of it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { connectAll } from './lib/clients.mjs';
import { GATEWAY, withCluster } from './lib/cluster.mjs';
import { DEAD, addAll, entryOf, readAll } from './lib/stream.mjs';
import { until } from './lib/wait.mjs';

const KEY = 'end-to-end-admin-key-of-32-bytes-or-more';

const notice = (id, user, text = 'hola', extra = {}) => entryOf({
  name: 'notificacion_aviso', data: JSON.stringify({ user_id: user, text }), extra: { event_id: id, ...extra },
});

async function trace(node, id) {
  const res = await fetch(`${node.url}/admin/trace/${encodeURIComponent(id)}`, {
    headers: { authorization: `Bearer ${KEY}` }, signal: AbortSignal.timeout(15_000),
  });
  assert.equal(res.status, 200, `trace of ${id}`);
  return res.json();
}

/** The trace, once it has this verdict. */
async function verdict(node, id, want) {
  let last;
  await until(`${id} is ${want}`, async () => {
    last = await trace(node, id);
    return last.verdict === want;
  }, { timeout: 20_000 }).catch((err) => { throw new Error(`${err.message}; it is ${JSON.stringify(last, null, 1)}`); });
  return last;
}

/** What `gateway trace` prints. */
async function command(node, id, ...flags) {
  const env = { ...process.env, ADMIN_API_KEY: KEY };
  const run = await promisify(execFile)(GATEWAY, ['trace', id, '--url', node.url, ...flags], { env }).catch((err) => err);
  return { code: run.code ?? 0, out: run.stdout, err: run.stderr };
}

const userOf = (t, user) => t.users?.find((u) => u.user === user);
const socketsOn = (t) => Object.fromEntries(t.nodes.map((n) => [n.node, n.sockets]));

const cut = (client) => client.socket.io.engine.transport.ws._socket.destroy();

test('delivered, away, caught up, slow, dead, replayed: each as it was', { timeout: 180_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false, env: { ADMIN_API_KEY: KEY } }, async (cluster) => {
    const [one, two] = cluster.nodes;
    const make = (on, user, role = 'client') => cluster.client({ on, user, role });
    const sockets = [make(one, 'u'), make(one, 'u'), make(two, 'u')];
    await connectAll(sockets);
    const write = async (...entries) => addAll(cluster.redis, entries);

    // Delivered to three sockets on two nodes; found by either id, at either node.
    const occurred = '2026-01-02T03:04:05.678Z';
    const [source] = await write(notice('e-1', 'u', 'hola', { occurred_at: occurred }));
    await until('all have it', () => sockets.every((c) => c.received.length === 1));
    for (const [node, id] of [[one, 'e-1'], [two, 'e-1'], [one, source], [two, source]]) {
      const t = await verdict(node, id, 'delivered');
      assert.equal(t.source, source);
      assert.equal(t.event_id, 'e-1');
      assert.equal(t.event, 'notificacion_aviso');
      assert.equal(Date.parse(t.added_at), Number(source.split('-')[0]));
      assert.equal(Date.parse(t.occurred_at), Date.parse(occurred));
      assert.deepEqual(t.rooms, [{ room: 'user_u', rule: 'the user in user_id' }]);
      assert.deepEqual(socketsOn(t), { gw1: 2, gw2: 1 });
      assert.equal(t.users.length, 1);
      assert.deepEqual(t.users[0].sockets.map((s) => [s.node, s.outcome]), [['gw1', 'written'], ['gw1', 'written'], ['gw2', 'written']]);
      assert.deepEqual(
        t.users[0].sockets.map((s) => s.socket).sort(), sockets.map((c) => c.socket.id).sort(),
      );
      assert.equal(t.silent, undefined);
    }
    const printed = await command(two, 'e-1');
    assert.equal(printed.code, 0, printed.err);
    assert.match(printed.out, /^e-1 +delivered$/m);
    assert.match(printed.out, /^room +user_u: the user in user_id$/m);
    assert.match(printed.out, /^node +gw1 2 sockets$/m);
    assert.equal(JSON.parse((await command(one, 'e-1', '--json')).out).verdict, 'delivered');

    // Nobody there.
    await write(notice('e-2', 'absent'));
    const nobody = await verdict(one, 'e-2', 'nobody');
    assert.deepEqual(socketsOn(nobody), { gw1: 0, gw2: 0 });
    assert.deepEqual(nobody.users, [{ user: 'absent', outcome: 'away' }]);

    // Away, and back on the other node.
    const wanderer = make(one, 'w');
    await wanderer.connect();
    await write(notice('e-3', 'w'));
    await until('it has an offset', () => wanderer.received.length === 1);
    wanderer.socket.io.reconnection(false);
    cut(wanderer);
    await until('it is away', () => !wanderer.connected);
    await until('the node knows', async () => (await cluster.stats(one)).connections === 3);
    await write(notice('e-4', 'w'));
    assert.deepEqual((await verdict(two, 'e-4', 'nobody')).users, [{ user: 'w', outcome: 'away' }]);
    wanderer.socket.io.uri = two.url;
    await wanderer.connect();
    await until('it has the missed one', () => wanderer.received.length === 2);
    assert.equal(wanderer.socket.recovered, true);
    const back = await verdict(one, 'e-4', 'caught_up');
    assert.deepEqual(socketsOn(back), { gw1: 0, gw2: 0 });
    const [replay] = userOf(back, 'w').sockets;
    assert.deepEqual([userOf(back, 'w').outcome, replay.node, replay.outcome, replay.caught_up], ['caught_up', 'gw2', 'written', true]);
    assert.equal((await verdict(one, 'e-3', 'delivered')).users[0].sockets[0].why, 'transport_close');

    // One of two is too slow: it has its event dropped, and catches up.
    const [slow, quick] = [make(one, 'slow'), make(two, 'slow')];
    await connectAll([slow, quick]);
    slow.socket.io.engine.transport.ws._socket.pause();
    const many = Array.from({ length: 300 }, (_, i) => notice(`big-${i}`, 'slow', 'x'.repeat(60_000)));
    await write(...many);
    await until('the quick one has all', () => quick.received.length === many.length, { timeout: 60_000 });
    let dropped;
    await until('one was dropped as slow', async () => {
      // What was waiting when it was given up: 1 MiB, 17 events.
      for (let i = 0; i < many.length; i += 8) {
        const t = await trace(two, `big-${i}`);
        dropped = userOf(t, 'slow')?.sockets.find((s) => s.outcome === 'dropped') && t;
        if (dropped) return true;
      }
      return false;
    }, { timeout: 30_000 });
    const lost = userOf(dropped, 'slow');
    assert.equal(lost.outcome, 'written', 'to the quick one');
    assert.deepEqual(lost.sockets.map((s) => [s.node, s.outcome, s.why]), [['gw1', 'dropped', 'slow_consumer'], ['gw2', 'written', undefined]]);
    assert.ok(Date.parse(lost.sockets[0].gone) > 0);
    slow.socket.io.engine.transport.ws._socket.resume();
    await until('the slow one has all', () => slow.received.length === many.length, { timeout: 60_000 });
    const after = userOf(await trace(one, dropped.id), 'slow');
    assert.deepEqual(after.sockets.map((s) => [s.outcome, s.caught_up ?? false]), [['dropped', false], ['written', true], ['written', false]]);

    // A dead letter, and its replay.
    const [doomed] = await write(entryOf({ name: 'solicitud_x', data: '{"client_id":"u"}', extra: { event_id: 'e-5' } }));
    const dead = await verdict(one, 'e-5', 'dead');
    assert.deepEqual((await verdict(two, doomed, 'dead')).dead, dead.dead);
    const [letter] = await readAll(cluster.redis, DEAD);
    assert.equal(dead.dead.length, 1);
    assert.deepEqual([dead.dead[0].id, dead.dead[0].reason, dead.dead[0].source], [letter.id, 'no_route', doomed]);
    assert.match((await command(one, letter.id)).out, /a dead letter/);
    // As `gateway dead replay` does, after the fault was mended.
    const mended = entryOf({ name: 'solicitud_x', data: '{"client_id":"u","solicitud_id":"s"}', extra: { event_id: 'e-5', replayed_from: letter.id } });
    const [again] = await write(mended);
    await cluster.redis.sendCommand(['XDEL', DEAD, letter.id]);
    for (const id of ['e-5', again, letter.id]) {
      const t = await verdict(two, id, 'delivered');
      assert.deepEqual([t.source, t.replayed_from, t.event_id], [again, letter.id, 'e-5']);
      assert.deepEqual(socketsOn(t), { gw1: 2, gw2: 1 });
      assert.deepEqual(t.rooms.map((r) => r.room), ['solicitud_s', 'user_u', 'admin']);
    }

    // A dead letter that has the id of its event: both came within a millisecond.
    const [same] = await write(entryOf({ name: 'solicitud_x', data: '{"client_id":"u"}', extra: { event_id: 'e-6' } }));
    await verdict(one, 'e-6', 'dead');
    await cluster.redis.sendCommand(['XTRIM', DEAD, 'MAXLEN', '0']);
    await write(entryOf({ name: 'solicitud_x', data: '{"client_id":"u","solicitud_id":"s"}', extra: { event_id: 'e-6', replayed_from: same } }));
    assert.equal((await verdict(one, same, 'delivered')).replayed_from, same);

    // Unknown to all: where was looked is said, and the command fails.
    const none = await trace(one, 'never-heard-of');
    assert.equal(none.verdict, 'not_found');
    assert.deepEqual(none.searched.map((s) => [s.where, s.complete]), [['events', true], ['log', true], ['dead', true]]);
    const failed = await command(one, 'never-heard-of');
    assert.equal(failed.code, 1);
    assert.match(failed.out, /^searched +log: \d+ entries, \d+-\d+ to \d+-\d+$/m);

    // A node that does not answer is named.
    two.process.child.kill('SIGSTOP');
    const partly = await trace(one, 'e-2');
    two.process.child.kill('SIGCONT');
    assert.deepEqual(partly.silent, ['gw2']);
    assert.equal(partly.verdict, 'unknown');
    assert.deepEqual(partly.users, [{ user: 'absent', outcome: 'unknown' }]);
  });
});
