// Scripted incidents on a real cluster, watched by a real Prometheus with the rules as they are: the metric moves, the
// alert comes, the runbook's commands lead to the cause, the operators' page says it, and it ends when mended.
// Arguments: names of the incidents to run, or parts of them; all without any.

import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, GATEWAY } from '../lib/cluster.mjs';
import { freePort } from '../lib/processes.mjs';
import { EVENTS, entryOf } from '../lib/stream.mjs';
import { SECRET } from '../lib/tokens.mjs';
import { until } from '../lib/wait.mjs';
import { incidents } from './faults.mjs';
import { LogTap } from './logtap.mjs';
import { openPage } from './page.mjs';
import { Prometheus, patience } from './prometheus.mjs';
import { look, sections } from './runbook.mjs';

const KEY = 'end-to-end-admin-key-of-32-bytes-or-more';
const ENV = { ADMIN_API_KEY: KEY, CANARY_INTERVAL: '5s', HANDSHAKE_RATE: '5', HANDSHAKE_BURST: '100' };

/** A cluster whose third node reads Redis through a tap. */
class Watched extends Cluster {
  async startRedis() {
    this.tapPort ??= await freePort();
    this.tap ??= await LogTap.start(this.redisPort, this.tapPort);
    await super.startRedis();
  }

  startNode(node) {
    super.startNode(node, node.name === 'gw3' ? { REDIS_PORT: String(this.tapPort) } : {});
  }

  async stop() {
    await super.stop();
    this.tap?.stop();
  }
}

/** Events all the time for a client that is connected all the time: each incident costs it nothing but time. */
class Flow {
  acknowledged = [];

  constructor(cluster) {
    this.cluster = cluster;
    this.client = cluster.client({ on: cluster.nodes[0], user: 'c1', role: 'client' });
  }

  async start() {
    await this.client.connect();
    this.ended = this.write();
  }

  async write() {
    for (let n = 0; !this.stopping; n++) {
      const entry = entryOf({ name: 'notificacion_flujo', data: `{"user_id":"c1","n":${n}}` });
      // While Redis is away, it is for the Core API to try again; this one does not.
      await this.cluster.redis.sendCommand(['XADD', EVENTS, '*', ...entry]).then(() => this.acknowledged.push(n), () => {});
      await sleep(250);
    }
  }

