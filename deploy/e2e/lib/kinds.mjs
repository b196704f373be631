// Redis of other kinds than a single, open server. Each has `start(processes, args)`, which gives a client of the server
// that has our keys, `env` for the nodes, `servers()` with a client of each server, and `failOver()` where it can.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from 'redis';
import { freePort } from './processes.mjs';
import { connectRedis } from './stream.mjs';
import { until } from './wait.mjs';

/** After how many ms an unreachable server is taken for dead. */
const TAKEN_FOR = 4000;

const common = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--repl-diskless-sync-delay', '0'];

/** Runs openssl in a directory, quietly. */
const openssl = (cwd, ...args) => execFileSync('openssl', args, { cwd, stdio: 'ignore' });

/** An authority in `dir`, ca.pem, and certificates by it: name.pem and name.key. */
export function certify(dir, ...names) {
  openssl(dir, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=test authority', '-keyout', 'ca.key', '-out', 'ca.pem');
  for (const name of names) {
    openssl(dir, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1,DNS:redis.test', '-addext', 'basicConstraints=critical,CA:FALSE',
      '-CA', 'ca.pem', '-CAkey', 'ca.key', '-keyout', `${name}.key`, '-out', `${name}.pem`);
  }
}

/** One server that takes TLS only, from clients with a certificate. */
export class Encrypted {
  async start(processes, args) {
    this.processes = processes;
    const { dir } = processes;
    certify(dir, 'server', 'client');
    this.port = await freePort();
    processes.start('redis', 'redis-server', [...common, '--port', '0', '--tls-port', String(this.port), '--tls-cert-file',
      join(dir, 'server.pem'), '--tls-key-file', join(dir, 'server.key'), '--tls-ca-cert-file', join(dir, 'ca.pem'),
      '--tls-auth-clients', 'yes', ...args]);
    const file = (name) => readFileSync(join(dir, name));
    this.client = await until('redis connected', async () => {
      const client = createClient({
        RESP: 2, socket: { host: '127.0.0.1', port: this.port, tls: true, ca: file('ca.pem'), cert: file('client.pem'), key: file('client.key') },
      });
      client.on('error', () => {});
      return client.connect();
    });
    return this.client;
  }

  servers() {
    return [this.client];
  }

  get env() {
    const { dir } = this.processes;
    return {
      REDIS_URL: `rediss://127.0.0.1:${this.port}`, REDIS_CA_PATH: join(dir, 'ca.pem'), REDIS_CERT_PATH: join(dir, 'client.pem'),
      REDIS_KEY_PATH: join(dir, 'client.key'),
    };
  }
}

/** Several servers, of which one at a time has our keys. */
class Many {
  all = [];

  /** Starts a server and connects to it. */
  async add(name, args) {
    const port = await freePort();
    const dir = this.processes.directory(name);
    const one = { name, port, process: this.processes.start(name, 'redis-server', [...args(port, dir)]) };
    one.client = await until(`${name} connected`, () => connectRedis(port));
    this.all.push(one);
    return one;
  }

  servers() {
    return this.all.map((one) => one.client);
  }

  /** What `withCluster` takes for a client of Redis: it asks whoever has our keys now. */
  get facade() {
    return {
      isReady: true,
      sendCommand: async (args) => (await this.master()).client.sendCommand(args),
      destroy: () => this.all.forEach((one) => one.client.destroy()),
    };
  }

  /** Ends the server that has our keys as a crash would, and waits until another has them and takes writes. */
  async failOver() {
    const old = await this.master();
    await old.process.kill('SIGKILL');
    await until('another master', async () => {
      const now = await this.master();
      return now !== old && await now.client.sendCommand(['SET', '{teloo}:probe', '1', 'PX', '1']) === 'OK';
    }, { timeout: 60_000, every: 100 });
  }
}

/** A master with two replicas, watched by three sentinels that have a password and users of their own. */
export class Sentinels extends Many {
  name = 'teloo';

  async start(processes, args) {
    this.processes = processes;
    const server = (more) => (port, dir) => [...common, '--port', String(port), '--dir', dir, ...args, ...more];
    const master = await this.add('redis1', server([]));
    for (const name of ['redis2', 'redis3']) await this.add(name, server(['--replicaof', '127.0.0.1', String(master.port)]));
    this.watch = [];
    for (const i of [1, 2, 3]) this.watch.push(await this.sentinel(i, master.port));
    await until('the sentinels know each other and the replicas', async () => {
      const told = await Promise.all(this.watch.map((w) => w.client.sendCommand(['INFO', 'sentinel'])));
      return told.every((text) => text.includes('slaves=2,sentinels=3'));
    }, { timeout: 60_000 });
    await until('in step', async () => (await master.client.sendCommand(['INFO', 'replication'])).split('state=online').length === 3);
    return this.facade;
  }

  async sentinel(i, master) {
    const port = await freePort();
    const file = this.processes.file(`sentinel${i}.conf`, [
      'bind 127.0.0.1', `port ${port}`, `dir ${this.processes.directory(`sentinel${i}`)}`, 'requirepass watchers',
      'user gateway on >change-me-sentinel resetchannels &+switch-master &+replica-reconf-done -@all +ping +subscribe '
        + '+client|setname +sentinel|get-master-addr-by-name +sentinel|sentinels',
      `sentinel monitor ${this.name} 127.0.0.1 ${master} 2`, `sentinel down-after-milliseconds ${this.name} ${TAKEN_FOR}`,
      `sentinel failover-timeout ${this.name} 20000`, 'sentinel sentinel-pass watchers', '',
    ].join('\n'));
    const process = this.processes.start(`sentinel${i}`, 'redis-server', [file, '--sentinel']);
    const client = await until(`sentinel ${i} connected`, () => connectRedis(port, { password: 'watchers' }));
    return { port, process, client };
  }

  async master() {
    const [, port] = await this.watch[0].client.sendCommand(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.name]);
    return this.all.find((one) => String(one.port) === port);
  }

  servers() {
    return [...super.servers(), ...this.watch.map((w) => w.client)];
  }

  stop() {
    this.watch?.forEach((w) => w.client.destroy());
  }

  get env() {
    return {
      REDIS_MODE: 'sentinel', REDIS_ADDRS: this.watch.map((w) => `127.0.0.1:${w.port}`).join(','), REDIS_MASTER_NAME: this.name,
      REDIS_SENTINEL_USERNAME: 'gateway', REDIS_SENTINEL_PASSWORD: 'change-me-sentinel',
    };
  }
}

