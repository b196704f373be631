// A cluster under test: one Redis, gateway nodes, HAProxy in front.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Client } from './clients.mjs';
import { Processes, freePort, listens } from './processes.mjs';
import { connectRedis } from './stream.mjs';
import { SECRET } from './tokens.mjs';
import { until } from './wait.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The users that a gateway's Redis should have, and the passwords that the example gives them. */
export const USERS = here('../../redis/users.acl');
const GATEWAY_USER = { REDIS_USERNAME: 'gateway', REDIS_PASSWORD: 'change-me-gateway' };

export const GATEWAY = process.env.GATEWAY_BIN || here('../../../bin/gateway');

/** An origin that the nodes allow; no other is. */
export const ORIGIN = 'https://app.teloo.example';

/** `GET` of a JSON document; also for answers such as 503. */
export async function getJSON(url, options = {}) {
  const res = await fetch(url, { signal: AbortSignal.timeout(5000), ...options });
  return { status: res.status, headers: res.headers, body: await res.json() };
}

/**
 * Runs `body` with a fresh cluster and takes everything down afterwards. When it fails, the tails of all logs are
 * printed. A node that ended by itself, or panicked, fails the test even if `body` did not notice.
 */
export async function withCluster(options, body) {
  const cluster = new Cluster(options);
  try {
    await cluster.start();
    await body(cluster);
    cluster.processes.check();
    await cluster.checkRights();
  } catch (err) {
    console.error(cluster.processes.tails());
    throw err;
  } finally {
    await cluster.stop();
  }
}

export class Cluster {
  processes = new Processes();

  nodes = [];

  clients = [];

  /**
   * With `durable`, Redis has its data again after a restart. `kind` is another Redis than a single server: see kinds.mjs.
   * `rights` are more than USERS gives the nodes' user. Without `sticky`, HAProxy sends each request to the next node.
   */
  constructor({ nodes = 3, proxy = nodes > 1, redis = true, durable = false, env = {}, kind, rights = [], sticky = true } = {}) {
    Object.assign(this, { size: nodes, proxied: proxy, env, redisFirst: redis, durable, kind, rights, sticky });
  }

  async start() {
    if (!existsSync(GATEWAY)) throw new Error(`${GATEWAY} is missing: run make build, or set GATEWAY_BIN`);
    this.redisPort = await freePort();
    this.proxyPort = await freePort();
    for (let i = 1; i <= this.size; i++) {
      this.nodes.push({ name: `gw${i}`, port: await freePort(), gossip: await freePort() });
    }
    if (this.redisFirst) await this.startRedis();
    this.nodes.forEach((node) => this.startNode(node));
    if (this.redisFirst) await this.ready();
    if (this.proxied) await this.startProxy();
  }

  async startRedis() {
    if (this.kind) {
      this.redis = await this.kind.start(this.processes, ['--aclfile', USERS]);
      await Promise.all(this.kind.servers().map((server) => this.allow(server)));
      return;
    }
    const args = ['--port', this.redisPort, '--bind', '127.0.0.1', '--save', '', '--appendonly', this.durable ? 'yes' : 'no'];
    args.push('--aclfile', USERS);
    if (this.durable) args.push('--appendfsync', 'always');
    this.redisProcess = this.processes.start('redis', 'redis-server', args.map(String));
    // It reconnects by itself when Redis is started again.
    this.redis ??= await until('redis connected', () => connectRedis(this.redisPort));
    await this.allow(this.redis);
  }

  /** Gives the nodes' user the further rights, at one server. */
  async allow(server) {
    if (this.rights.length > 0) await server.sendCommand(['ACL', 'SETUSER', GATEWAY_USER.REDIS_USERNAME, ...this.rights]);
  }