  /** What the client got of it: all, once and in order, or an error. */
  async stop() {
    this.stopping = true;
    await this.ended;
    const got = () => this.client.received.map((t) => /^\["notificacion_flujo".*"n":(\d+)/.exec(t)).filter(Boolean).map((m) => Number(m[1]));
    await until('the last event is there', () => got().at(-1) >= this.acknowledged.at(-1));
    const all = got();
    const seen = new Set(all);
    const lost = this.acknowledged.filter((n) => !seen.has(n));
    const wrong = all.filter((n, i) => i > 0 && n <= all[i - 1]);
    if (lost.length || wrong.length) throw new Error(`events lost: ${lost}; repeated or out of order: ${wrong}`);
    return all.length;
  }
}

const seconds = (ms) => Math.round(ms / 100) / 10;
const shown = (v) => (v === undefined ? 'none' : String(Math.round(v * 10) / 10));

/** The line of the output that leads to the cause. */
const lineOf = (printed, cause) => {
  const found = cause.exec(printed);
  if (!found) return undefined;
  const end = printed.indexOf('\n', found.index + found[0].length);
  return printed.slice(printed.lastIndexOf('\n', found.index) + 1, end < 0 ? undefined : end).replaceAll('\n', ' ').trim();
};

async function play(incident, { cluster, prometheus, page, env }) {
  const { alert, metric } = incident;
  const value = () => prometheus.value(metric);
  const reached = (states) => async () => states.includes(await prometheus.state(alert));
  await until(`${alert} is not active before anything is done`, reached(['inactive']), { timeout: 30_000, every: 200 });
  const before = await value();
  const began = performance.now();
  const mend = await incident.inject({ cluster });
  const row = { incident: incident.name, alert };
  try {
    await until(`${incident.name}: the metric moves`, async () => incident.moved(await value()), { timeout: 60_000, every: 200 });
    await until(`${alert} is active`, reached(['pending', 'firing']), { timeout: 60_000, every: 200 });
    row.active = seconds(performance.now() - began);
    const wait = patience(alert);
    await until(`${alert} fires`, reached(['firing']), { timeout: wait + 20_000, every: 200 });
    row.firing = seconds(performance.now() - began);
    const during = await value();
    const printed = await look(alert, env);
    if (process.env.SHOW) console.log(printed);
    row.runbook = lineOf(printed, incident.cause);
    if (!row.runbook) throw new Error(`the runbook's commands for ${alert} do not print ${incident.cause}:\n${printed}`);
    row.page = page ? await page.says(incident.page) : '–';
    row.others = (await prometheus.active()).filter((a) => !a.startsWith(`${alert} `)).join(', ');
    row.metric = `${shown(before)} → ${shown(during)}`;
  } finally {
    await mend();
  }
  const mended = performance.now();
  await until(`${incident.name}: the metric is back`, async () => incident.back(await value()), { timeout: 60_000, every: 200 });
  row.metric += ` → ${shown(await value())}`;
  await cluster.ready();
  row.resolved = async (timeout) => {
    await until(`${alert} has resolved`, reached(['inactive']), { timeout, every: 500 });
    return `after ${seconds(performance.now() - mended)} s`;
  };
  if (!incident.resolves) row.resolved = await row.resolved(30_000);
  if (incident.resolves === 'tested') row.resolved = 'its window: promtool';
  return row;
}

function print(rows, took, events, page) {
  for (const r of rows) {
    console.log(`\n${r.incident}: ${r.alert} active after ${r.active} s, firing after ${r.firing} s, resolved ${r.resolved}`);
    console.log(`  metric   ${r.metric}\n  runbook  ${r.runbook}\n  page     ${r.page}`);
    if (r.others) console.log(`  besides  ${r.others}`);
  }
  console.log(`\n| incident | metric before → during → after | alert | active, s | firing, s | resolved | runbook's commands print |`);
  console.log('|---|---|---|---|---|---|---|');
  for (const r of rows) {
    console.log(`| ${[r.incident, r.metric, r.alert, r.active, r.firing, r.resolved, `\`${r.runbook.length > 100 ? `…${r.runbook.slice(-99)}` : r.runbook}\``].join(' | ')} |`);
  }
  console.log(`\n${rows.length} incidents in ${seconds(took)} s; ${events} events reached the client meanwhile, each once, in order`);
  if (!page) console.log('there is no /dashboard in this build: what it shows was not looked at');
}

async function main(wanted) {
  const began = performance.now();
  const cluster = new Watched({ nodes: 3, proxy: false, durable: true, env: ENV });
  let page;
  try {
    await cluster.start();
    const prometheus = await Prometheus.start(cluster.processes, cluster.nodes.map((n) => n.url.slice('http://'.length)), KEY);
    page = await openPage(cluster.nodes[0].url, KEY);
    const env = {
      PATH: `${dirname(GATEWAY)}:${process.env.PATH}`, HOME: process.env.HOME, ADMIN_API_KEY: KEY, JWT_SECRET_KEY: SECRET,
      NODES: cluster.nodes.map((n) => n.url).join(' '), REDIS_URL: `redis://127.0.0.1:${cluster.redisPort}`,
    };
    const flow = new Flow(cluster);
    await flow.start();
    // A rate needs two samples, an increase a counter that was there before it grew.
    await until('there is a past', async () => (await prometheus.value('min(count_over_time(up[20s]))')) > 5, { timeout: 30_000, every: 200 });
    for (const alert of sections().keys()) if (alert) await look(alert, env);
    console.log(`${seconds(performance.now() - began)} s: the runbook's commands work on a healthy cluster`);
    const rows = [];
    const failures = [];
    for (const incident of incidents.filter((i) => !wanted.length || wanted.some((w) => i.name.includes(w)))) {
      const row = await play(incident, { cluster, prometheus, page, env }).catch((err) => failures.push(err));
      if (row.incident) rows.push(row);
      console.log(`${seconds(performance.now() - began)} s: ${incident.name} ${row.incident ? 'is over' : `failed: ${failures.at(-1).message}`}`);
    }
    for (const row of rows) if (typeof row.resolved === 'function') row.resolved = await row.resolved(320_000);
    const events = await flow.stop();
    cluster.processes.check();
    print(rows, performance.now() - began, events, page);
    if (failures.length) throw new AggregateError(failures, failures.map((f) => f.message).join('\n'));
  } catch (err) {
    console.error(cluster.processes.tails());
    throw err;
  } finally {
    await page?.close();
    await cluster.stop();
  }
}

await main(process.argv.slice(2));
