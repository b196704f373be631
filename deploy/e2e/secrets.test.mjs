// Nothing secret is logged, at any level, whatever goes wrong; nor is it on a command line.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { POLLING, UPGRADING, WEBSOCKET, connectAll } from './lib/clients.mjs';
import { GATEWAY, withCluster } from './lib/cluster.mjs';
import { addAll, entryOf } from './lib/stream.mjs';
import { SECRET, sign, token } from './lib/tokens.mjs';
import { timed, until } from './lib/wait.mjs';

// Each is unlike any other text, so that finding it is no chance.
const KEPT = {
  'the first JWT secret': SECRET,
  'the second JWT secret': 'an-older-secret-that-is-32-bytes-long',
  "Redis' password": 'pw-of-redis-Zk93xQ',
  "Redis' wrong password": 'pw-that-is-wrong-Jh27vB',
  'the cluster secret': 'gossip-secret-of-32-bytes-Xw8Lp2',
  "a stranger's cluster secret": 'foreign-secret-of-32-bytes-Qm4T9',
  'the admin key': 'admin-key-of-at-least-32-bytes-Vb6N',
  'the address of the keys': 'keys-parameter-Rt51yU',
  'a cookie': 'cookie-Gd07sE',
  'a short secret': 'short-Pl35',
};

const REDIS_USER = 'gateway';

/** Everything that may not be found in a log, by what it is. */
class Secrets {
  all = new Map(Object.entries(KEPT));

  add(what, value) {
    assert.ok(value.length >= 8, `${what} is too short to be looked for: ${value}`);
    this.all.set(`${what} (${this.all.size})`, value);
    return value;
  }

  /** A token, and the parts of it by which one would know it. */
  token(what, value) {
    this.add(what, value);
    const [, claims, signature] = value.split('.');
    if (claims) this.add(`${what}: claims`, claims);
    if (signature) this.add(`${what}: signature`, signature);
    return value;
  }

  /** What is found of them in a text, as it is or encoded. */
  found(text) {
    const found = [];
    for (const [what, value] of this.all) {
      const forms = [value, encodeURIComponent(value), Buffer.from(value).toString('base64'), Buffer.from(value).toString('hex')];
      const at = forms.map((form) => text.indexOf(form)).find((n) => n >= 0);
      if (at !== undefined) found.push(`${what}: ${line(text, at)}`);
    }
    const bearer = /eyJ[\w-]{8,}\.[\w-]+/.exec(text);
    if (bearer) found.push(`something like a token: ${line(text, bearer.index)}`);
    return found;
  }
}

const line = (text, at) => text.slice(text.lastIndexOf('\n', at) + 1, (text.indexOf('\n', at) + 1 || text.length + 1) - 1).slice(0, 500);

const now = () => Math.floor(Date.now() / 1000);

const tokensOf = (secrets) => {
  const claims = (more) => ({ sub: 'u1', role: 'client', iat: now(), exp: now() + 600, ...more });
  const make = (what, value) => secrets.token(what, value);
  const good = token('u1', 'client', { jti: 'good-one' });
  return {
    good: make('a good token', good),
    older: make('a token by the second secret', sign(claims({ sub: 'u2' }), { secret: KEPT['the second JWT secret'] })),
    renewed: make('a renewed token', token('u1', 'client', { iat: now() + 1, ttl: 7200 })),
    revoked: make('a revoked token', token('u3', 'client', { jti: 'gone' })),
    bad: {
      token_expired: [make('an expired token', token('u1', 'client', { ttl: -120 }))],
      token_revoked: [make('a revoked token', token('u4', 'client', { jti: 'gone' }))],
      role_unknown: [make('a token of a role nobody knows', token('u1', 'root'))],
      token_invalid: [
        make('a token by a foreign secret', sign(claims(), { secret: 'another-secret-of-at-least-32-bytes' })),
        make('a token without a signature', sign(claims(), { alg: 'none' })),
        make('a token of a key that nobody has', sign(claims(), { alg: 'RS256' })),
        make('a cut token', good.slice(0, -3)),
        make('a longer token', `${good}AAAA`),
        make('a token with a newline', `${good.slice(0, 20)}\n${good.slice(20)}`),
        make('a token with claims that are no JSON', `${good.split('.')[0]}.bm90LWpzb24tYXQtYWxs.${good.split('.')[2]}x`),
        make('a token twice as long as is read', `${'A'.repeat(40_000)}`),
        make('no token at all', 'hunter2-is-no-token'),
      ],
    },
  };
};