const SLOTS = 16_384;

/** A Redis Cluster of three masters with a replica each. */
export class RedisCluster extends Many {
  async start(processes, args) {
    this.processes = processes;
    for (let i = 1; i <= 6; i++) {
      const bus = await freePort();
      await this.add(`redis${i}`, (port, dir) => [...common, '--port', String(port), '--dir', dir, '--cluster-enabled', 'yes',
        '--cluster-port', String(bus), '--cluster-node-timeout', String(TAKEN_FOR), '--cluster-replica-validity-factor', '0', ...args]);
      this.all.at(-1).bus = bus;
    }
    const [first] = this.all;
    for (const [i, { client }] of this.all.entries()) {
      await client.sendCommand(['CLUSTER', 'MEET', '127.0.0.1', String(first.port), String(first.bus)]);
      if (i > 2) continue;
      const [from, to] = [i, i + 1].map((part) => Math.floor((SLOTS * part) / 3));
      await client.sendCommand(['CLUSTER', 'ADDSLOTSRANGE', String(from), String(to - 1)]);
    }
    for (const [i, { client }] of this.all.slice(3).entries()) {
      const master = await this.all[i].client.sendCommand(['CLUSTER', 'MYID']);
      await until('known to its replica', () => client.sendCommand(['CLUSTER', 'REPLICATE', master]), { timeout: 60_000, every: 100 });
    }
    await until('the cluster is complete', async () => {
      const told = await Promise.all(this.all.map((one) => one.client.sendCommand(['CLUSTER', 'INFO'])));
      const link = await Promise.all(this.all.slice(3).map((one) => one.client.sendCommand(['INFO', 'replication'])));
      return told.every((text) => /cluster_state:ok/.test(text) && /cluster_known_nodes:6/.test(text))
        && link.every((text) => text.includes('master_link_status:up'));
    }, { timeout: 60_000 });
    return this.facade;
  }

  /** By the view of any server that is up. */
  async master() {
    const slot = Number(await this.ask(['CLUSTER', 'KEYSLOT', '{teloo}']));
    const slots = await this.ask(['CLUSTER', 'SLOTS']);
    const [, , [, port]] = slots.find(([from, to]) => from <= slot && slot <= to);
    return this.all.find((one) => one.port === port);
  }

  ask(command) {
    return this.all.find((one) => one.client.isReady).client.sendCommand(command);
  }

  get env() {
    return { REDIS_MODE: 'cluster', REDIS_ADDRS: this.all.map((one) => `127.0.0.1:${one.port}`).join(',') };
  }
}
