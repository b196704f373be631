// Waiting: always for a condition, always with a deadline.

import { setTimeout as sleep } from 'node:timers/promises';

/** A fault that no waiting will mend. */
export class Fatal extends Error {}

/**
 * Polls until `condition` returns something truthy and returns that; throws after `timeout` ms. A condition that
 * throws counts as false, and its last error is part of the message; a Fatal one ends the wait.
 */
export async function until(what, condition, { timeout = 15_000, every = 20 } = {}) {
  const deadline = performance.now() + timeout;
  let last;
  for (;;) {
    try {
      last = undefined;
      const value = await condition();
      if (value) return value;
    } catch (err) {
      if (err instanceof Fatal) throw err;
      last = err;
    }
    if (performance.now() > deadline) {
      throw new Error(`${what}: not within ${timeout} ms${last ? ` (${last.message})` : ''}`, { cause: last });
    }
    await sleep(every);
  }
}

/** Like `until`, but for promises made to users: returns how many ms it took, for the test's output. */
export async function within(ms, what, condition) {
  const start = performance.now();
  await until(what, condition, { timeout: ms, every: 10 });
  return Math.round(performance.now() - start);
}

/** Holds that `condition` stays true for `ms`: for what must not happen. */
export async function stays(ms, what, condition) {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    if (!(await condition())) throw new Error(`${what}: no longer so`);
    await sleep(25);
  }
}

/** A promise with its deadline. */
export function timed(what, promise, timeout = 15_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${timeout} ms`)), timeout);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
