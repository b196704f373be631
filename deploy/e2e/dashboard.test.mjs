// The operators' page, in a browser, on a cluster to which things happen.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { connectAll } from './lib/clients.mjs';
import { withCluster } from './lib/cluster.mjs';
import { until } from './lib/wait.mjs';

const KEY = 'end-to-end-admin-key-of-32-bytes-or-more';
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** The page, as a person sees it. */
class Dashboard {
  problems = [];

  constructor(page, url) {
    this.page = page;
    this.url = url;
    page.setDefaultTimeout(15_000);
    page.on('pageerror', (err) => this.problems.push(String(err)));
    // A gateway that is away is no fault of the page.
    page.on('console', (m) => m.type() === 'error' && !/ERR_|WebSocket/.test(m.text()) && this.problems.push(m.text()));
    page.on('request', (r) => {
      if (!r.url().replace('ws:', 'http:').startsWith(`${url}/dashboard`)) this.problems.push(`asks ${r.url()}`);
      if (r.url().includes(KEY)) this.problems.push('the key is in a URL');
    });
  }

  at(id) {
    return this.page.getByTestId(id);
  }

  async open() {
    await this.page.goto(`${this.url}/dashboard`);
    return this;
  }

  async signIn(key = KEY) {
    await this.at('key').fill(key);
    await this.page.keyboard.press('Enter');
    return this;
  }

  tile(name) {
    return this.page.locator(`[data-tile="${name}"] .value`).textContent({ timeout: 100 });
  }

  async tileIs(name, ok) {
    await until(`the tile ${name}`, async () => ok(await this.tile(name)), { timeout: 30_000 })
      .catch(async (err) => { throw new Error(`${err.message}; it shows ${await this.tile(name)}`); });
  }

  async node(name, state) {
    await this.page.locator(`tr[data-node="${name}"][data-state="${state}"]`).waitFor({ timeout: 20_000 });
  }

  async says(text) {
    await this.at('state').filter({ hasText: text }).waitFor({ timeout: 20_000 });
  }

  async link(state) {
    await this.page.locator(`[data-testid="link"][data-state="${state}"]`).waitFor({ timeout: 20_000 });
  }