  startNode(node, env = {}) {
    node.url = `http://127.0.0.1:${node.port}`;
    node.process = this.processes.start(node.name, GATEWAY, ['serve'], {
      ENVIRONMENT: 'development',
      HOST: '127.0.0.1',
      PORT: String(node.port),
      LOG_LEVEL: 'info',
      LOG_FORMAT: 'json',
      ...(this.kind?.env ?? { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(this.redisPort) }),
      ...GATEWAY_USER,
      JWT_SECRET_KEY: SECRET,
      JWT_ALGORITHM: 'HS256',
      NODE_NAME: node.name,
      CLUSTER_BIND: `127.0.0.1:${node.gossip}`,
      CLUSTER_SEEDS: this.nodes.map((n) => `127.0.0.1:${n.gossip}`).join(','),
      CLUSTER_SECRET: 'end-to-end-cluster-secret-32byte',
      CORS_ORIGINS: ORIGIN,
      // All clients of a test have one address, and some send as fast as they can.
      HANDSHAKE_RATE: '0',
      MAX_SOCKETS_PER_USER: '0',
      EVENT_RATE: '0',
      // What is in the log is counted.
      CANARY_INTERVAL: '0',
      ...this.env,
      ...env,
    });
  }

  /** Waits until every running node is ready and sees all the others. */
  async ready() {
    const up = this.nodes.filter((n) => !n.process.end);
    await until('nodes ready', async () => {
      this.processes.check();
      const answers = await Promise.all(up.map((n) => fetch(`${n.url}/health/ready`)));
      return answers.every((a) => a.status === 200);
    }, { timeout: 30_000 });
    await until('nodes see each other', async () => {
      this.processes.check();
      const stats = await Promise.all(up.map((n) => this.stats(n)));
      return stats.every((s) => s.nodes.length === up.length);
    }, { timeout: 30_000 });
  }

  /** HAProxy with the example configuration, only its addresses replaced. */
  async startProxy() {
    const example = readFileSync(here('../../haproxy/haproxy.cfg'), 'utf8');
    const servers = this.nodes.map((n) => `    server ${n.name} 127.0.0.1:${n.port}${this.sticky ? ` cookie ${n.name}` : ''}`);
    const config = example.split('\n')
      .filter((line) => !/# host$|^\s*server\s/.test(line))
      .filter((line) => this.sticky || !/^\s*(cookie|force-persist)\s/.test(line))
      .map((line) => (this.sticky ? line : line.replace('balance leastconn', 'balance roundrobin')))
      .join('\n')
      .replace('bind :80', `bind 127.0.0.1:${this.proxyPort}`)
      .replace(/(default-server .*)/, `$1\n${servers.join('\n')}`);
    const file = this.processes.file('haproxy.cfg', config);
    this.proxy = this.processes.start('haproxy', 'haproxy', ['-db', '-f', file]);
    this.url = `http://127.0.0.1:${this.proxyPort}`;
    await until('haproxy listens', () => this.processes.check() || listens(this.proxyPort));
  }

  /** A client of the cluster; of one node if `on` is given. Not yet connected. */
  client({ on, ...options }) {
    const client = new Client(on?.url ?? this.url ?? this.nodes[0].url, options);
    this.clients.push(client);
    return client;
  }

  node(name) {
    return this.nodes.find((n) => n.name === name);
  }

  /** Throws when a node, or another of these users, asked Redis for something that its user there has no right to. */
  async checkRights(others = []) {
    for (const redis of this.kind ? this.kind.servers() : [this.redis]) {
      if (!redis?.isReady) continue; // it was stopped for good
      const log = await redis.sendCommand(['ACL', 'LOG']);
      const refused = log.map((flat) => Object.fromEntries(flat.flatMap((v, i) => (i % 2 ? [] : [[v, flat[i + 1]]]))))
        .filter((one) => [GATEWAY_USER.REDIS_USERNAME, ...others].includes(one.username) && one.reason !== 'auth');
      if (refused.length > 0) throw new Error(`Redis refused: ${refused.map((r) => `${r.object} (${r.reason}, ${r.context})`)}`);
    }
  }

  async stats(node) {
    return (await getJSON(`${node.url}/stats`)).body;
  }

  async stop() {
    this.clients.forEach((c) => c.close());
    this.redis?.destroy();
    this.kind?.stop?.();
    await this.processes.stop();
  }
}