/** Connects once; the refusal's code. */
function refusal(cluster, options) {
  const client = cluster.client({ user: 'x', role: 'client', reconnection: false, ...options });
  const refused = new Promise((resolve, reject) => {
    client.socket.once('connect_error', (err) => resolve(err.data?.code ?? err.message));
    client.socket.once('connect', () => reject(new Error('was let in')));
  });
  client.socket.connect();
  return timed('refused', refused).finally(() => client.close());
}

/** The ways by which a client may bring its token; the last is none, and shows in many a server's log. */
const ways = (value) => [
  { auth: { token: value }, transports: WEBSOCKET },
  { auth: {}, extraHeaders: { Authorization: `Bearer ${value}` }, transports: POLLING },
  { auth: { token: value }, query: { token: value, access_token: value }, transports: POLLING },
];

async function refuseAll(cluster, tokens) {
  for (const [code, values] of Object.entries(tokens.bad)) {
    for (const value of values) {
      for (const options of ways(value)) {
        if (options.extraHeaders && /\n/.test(value)) continue; // no HTTP client sends it
        if ((options.query || options.extraHeaders) && value.length > 8000) continue; // nor would it get through
        assert.equal(await refusal(cluster, options), code, `${value.slice(0, 40)} ${Object.keys(options)}`);
      }
    }
  }
  assert.equal(await refusal(cluster, { auth: {}, query: { token: tokens.good } }), 'token_missing');
}

/** A client that has lost its connection, is another user's, and says what no client should. */
async function misbehave(cluster, secrets, tokens) {
  const Cookie = `session=${KEPT['a cookie']}`;
  const make = (value, options) => cluster.client({ user: 'u', role: 'client', auth: { token: value }, extraHeaders: { Cookie }, ...options });
  const clients = [
    make(tokens.good, { transports: UPGRADING }), make(tokens.older, { transports: POLLING }), make(tokens.good),
  ];
  await connectAll(clients);
  const keep = (c) => {
    secrets.add('a session', c.socket._pid);
    secrets.add('a connection', c.socket.io.engine.id);
  };
  clients.forEach(keep);
  for (const c of clients) {
    for (const [, [value]] of Object.entries(tokens.bad)) {
      assert.equal((await c.ask('refresh_token', { token: value })).ok, false);
      assert.equal((await c.ask('refresh_token', value)).ok, false);
      c.socket.emit('refresh_token', { token: value });
      c.socket.emit(value, value);
      assert.equal((await c.ask('subscribe_solicitud', { solicitud_id: value })).ok, false);
    }
    await c.ask('ping');
  }
  assert.equal((await clients[0].ask('refresh_token', { token: tokens.renewed })).ok, true);
  assert.equal((await clients[1].ask('refresh_token', { token: tokens.renewed })).error.code, 'token_invalid', "another user's");
  // Back to the session; then somebody else by its pid.
  const [one] = clients;
  one.socket.io.engine.close();
  await until('it is back', () => one.greetings.length === 2);
  keep(one);
  const thief = make(tokens.older, { reconnection: false });
  thief.socket._pid = one.socket._pid;
  thief.socket._lastOffset = one.socket._lastOffset;
  const refused = new Promise((resolve) => thief.socket.once('connect_error', resolve));
  thief.socket.connect();
  assert.equal((await timed('the thief is refused', refused)).data.code, 'token_invalid');
  // Malformed packets that quote a token.
  for (const garbage of [`42["x",${tokens.good}`, `450-["${tokens.good}"]`, `4${tokens.good}`, tokens.good]) {
    const loud = await make(tokens.good, { reconnection: false }).connect();
    keep(loud);
    loud.socket.io.engine.transport.ws.send(garbage);
    await until('it is sent away', () => !loud.connected);
  }
}

