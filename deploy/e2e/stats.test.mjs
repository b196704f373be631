// What /stats says is what is true of the sockets, on every node, soon, and at a cost that does not grow.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UPGRADING, WEBSOCKET, connectAll, count } from './lib/clients.mjs';
import { getJSON, withCluster } from './lib/cluster.mjs';
import { redisWork } from './lib/stream.mjs';
import { stays, until, within } from './lib/wait.mjs';

const ROLES = ['client', 'client', 'client', 'advisor', 'advisor', 'support', 'admin'];

/** `n` clients without reconnection; every tenth is a second tab of the one before. */
function crowd(cluster, n, first = 0) {
  return Array.from({ length: n }, (_, k) => {
    const i = first + k;
    const same = i % 10 === 9 ? i - 1 : i;
    return cluster.client({
      user: `u${same}`,
      role: ROLES[same % ROLES.length],
      transports: i % 5 === 0 ? UPGRADING : WEBSOCKET,
      reconnection: false,
    });
  });
}

const figures = ({ connected_users, admins_connected, advisors_connected, clients_connected, connections }) => ({
  connected_users, admins_connected, advisors_connected, clients_connected, connections,
});

/** Whether every running node's /stats, read since the call, equals the clients' own count; and both, for a message. */
function agreement(cluster) {
  const up = cluster.nodes.filter((n) => !n.process.end && !n.process.mayEnd);
  const since = Date.now();
  let last;
  const holds = async () => {
    const own = count(cluster.clients);
    const answers = await Promise.all(up.map((n) => cluster.stats(n)));
    last = JSON.stringify({ own, answers: answers.map(figures) });
    return answers.every((a) => JSON.stringify(figures(a)) === JSON.stringify(own)
      && Date.parse(a.as_of) >= since && !a.stale);
  };
  return { holds, last: () => last };
}

/** Waits until there is agreement, and sees that it stays. Returns the ms that it took. */
async function agree(cluster, ms, what) {
  const { holds, last } = agreement(cluster);
  try {
    const took = await within(ms, what, holds);
    await stays(500, what, holds);
    return took;
  } catch (err) {
    throw new Error(`${err.message}: ${last()}`, { cause: err });
  }
}

/** Redis commands and answered bytes of one /stats request, apart from what the idle cluster does by itself. */
async function costOfStats(cluster, requests = 40) {
  const sum = (w) => Object.entries(w.calls).filter(([c]) => c !== 'info').reduce((n, [, v]) => n + v, 0);
  const measure = async (work) => {
    const before = await redisWork(cluster.redis);
    const start = performance.now();
    await work();
    const ms = performance.now() - start;
    const after = await redisWork(cluster.redis);
    return { calls: (sum(after) - sum(before)) / ms, bytes: (after.bytes - before.bytes) / ms, ms };
  };
  const [node] = cluster.nodes;
  // Further apart than the answer may be kept, so that each request does its work.
  const ask = async () => {
    for (let i = 0; i < requests; i++) {
      await cluster.stats(node);
      await new Promise((r) => { setTimeout(r, 110); });
    }
  };
  const idle = await measure(() => new Promise((r) => { setTimeout(r, requests * 110); }));
  const busy = await measure(ask);
  return {
    calls: ((busy.calls - idle.calls) * busy.ms) / requests,
    bytes: ((busy.bytes - idle.bytes) * busy.ms) / requests,
  };
}

test('/stats is true on every node: connects, closes, a killed node, a flush', { timeout: 240_000 }, async (t) => {
  await withCluster({ nodes: 3 }, async (cluster) => {
    const clients = crowd(cluster, 50);
    await connectAll(clients);
    await agree(cluster, 5000, '50 connects');
    const costAt50 = await costOfStats(cluster);

    clients.push(...crowd(cluster, 450, 50));
    await connectAll(clients.slice(50));
    t.diagnostic(`500 connects: ${await agree(cluster, 1000, '500 connects')} ms`);
    const { body } = await getJSON(`${cluster.nodes[1].url}/stats`);
    assert.deepEqual(Object.keys(body).slice(0, 4),
      ['connected_users', 'admins_connected', 'advisors_connected', 'clients_connected']);
    assert.equal(body.connections, 500);
    for (const node of body.nodes) {
      assert.equal(node.connections, clients.filter((c) => c.node === node.name).length, `connections of ${node.name}`);
      assert.ok(node.version && Date.now() - Date.parse(node.last_heartbeat) < 6000, JSON.stringify(node));
    }
    assert.ok(Math.abs(Date.parse(body.as_of) - Date.now()) < 5000);

    const costAt500 = await costOfStats(cluster);
    t.diagnostic(`cost of a request at 50: ${JSON.stringify(costAt50)}, at 500: ${JSON.stringify(costAt500)}`);
    assert.ok(costAt500.calls < costAt50.calls + 5 && costAt500.calls < 20, 'as many Redis commands for 500 as for 50');
    assert.ok(costAt500.bytes < costAt50.bytes * 1.3 + 500, 'and no longer answers');

    clients.filter((_, i) => i % 5 < 2).forEach((c) => c.close());
    t.diagnostic(`200 closes: ${await agree(cluster, 1000, '200 closes')} ms`);
    assert.equal(count(clients).connections, 300);

    await cluster.nodes[2].process.kill('SIGKILL');
    t.diagnostic(`kill -9: ${await agree(cluster, 2000, 'kill -9 of a node')} ms`);
    assert.ok(count(clients).connections < 250, 'the killed node had clients');

    await cluster.redis.sendCommand(['FLUSHALL']);
    t.diagnostic(`FLUSHALL: ${await within(3000, 'FLUSHALL', agreement(cluster).holds)} ms`);
    // What the log held is lost to the clients, so they are sent away; these do not come back by themselves.
    await until('everyone is sent away', () => count(clients).connections === 0);
    await agree(cluster, 1000, 'everyone has been sent away');

    clients.push(...crowd(cluster, 20, 500));
    await until('new clients are let in', async () => {
      await connectAll(clients.filter((c, i) => i >= 500 && !c.connected));
      return true;
    }, { timeout: 20_000 });
    await agree(cluster, 1000, 'connects after all that');
    clients.forEach((c) => c.close());
    await agree(cluster, 1000, 'all closed');
    assert.equal((await cluster.stats(cluster.nodes[0])).connected_users, 0);
  });
});

