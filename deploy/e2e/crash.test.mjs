// The log has each event once and in the order of the stream, whatever happens to the nodes that write it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertReceived } from './lib/clients.mjs';
import { withCluster } from './lib/cluster.mjs';
import { canonical } from './lib/json.mjs';
import { LOG, DEAD, EVENTS as STREAM, addAll, connectRedis, entryOf, readAll, relayed } from './lib/stream.mjs';
import { seenAs } from './lib/routing.mjs';
import { timed, until } from './lib/wait.mjs';

const EVENTS = 20_000;
const SOLICITUDES = 200;

// DRAIN_WINDOW and the rest of an orderly end; a node that needs more is killed by its supervisor.
const STOP_BOUND = 20_000;

const events = Array.from({ length: EVENTS }, (_, n) => ({
  name: 'oferta_created',
  data: `{"n":${n},"solicitud_id":"s${n % SOLICITUDES}","advisor_id":"a${n % 7}","monto":${n}.50}`,
}));

/** Runs `action` as soon as the log has `length` entries, and says how many it then had. */
async function whenLogHas(redis, length, action) {
  let now;
  await until(`log has ${length} entries`, async () => {
    now = Number(await redis.sendCommand(['XLEN', LOG]));
    return now >= length;
  }, { timeout: 60_000, every: 1 });
  action();
  return now;
}

function assertExact(log, ids) {
  const sources = log.map((e) => e.src);
  const wrong = sources.findIndex((src, i) => src !== ids[i]);
  assert.equal(wrong, -1, `log entry ${wrong} is of ${sources[wrong]}, expected ${ids[wrong]}`);
  assert.equal(sources.length, ids.length);
  log.forEach((entry, i) => {
    assert.ok(canonical(entry.data).includes(seenAs(events[i])), `log entry ${i}: ${entry.data}`);
  });
}

for (const [killAt, stopAt] of [[2000, 7000], [9000, 3000]]) {
  const title = `${EVENTS} events: one node killed after ${killAt}, another stopped after ${stopAt}`;
  test(title, { timeout: 180_000 }, async () => {
    await withCluster({ nodes: 3, proxy: false }, async (cluster) => {
      const [dying, leaving, staying] = cluster.nodes;
      const watcher = await cluster.client({ on: staying, user: 'w', role: 'admin' }).connect();
      const probe = await connectRedis(cluster.redisPort);

      const written = addAll(cluster.redis, events.map(entryOf), 500);
      let stopped;
      const [atKill, atStop] = await Promise.all([
        whenLogHas(probe, killAt, () => { dying.process.mayEnd = true; dying.process.child.kill('SIGKILL'); }),
        whenLogHas(probe, stopAt, () => { stopped = leaving.process.kill('SIGTERM', STOP_BOUND); }),
      ]);
      const ids = await timed('events written', written, 60_000);
      assert.ok(Math.max(atKill, atStop) < EVENTS, 'both ended while events were still to be relayed');

      const log = await until('all events relayed', async () => {
        if (Number(await probe.sendCommand(['XLEN', LOG])) < EVENTS) return false;
        const entries = relayed(await readAll(probe, LOG));
        return entries.length >= EVENTS && entries;
      }, { timeout: 60_000, every: 100 });
      assertExact(log, ids);
      assert.deepEqual(await readAll(probe, DEAD), [], 'no event is a dead letter');

      const end = await stopped;
      assert.deepEqual([end.code, end.signal], [0, null], 'a stopped node exits with 0');

      await until('the watcher has all', () => watcher.received.length >= EVENTS, { timeout: 60_000 });
      assertReceived(watcher, events.map(seenAs));

      const pending = await probe.sendCommand(['XPENDING', STREAM, 'gateway']);
      assert.equal(Number(pending[0]), 0, 'nothing is left pending');
      // The same must hold a little later: a reclaimed entry must not be relayed again.
      await until('the dead consumers are gone', async () => {
        const consumers = await probe.sendCommand(['XINFO', 'CONSUMERS', STREAM, 'gateway']);
        return consumers.length === 1;
      }, { timeout: 30_000, every: 200 });
      assertExact(relayed(await readAll(probe, LOG)), ids);
      console.log(`killed at ${atKill}, stopped at ${atStop}`);
      probe.destroy();
    });
  });
}