/** Requests that quote secrets where they do not belong. */
async function ask(cluster, secrets, tokens) {
  const [node] = cluster.nodes;
  const key = KEPT['the admin key'];
  const headers = { Authorization: `Bearer ${tokens.good}`, 'X-API-Key': key, 'X-Admin-Key': key, Cookie: `session=${KEPT['a cookie']}` };
  for (const path of ['/', '/stats', '/health', `/${tokens.good}`, '/admin/events', '/socket.io/', '/socket.io/?EIO=4&transport=polling&sid=x']) {
    for (const method of ['GET', 'POST', 'OPTIONS', 'DELETE']) {
      const url = `${node.url}${path}${path.includes('?') ? '&' : '?'}token=${tokens.good}&key=${key}`;
      await (await fetch(url, { method, headers, ...(method === 'POST' && { body: tokens.good }) })).arrayBuffer();
    }
  }
}

const allow = (cluster) => cluster.redis.sendCommand(
  ['ACL', 'SETUSER', REDIS_USER, 'on', 'resetpass', `>${KEPT["Redis' password"]}`, '~*', '&*', '+@all'],
);

/** An issuer's key set, which cannot be had at first. */
async function issuer() {
  const key = { ...generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'RS256', use: 'sig' };
  const keys = { there: false };
  keys.server = createServer((req, res) => {
    res.writeHead(keys.there ? 200 : 503, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: [key] }));
  }).listen(0, '127.0.0.1');
  await once(keys.server, 'listening');
  keys.url = `http://127.0.0.1:${keys.server.address().port}/jwks?key=${KEPT['the address of the keys']}`;
  return keys;
}

const logs = (cluster) => cluster.processes.all.filter((p) => p.name !== 'redis').map((p) => p.text()).join('\n');

const logged = (cluster, what) => until(`the log says ${what}`, () => what.test(logs(cluster)), { timeout: 20_000 });

/** Programs that end at once, by faulty variables or by design, and say why. */
async function runBriefly(cluster, secrets) {
  const url = (more) => `redis://${REDIS_USER}:${KEPT["Redis' password"]}${more}`;
  const base = {
    JWT_SECRET_KEY: SECRET, ADMIN_API_KEY: KEPT['the admin key'], CLUSTER_SECRET: KEPT['the cluster secret'],
    JWT_JWKS_URL: `https://keys.example/jwks?key=${KEPT['the address of the keys']}`, JWT_ALGORITHM: 'HS256,RS256',
  };
  const [node] = cluster.nodes;
  const runs = {
    config: [['config'], { ...base, REDIS_URL: url('@redis.example:6379/0') }],
    'config as JSON': [['config', '--json'], { ...base, REDIS_PASSWORD: KEPT["Redis' password"] }],
    'a bad port': [['serve'], { ...base, REDIS_URL: url('@redis.example:port') }],
    'a bad scheme': [['serve'], { ...base, REDIS_URL: url('@redis.example').replace('redis:', 'http:') }],
    'a parameter': [['config'], { ...base, REDIS_URL: url('@redis.example?x=1') }],
    'short secrets': [['serve'], {
      ...base, ENVIRONMENT: 'production', JWT_SECRET_KEY: KEPT['a short secret'], ADMIN_API_KEY: KEPT['a short secret'],
      CLUSTER_SECRET: KEPT['a short secret'], CLUSTER_SEEDS: 'a.example',
    }],
    'a port that is taken': [['serve'], {
      ...base, JWT_JWKS_URL: '', JWT_ALGORITHM: 'HS256', HOST: '127.0.0.1', PORT: String(node.port), LOG_LEVEL: 'debug',
      REDIS_URL: url(`@127.0.0.1:${cluster.redisPort}`), NODE_NAME: 'late',
    }],
  };
  for (const [name, [args, env]] of Object.entries(runs)) {
    const p = cluster.processes.start(name.replaceAll(' ', '-'), GATEWAY, args, env);
    p.mayEnd = true;
    const end = await timed(`${name} ended`, p.exited, 30_000);
    assert.ok(p.text().length > 0, `${name} said something`);
    if (name !== 'config' && name !== 'config as JSON') assert.notEqual(end.code, 0, name);
  }
}

