// The npm package of deploy/client against real nodes: tokens that expire, gaps, refusals, and what must not be tried again.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { withCluster } from './lib/cluster.mjs';
import { addAll, entryOf } from './lib/stream.mjs';
import { sign, token } from './lib/tokens.mjs';
import { stays, until } from './lib/wait.mjs';

const built = new URL('../client/dist/index.js', import.meta.url);
// The example page, built, as a browser sees it: at the gateway's own origin, so that nothing but its files is made up.
const page = new URL('../client/example/dist/', import.meta.url);
if (!existsSync(built) || !existsSync(page)) throw new Error('deploy/client is not built: run make client');
const { connect } = await import(built);

const LEEWAY = 30; // seconds for which a node takes an expired token

const now = () => Math.floor(Date.now() / 1000);

const claims = { solicitudes: ['s1'] };

/** A token that expires, leeway included, `seconds` from now. */
const endingIn = (seconds, user, more) => token(user, 'client', { exp: now() - LEEWAY + seconds, iat: now() - 600, ...claims, ...more });

const oferta = (n, solicitud = 's1') => ({
  name: 'oferta_submitted', data: `{"n":${n},"solicitud_id":"${solicitud}","advisor_id":"someone","price":1}`,
});

const write = (cluster, events) => addAll(cluster.redis, events.map((e) => entryOf(e)));

const FAST = { min: 100, max: 1000 };

/** A page: a client of a node, and all that it was told. */
class Page {
  states = [];

  reasons = [];

  received = [];

  resyncs = [];

  disconnects = [];

  constructor(node, { getToken, ...options }) {
    this.client = connect(node.url, {
      backoff: FAST,
      socket: { transports: ['websocket'] },
      getToken: (reason) => {
        this.reasons.push(reason);
        return getToken(reason, this.reasons.length);
      },
      onState: (state) => this.states.push(state),
      onResync: () => this.resyncs.push(this.received.length),
      ...options,
    });
    this.client.on('oferta_submitted', ({ n }) => this.received.push(n));
    this.client.socket.on('disconnect', (reason) => this.disconnects.push(reason));
  }

  get status() {
    return this.client.state.status;
  }

  count(reason) {
    return this.reasons.filter((r) => r === reason).length;
  }

  connected() {
    return until('connected', () => this.status === 'connected');
  }
}

/** Breaks a page's connection as a network does. */
const cut = (page) => page.client.socket.io.engine.transport.ws.terminate?.() ?? page.client.socket.io.engine.close();

/** Runs `body` with a cluster and a way to open pages, which are closed at the end: their timers would outlive the test. */
async function withPages(options, body) {
  const pages = [];
  await withCluster(options, (cluster) => body(cluster, (page, on = cluster.nodes[0]) => {
    pages.push(new Page(on, page));
    return pages.at(-1);
  })).finally(() => pages.forEach((page) => page.client.close()));
}

