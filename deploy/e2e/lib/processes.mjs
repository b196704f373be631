// The processes of a test: started on free loopback ports, logged to files, and gone when the test is, whatever
// happened.

import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { createSocket } from 'node:dgram';
import { mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fatal, timed } from './wait.mjs';

const running = new Set();
const dirs = new Set();

// The last resort, for a test file that is interrupted: `Processes.stop` is the ordinary way.
process.on('exit', () => {
  running.forEach((p) => p.child.kill('SIGKILL'));
  dirs.forEach(remove);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

function remove(dir) {
  if (!process.env.E2E_KEEP) rmSync(dir, { recursive: true, force: true });
  dirs.delete(dir);
}

const given = new Set();

const bindable = (port) => new Promise((resolve) => {
  const tcp = createServer().once('error', () => resolve(false));
  tcp.listen(port, '127.0.0.1', () => {
    const udp = createSocket('udp4').once('error', () => tcp.close(() => resolve(false)));
    udp.bind(port, '127.0.0.1', () => udp.close(() => tcp.close(() => resolve(true))));
  });
});

/** A port free for TCP and UDP, below the range from which the kernel takes ports of outgoing connections. */
export async function freePort() {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    if (!given.has(port) && await bindable(port)) {
      given.add(port);
      return port;
    }
  }
}

class Running {
  /** True once its end is what the test wants. */
  mayEnd = false;

  constructor(name, command, args, { env, cwd, log }) {
    this.name = name;
    this.log = log;
    const out = openSync(log, 'a');
    this.child = spawn(command, args, { env, cwd, stdio: ['ignore', out, out] });
    closeSync(out);
    running.add(this);
    this.exited = new Promise((resolve) => {
      this.child.once('error', (err) => resolve({ code: -1, err }));
      this.child.once('exit', (code, signal) => resolve({ code, signal }));
    }).then((end) => {
      running.delete(this);
      this.end = end;
      return end;
    });
  }

  get pid() {
    return this.child.pid;
  }

  /** Sends a signal and waits for the end; throws when that takes more than `timeout` ms. */
  async kill(signal = 'SIGTERM', timeout = 15_000) {
    this.mayEnd = true;
    if (!this.end) this.child.kill(signal);
    return timed(`${this.name} ended after ${signal}`, this.exited, timeout);
  }

  text() {
    return readFileSync(this.log, 'utf8');
  }
}

/** The processes and files of one test. */
export class Processes {
  all = [];

  /** Logs and configuration; kept with E2E_KEEP=1. */
  dir = mkdtempSync(join(tmpdir(), 'gateway-e2e-'));

  constructor() {
    dirs.add(this.dir);
  }

  /** Starts a command; `env` is all of its environment but for PATH and HOME. */
  start(name, command, args, env = {}) {
    const { PATH, HOME } = process.env;
    const log = join(this.dir, `${name}.log`);
    const p = new Running(name, command, args, { env: { PATH, HOME, ...env }, cwd: this.dir, log });
    this.all.push(p);
    return p;
  }

  /** A directory of its own for one of them. */
  directory(name) {
    const path = join(this.dir, name);
    mkdirSync(path);
    return path;
  }

  file(name, text) {
    const path = join(this.dir, name);
    writeFileSync(path, text);
    return path;
  }

  /** Throws when a process ended that should not have, or left the trace of a panic or a data race in its log. */
  check() {
    for (const p of this.all) {
      if (p.end && !p.mayEnd) throw new Fatal(`${p.name} ended by itself: ${JSON.stringify(p.end)}`);
      const trace = /^(panic: .*|fatal error: .*|WARNING: DATA RACE)$/m.exec(p.text());
      if (trace) throw new Fatal(`${p.name}: ${trace[0]}`);
    }
  }

  /** Throws when a node logged an error: for tests in which nothing goes wrong. */
  checkCalm() {
    for (const p of this.all) {
      const line = /^.*"level":"ERROR".*$/m.exec(p.text());
      if (line) throw new Error(`${p.name} logged an error: ${line[0]}`);
    }
  }

  /** The last lines of every log, for a failed test. */
  tails(lines = 25) {
    return this.all.map((p) => {
      const tail = p.text().trimEnd().split('\n').slice(-lines).join('\n');
      return `--- ${p.name} (pid ${p.pid}, ${p.end ? JSON.stringify(p.end) : 'running'})\n${tail}`;
    }).join('\n');
  }

  async stop() {
    const end = (p) => p.end ?? p.kill('SIGTERM').catch(() => p.kill('SIGKILL'));
    // Redis last: the nodes say goodbye to it.
    const isRedis = (p) => /^(redis|sentinel)\d?$/.test(p.name);
    const [first, last] = [this.all.filter((p) => !isRedis(p)), this.all.filter(isRedis)];
    await Promise.all(first.map(end));
    await Promise.all(last.map(end));
    remove(this.dir);
  }
}

/** Whether something accepts TCP connections on a loopback port. */
export async function listens(port) {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