test('a debug log of everything that can go wrong holds no secret', { timeout: 180_000 }, async (t) => {
  const keys = await issuer();
  t.after(() => keys.server.close());
  const secrets = new Secrets();
  const tokens = tokensOf(secrets);
  const env = {
    LOG_LEVEL: 'debug',
    JWT_SECRET_KEY: `${SECRET},${KEPT['the second JWT secret']}`,
    JWT_ALGORITHM: 'HS256,RS256',
    JWT_JWKS_URL: keys.url,
    REDIS_USERNAME: REDIS_USER,
    REDIS_PASSWORD: KEPT["Redis' password"],
    CLUSTER_SECRET: KEPT['the cluster secret'],
    ADMIN_API_KEY: KEPT['the admin key'],
  };
  await withCluster({ nodes: 2, proxy: false, redis: false, env }, async (cluster) => {
    await logged(cluster, /waiting for Redis/i);
    await logged(cluster, /reading the key set failed/);
    keys.there = true;
    await cluster.startRedis();
    await logged(cluster, /WRONGPASS/);
    await allow(cluster);
    await cluster.ready();

    // Redis by a URL, with a password that is wrong, and then with the right one.
    const [, two] = cluster.nodes;
    const restart = async (more) => {
      if (!two.process.end) await two.process.kill();
      cluster.startNode(two, { REDIS_USERNAME: '', REDIS_PASSWORD: '', ...more });
    };
    const url = (password) => `redis://${REDIS_USER}:${password}@127.0.0.1:${cluster.redisPort}/0`;
    const refusals = () => logs(cluster).split('WRONGPASS').length;
    const before = refusals();
    await restart({ REDIS_URL: url(KEPT["Redis' wrong password"]) });
    await until('refused by Redis', () => refusals() > before, { timeout: 20_000 });
    await restart({ REDIS_URL: url(KEPT["Redis' password"]) });
    await cluster.ready();

    await cluster.redis.sendCommand(['ZADD', '{teloo}:revoked', String(Date.now() + 3_600_000), 'jti:gone']);
    await cluster.redis.sendCommand(['INCR', '{teloo}:revoked:version']);
    await until('the revocation is known', async () => await refusal(cluster, { auth: { token: tokens.revoked } }).catch(() => '') === 'token_revoked');
    await refuseAll(cluster, tokens);
    await misbehave(cluster, secrets, tokens);
    await ask(cluster, secrets, tokens);
    await addAll(cluster.redis, [
      entryOf({ name: 'oferta_created', data: '{"solicitud_id":"s1"}' }), ['event', tokens.good, 'data', '{}'],
      ['event', 'oferta_created', 'data', tokens.good], ['payload', tokens.good],
    ]);

    // A stranger who would gossip, and Redis away for a while.
    await runBriefly(cluster, secrets);
    const stranger = { name: 'stranger', port: two.port, gossip: two.gossip };
    await two.process.kill();
    cluster.startNode(stranger, { CLUSTER_SECRET: KEPT["a stranger's cluster secret"] });
    stranger.process.mayEnd = true;
    await logged(cluster, /no seed answers|decrypt|No installed keys/i);
    await cluster.redisProcess.kill('SIGKILL');
    await ask(cluster, secrets, tokens);
    await refusal(cluster, { auth: { token: tokens.bad.token_expired[0] } });
    await cluster.startRedis();
    await until('a user again', () => allow(cluster));
    await until('ready again', async () => (await fetch(`${cluster.nodes[0].url}/health/ready`)).status === 200, { timeout: 30_000 });

    for (const p of cluster.processes.all.filter((one) => one.name !== 'redis' && !one.end)) {
      assert.deepEqual(secrets.found(readFileSync(`/proc/${p.pid}/cmdline`, 'utf8')), [], `${p.name}'s command line`);
    }
    const text = logs(cluster);
    // The log is one of all that: else finding nothing would say nothing.
    for (const said of [
      /"level":"DEBUG"/, /connect refused.*token_expired/, /connect refused.*token_revoked/, /connect refused.*token_invalid/, /token refused/,
      /token not refreshed/, /request refused/, /reading the key set failed/, /waiting for Redis/i, /WRONGPASS/, /session recovered/,
      /dead letter/, /memberlist/, /REDIS_URL: /, /JWT_SECRET_KEY: has/,
    ]) assert.match(text, said);
    assert.deepEqual(secrets.found(text), []);
  });
});
