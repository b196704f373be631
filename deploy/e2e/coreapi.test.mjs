// The Core API's side in Python, with Debian's redis-py, against real nodes.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'node:test';
import { connectAll } from './lib/clients.mjs';
import { withCluster } from './lib/cluster.mjs';
import { seenAs } from './lib/routing.mjs';
import { DEAD, EVENTS, readAll } from './lib/stream.mjs';
import { token } from './lib/tokens.mjs';
import { until } from './lib/wait.mjs';

// Debian's own, which has python3-redis, whatever else is installed.
const PYTHON = process.env.PYTHON || '/usr/bin/python3';
const cwd = fileURLToPath(new URL('../coreapi', import.meta.url));
const env = { PYTHONDONTWRITEBYTECODE: '1' };
const run = promisify(execFile);

/** Runs Python with a GatewayEvents called gateway; what it printed. */
async function python(cluster, lines, { options = '', onOutput = () => {} } = {}) {
  const script = [
    'import sys, time, redis',
    'from gateway_events import *',
    `gateway = GatewayEvents(redis.Redis(port=${cluster.redisPort})${options})`,
    ...lines,
  ].join('\n');
  const ended = run(PYTHON, ['-c', script], { cwd, timeout: 60_000, env });
  ended.child.stdout.on('data', onOutput);
  return (await ended).stdout.trim();
}

const event = (name, data) => seenAs({ name, data });

test('the example of the Core API reaches whom it names, once and in order', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    const [one, two] = cluster.nodes;
    const client = cluster.client({ on: one, user: 'C-3', role: 'client' });
    const advisor = cluster.client({ on: two, user: 'A-9', role: 'advisor' });
    const admin = cluster.client({ on: one, user: 'R-1', role: 'admin' });
    await connectAll([client, advisor, admin]);
    const { stdout } = await run(PYTHON, ['example.py', `redis://127.0.0.1:${cluster.redisPort}`], { cwd, env });
    assert.match(stdout, /refused: event name 'pedido_created'\ndone\n$/);
    const solicitud = event('solicitud_created', '{"solicitud_id":"S-1042","client_id":"C-3","part":"Balatas"}');
    const oferta = event('oferta_submitted',
      '{"solicitud_id":"S-1042","advisor_id":"A-9","client_id":"C-3","price":1152921504606846976}');
    const aviso = event('notificacion_aviso', '{"user_ids":["A-9","C-3"],"text":"¡Nueva oferta!"}');
    const audit = event('solicitud_audited', '{"solicitud_id":"S-1042"}');
    await until('all have all', () => client.received.length >= 3 && advisor.received.length >= 3 && admin.received.length >= 3);
    assert.deepEqual(client.received, [solicitud, oferta, aviso]);
    assert.deepEqual(advisor.received, [solicitud, oferta, aviso]);
    assert.deepEqual(admin.received, [solicitud, oferta, audit]);
    assert.deepEqual(await readAll(cluster.redis, DEAD), []);
  });
});

test('grants, withdrawals and revocations from Python hold within a second', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 2, proxy: false }, async (cluster) => {
    const [one, two] = cluster.nodes;
    const granted = cluster.client({ on: one, user: 'u1', role: 'client' });
    const byId = cluster.client({ on: two, user: 'u2', role: 'client', auth: { token: token('u2', 'client', { jti: 'j-2' }) } });
    const byUser = cluster.client({ on: two, user: 'u3', role: 'client', reconnection: false });
    await connectAll([granted, byId, byUser]);
    // An id that has to be escaped in its key.
    const solicitud = 'S/10 42;ñ$@';
    const before = await granted.ask('subscribe_solicitud', { solicitud_id: solicitud });
    assert.equal(before.error.code, 'forbidden');
    await python(cluster, [`gateway.grant(${JSON.stringify(solicitud)}, 'u1', ttl=60)`]);
    await granted.subscribe(solicitud);
    await python(cluster, [
      `gateway.withdraw(${JSON.stringify(solicitud)}, 'u1')`,
      "gateway.revoke_token('j-2', time.time() + 3600)",
      "gateway.revoke_user('u3')",
    ]);
    await until('out of the room', () => granted.seen('unsubscribed').length === 1, { timeout: 1500 });
    await until('both are closed', () => !byId.connected && !byUser.connected, { timeout: 1500 });
    for (const c of [byId, byUser]) assert.deepEqual(c.seen('error').map((e) => e.code), ['token_revoked']);
  });
});

