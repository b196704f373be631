// What others publish by pub/sub, as they do: classic emitters, python-socketio's manager, and plain channels.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Emitter } from '@socket.io/redis-emitter';
import { connectAll } from './lib/clients.mjs';
import { withCluster } from './lib/cluster.mjs';
import { RedisCluster } from './lib/kinds.mjs';
import { DEAD, readAll } from './lib/stream.mjs';
import { until } from './lib/wait.mjs';

// Debian's own, which has python3-socketio, whatever else is installed.
const PYTHON = process.env.PYTHON || '/usr/bin/python3';
const script = fileURLToPath(new URL('ingress/emit.py', import.meta.url));
const manager = fileURLToPath(new URL('ingress/manager.py', import.meta.url));
const run = promisify(execFile);

const CHANNELS = {
  EMITTER_CHANNEL: 'socket.io', PYTHON_CHANNEL: 'socketio', LEGACY_CHANNELS: 'solicitudes,avisos', METRICS: 'true', ADMIN_API_KEY: 'k'.repeat(32),
};

/** What the README has an operator add to the gateway's user. */
const RIGHTS = ['+psubscribe', '&socket.io#*', '&socket.io-request#*', '&socketio', '&solicitudes', '&avisos'];

/** Runs `body` with a cluster that listens, once it does. */
const withIngress = (body, options = {}) => withCluster({ nodes: 3, proxy: false, env: CHANNELS, rights: RIGHTS, ...options }, async (cluster) => {
  await listener(cluster);
  await body(cluster);
});