describe('the client package', { concurrency: 3 }, () => {
  test('tokens are renewed over their expiry, and no event is missed or repeated', { timeout: 120_000 }, async () => {
    await withPages({ nodes: 2, proxy: false }, async (cluster, open) => {
      const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      // One token that expires; many; and one that cannot be renewed, so that the connection ends with it.
      const once = open({
        socket: { transports: ['polling', 'websocket'] },
        getToken: async (reason) => {
          if (reason === 'connect') return endingIn(4, 'u1');
          await pause(1500);
          return token('u1', 'client', claims);
        },
      });
      const often = open({ socket: { transports: ['polling'] }, getToken: (reason, n) => endingIn(4, 'u2', { iat: now() - 600 + n }) });
      const late = open({
        getToken: (reason, n) => {
          if (reason === 'expiring') throw new Error('the identity provider is away');
          return n === 1 ? endingIn(4, 'u3') : token('u3', 'client', claims);
        },
      });
      // One whose role the new token changes.
      const moved = open({ getToken: (reason) => (reason === 'connect' ? endingIn(4, 'u4') : token('u4', 'advisor', claims)) });
      const pages = [once, often, late, moved];
      await Promise.all(pages.map((page) => page.connected()));
      for (const answer of await Promise.all(pages.map((page) => page.client.subscribe('s1')))) {
        assert.deepEqual(answer, { ok: true, room: 'solicitud_s1' });
      }
      const began = Date.now();
      let n = 0;
      while (Date.now() - began < 9000) {
        await write(cluster, [0, 1, 2, 3].map(() => oferta(n++)));
        await pause(25);
      }
      await until('all have all', () => pages.every((page) => page.received.length >= n), { timeout: 20_000 });
      const all = Array.from({ length: n }, (_, i) => i);
      for (const page of pages) {
        assert.deepEqual(page.received, all);
        assert.deepEqual(page.resyncs, []);
      }
      for (const page of [once, often]) {
        assert.deepEqual(page.disconnects, []);
        assert.deepEqual(page.states.map((s) => s.status), ['connecting', 'connected']);
      }
      assert.deepEqual(moved.states.map((s) => s.greeting?.role ?? s.status), ['connecting', 'client', 'advisor']);
      assert.ok(moved.client.state.greeting.rooms.includes('advisor'), String(moved.client.state.greeting.rooms));
      assert.deepEqual(moved.disconnects, []);
      assert.deepEqual(once.reasons, ['connect', 'expiring']);
      assert.ok(often.count('expiring') >= 3 && often.count('expiring') <= 12, `renewed about once a second: ${often.count('expiring')}`);
      assert.deepEqual(late.disconnects, ['transport close']);
      assert.equal(late.client.state.greeting.recovered, true);
      assert.equal(late.count('connect'), 2);
    });
  });

  test('after a gap the page is told, once its subscriptions are back; after a recovery it is not', { timeout: 60_000 }, async () => {
    await withPages({ nodes: 1, env: { RECOVERY_WINDOW: '1s' } }, async (cluster, open) => {
      const good = (user) => ({ getToken: () => token(user, 'client', claims) });
      const away = open({ ...good('u1'), backoff: { min: 4000, max: 8000 } }); // 2 s at least
      const soon = open(good('u2'));
      await Promise.all([away, soon].map((page) => page.client.subscribe('s1')));
      await write(cluster, [oferta(0)]);
      await until('both have it', () => away.received.length === 1 && soon.received.length === 1);
      [away, soon].forEach(cut);
      await until('noticed', () => away.status === 'waiting');
      assert.equal(away.client.state.reason, 'connection_lost');
      await write(cluster, [oferta(1)]);
      await until('told', () => away.resyncs.length === 1, { timeout: 20_000 });
      await write(cluster, [oferta(2)]); // for the room that it is in again
      await until('both are there', () => away.received.length === 2 && soon.received.length === 3);
      assert.deepEqual(away.received, [0, 2]);
      assert.deepEqual(soon.received, [0, 1, 2]);
      assert.deepEqual([away.resyncs, soon.resyncs], [[1], []]);
      assert.equal(away.client.state.greeting.recovered, false);
    });
  });

  test('a revoked token, an unknown role and tokens that are no good end the client; a page that closes does, too', { timeout: 60_000 }, async () => {
    await withPages({ nodes: 1 }, async (cluster, open) => {
      const revoked = open({ getToken: () => token('u1', 'client', { jti: 't1' }) });
      const root = open({ getToken: () => token('u2', 'root') });
      const expired = open({ getToken: () => token('u3', 'client', { exp: 1000 }) });
      const forged = open({ getToken: () => sign({ sub: 'u4', role: 'client', exp: now() + 60 }, { secret: 'x'.repeat(40) }) });
      const closed = open({ getToken: () => token('u5', 'client') });
      await Promise.all([revoked, closed].map((page) => page.connected()));
      await cluster.redis.sendCommand(['ZADD', '{teloo}:revoked', String(Date.now() + 3_600_000), 'jti:t1']);
      await cluster.redis.sendCommand(['INCR', '{teloo}:revoked:version']);
      cut(closed);
      await until('noticed', () => closed.status === 'waiting');
      void closed.client.subscribe('s1'); // which nobody waits for
      closed.client.close();
      const ended = [[revoked, 'token_revoked', 1], [root, 'role_unknown', 1], [expired, 'token_expired', 5], [forged, 'token_invalid', 5], [closed, 'closed', 1]];
      for (const [page, reason, tokens] of ended) {
        await until(reason, () => page.status === 'ended', { timeout: 20_000 });
        assert.equal(page.client.state.reason, reason);
        assert.equal(page.reasons.length, tokens, reason);
      }
      assert.deepEqual(expired.reasons, ['connect', 'refused', 'refused', 'refused', 'refused']);
      await assert.rejects(root.client.subscribe('s1'), /ended: role_unknown/);
      await stays(1500, 'nobody tries again', () => ended.every(([page, , tokens]) => page.status === 'ended' && page.reasons.length === tokens));
    });
  });

  test('a grant that ended while the page was away is told of, and the room is not wanted any more', { timeout: 60_000 }, async () => {
    await withPages({ nodes: 1 }, async (cluster, open) => {
      const faults = [];
      await cluster.redis.sendCommand(['ZADD', '{teloo}:grants:s1', String(Date.now() + 3_600_000), 'u1']);
      const page = open({ getToken: () => token('u1', 'client'), onError: (fault) => faults.push(fault.message) });
      assert.equal((await page.client.subscribe('s1')).ok, true);
      await cluster.redis.sendCommand(['ZREM', '{teloo}:grants:s1', 'u1']);
      cut(page);
      await until('back', () => page.states.filter((s) => s.status === 'connected').length === 2);
      assert.equal(page.client.state.greeting.recovered, true);
      await until('told', () => faults.length > 0);
      assert.deepEqual(faults, ['subscribe_solicitud s1: forbidden']);
      // One after the other, as they were asked for.
      const answers = await Promise.all([page.client.unsubscribe('s1'), page.client.subscribe('s1'), page.client.unsubscribe('s1')]);
      assert.deepEqual(answers.map((a) => a.ok), [true, false, true]);
    });
  });

  test('an address that asks too often waits for as long as the gateway says', { timeout: 60_000 }, async () => {
    await withPages({ nodes: 1, env: { HANDSHAKE_RATE: '1', HANDSHAKE_BURST: '1' } }, async (cluster, open) => {
      const polling = (user) => ({ getToken: () => token(user, 'client'), socket: { transports: ['polling'] } });
      const pages = [open(polling('u1')), open(polling('u2'))];
      await until('both are connected', () => pages.every((page) => page.status === 'connected'));
      const waits = pages.flatMap((page) => page.states.filter((s) => s.status === 'waiting'));
      assert.ok(waits.length > 0);
      for (const { reason, retryIn } of waits) assert.ok(reason === 'rate_limited' && retryIn >= 1000 && retryIn < 5000, `${reason} ${retryIn}`);
    });
  });

  test('a full node, one that is not there and a getToken that fails are tried again', { timeout: 60_000 }, async () => {
    await withPages({ nodes: 1, env: { WS_MAX_CONNECTIONS: '1' } }, async (cluster, open) => {
      const [node] = cluster.nodes;
      const faults = [];
      const first = open({
        getToken: (reason, n) => (n < 3 ? Promise.reject(new Error('away')) : token('u1', 'client')), onError: (fault) => faults.push(fault.message),
      });
      await first.connected();
      assert.deepEqual(faults, ['away', 'away']);
      assert.deepEqual(first.states.map((s) => s.reason ?? s.status).slice(0, 2), ['connecting', 'token_unavailable']);
      const second = open({ getToken: () => token('u2', 'client') });
      await until('refused', () => second.status === 'waiting');
      const { reason, retryIn } = second.client.state;
      assert.equal(reason, 'server_full');
      assert.ok(retryIn >= 5000, `${retryIn} ms`);
      const subscribed = second.client.subscribe('s1'); // answered once there is a connection
      await node.process.kill('SIGKILL');
      cluster.startNode(node);
      await until('unreachable', () => first.states.some((s) => s.reason === 'connection_lost'));
      await until('back', () => first.status === 'connected', { timeout: 30_000 });
      first.client.close();
      await until('its turn', () => second.status === 'connected', { timeout: 30_000 });
      assert.equal((await subscribed).error.code, 'forbidden');
    });
  });
});

