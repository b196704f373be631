// A Prometheus server with the rules of deploy/monitoring as they stand in the file.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../lib/processes.mjs';
import { until } from '../lib/wait.mjs';

const RULES = fileURLToPath(new URL('../../monitoring/alerts.yml', import.meta.url));

export class Prometheus {
  /** Starts a server that looks at each target, host:port, once a second. */
  static async start(processes, targets, key) {
    const server = new Prometheus();
    const port = await freePort();
    const config = processes.file('prometheus.yml', JSON.stringify({
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: [RULES],
      scrape_configs: [{ job_name: 'gateway', authorization: { credentials: key }, static_configs: [{ targets }] }],
    }));
    const data = join(processes.dir, 'prometheus');
    mkdirSync(data);
    processes.start('prometheus', 'prometheus', [
      `--config.file=${config}`, `--storage.tsdb.path=${data}`, `--web.listen-address=127.0.0.1:${port}`,
    ]);
    server.url = `http://127.0.0.1:${port}/api/v1`;
    await until('all nodes are scraped', async () => await server.value('sum(up)') === targets.length, { timeout: 30_000, every: 200 });
    return server;
  }

  async get(path) {
    const res = await fetch(`${this.url}${path}`, { signal: AbortSignal.timeout(5000) });
    const { status, data, error } = await res.json();
    if (status !== 'success') throw new Error(error);
    return data;
  }

  /** The value of an expression with one series; undefined where there is none. */
  async value(expr) {
    const { result } = await this.get(`/query?query=${encodeURIComponent(expr)}`);
    return result.length ? Number(result[0].value[1]) : undefined;
  }

  /** The most advanced state of an alert: 'firing', 'pending' or 'inactive'. */
  async state(alert) {
    const { alerts } = await this.get('/alerts');
    const states = alerts.filter((a) => a.labels.alertname === alert).map((a) => a.state);
    return ['firing', 'pending'].find((s) => states.includes(s)) ?? 'inactive';
  }

  /** The names of all alerts that are pending or firing. */
  async active() {
    const { alerts } = await this.get('/alerts');
    return [...new Set(alerts.map((a) => `${a.labels.alertname} ${a.state}`))].sort();
  }
}

/** The rule's `for:` in ms, as the file says. */
export function patience(alert) {
  const rule = readFileSync(RULES, 'utf8').split('- alert: ').find((part) => part.startsWith(`${alert}\n`));
  if (!rule) throw new Error(`${alert} is no rule`);
  const [, n, unit] = /^\s+for: (\d+)([sm])$/m.exec(rule) ?? [0, 0, 's'];
  return Number(n) * (unit === 'm' ? 60_000 : 1000);
}
