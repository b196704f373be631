// Clients besides JavaScript's: zishang520's in Go over WebSocket (its upgrade stalls at times, at Node's server too), and
// Debian's python-socketio over each transport.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { withCluster } from './lib/cluster.mjs';
import { addAll, entryOf } from './lib/stream.mjs';
import { token } from './lib/tokens.mjs';
import { until } from './lib/wait.mjs';

const PYTHON = process.env.PYTHON || '/usr/bin/python3'; // Debian's own, which has python3-socketio
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const run = promisify(execFile);

/** Builds the Go client, a module of its own. */
async function buildGo(cluster) {
  const bin = join(cluster.processes.dir, 'goclient');
  await run('go', ['build', '-o', bin, '.'], { cwd: here('otherclients/go') });
  return bin;
}

/** How each is started, and whether it comes back to its session. */
const kinds = (go) => ({
  'Go, WebSocket': { command: [go], transport: 'websocket', recovers: true },
  // It does not come back after Engine.IO's close packet, by which a node that drains closes over polling.
  'Python, polling': { command: [PYTHON, here('otherclients/client.py'), 'async'], transport: 'polling', drains: false },
  'Python, WebSocket': { command: [PYTHON, here('otherclients/client.py'), 'async'], transport: 'websocket' },
  'Python, upgrading': { command: [PYTHON, here('otherclients/client.py'), 'async'], transport: 'both' },
  // It hands each event to a thread of its own, so that handlers run in any order.
  'Python without asyncio, WebSocket': { command: [PYTHON, here('otherclients/client.py'), 'sync'], transport: 'websocket', threads: true },
});

/** One of them, with all that it told. */
class Program {
  told = [];

  constructor({ command: [command, ...args], transport }, url, jwt) {
    const { PATH, HOME } = process.env;
    this.child = spawn(command, [...args, url, jwt, transport], {
      env: { PATH, HOME, PYTHONDONTWRITEBYTECODE: '1', PYTHONWARNINGS: 'ignore' }, stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.child.stdin.on('error', () => {});
    createInterface({ input: this.child.stdout }).on('line', (line) => this.told.push(JSON.parse(line)));
  }

  all(what) {
    return this.told.filter(([first]) => first === what);
  }

  /** The payloads of the events of this name. */
  events(name) {
    return this.all('event').filter(([, event]) => event === name).map(([, , data]) => data);
  }

  async ask(...event) {
    const before = this.all('ack').length;
    this.child.stdin.write(`${JSON.stringify(event)}\n`);
    await until(`${event[0]} answered`, () => this.all('ack').length > before);
    return this.all('ack').at(-1)[1];
  }

  end() {
    this.child.stdin.end();
    this.child.kill();
  }
}

const aviso = (user, n) => entryOf({ name: 'notificacion_aviso', data: JSON.stringify({ user_id: user, n, text: 'é€😀' }) });

/** Waits for the numbers of what was published to a user, and requires them in order, each once. */
async function received({ what, program, kind }, from, to) {
  const want = Array.from({ length: to - from }, (_, i) => from + i);
  const got = () => program.events('notificacion_aviso').map(({ n }) => n).filter((n) => n >= from);
  await until(`${what}: has ${to}`, () => (kind.threads ? got().length >= want.length : got().includes(to - 1)));
  assert.deepEqual(kind.threads ? got().sort((a, b) => a - b) : got(), want, what);
}

test('clients in Go and Python: connect, order, acks, a restarted node, refusals', { timeout: 120_000 }, async () => {
  await withCluster({ nodes: 1, proxy: false, env: { DRAIN_WINDOW: '200ms' } }, async (cluster) => {
    const [node] = cluster.nodes;
    const programs = Object.entries(kinds(await buildGo(cluster))).map(([what, kind], i) => {
      const user = `C-${i}`;
      return { what, user, kind, program: new Program(kind, node.url, token(user, 'client')) };
    });
    try {
      for (const { what, user, program } of programs) {
        await until(`${what}: greeted`, () => program.events('connected').length === 1);
        const [greeting] = program.events('connected');
        assert.deepEqual({ ...greeting, rooms: undefined, node: undefined },
          { user_id: user, role: 'client', rooms: undefined, node: undefined, recovered: false }, what);
      }
      const publish = (from, to) => addAll(cluster.redis,
        Array.from({ length: to - from }, (_, i) => programs.map(({ user }) => aviso(user, from + i))).flat());
      await publish(0, 100);
      await addAll(cluster.redis, programs.map(({ user }) => entryOf({
        name: 'solicitud_created', data: JSON.stringify({ solicitud_id: `S-${user}`, client_id: user }),
      })));
      for (const one of programs) {
        const { what, user, program } = one;
        await received(one, 0, 100);
        await until(`${what}: named`, () => program.events('solicitud_created').length === 1);
        assert.deepEqual(await program.ask('subscribe_solicitud', { solicitud_id: `S-${user}` }), { ok: true, room: `solicitud_S-${user}` }, what);
        const { ok, error } = await program.ask('subscribe_solicitud', { solicitud_id: 'S-foreign' });
        assert.deepEqual([ok, error?.code], [false, 'forbidden'], what);
      }

      let n = 100;
      for (const signal of ['SIGKILL', 'SIGTERM']) {
        const back = programs.filter(({ kind }) => signal === 'SIGKILL' || kind.drains !== false);
        const greetings = ({ program }) => program.events('connected');
        const before = greetings(back[0]).length;
        await node.process.kill(signal);
        await publish(n, n + 20); // while nobody is there
        cluster.startNode(node);
        await cluster.ready();
        for (const one of back) {
          await until(`${one.what}: is back after ${signal}`, () => greetings(one).length > before, { timeout: 30_000 });
        }
        await publish(n + 20, n + 40);
        for (const one of back) {
          const recovers = one.kind.recovers ?? false;
          assert.equal(greetings(one).at(-1).recovered, recovers, one.what);
          await received(one, recovers ? n : n + 20, n + 40);
        }
        n += 40;
      }
    } finally {
      programs.forEach(({ program }) => program.end());
    }
    for (const [what, kind] of Object.entries(kinds(programs[0].kind.command[0]))) {
      const refused = new Program(kind, node.url, 'no token');
      await until(`${what}: refused`, () => refused.all('connect_error').length > 0).finally(() => refused.end());
      const [[, { data, message }]] = refused.all('connect_error');
      assert.deepEqual({ data, message }, { data: { code: 'token_invalid' }, message: 'token_invalid' }, what);
    }
    cluster.processes.checkCalm();
  });
});