test('kill -9 of the leading node, and of it as soon as it is back', { timeout: 120_000 }, async (t) => {
  await withCluster({ nodes: 3 }, async (cluster) => {
    const clients = crowd(cluster, 60);
    await connectAll(clients);
    await agree(cluster, 2000, '60 connects');
    const [first, ...others] = cluster.nodes;
    const nodesAre = (n) => async () => {
      const answers = await Promise.all(others.map((o) => cluster.stats(o)));
      return answers.every((a) => a.nodes.length === n);
    };
    await new Promise((r) => { setTimeout(r, 3000); }); // nobody reaps right after its own start

    await first.process.kill('SIGKILL');
    t.diagnostic(`leader: ${await within(2000, 'kill -9 of the leader', nodesAre(2))} ms`);
    await agree(cluster, 1000, 'without the leader');

    for (let i = 0; i < 5; i++) {
      cluster.startNode(first);
      await until('it is back', async () => (await cluster.stats(others[0])).nodes.length === 3, { every: 5 });
      await first.process.kill('SIGKILL');
      t.diagnostic(`just back: ${await within(2000, 'kill -9 of a node just back', nodesAre(2))} ms`);
    }
    await agree(cluster, 1000, 'in the end');
  });
});

test('a node frozen for 15 s is left out of /stats, and counts its sockets once when it goes on', { timeout: 120_000 }, async (t) => {
  await withCluster({ nodes: 3 }, async (cluster) => {
    const clients = crowd(cluster, 60);
    await connectAll(clients);
    await agree(cluster, 2000, '60 connects');
    const [frozen, ...others] = cluster.nodes; // the one that leads
    const left = clients.filter((c) => c.node !== frozen.name);
    assert.ok(left.length < clients.length, 'the frozen node has clients');
    const without = async () => {
      const answers = await Promise.all(others.map((n) => cluster.stats(n)));
      return answers.every((a) => JSON.stringify(figures(a)) === JSON.stringify(count(left)));
    };

    const since = performance.now();
    frozen.process.child.kill('SIGSTOP');
    try {
      t.diagnostic(`frozen: ${await within(10_000, 'left out', without)} ms`);
      await stays(15_000 - (performance.now() - since), 'left out', without);
    } finally {
      frozen.process.child.kill('SIGCONT');
    }
    t.diagnostic(`goes on: ${await agree(cluster, 3000, 'counted again')} ms`);
    assert.equal(count(clients).connections, 60, 'no client was disconnected');
    clients.forEach((c) => c.close());
    await agree(cluster, 1000, 'all closed');
  });
});

test('with Redis away /stats answers its last figures as stale, and is right again afterwards', { timeout: 90_000 }, async () => {
  await withCluster({ nodes: 1, durable: true }, async (cluster) => {
    const clients = crowd(cluster, 10);
    await connectAll(clients);
    await agree(cluster, 2000, '10 connects');

    await cluster.redisProcess.kill('SIGKILL');
    const stale = await until('stale figures', async () => {
      const stats = await cluster.stats(cluster.nodes[0]);
      return stats.stale === true && stats;
    });
    assert.equal(stale.connected_users, count(clients).connected_users);
    await until('unhealthy', async () => (await getJSON(`${cluster.nodes[0].url}/health`)).status === 503);
    assert.equal((await getJSON(`${cluster.nodes[0].url}/health/live`)).status, 200);
    clients[0].close();

    await cluster.startRedis();
    await agree(cluster, 20_000, 'Redis is back');
    assert.equal(count(clients).connections, 9, 'nobody else has lost his connection');
    await until('healthy', async () => (await getJSON(`${cluster.nodes[0].url}/health`)).status === 200);
  });
});
