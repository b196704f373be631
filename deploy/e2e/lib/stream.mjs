// The Core API's side, and what the gateway leaves in Redis.

import { createClient } from 'redis';

export const EVENTS = '{teloo}:events';
export const LOG = '{teloo}:log';
export const DEAD = '{teloo}:dead';

export async function connectRedis(port, options = {}) {
  const client = createClient({
    ...options, url: `redis://127.0.0.1:${port}`, RESP: 2, socket: { reconnectStrategy: (n) => Math.min(50 * (n + 1), 1000) },
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** The stream entry of an event `{name, data, rooms?, extra?, form?}`, as flat field/value pairs. */
export function entryOf({ name, data, rooms, extra = {}, form = 'flat' }) {
  if (form === 'flat') {
    return Object.entries({ event: name, data, ...(rooms && { rooms: JSON.stringify(rooms) }), ...extra }).flat();
  }
  const keys = Object.entries({ event: name, ...(rooms && { rooms }), ...extra })
    .map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`);
  return ['payload', `{${keys.join(',')},"data":${data}}`];
}

/** XADDs entries (field/value pairs) in order, pipelined `batch` at a time; returns their ids. */
export async function addAll(redis, entries, batch = 500) {
  const ids = [];
  for (let i = 0; i < entries.length; i += batch) {
    const part = entries.slice(i, i + batch);
    ids.push(...await Promise.all(part.map((e) => redis.sendCommand(['XADD', EVENTS, '*', ...e]))));
  }
  return ids;
}

/** Every entry of a stream: `{id, ...fields}`. */
export async function readAll(redis, key) {
  const all = [];
  for (let from = '-'; ;) {
    const page = await redis.sendCommand(['XRANGE', key, from, '+', 'COUNT', '2000']);
    for (const [id, flat] of page) {
      const entry = { id };
      for (let i = 0; i < flat.length; i += 2) entry[flat[i]] = flat[i + 1];
      all.push(entry);
    }
    if (page.length < 2000) return all;
    from = `(${page.at(-1)[0]}`;
  }
}

/** The entries of the log that relay an event of the stream. */
export const relayed = (log) => log.filter((e) => e.nsp && e.src);

/** Commands that Redis ran so far, by name, and the bytes that it answered. */
export async function redisWork(redis) {
  const info = await redis.sendCommand(['INFO', 'everything']);
  const calls = {};
  for (const [, name, n] of info.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)) calls[name] = Number(n);
  return { calls, bytes: Number(/^total_net_output_bytes:(\d+)/m.exec(info)[1]) };
}