  /** axe's rules, in the page's own policy. */
  async accessible(what) {
    await this.page.evaluate(AXE);
    const found = await this.page.evaluate(async () => {
      const { violations, passes } = await globalThis.axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
      });
      if (passes.length < 15) throw new Error(`axe looked at ${passes.length} things only`);
      return violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`);
    });
    assert.deepEqual(found, [], what);
  }

  async fits(what) {
    const [wide, screen] = await this.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= screen, `${what}: ${wide} px on ${screen}`);
  }
}

/** Runs `body` with a cluster and a browser. */
async function withDashboard(options, body) {
  await withCluster({ proxy: false, env: { ADMIN_API_KEY: KEY, DRAIN_WINDOW: '1s' }, ...options }, async (cluster) => {
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ARGS });
    const pages = [];
    try {
      const page = async (context = {}, url = cluster.nodes[0].url) => {
        const made = new Dashboard(await (await browser.newContext(context)).newPage(), url);
        pages.push(made);
        return made.open();
      };
      await body({ cluster, page });
      pages.forEach((p) => assert.deepEqual(p.problems, [], 'the page has no errors and asks nothing of others'));
    } finally {
      await browser.close();
    }
  });
}

const PHONE = { viewport: { width: 360, height: 780 }, isMobile: true, hasTouch: true };

test('who has the key comes in, by keyboard alone', { timeout: 120_000 }, async () => {
  await withDashboard({ nodes: 1 }, async ({ page }) => {
    const p = await page({ colorScheme: 'light' });
    await p.at('login').waitFor();
    await p.accessible('the form');
    await p.signIn('wrong-key-wrong-key-wrong-key-wrong');
    await p.at('login-error').filter({ hasText: 'not the key' }).waitFor();
    assert.equal(await p.at('page').isVisible(), false);
    assert.equal(await p.page.evaluate(() => sessionStorage.length), 0);

    // The field has the focus again, with what is wrong selected.
    await p.page.keyboard.type(KEY);
    await p.page.keyboard.press('Enter');
    await p.link('live');
    await p.says('All is well, and quiet');
    assert.equal(await p.at('login').isVisible(), false);
    assert.deepEqual(await p.page.evaluate(() => [localStorage.length, location.href.includes('key')]), [0, false]);

    // It is asked for once in a tab.
    await p.page.reload();
    await p.link('live');
    await p.at('sign-out').click();
    await p.at('login').waitFor();
    assert.equal(await p.page.evaluate(() => sessionStorage.length), 0);
    await p.page.reload();
    await p.at('login').waitFor();
  });
});

test('the figures live', { timeout: 180_000 }, async () => {
  await withDashboard({ nodes: 2 }, async ({ cluster, page }) => {
    const [one, two] = cluster.nodes;
    const p = await (await page({ colorScheme: 'light' })).signIn();
    await p.node('gw1', 'ready');
    await p.node('gw2', 'ready');
    await p.tileIs('connections', (n) => n === '0');

    const clients = [
      cluster.client({ on: one, user: 'c1', role: 'client' }), cluster.client({ on: two, user: 'c1', role: 'client' }),
      cluster.client({ on: two, user: 'a1', role: 'advisor' }),
    ];
    await connectAll(clients);
    await p.tileIs('connections', (n) => n === '3');
    await p.page.locator('[data-tile="connections"]', { hasText: 'of 2 users' }).waitFor();
    await p.page.locator('tr[data-node="gw2"]', { hasText: '1 client, 1 advisor' }).waitFor();

    const bad = cluster.client({ on: two, user: 'x', role: 'nobody' });
    await bad.connect().catch(() => {});
    bad.close();
    await p.page.locator('tr[data-reason="connect.role_unknown"]').waitFor();

    let n = 0;
    await until('events are counted', async () => {
      await cluster.redis.xAdd('{teloo}:events', '*', {
        event: 'oferta_created', data: JSON.stringify({ solicitud_id: `s${n += 1}`, client_id: 'c1' }),
      });
      return Number(await p.tile('events')) > 0 && /ms|s/.test(await p.tile('latency'));
    }, { timeout: 30_000, every: 100 });
    await p.at('chart-events').locator('figcaption', { hasText: 'events per second now' }).waitFor();
    assert.match(await p.at('chart-connections').locator('figcaption').textContent(), /^3 connections now/);
    assert.equal(await p.page.locator('.chart canvas').count(), 3);

    // The other node's page sees the same, and the past of both.
    const other = await (await page({}, two.url)).signIn();
    await other.node('gw1', 'ready');
    await other.tileIs('connections', (value) => value === '3');

    // A rolling restart, and who came back.
    await two.process.kill('SIGTERM', 20_000);
    await p.says('gw2 left in order');
    cluster.startNode(two);
    await p.node('gw2', 'ready');
    await until('clients are back', () => clients.every((c) => c.connected), { timeout: 30_000 });
    await p.tileIs('recovered', (share) => share === '100 %');
    await p.at('deploy').filter({ hasText: 'started' }).waitFor();
    assert.equal(await p.at('share').textContent(), '100 %');
    await p.accessible('all is well');
  });
});

test('what goes wrong is said, and what to do', { timeout: 240_000 }, async () => {
  await withDashboard({ nodes: 3, durable: true }, async ({ cluster, page }) => {
    const [one, two] = cluster.nodes;
    const dark = await (await page({ colorScheme: 'dark' })).signIn();
    const phone = await (await page({ ...PHONE, colorScheme: 'light' })).signIn();
    await dark.node('gw2', 'ready');
    await phone.node('gw2', 'ready');
    const ground = (p) => p.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.notEqual(await ground(dark), await ground(phone));
    await phone.fits('all is well');

    // A frozen node does not answer, a killed one is lost.
    two.process.child.kill('SIGSTOP');
    await dark.page.locator('tr[data-node="gw2"]:not([data-state="ready"])').waitFor({ timeout: 20_000 });
    two.process.child.kill('SIGCONT');
    await dark.node('gw2', 'ready');
    await two.process.kill('SIGKILL', 10_000);
    await dark.node('gw2', 'lost');
    await dark.says('gw2 was lost');
    await dark.accessible('a node lost, in the dark');

    // A dead letter, looked into by keyboard, replayed and dropped.
    const data = '{"pedido_id":"P-9","client_id":12345678901234567890}';
    await cluster.redis.xAdd('{teloo}:events', '*', { event: 'pedido_created', data, event_id: 'ped-1' });
    await dark.tileIs('dead-letters', (n) => n === '1');
    await dark.says('could not be relayed');
    const look = dark.page.getByRole('button', { name: /Look inside pedido_created/ });
    await look.focus();
    await dark.page.keyboard.press('Enter');
    const letter = dark.at('letter');
    await letter.waitFor();
    for (const text of ['An event name that nobody agreed on', '12345678901234567890', 'ped-1', 'unknown_event']) {
      await letter.filter({ hasText: text }).waitFor();
    }
    await dark.accessible('a dead letter, in the dark');
    await dark.page.keyboard.press('Escape');
    await letter.waitFor({ state: 'hidden' });
    assert.ok(await look.evaluate((button) => button === document.activeElement), 'the focus is where it was');

    await phone.page.getByRole('button', { name: /Look inside pedido_created/ }).click();
    await phone.at('letter').waitFor();
    await phone.fits('a dead letter');
    await phone.accessible('a dead letter, on a phone');
    await phone.at('letter-replay').click();
    await phone.at('letter-result').filter({ hasText: 'Replayed' }).waitFor();
    await phone.at('letter-close').click();
    await until('it died again', async () => (await cluster.redis.xLen('{teloo}:dead')) === 1);
    await phone.page.getByRole('button', { name: /Look inside pedido_created/ }).click();
    await phone.at('letter-drop').click();
    assert.equal(await cluster.redis.xLen('{teloo}:dead'), 1, 'it is asked twice');
    await phone.at('letter-drop').click();
    await phone.at('letter-result').filter({ hasText: 'Dropped' }).waitFor();
    await phone.at('letter-close').click();
    assert.equal(await cluster.redis.xLen('{teloo}:dead'), 0);
    await dark.tileIs('dead-letters', (n) => n === '0');
    await phone.fits('an incident');
    await phone.accessible('an incident, on a phone');

    // Redis goes and comes.
    await cluster.redisProcess.kill('SIGKILL', 10_000);
    await dark.says('Redis does not answer');
    await dark.node('gw3', 'unknown');
    await cluster.startRedis();
    await dark.node('gw3', 'ready');
    await until('Redis is back', async () => !(await dark.at('state').textContent()).includes('Redis'));

    // So does the gateway itself.
    await one.process.kill('SIGKILL', 10_000);
    await dark.link('lost');
    await dark.at('banner').filter({ hasText: 'gw1 cannot be reached' }).waitFor();
    await dark.accessible('the gateway is away');
    cluster.startNode(one);
    await dark.link('live');
    await dark.at('banner').waitFor({ state: 'hidden' });
  });
});

test('a walk by keyboard', { timeout: 120_000 }, async () => {
  await withDashboard({ nodes: 1 }, async ({ cluster, page }) => {
    await cluster.redis.xAdd('{teloo}:events', '*', { event: 'nothing_known', data: '{}' });
    const p = await (await page()).signIn();
    await p.tileIs('dead-letters', (n) => n === '1');
    await p.page.getByRole('button', { name: /Look inside/ }).waitFor();
    await p.page.locator('.skip').focus();
    const walk = [];
    for (let i = 0; i < 12; i++) {
      if (i > 0) await p.page.keyboard.press('Tab');
      const step = await p.page.evaluate(() => {
        const at = document.activeElement;
        const style = getComputedStyle(at);
        return { text: at.textContent.trim(), seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 };
      });
      if (step.text.length > 60) break; // the whole document: the walk has come round
      walk.push(step.text);
      assert.ok(step.seen, `the focus is seen on ${step.text}`);
    }
    const expected = ['Skip to the figures', 'Sign out', 'Look inside', 'Refresh', 'Look inside', 'Licences of the bundled libraries'];
    assert.deepEqual(walk, expected);
  });
});