test('what Python publishes while Redis is away arrives once it is back, once', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 1, durable: true }, async (cluster) => {
    const client = cluster.client({ user: 'u1', role: 'client' });
    await client.connect();
    await cluster.redisProcess.kill('SIGKILL');
    let begun;
    const trying = new Promise((resolve) => {
      begun = resolve;
    });
    const published = python(cluster, [
      "print('trying', flush=True)",
      "for n in range(3): gateway.publish('notificacion_aviso', {'user_id': 'u1', 'n': n})",
    ], { options: ', patience=30', onOutput: begun });
    await Promise.race([trying, published]);
    await cluster.startRedis();
    await published;
    await until('all are here', () => client.received.length >= 3, { timeout: 20_000 });
    assert.deepEqual(client.received, [0, 1, 2].map((n) => event('notificacion_aviso', `{"user_id":"u1","n":${n}}`)));
  });
});

test('a master that lacks its replicas is asked again until it has them', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 1 }, async (cluster) => {
    const client = cluster.client({ user: 'u1', role: 'client' });
    await client.connect();
    const master = `redis.Redis(port=${cluster.redisPort}).config_set`;
    await python(cluster, [
      `${master}('min-replicas-to-write', 1)`,
      'import threading',
      `threading.Timer(0.3, lambda: ${master}('min-replicas-to-write', 0)).start()`,
      "gateway.publish('notificacion_aviso', {'user_id': 'u1'})",
    ], { options: ', patience=30' });
    await until('it is here', () => client.received.length >= 1);
    const tries = await python(cluster, [
      `${master}('min-replicas-to-write', 1)`,
      'tries, write = 0, gateway._write',
      'def counted(fields):', '  global tries', '  tries += 1', '  write(fields)',
      'gateway._write = counted',
      "try: gateway.publish('notificacion_aviso', {'user_id': 'u1'})",
      'except redis.ResponseError: print(tries)',
    ], { options: ', wait_replicas=1, wait_ms=20, patience=1' });
    assert.ok(Number(tries) > 1, `${tries} tries`);
    assert.equal(client.received.length, 1);
  });
});

test('an event that no replica has is not said to be written', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 1 }, async (cluster) => {
    const said = await python(cluster, [
      'try:', "  gateway.publish('notificacion_aviso', {'user_id': 'u1'})",
      'except NotReplicated as err: print(err)',
    ], { options: ', wait_replicas=1, wait_ms=50, patience=0.3' });
    assert.equal(said, '0 of 1 replicas');
  });
});

test('what would be a dead letter, or be ignored, is refused before it is written', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 1 }, async (cluster) => {
    const said = await python(cluster, [
      'refused = 0',
      "for bad in ({'event_id': 'x' * 129}, {'event_id': 'a\\nb'}, {'occurred_at': datetime(2026, 1, 1)}):",
      '  try:', "    gateway.publish('notificacion_aviso', {'user_id': 'u1'}, **bad)",
      '  except Refused: refused += 1',
      'try:', "  gateway.publish('notificacion_aviso', {'text': 'x' * 65536})",
      'except Refused: refused += 1',
      'print(refused)',
    ]);
    assert.equal(said, '4');
    assert.deepEqual(await readAll(cluster.redis, EVENTS), []);
  });
});

for (const file of ['test_gateway_events.py', 'test_models.py']) {
  test(`${file}, with Debian's Pydantic, jsonschema and redis-py`, { timeout: 60_000 }, async () => {
    const { stderr } = await run(PYTHON, [file], { cwd, env });
    assert.match(stderr, /\nOK\n$/);
  });
}

test('the bundled schema takes its own examples in Python, and not what differs from them', { timeout: 60_000 }, async () => {
  const { stdout } = await run(PYTHON, ['-c', [
    'import json',
    'from jsonschema import Draft202012Validator as Validator',
    "bundle = json.load(open('events.schema.json'))",
    'Validator.check_schema(bundle)',
    "of = lambda name: Validator({'$ref': '#/$defs/' + name, '$defs': bundle['$defs']})",
    'taken = 0',
    "for name, schema in bundle['$defs'].items():",
    "  for example in schema.get('examples', []):",
    '    of(name).validate(example)',
    '    taken += 1',
    "fault = next(of('oferta_submitted').iter_errors({'solicitud_id': 2**70, 'advisor_id': 'A', 'price': '1'}))",
    "print(len(bundle['properties']), taken >= 15, list(fault.path), fault.validator)",
  ].join('\n')], { cwd, env });
  assert.match(stdout, /^\d+ True \['price'\] type\n$/);
});
