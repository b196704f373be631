// What the profiles of docker-compose.yml are for: the demo publisher's events come to official clients through HAProxy, and
// Prometheus reads all three nodes and evaluates every rule. Ends with 1 and the reason where that is not so in a minute.
//
//   TOKEN=… node profiles.mjs http://HAPROXY http://PROMETHEUS RULES

import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';

const { io } = createRequire(new URL('../e2e/package.json', import.meta.url))('socket.io-client');
const [front, prometheus, rules] = process.argv.slice(2);
const EVENTS = 5;
const PATIENCE_MS = 60_000;

/** Resolves to what the check gives as soon as it does not throw. */
async function eventually(check) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await check();
    } catch (err) {
      if (Date.now() > end) throw err;
      await pause(200);
    }
  }
}

async function ask(path) {
  const response = await fetch(`${prometheus}/api/v1/${path}`, { signal: AbortSignal.timeout(5_000) });
  const { status, data, error } = await response.json();
  if (status !== 'success') throw new Error(`${path}: ${error}`);
  return data;
}

function demand(holds, what) {
  if (!holds) throw new Error(what);
}

async function listens(transport) {
  const socket = io(front, { auth: { token: process.env.TOKEN }, transports: [transport], withCredentials: true });
  const names = [];
  try {
    await new Promise((resolve, reject) => {
      const late = () => reject(new Error(`${transport}: ${names.length} events of the demo publisher, not ${EVENTS}`));
      const timer = setTimeout(late, PATIENCE_MS);
      socket.on('connect_error', (err) => reject(err));
      socket.onAny((event, data) => {
        if (!event.includes('_') || !data) return;
        names.push(event);
        if (names.length < EVENTS) return;
        clearTimeout(timer);
        resolve();
      });
    });
  } finally {
    socket.close();
  }
  console.log(`the demo publisher's events by ${transport}: ${names.join(', ')}`);
}

async function scrapes() {
  const up = await eventually(async () => {
    const { activeTargets: targets } = await ask('targets?state=active');
    const sick = targets.filter(({ health }) => health !== 'up').map(({ labels, lastError }) => `${labels.instance}: ${lastError}`);
    demand(targets.length === 3 && sick.length === 0, `targets: ${targets.length} of 3, ${sick.join('; ') || 'all up'}`);
    return targets.map(({ labels }) => labels.instance).sort();
  });
  console.log(`Prometheus reads ${up.join(', ')}`);
}

async function evaluates() {
  await eventually(async () => {
    const { groups } = await ask('rules');
    const all = groups.flatMap((group) => group.rules);
    const sick = all.filter(({ health }) => health !== 'ok').map(({ name, health, lastError }) => `${name} is ${health} ${lastError ?? ''}`);
    demand(all.length === Number(rules) && sick.length === 0, `rules: ${all.length} of ${rules}, ${sick.join('; ') || 'all ok'}`);
    const fires = all.filter(({ state }) => state === 'firing').map(({ name }) => name);
    demand(fires.length === 0, `alerts of a sound cluster: ${fires.join(', ')}`);
  });
  console.log(`Prometheus evaluates all ${rules} rules, and none fires`);
  // A rate needs two scrapes.
  const rate = await eventually(async () => {
    const { result } = await ask(`query?query=${encodeURIComponent('sum(rate(teloo_event_commit_latency_seconds_count[1m]))')}`);
    demand(Number(result[0]?.value[1]) > 0, 'no rate of events');
    return Number(result[0].value[1]);
  });
  console.log(`and sees ${rate.toFixed(1)} events a second`);
}

try {
  await Promise.all([listens('websocket'), listens('polling'), scrapes(), evaluates()]);
  process.exit(0);
} catch (err) {
  console.error(err.message);
  process.exit(1);
}
