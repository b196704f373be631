// Behind a load balancer that is not sticky at all, sessions' requests find their way, and nothing is lost, repeated or
// reordered while nodes come and go.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { POLLING, UPGRADING, assertReceived, connectAll } from './lib/clients.mjs';
import { withCluster } from './lib/cluster.mjs';
import { seenAs } from './lib/routing.mjs';
import { addAll, entryOf } from './lib/stream.mjs';
import { until } from './lib/wait.mjs';

const KEY = 'end-to-end-operators-key-of-32-bytes';
const env = { DRAIN_WINDOW: '2s', SHUTDOWN_TIMEOUT: '10s', ADMIN_API_KEY: KEY };

const oferta = (n) => ({ name: 'oferta_created', data: `{"n":${n},"solicitud_id":"s1","advisor_id":"someone"}` });

/** Writes events, in order and without a pause, until `stop` is called, which returns them all. */
function writer(cluster) {
  const events = [];
  let on = true;
  const done = (async () => {
    while (on) {
      const more = Array.from({ length: 5 }, (_, i) => oferta(events.length + i));
      await addAll(cluster.redis, more.map((e) => entryOf(e)));
      events.push(...more);
      await sleep(50);
    }
  })();
  done.catch(() => {}); // told by stop; a test that fails before that closes Redis under it
  return { events, stop: async () => { on = false; await done; return events; } };
}

const metrics = async (node) => (await fetch(`${node.url}/metrics`, { headers: { authorization: `Bearer ${KEY}` } })).text();

/** Until all nodes know each other, which of new ones they do only after some 100 ms, a request may not find its way. */
const acquainted = (cluster) => until('all know each other', async () => {
  const texts = await Promise.all(cluster.nodes.map(metrics));
  return texts.every((text) => text.includes(`\nteloo_gossip_members ${texts.length}\n`));
});

/** A node's counters of `metric`, by its one label. */
async function counts(node, metric) {
  const text = await metrics(node);
  const found = text.matchAll(new RegExp(`^${metric}\\{\\w+="(\\w+)"\\} (\\d+)`, 'gm'));
  return Object.fromEntries([...found].map(([, label, n]) => [label, Number(n)]));
}

async function forwarded(cluster) {
  const all = { answered: 0, received: 0, stale: 0, forged: 0 };
  for (const node of cluster.nodes) {
    all.answered += (await counts(node, 'teloo_forwarded_requests_total')).answered;
    const received = await counts(node, 'teloo_forwarded_received_total');
    all.received += received.accepted;
    all.stale += received.stale;
    all.forged += received.forged;
  }
  return all;
}

async function restart(cluster, node, signal) {
  await node.process.kill(signal, 20_000);
  await sleep(300);
  cluster.startNode(node);
  await cluster.ready();
  // HAProxy needs some checks to send it anybody.
  await sleep(1000);
}

test('100 polling clients on round robin: 2 of 3 nodes restart, nothing is lost', { timeout: 90_000 }, async () => {
  await withCluster({ nodes: 3, sticky: false, env }, async (cluster) => {
    const clients = Array.from({ length: 100 }, (_, i) => cluster.client({
      user: `u${i}`, role: i % 2 ? 'advisor' : 'admin', transports: POLLING, withCredentials: false,
    }));
    // Their polls wait, for nothing happens to them.
    const quiet = Array.from({ length: 20 }, (_, i) => cluster.client({
      user: `q${i}`, role: 'client', transports: POLLING, withCredentials: false,
    }));
    await acquainted(cluster);
    await connectAll([...clients, ...quiet]);
    await Promise.all(clients.filter((c) => c.role === 'advisor').map((c) => c.subscribe('s1')));
    assert.ok(new Set(clients.map((c) => c.node)).size === 3, 'all nodes have some');
    assert.ok(clients.every((c) => c.errors.length === 0 && c.disconnects.length === 0), 'nobody was refused');

    const { events, stop } = writer(cluster);
    await until('events flow', () => events.length >= 50);
    const calm = await forwarded(cluster);
    assert.ok(calm.answered > 100, `requests go through other nodes: ${JSON.stringify(calm)}`);
    assert.equal(clients.reduce((n, c) => n + c.disconnects.length, 0), 0, 'and lose no connection by that');
    assert.deepEqual([calm.stale, calm.forged], [0, 0]);

    const elsewhere = [...clients, ...quiet].filter((c) => c.node !== cluster.nodes[0].name);
    await restart(cluster, cluster.nodes[0], 'SIGTERM');
    assert.deepEqual(elsewhere.flatMap((c) => c.disconnects), [], 'who only came through the node that ends keeps the connection');
    await restart(cluster, cluster.nodes[1], 'SIGKILL');
    await stop();
    await until('all have all', () => clients.every((c) => c.received.length >= events.length), { timeout: 30_000 });
    await sleep(300); // for what would come twice
    clients.forEach((c) => assertReceived(c, events.map(seenAs)));
    await until('all are connected', () => clients.every((c) => c.connected));
    console.log(`${events.length} events, ${JSON.stringify(await forwarded(cluster))} through other nodes since their start, `
      + `${clients.reduce((n, c) => n + c.disconnects.length, 0)} connections lost`);
  });
});

test('stock clients change to WebSocket through round robin', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 3, sticky: false, env }, async (cluster) => {
    const clients = Array.from({ length: 30 }, (_, i) => cluster.client({
      user: `u${i}`, role: 'admin', transports: UPGRADING, withCredentials: false,
    }));
    await acquainted(cluster);
    await connectAll(clients);
    await until('all have changed', () => clients.every((c) => c.socket.io.engine.transport.name === 'websocket'));
    const { events, stop } = writer(cluster);
    await until('events flow', () => events.length >= 25);
    assert.deepEqual(clients.flatMap((c) => c.disconnects), [], 'nobody lost a connection');
    await restart(cluster, cluster.nodes[2], 'SIGTERM');
    await stop();
    await until('all have all', () => clients.every((c) => c.received.length >= events.length), { timeout: 30_000 });
    clients.forEach((c) => assertReceived(c, events.map(seenAs)));
    await until('all are connected', () => clients.every((c) => c.connected));
  });
});
