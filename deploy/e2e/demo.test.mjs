// The first minute with the project: `gateway dev`, the real page, a real browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { GATEWAY, getJSON } from './lib/cluster.mjs';
import { Processes, freePort } from './lib/processes.mjs';
import { until, within } from './lib/wait.mjs';

const ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** The page, as a person sees it: by its test ids. */
class Demo {
  problems = [];

  constructor(page, url) {
    this.page = page;
    this.url = url;
    page.setDefaultTimeout(15_000);
    page.on('pageerror', (err) => this.problems.push(String(err)));
    page.on('console', (m) => m.type() === 'error' && this.problems.push(m.text()));
    page.on('request', (r) => new URL(r.url()).origin !== url && this.problems.push(`asks ${r.url()}`));
  }

  at(id) {
    return this.page.getByTestId(id);
  }

  async open(role, user) {
    await this.page.goto(`${this.url}/demo`);
    await this.at('role-select').selectOption(role);
    await this.at('user-input').fill(user);
    await this.at('connect').click();
    await this.shows('status', 'connected');
    return this;
  }

  async subscribe(solicitud) {
    await this.at('solicitud-input').fill(solicitud);
    await this.at('subscribe').click();
    await this.page.locator(`[data-testid="room"][data-room="solicitud_${solicitud}"]`).waitFor();
  }

  async publish(event, data) {
    await this.at('event-select').selectOption(event);
    await this.at('data-input').fill(JSON.stringify(data));
    await this.at('publish').click();
    await this.at('publish-result').filter({ hasText: event }).waitFor();
  }

  /** How many listed events of this name show this text. */
  events(event, text) {
    return this.page.locator(`[data-testid="events"] [data-event="${event}"]`).filter({ hasText: text }).count();
  }

  async sees(event, text) {
    await until(`the page lists ${event} with ${text}`, async () => (await this.events(event, text)) === 1);
  }

  async shows(id, text) {
    await until(`${id} shows ${text}`, async () => (await this.at(id).textContent())?.trim() === text)
      .catch(async (err) => {
        throw new Error(`${err.message}; it shows ${await this.at(id).textContent()}`);
      });
  }
}

/** Runs `body` with `gateway dev` and a browser. */
async function withDemo(args, body) {
  const processes = new Processes();
  let browser;
  try {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const dev = processes.start('dev', GATEWAY, ['dev', '--port', String(port), ...args]);
    const ready = await within(30_000, 'gateway dev is ready', async () => (await fetch(`${url}/health/ready`)).status === 200);
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ARGS });
    const demos = [];
    const open = async (role, user) => {
      const context = await browser.newContext();
      const demo = new Demo(await context.newPage(), url);
      demos.push(demo);
      return demo.open(role, user);
    };
    await body({ open, url, dev, ready });
    demos.forEach((d) => assert.deepEqual(d.problems, [], 'the page has no errors and asks nothing of others'));
    const end = await dev.kill('SIGTERM', 20_000);
    assert.deepEqual([end.code, end.signal], [0, null]);
    processes.check();
  } catch (err) {
    console.error(processes.tails());
    throw err;
  } finally {
    await browser?.close();
    await processes.stop();
  }
}

test('connect as client, publish solicitud_created, see it', { timeout: 120_000 }, async (t) => {
  await withDemo([], async ({ open, dev, url, ready }) => {
    t.diagnostic(`ready after ${ready} ms`);
    const client = await open('client', 'carla');
    await client.publish('solicitud_created', { solicitud_id: 'e2e-1', client_id: 'carla', nota: 'señal-única-1' });
    await client.sees('solicitud_created', 'señal-única-1');

    // Once the event granted it, the solicitud's room is open to the client.
    await client.subscribe('e2e-1');
    await client.publish('oferta_submitted', { solicitud_id: 'e2e-1', advisor_id: 'a9', monto: 1234567, nota: 'señal-2' });
    await client.sees('oferta_submitted', 'señal-2');
    assert.equal(await client.events('solicitud_created', 'señal-única-1'), 1);

    const advisor = await open('advisor', 'berta');
    await advisor.publish('solicitud_created', { solicitud_id: 'e2e-2', client_id: 'nobody', nota: 'señal-3' });
    await advisor.sees('solicitud_created', 'señal-3');
    assert.equal(await client.events('solicitud_created', 'señal-3'), 0, 'nobody reads what is not theirs');
    for (const page of [client, advisor]) {
      await page.shows('stats-connected_users', '2');
      await page.shows('stats-clients_connected', '1');
      await page.shows('stats-advisors_connected', '1');
    }
    await advisor.at('disconnect').click();
    await advisor.shows('status', 'disconnected');
    await client.shows('stats-connected_users', '1');

    assert.match(dev.text(), new RegExp(`${url.replace('127.0.0.1', '(127\\.0\\.0\\.1|localhost)')}/demo`), 'the URL is printed');
    assert.match(dev.text(), /eyJ[\w-]+\.[\w-]+\.[\w-]+/, 'tokens are printed');
  });
});

test('the same on three nodes in one process', { timeout: 120_000 }, async () => {
  await withDemo(['--nodes', '3'], async ({ open, url }) => {
    const pages = [];
    for (const [role, user] of [['client', 'carla'], ['advisor', 'berta'], ['admin', 'ana'], ['advisor', 'dora']]) {
      pages.push(await open(role, user));
    }
    const [client, advisor, admin] = pages;
    await admin.shows('stats-connected_users', '4');
    assert.equal((await getJSON(`${url}/stats`)).body.nodes.length, 3);
    const nodes = new Set(await Promise.all(pages.map((p) => p.at('node').textContent())));
    assert.ok(nodes.size > 1, 'the pages are spread over nodes');

    await advisor.subscribe('e2e-7');
    await client.publish('solicitud_created', { solicitud_id: 'e2e-7', client_id: 'carla', nota: 'señal-7' });
    for (const page of pages) await page.sees('solicitud_created', 'señal-7');
    await admin.publish('evaluacion_created', { solicitud_id: 'e2e-7', nota: 'señal-8' });
    for (const page of [advisor, admin]) await page.sees('evaluacion_created', 'señal-8');
    assert.equal(await client.events('evaluacion_created', 'señal-8'), 0);
  });
});
