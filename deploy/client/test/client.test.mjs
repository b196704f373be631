// The client's timing: tokens that come late or never, pages that throw or close at an odd moment, timers that fire late.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { Client, WAITS } from '../dist/client.js';
import { Gateway, until } from './gateway.mjs';

const FAST = { backoff: { min: 100, max: 200 }, resyncSpread: 0, socket: { transports: ['websocket'] } };

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

describe('the client', { timeout: 60_000 }, () => {
  let gateway;
  let clients;

  const open = (options, waits = {}) => {
    const states = [];
    let client; // the first state is told before there is one
    client = new Client(gateway.url, {
      getToken: () => 'token', ...FAST, ...options,
      onState: (state) => {
        states.push(state.reason ?? state.status);
        options?.onState?.(state, client);
      },
    }, { ...WAITS, ...waits });
    clients.push(client);
    return { client, states, is: (status) => until(status, () => client.state.status === status) };
  };

  beforeEach(async () => {
    clients = [];
    gateway = new Gateway();
    await gateway.start();
  });

  afterEach(async () => {
    mock.restoreAll();
    clients.forEach((client) => client.close());
    delete globalThis.reportError;
    await gateway.stop();
  });

  test('getToken is not called while a call is out: a loss during a renewal uses the answer of that', async () => {
    let out = 0;
    let most = 0;
    let give;
    const reasons = [];
    const { is, client } = open({
      getToken: async (reason) => {
        reasons.push(reason);
        most = Math.max(most, out += 1);
        const token = reasons.length === 1 ? 'first' : await new Promise((resolve) => { give = resolve; });
        out -= 1;
        return token;
      },
    });
    await is('connected');
    gateway.last.emit('token_expiring', { expires_at: Date.now() + 60_000 });
    await until('a renewal has begun', () => out === 1);
    gateway.cut();
    await until('it tries again', () => client.state.status === 'waiting');
    await is('connecting');
    await pause(50);
    give('second');
    await is('connected');
    assert.deepEqual([most, reasons, gateway.connects], [1, ['connect', 'expiring'], ['first', 'second']]);
    assert.deepEqual(gateway.asked, []); // the renewal belongs to the connection that was lost
  });

  test('a getToken that hangs is given up and called again; what it says later is nobody\'s', async () => {
    const late = [];
    const faults = [];
    const { is } = open({
      getToken: () => (late.length < 2 ? new Promise((resolve) => { late.push(resolve); }) : 'good'),
      onError: (fault) => faults.push(fault.message),
    }, { token: 50 });
    await is('connected');
    late.forEach((give) => give('late'));
    assert.deepEqual(faults, ['no answer within 50 ms', 'no answer within 50 ms']);
    assert.deepEqual(gateway.connects, ['good']);
  });

  test('as long as there is no token, the gateway is left alone', async () => {
    let calls = 0;
    const answers = [() => Promise.reject(new Error('away')), () => { throw new Error('at once'); }, () => undefined, () => '', () => 'good'];
    const faults = [];
    const { is, states } = open({ getToken: () => answers[calls++](), onError: (fault) => faults.push(fault.message) });
    await is('connected');
    assert.deepEqual([gateway.handshakes, gateway.connects], [1, ['good']]);
    assert.deepEqual(faults, ['away', 'at once', 'getToken gave no token', 'getToken gave no token']);
    assert.equal(states.filter((s) => s === 'token_unavailable').length, 4);
  });

  test('a client that is closed in the same breath, as by StrictMode, asks for no token and opens nothing', async () => {
    let calls = 0;
    const getToken = () => `${calls += 1}`;
    const { client, states } = open({ getToken });
    client.close();
    const second = open({ getToken });
    await second.is('connected');
    assert.deepEqual([calls, gateway.handshakes, gateway.connects], [1, 1, ['1']]);
    assert.deepEqual(states, ['connecting', 'closed']);
  });

  test('a page that closes in onState has closed, whatever the state', async () => {
    for (const [at, times] of [['connected', 1], ['waiting', 1], ['connecting', 2]]) {
      let seen = 0;
      const before = gateway.handshakes;
      const { client, is } = open({
        onState: ({ status }, own) => {
          if (status === at && (seen += 1) === times) own.close();
        },
      });
      if (at !== 'connected') {
        await is('connected');
        gateway.cut();
      }
      await is('ended');
      await pause(300); // an attempt would be made after 150 ms at most
      assert.equal(client.state.reason, 'closed', at);
      assert.equal(gateway.handshakes - before, 1, at);
      assert.equal(client.socket.connected, false, at);
    }
  });

  test('what the page throws is reported, and stops neither the client nor other handlers nor positions', async () => {
    const reported = [];
    globalThis.reportError = (fault) => reported.push(fault.message);
    const fail = (what) => () => { throw new Error(what); };
    let calls = 0;
    const { client, is } = open({
      onState: fail('onState'), onResync: fail('onResync'), onError: fail('onError'),
      getToken: () => ((calls += 1) === 2 ? fail('token')() : 'token'),
    });
    const got = [];
    client.on('oferta_submitted', fail('handler'));
    client.on('oferta_submitted', (...args) => got.push(args));
    await is('connected');
    gateway.last.emit('oferta_submitted', { n: 1 }, '1-1');
    await until('the other handler', () => got.length === 1);
    gateway.cut();
    await until('a second connection', () => gateway.sockets.length === 2 && reported.includes('onResync'), 5000);
    assert.deepEqual(got, [[{ n: 1 }]]);
    for (const what of ['onState', 'onError', 'onResync', 'handler']) assert.ok(reported.includes(what), `${what}: ${reported}`);
    client.close();
    assert.equal(client.socket.connected, false);
  });

  test('the position of an event whose handler throws is noted, so that it does not come again', async () => {
    globalThis.reportError = () => undefined;
    const { client, is } = open();
    client.on('oferta_submitted', () => { throw new Error('handler'); });
    await is('connected');
    client.socket._pid = 'pid'; // the server here keeps no sessions
    gateway.last.emit('oferta_submitted', {}, '7-7');
    await until('noted', () => client.socket._lastOffset === '7-7');
  });

  test('handlers stop once, each by itself', async () => {
    const { client, is } = open();
    let calls = 0;
    const handler = () => { calls += 1; };
    const stop = client.on('sync', handler);
    client.on('sync', handler);
    stop();
    stop();
    await is('connected');
    gateway.last.emit('sync', '1-1');
    await until('called', () => calls > 0);
    assert.equal(calls, 1);
    assert.equal(client.socket.listeners('sync').length, 1);
  });

  test('a renewal that meets a dead connection, as after hours of sleep, is not sent on the next one', async () => {
    const { client, is } = open({ getToken: (reason) => reason });
    await is('connected');
    const first = gateway.sockets.length;
    const real = Date.now;
    mock.method(Date, 'now', () => real() + 3 * 3_600_000); // timers have not fired
    gateway.last.emit('token_expiring', { expires_at: real() + 30_000 });
    await until('a new connection', () => gateway.sockets.length > first && client.state.status === 'connected');
    await pause(100);
    assert.deepEqual(gateway.asked, []);
    assert.deepEqual(gateway.connects, ['connect', 'connect']);
  });

  test('however wrong the browser\'s clock is, tokens are renewed', async () => {
    const real = Date.now;
    for (const hours of [-24, 24]) {
      mock.method(Date, 'now', () => real() + hours * 3_600_000);
      const { client, is } = open();
      await is('connected');
      gateway.asked.length = 0;
      gateway.last.emit('token_expiring', { expires_at: real() + 60_000 });
      await until(`renewed, ${hours} h`, () => gateway.asked.length === 1);
      assert.equal(gateway.asked[0][0], 'refresh_token');
      client.close();
      mock.restoreAll();
    }
  });

  test('a gateway that accepts a connection and never answers is left, and tried again', async () => {
    gateway.answers = false;
    const { states, is } = open({}, { connect: 300 });
    await until('given up', () => states.includes('unreachable'));
    gateway.answers = true;
    await is('connected');
    assert.deepEqual(states.filter((s) => s === 'closed'), []);
    await until('the first is closed', () => gateway.io.engine.clientsCount === 1);
  });

  test('the last request about a room decides whether it is entered again', async () => {
    const { client, is } = open();
    await is('connected');
    let n = 0;
    const usual = gateway.answer;
    gateway.answer = (name, data) => (name === 'subscribe_solicitud' && (n += 1) === 1
      ? { ok: false, error: { code: 'forbidden', message: '' } } : usual(name, data));
    const answers = await Promise.all([client.subscribe('s1'), client.unsubscribe('s1'), client.subscribe('s1')]);
    assert.deepEqual(answers.map((a) => a.ok), [false, true, true]);
    const gone = await Promise.all([client.subscribe('s2'), client.unsubscribe('s2')]);
    assert.deepEqual(gone.map((a) => a.ok), [true, true]);
    gateway.asked.length = 0;
    gateway.cut();
    await until('entered again', () => gateway.asked.length > 0);
    assert.deepEqual(gateway.asked, [['subscribe_solicitud', { solicitud_id: 's1' }]]);
  });

  test('another role, by a renewed token, is told', async () => {
    const roles = [];
    const { is } = open({ onState: ({ greeting }) => greeting && roles.push([greeting.role, greeting.rooms]) });
    await is('connected');
    for (const role of ['client', 'advisor']) {
      gateway.answer = () => ({ ok: true, expires_at: 0, role, rooms: [role] });
      gateway.last.emit('token_expiring', { expires_at: Date.now() + (role === 'client' ? 60_000 : 100) });
      await until('asked', () => gateway.asked.length > (role === 'client' ? 0 : 1));
    }
    await until('told', () => roles.length === 2);
    assert.deepEqual(roles, [['client', ['client']], ['advisor', ['advisor']]]);
  });

  test('a renewal that could not be done is repeated with the same token, one that was refused with another', async () => {
    const reasons = [];
    const { is } = open({ getToken: (reason) => `${reason} ${reasons.push(reason)}`, onError: () => {} });
    await is('connected');
    const codes = ['unavailable', 'rate_limited', 'token_invalid'];
    const usual = gateway.answer;
    gateway.answer = (name, data) => (codes.length ? { ok: false, error: { code: codes.shift(), message: '' } } : usual(name, data));
    gateway.last.emit('token_expiring', { expires_at: Date.now() + 60_000 });
    await until('renewed', () => gateway.asked.length === 4);
    assert.deepEqual(gateway.asked.map(([, { token }]) => token), ['expiring 2', 'expiring 2', 'expiring 2', 'expiring 3']);
  });

  test('a token that was refused is asked for as such; one that was revoked ends the client', async () => {
    const codes = ['token_expired', 'token_invalid', 'token_revoked'];
    gateway.refuse = () => codes.shift();
    const { states, is } = open({ getToken: (reason) => reason });
    await is('ended');
    assert.deepEqual(states, ['connecting', 'token_refused', 'connecting', 'token_refused', 'connecting', 'token_revoked']);
    assert.deepEqual(gateway.connects, ['connect', 'refused', 'refused']);
  });

  test('reloads are spread, and one that a loss overtakes is called once, after the next greeting', async () => {
    mock.method(Math, 'random', () => 0.5);
    const resyncs = [];
    const { is } = open({ onResync: () => resyncs.push(Date.now()), resyncSpread: 1000 });
    await is('connected');
    gateway.cut();
    await until('second', () => gateway.sockets.length === 2);
    await pause(100);
    gateway.cut();
    await until('third', () => gateway.sockets.length === 3);
    const greeted = Date.now();
    await until('told', () => resyncs.length > 0);
    assert.ok(resyncs[0] - greeted > 400, `${resyncs[0] - greeted} ms`);
    await pause(600);
    assert.equal(resyncs.length, 1);
  });

  test('a client that has closed leaves no timer, whatever it was doing; one that is imported starts none', async () => {
    const script = (body) => new Promise((resolve) => {
      const began = Date.now();
      const node = ['--input-type=module', '-e', `import { connect } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url))};${body}`];
      execFile(process.execPath, node, { timeout: 20_000 }, (err, stdout, stderr) => resolve({ err, stderr, took: Date.now() - began }));
    });
    gateway.answer = () => new Promise(() => {}); // never
    const closing = `
      let n = 0;
      const client = connect(${JSON.stringify(gateway.url)}, {
        getToken: () => (n++ ? new Promise(() => {}) : 'token'), socket: { transports: ['websocket'] },
        onState: ({ status }) => status === 'connected' && setTimeout(() => client.close(), 300),
      });
      client.subscribe('s1');`;
    const ended = script(closing);
    await until('connected', () => gateway.sockets.length === 1);
    gateway.last.emit('token_expiring', { expires_at: Date.now() + 60_000 });
    for (const { err, stderr, took } of [await ended, await script('')]) {
      assert.equal(err, null, stderr);
      assert.ok(took < 5000, `${took} ms`);
    }
  });
});
