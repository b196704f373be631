// What servers of Node's and of Go's do to each other's sockets, feature by feature and in every direction, in one cluster:
// two servers of each kind and two gateway nodes. deploy/INTEROP.md has the outcome.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { acks } from './interop/acks.mjs';
import { broadcasts } from './interop/broadcasts.mjs';
import { Cell } from './interop/cell.mjs';
import { recovery } from './interop/recovery.mjs';
import { table } from './interop/report.mjs';
import { servers } from './interop/servers.mjs';
import { sockets } from './interop/sockets.mjs';
import { Cluster } from './lib/cluster.mjs';
import { GoMember, Listener, NodeMember, StreamsEmitter } from './lib/members.mjs';
import { connectRedis } from './lib/stream.mjs';
import { until } from './lib/wait.mjs';

const REPORT = new URL('../INTEROP.md', import.meta.url);
const features = [...broadcasts, ...acks, ...sockets, ...servers, ...recovery];
const directions = [['Go', 'Node'], ['Node', 'Go'], ['Go', 'Go'], ['Node', 'Node'], ['emitter', 'Go'], ['emitter', 'Node']];

// Node's servers have the rights that the page names for them, and no others.
const [, ...acl] = /^ {4}user (node-server .*)$/m.exec(readFileSync(new URL('../redis/README.md', import.meta.url), 'utf8'))[1].match(/\S+/g);
const user = { username: 'node-server', password: acl.find((word) => word.startsWith('>')).slice(1) };

const cluster = new Cluster({ nodes: 2, proxy: false });
const started = [];
let listeners;
let context;

async function member(kind, name) {
  const one = kind === 'Go'
    ? new GoMember(name, cluster.processes, ['-redis', `127.0.0.1:${cluster.redisPort}`])
    : new NodeMember(name, await connectRedis(cluster.redisPort, user));
  started.push(one);
  return one.start();
}

/** Waits until everybody finds everybody's sockets: Node's adapter subscribes in the background. */
const acquainted = (members) => until('all servers know each other', async () => {
  const seen = await Promise.all(members.map((m) => m.call({ call: 'fetch' })));
  await Promise.all(members.map((m) => m.call({ call: 'emit', event: 'hello', args: [m.name] })));
  return seen.every((s) => s.length === listeners.length)
    && listeners.every((l) => members.every((m) => l.received.some((e) => e[0] === 'hello' && e[1] === m.name)));
}, { every: 100, timeout: 30_000 });

before(async () => {
  await cluster.start();
  await cluster.redis.sendCommand(['ACL', 'SETUSER', user.username, ...acl]);
  const members = await Promise.all([member('Go', 'go-1'), member('Go', 'go-2'), member('Node', 'node-1'), member('Node', 'node-2')]);
  listeners = await Promise.all(members.map((m) => new Listener(m, m.name, { rooms: ['everybody'] }).connect()));
  context = {
    members,
    redis: cluster.redis,
    gateways: cluster.nodes.map((n) => ({ ...n, kind: 'Go' })),
    emitter: new StreamsEmitter(cluster.redis),
    extra: 0,
    another(kind) {
      this.extra += 1;
      return member(kind, `extra-${this.extra}`);
    },
  };
  await acquainted(members);
  for (const from of members) await new Cell({ from, to: from, members, listeners, context }).fence();
});

after(async () => {
  listeners?.forEach((l) => l.close());
  await Promise.all(started.map((m) => m.close())).finally(() => cluster.stop());
});

/** The two servers of a direction: `from` is the first of its kind, and `to` the second. */
function pair(from, to) {
  const of = (kind) => context.members.filter((m) => m.kind === kind);
  return { from: from === 'emitter' ? context.emitter : of(from)[0], to: of(to)[1] };
}

const passed = new Map();
const applies = (feature, from, to) => (from !== 'emitter' || feature.emitter) && (!feature.only || feature.only(from, to));

for (const feature of features) {
  for (const [from, to] of directions.filter((direction) => applies(feature, ...direction))) {
    test(`${feature.group}: ${feature.name} (${from} → ${to})`, { timeout: 30_000 }, async () => {
      const cell = new Cell({ ...pair(from, to), members: context.members, listeners, context });
      try {
        await feature.run(cell);
        cluster.processes.check();
      } finally {
        cell.close();
      }
      passed.set(`${feature.name} ${from} ${to}`, true);
    });
  }
}

test('the nodes, and Node\'s servers, asked for nothing that their user may not do', () => cluster.checkRights([user.username]));

test('INTEROP.md says what was tested', () => {
  const text = table(features, directions, (feature, from, to) => applies(feature, from, to) && passed.has(`${feature.name} ${from} ${to}`));
  if (process.env.UPDATE) writeFileSync(REPORT, text);
  assert.equal(readFileSync(REPORT, 'utf8'), text, 'make interop UPDATE=1 writes it anew');
});
