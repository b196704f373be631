// Dead letters, as an operator meets them: the Core API names a role that the nodes do not know, the configuration is
// put right, and what died meanwhile is replayed to the clients.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { assertReceived, connectAll } from './lib/clients.mjs';
import { GATEWAY, withCluster } from './lib/cluster.mjs';
import { seenAs } from './lib/routing.mjs';
import { DEAD, addAll, entryOf, readAll } from './lib/stream.mjs';
import { until } from './lib/wait.mjs';

const run = promisify(execFile);

const KEY = 'end-to-end-admin-key-of-32-bytes-or-more';
const ROLES = 'admin=admin,advisor=advisor,client=client';

const notice = (n, form) => ({ name: 'notificacion_aviso', data: `{"role":"asesor","n":${n}}`, form });

test('dead letters are replayed in order, once, after the nodes know the role', { timeout: 120_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false, env: { ADMIN_API_KEY: KEY, JWT_ROLES: ROLES } }, async (cluster) => {
    const dead = async (...args) => {
      const { stdout } = await run(GATEWAY, ['--env-file', '', 'dead', ...args], {
        env: { PATH: process.env.PATH, REDIS_PORT: String(cluster.redisPort) },
      });
      return stdout;
    };
    const make = (on, user) => cluster.client({ on, user, role: 'advisor' });
    const clients = cluster.nodes.map((node, i) => make(node, `a${i}`));
    await connectAll(clients);

    // More than one batch of the replay; both forms.
    const sent = Array.from({ length: 250 }, (_, n) => notice(n, n % 2 ? 'payload' : 'flat'));
    await addAll(cluster.redis, sent.map(entryOf));
    await until('all are dead', async () => (await readAll(cluster.redis, DEAD)).length === sent.length);
    const listed = JSON.parse(await dead('list', '--json', '--reason', 'no_route'));
    assert.deepEqual(listed.totals.map((t) => [t.reason, t.count]), [['no_route', sent.length]]);
    assert.match(listed.letters[0].detail, /role "asesor" is unknown/);
    assert.match(await dead('list'), /no_route +250/);

    // Nothing was put right: they die again, and say what they were.
    const [first] = await readAll(cluster.redis, DEAD);
    assert.equal(await dead('replay', first.id), 'replayed 1 dead letters\n');
    await until('it is dead again', async () => (await readAll(cluster.redis, DEAD)).at(-1)?.replayed_from === first.id);
    assert.equal(clients.some((c) => c.received.length > 0), false);
    const again = (await readAll(cluster.redis, DEAD)).at(-1);
    assert.equal(await dead('drop', again.id), 'dropped 1 dead letters\n');
    sent.shift();

    // The nodes are told the role, one after the other; the clients come back by themselves.
    for (const node of cluster.nodes) {
      await node.process.kill('SIGTERM', 25_000);
      cluster.startNode(node, { JWT_ROLES: `${ROLES},asesor=advisor` });
      await cluster.ready();
    }
    await until('all are connected', () => clients.every((c) => c.connected));

    // Two operators at once, one by command line and one by the admin API.
    const answers = await Promise.all([
      dead('replay', '--reason', 'no_route', '--yes', '--json').then(JSON.parse),
      fetch(`${cluster.nodes[0].url}/admin/dead/replay`, {
        method: 'POST',
        headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify({ reason: 'no_route' }),
      }).then((r) => r.json()),
    ]);
    assert.equal(answers[0].replayed + answers[1].replayed, sent.length, JSON.stringify(answers));
    await until('all arrived', () => clients.every((c) => c.received.length >= sent.length));
    clients.forEach((c) => assertReceived(c, sent.map(seenAs)));
    assert.deepEqual(await readAll(cluster.redis, DEAD), []);
    assert.equal(await dead('list'), 'no dead letters\n');
  });
});