/** Shows a build of the example in a browser; `body` gets its tab, what went wrong in it, and how many tokens it asked for. */
async function withExample(node, build, body) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const tab = await browser.newPage();
    const problems = [];
    let tokens = 0;
    tab.on('pageerror', (err) => problems.push(String(err)));
    await tab.route(`${node.url}/example/**`, (route) => {
      const file = new URL(route.request().url()).pathname.replace('/example/', '') || 'index.html';
      return route.fulfill({ path: fileURLToPath(new URL(build + file, page)) });
    });
    await tab.route(`${node.url}/demo/token`, (route) => {
      tokens += 1;
      return route.fulfill({ json: { token: token('example', 'admin') } });
    });
    await tab.goto(`${node.url}/example/`);
    await tab.getByRole('status').filter({ hasText: `connected to ${node.name} as admin` }).waitFor();
    await body(tab, problems, () => tokens);
  } finally {
    await browser.close();
  }
}

test('a page that React mounts twice, as StrictMode does in development, has one connection and asked for one token', { timeout: 60_000 }, async () => {
  const ADMIN_API_KEY = 'a-key-of-the-tests-0123456789abcdef';
  await withCluster({ nodes: 1, env: { ADMIN_API_KEY } }, async (cluster) => {
    const [node] = cluster.nodes;
    await withExample(node, 'development/', async (tab, problems, tokens) => {
      await write(cluster, [oferta(1)]);
      const row = tab.locator('[data-event="oferta_submitted"]');
      await row.waitFor();
      assert.equal(await row.textContent(), 'oferta_submitted1{"n":1,"solicitud_id":"s1","advisor_id":"someone","price":1}');
      assert.deepEqual(problems, []);
      assert.equal(tokens(), 1);
      const metrics = await fetch(`${node.url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_API_KEY}` } });
      const opened = /^teloo_sessions_opened_total (\d+)$/m.exec(await metrics.text());
      assert.equal(opened?.[1], '1');
    });
  });
});