/** The samples of a metric over the nodes that are up: `{node, labels, value}`. */
async function samples(cluster, name) {
  const up = cluster.nodes.filter((n) => !n.process.end);
  const texts = await Promise.all(up.map(async (node) => {
    const res = await fetch(`${node.url}/metrics`, { headers: { authorization: `Bearer ${CHANNELS.ADMIN_API_KEY}` } });
    return { node, text: await res.text() };
  }));
  return texts.flatMap(({ node, text }) => [...text.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'))]
    .map(([, labels = '', value]) => ({ node, labels, value: Number(value) })));
}

/** The one node that listens. */
const listener = (cluster) => until('one node listens', async () => {
  const on = (await samples(cluster, 'teloo_ingress_listening')).filter((s) => s.value === 1);
  return on.length === 1 && on[0].node;
});

/** How many messages of a source had an outcome, over the nodes that are up. */
async function counted(cluster, source, outcome) {
  const all = await samples(cluster, 'teloo_ingress_messages_total');
  return all.filter((s) => s.labels.includes(`source="${source}"`) && s.labels.includes(`outcome="${outcome}"`))
    .reduce((sum, s) => sum + s.value, 0);
}

const advisors = async (cluster) => {
  const clients = cluster.nodes.map((on, i) => cluster.client({ on, user: `A-${i}`, role: 'advisor' }));
  await connectAll(clients);
  return clients;
};

const numbers = (client, event) => client.seen(event).map((data) => data.n);
const upTo = (n, from = 0) => Array.from({ length: n - from }, (_, i) => from + i);

/** A classic emitter, as a Node service has it. */
const emitterOf = (cluster) => new Emitter({ publish: (channel, message) => cluster.redis.publish(channel, Buffer.from(message)) });

test('1,000 events of python-socketio and of a classic emitter reach clients on three nodes once, in order', { timeout: 60_000 }, async () => {
  await withIngress(async (cluster) => {
    const clients = await advisors(cluster);
    const other = cluster.client({ on: cluster.nodes[0], user: 'C-1', role: 'client' });
    await other.connect();
    const emitter = emitterOf(cluster);
    const python = run(PYTHON, [script, `redis://127.0.0.1:${cluster.redisPort}`, '0', '1000'], { timeout: 30_000 });
    for (let n = 0; n < 1000; n++) {
      emitter.to('advisor').emit('from_node', { n });
      if (n % 100 === 0) await sleep(1);
    }
    await python;
    const all = (c) => c.seen('from_node').length >= 1000 && c.seen('from_newer_python').length >= 3;
    await until('all have all', () => clients.every(all), { timeout: 30_000 });
    for (const c of clients) {
      assert.deepEqual(numbers(c, 'from_node'), upTo(1000), `${c}`);
      assert.deepEqual(numbers(c, 'from_python'), upTo(1000), `${c}`);
      assert.deepEqual(numbers(c, 'from_newer_python'), upTo(3), `${c}`);
      assert.deepEqual(c.seen('with_bytes'), [{ file: Buffer.from([1, 2]) }], `${c}`);
      assert.deepEqual(c.seen('no_data'), []);
    }
    assert.equal(clients[0].seen('from_python')[0].text, 'ñandú');
    assert.deepEqual(other.others, []);
    assert.equal(await counted(cluster, 'emitter', 'accepted'), 1000);
    assert.equal(await counted(cluster, 'python', 'accepted'), 1004);
    assert.equal(await counted(cluster, 'python', 'pickle'), 1);
  });
});

test('an emitter and a Python manager address rooms and sockets, and nothing that is not theirs', { timeout: 60_000 }, async () => {
  await withIngress(async (cluster) => {
    const clients = await advisors(cluster);
    const [one, two, three] = clients;
    const emitter = emitterOf(cluster);
    const python = (message) => cluster.redis.publish('socketio', JSON.stringify({ namespace: '/', host_id: 'h', ...message }));
    const has = (client, event, count = 1) => until(`${client} has ${event}`, () => client.seen(event).length >= count);

    emitter.to(['user_A-0', 'user_A-1', 'advisor']).except('user_A-2').emit('some', 1);
    emitter.to('user_A-2').emit('binary', Buffer.from([1, 2, 255]));
    emitter.to('user_A-2').emit('nested', { z: [{ file: Buffer.from([3]) }], a: 1 });
    // A client would end its connection over it, and again whenever it came back.
    emitter.to('user_A-2').emit('forged', Buffer.from([1]), { _placeholder: true, num: 7 });
    await Promise.all([has(one, 'some'), has(two, 'some'), has(three, 'binary'), has(three, 'nested')]);
    assert.deepEqual([...three.seen('binary')[0]], [1, 2, 255]);
    assert.deepEqual(three.seen('nested'), [{ z: [{ file: Buffer.from([3]) }], a: 1 }]);

    emitter.in('user_A-0').socketsJoin('club');
    await python({ method: 'enter_room', sid: two.socket.id, room: 'club' });
    await python({ method: 'emit', event: 'club', binary: true, data: [[{ f: { _placeholder: true, num: 0 } }], 'AQL/'], room: 'club' });
    await Promise.all([has(one, 'club'), has(two, 'club')]);
    assert.deepEqual([...two.seen('club')[0].f], [1, 2, 255]);
    await python({ method: 'leave_room', sid: two.socket.id, room: 'club' });
    await python({ method: 'emit', event: 'club', data: 2, room: 'club' });
    await has(one, 'club', 2);
    await python({ method: 'close_room', room: 'club' });
    await python({ method: 'emit', event: 'club', data: 3, room: 'club' });

    // Refused: each for a reason of its own.
    for (const event of ['connected', 'token_expired', 'sync']) await python({ method: 'emit', event, data: {} });
    emitter.of('/admin').emit('elsewhere', 1);
    emitter.serverSideEmit('hello');
    await cluster.redis.publish('socket.io#/#', 'nothing');

    await python({ method: 'disconnect', sid: three.socket.id });
    await until('the socket is disconnected', () => three.disconnects.length === 1);
    assert.deepEqual(three.disconnects, ['io server disconnect']);
    emitter.to('advisor').emit('end', 1);
    await Promise.all([has(one, 'end'), has(two, 'end')]);
    for (const [client, club] of [[one, 2], [two, 1], [three, 0]]) {
      assert.equal(client.greetings.length, 1);
      assert.equal(client.seen('club').length, club, `${client}`);
      for (const event of ['token_expired', 'sync', 'elsewhere']) assert.deepEqual(client.seen(event), []);
    }
    assert.deepEqual(three.seen('some'), []);
    assert.equal(await counted(cluster, 'python', 'reserved'), 3);
    assert.equal(await counted(cluster, 'emitter', 'namespace'), 1);
    assert.equal(await counted(cluster, 'emitter', 'unsupported'), 1);
    assert.equal(await counted(cluster, 'emitter', 'invalid'), 2);
    assert.deepEqual(three.seen('forged'), []);
  });
});

for (const kind of ['sync', 'async']) {
  test(`python-socketio's own ${kind} manager emits, closes rooms and disconnects`, { timeout: 60_000 }, async () => {
    await withIngress(async (cluster) => {
      const clients = await advisors(cluster);
      const [one, two, three] = clients;
      const has = (client, event, count = 1) => until(`${client} has ${event}`, () => client.seen(event).length >= count);
      const python = async (...calls) => {
        const args = [manager, `redis://127.0.0.1:${cluster.redisPort}`, kind, ...calls.map((c) => (typeof c === 'string' ? c : JSON.stringify(c)))];
        return (await run(PYTHON, args, { timeout: 30_000 })).stdout;
      };
      emitterOf(cluster).in(['user_A-0', 'user_A-1']).socketsJoin('club');
      const out = await python(
        'emit', { event: 'all', data: { n: 1 }, namespace: '/', room: 'advisor', skip_sid: three.socket.id },
        'emit', ['one', 'text', '/', one.socket.id],
        'emit', ['club', 1, '/', 'club'],
        'close_room', ['club', '/'],
        'emit', ['club', 2, '/', 'club'],
        'disconnect', [two.socket.id, '/'],
        'emit', ['end', null],
      );
      assert.equal(out, '');
      await until('the socket is disconnected', () => two.disconnects.length === 1);
      assert.deepEqual(two.disconnects, ['io server disconnect']);
      await Promise.all([has(one, 'end'), has(three, 'end')]);
      assert.deepEqual(clients.map((c) => c.seen('all').length), [1, 1, 0]);
      assert.deepEqual(clients.map((c) => c.seen('club')), [[1], [1], []]);
      assert.deepEqual(one.seen('one'), ['text']);
      assert.equal(await counted(cluster, 'python', 'accepted'), 7);
      // This version's managers put only sockets of their own into rooms: nothing is published.
      if (kind === 'sync') {
        assert.match(await python('enter_room', [one.socket.id, '/', 'x'], 'leave_room', [one.socket.id, '/', 'x']), /^ValueError/);
        assert.equal(await counted(cluster, 'python', 'accepted'), 7);
      }
    });
  });
}

test('the holder is stopped: nothing is lost and nothing comes twice', { timeout: 60_000 }, async () => {
  await withIngress(async (cluster) => {
    const victim = await listener(cluster);
    const clients = cluster.nodes.filter((n) => n !== victim).map((on, i) => cluster.client({ on, user: `A-${i}`, role: 'advisor' }));
    await connectAll(clients);
    const emitter = emitterOf(cluster);
    let n = 0;
    let stopped = false;
    const flow = (async () => {
      for (; !stopped; n++) {
        emitter.to('advisor').emit('tick', { n });
        await sleep(1);
      }
    })();
    await until('it flows', () => clients.every((c) => c.seen('tick').length > 100));
    await victim.process.kill('SIGTERM');
    await listener(cluster);
    const after = n;
    await until('it goes on', () => clients.every((c) => numbers(c, 'tick').at(-1) > after + 100));
    stopped = true;
    await flow;
    await until('the rest is here', () => clients.every((c) => numbers(c, 'tick').at(-1) === n - 1));
    for (const c of clients) assert.deepEqual(numbers(c, 'tick'), upTo(n), `${c}`);
    const handovers = (await samples(cluster, 'teloo_ingress_handovers_total')).reduce((sum, s) => sum + s.value, 0);
    assert.equal(handovers, 1);
  });
});

test('the holder is killed: nothing comes twice, and it goes on within seconds; legacy channels are routed', { timeout: 60_000 }, async () => {
  await withIngress(async (cluster) => {
    const victim = await listener(cluster);
    const rest = cluster.nodes.filter((n) => n !== victim);
    const clients = rest.map((on, i) => cluster.client({ on, user: `A-${i}`, role: 'advisor' }));
    await connectAll(clients);
    const emitter = emitterOf(cluster);
    let n = 0;
    let stopped = false;
    const flow = (async () => {
      for (; !stopped; n++) {
        emitter.to('advisor').emit('tick', { n });
        await cluster.redis.publish('avisos', JSON.stringify({ event: 'notificacion_aviso', data: { role: 'advisor', n } }));
        await sleep(2);
      }
    })();
    const have = (c) => numbers(c, 'tick');
    await until('it flows', () => clients.every((c) => have(c).length > 200));
    await victim.process.kill('SIGKILL');
    const killedAt = n;
    const began = performance.now();
    await until('it goes on', () => clients.every((c) => have(c).at(-1) > killedAt), { timeout: 8000 });
    const took = performance.now() - began;
    assert.ok(took < 6000, `${took} ms`);
    await sleep(300);
    stopped = true;
    await flow;
    await until('the rest is here', () => clients.every((c) => have(c).at(-1) === n - 1 && c.received.length > 0));
    const legacy = (c) => c.received.map((text) => JSON.parse(text)[1].n);
    await until('the rest of the events, too', () => clients.every((c) => legacy(c).at(-1) === n - 1));
    for (const c of clients) {
      for (const list of [have(c), legacy(c)]) {
        assert.ok(list.every((v, i) => i === 0 || list[i - 1] < v), `${c}: once, and in order`);
      }
      assert.deepEqual(have(c), have(clients[0]), 'all have the same');
    }
    console.log(`  goes on after ${Math.round(took)} ms; ${n - have(clients[0]).length} of ${n} were lost meanwhile`);

    await cluster.redis.publish('solicitudes', JSON.stringify({ event: 'solicitud_created', data: { solicitud_id: 'S-1' } }));
    await cluster.redis.publish('solicitudes', JSON.stringify({ event: 'pedido_created', data: {} }));
    await until('it is routed', () => clients.every((c) => c.received.at(-1)?.includes('solicitud_created')));
    const dead = await until('the other is a dead letter', async () => (await readAll(cluster.redis, DEAD))[0]);
    assert.equal(dead.dead_reason, 'unknown_event');
    assert.equal(dead.channel, 'solicitudes');
  });
});

test('on a Redis Cluster it does not matter at which server somebody publishes', { timeout: 90_000 }, async () => {
  await withIngress(async (cluster) => {
    const clients = await advisors(cluster);
    const servers = cluster.kind.servers();
    for (let n = 0; n < 60; n++) {
      const publish = (channel, message) => servers[n % servers.length].publish(channel, message);
      new Emitter({ publish: (channel, message) => publish(channel, Buffer.from(message)) }).to('advisor').emit('from_node', { n });
      await publish('avisos', JSON.stringify({ event: 'notificacion_aviso', data: { role: 'advisor', n } }));
    }
    await until('all have all', () => clients.every((c) => c.seen('from_node').length >= 60 && c.received.length >= 60));
    // From several servers they come in any order.
    for (const c of clients) {
      assert.deepEqual(numbers(c, 'from_node').sort((a, b) => a - b), upTo(60));
      assert.equal(new Set(c.received).size, 60);
      assert.equal(c.received.length, 60);
    }
  }, { kind: new RedisCluster(), nodes: 2 });
});
