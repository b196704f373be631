// What is done after a connect that failed, and how long is waited.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff, Timers } from '../dist/backoff.js';
import { judge } from '../dist/refusal.js';

const refused = (code) => judge({ data: { code } });
const status = (description, header) => judge({ description, context: header && { getResponseHeader: () => header } });

test('what another attempt cannot mend ends the client, the rest is tried again', () => {
  for (const code of ['token_revoked', 'role_unknown']) assert.equal(refused(code).end, code);
  for (const code of ['token_missing', 'token_invalid', 'token_expired']) {
    assert.deepEqual(refused(code), { wait: 'token_refused', least: 0, refused: code });
  }
  for (const code of ['server_full', 'rate_limited']) assert.deepEqual(refused(code), { wait: code, least: 5000 });
  for (const odd of [new Error('xhr poll error'), undefined, null, 'text', { data: 'text' }, { data: { code: 'new_one' } }]) {
    assert.deepEqual(judge(odd), { wait: 'unreachable', least: 0 });
  }
});

test('Retry-After is waited for, within a minute; without one, a few seconds', () => {
  assert.deepEqual(status(429, '7'), { wait: 'rate_limited', least: 7000 });
  assert.equal(status(503, '86400').least, 60_000);
  for (const odd of [undefined, null, 'soon', '-1']) assert.equal(status(429, odd).least, 5000);
  assert.equal(status(502, '7').wait, 'unreachable');
});

test('waits double up to the longest, are spread, and are never below what was asked for', () => {
  const waits = new Backoff(1000, 30_000);
  for (const middle of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    const wait = waits.next();
    assert.ok(wait >= middle / 2 && wait <= middle * 1.5, `${wait} for ${middle}`);
  }
  waits.reset();
  assert.ok(waits.next() <= 1500);
  for (let i = 0; i < 10; i++) assert.ok(waits.next(5000) >= 5000);
  for (let i = 0; i < 10; i++) assert.ok(new Backoff(0, 0).next() >= 50);
});

test('those who were told to wait for the same time do not come back in the same moment', () => {
  for (const least of [5000, 60_000]) {
    const times = Array.from({ length: 200 }, () => new Backoff(1000, 30_000).next(least));
    assert.ok(Math.min(...times) >= least);
    const first = times.filter((ms) => ms < least * 1.1).length;
    assert.ok(first > 5 && first < 100, `${first} of 200 within the first fifth of the spread`);
  }
});

test('timers that are ended leave nobody waiting', async () => {
  const timers = new Timers();
  const long = [timers.sleep(1e6), timers.sleep(1e6)];
  timers.end();
  await Promise.all([...long, timers.sleep(1e6)]);
});