test('the React example lists events by name, and says when some were missed', { timeout: 60_000 }, async () => {
  await withCluster({ nodes: 1, env: { RECOVERY_WINDOW: '2s' } }, async (cluster) => {
    const [node] = cluster.nodes;
    await withExample(node, '', async (tab, problems) => {
      await tab.getByRole('textbox').fill('s1');
      await tab.getByRole('button', { name: 'Subscribe' }).click();
      await tab.getByText('in solicitud_s1').waitFor();
      await write(cluster, [oferta(1), oferta(2), { name: 'evaluacion_created', data: '{"solicitud_id":"s1","stars":5}' }]);
      const row = (name, count) => tab.locator(`[data-event="${name}"]`).filter({ hasText: `${name}${count}` });
      await row('oferta_submitted', 2).waitFor();
      await row('evaluacion_created', 1).waitFor();
      assert.equal(await tab.getByRole('alert').count(), 0);
      await cluster.redis.sendCommand(['FLUSHALL']);
      await tab.getByRole('alert').filter({ hasText: 'Some events were missed' }).waitFor({ timeout: 30_000 });
      await tab.getByRole('button', { name: 'Load again' }).click();
      await tab.getByRole('alert').waitFor({ state: 'detached' });
      assert.deepEqual(problems, []);
    });
  });
});
