// Stock clients of Socket.IO 2: `node oldclients.mjs URL` prints one line per way, {way, faults}.

import assert from 'node:assert/strict';
import old from 'socket.io-client-v2';

const [url] = process.argv.slice(2);
const ways = {
  polling: { transports: ['polling'] },
  'polling, base64': { transports: ['polling'], forceBase64: true },
  websocket: { transports: ['websocket'] },
  'websocket, base64': { transports: ['websocket'], forceBase64: true },
  upgrading: { transports: ['polling', 'websocket'] },
};
const timed = (what, promise) => Promise.race([
  promise,
  new Promise((_, reject) => { setTimeout(() => reject(new Error(`${what}: too late`)), 10_000).unref(); }),
]);
const next = (socket, event) => timed(event, new Promise((resolve) => { socket.once(event, (...args) => resolve(args)); }));
const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

async function talk(options) {
  const socket = old(url, { forceNew: true, reconnection: false, ...options });
  try {
    await next(socket, 'ready');
    const text = 'é€😀\u2028":4';
    const back = [];
    socket.on('echo', (...args) => back.push(args));
    const sent = [];
    for (let i = 0; i < 60; i++) {
      sent.push(i % 3 === 0 ? [i, bytes, { nested: [Buffer.from([i])] }] : [i, text]);
      socket.emit('echo', ...sent.at(-1));
    }
    socket.emit('ask', 'done', bytes, (...args) => back.push(args));
    for (let waited = 0; back.length < 61 && waited < 10_000; waited += 10) await new Promise((r) => { setTimeout(r, 10); });
    assert.deepEqual(back, [...sent, ['done', bytes]]);
    socket.once('question', (data, ack) => ack('reply', data));
    socket.emit('question', bytes);
    assert.deepEqual(await next(socket, 'answer'), ['reply', bytes]);
    const custom = socket.io.socket('/custom');
    await next(custom, 'ready');
    custom.emit('echo', text, bytes);
    assert.deepEqual(await next(custom, 'echo'), [text, bytes]);
    const locked = socket.io.socket('/locked');
    assert.deepEqual(await next(locked, 'error'), [{ code: 'locked', retry: [1, null] }]);
    custom.emit('leave');
    assert.deepEqual(await next(custom, 'disconnect'), ['io server disconnect']);
    socket.emit('kick');
    assert.deepEqual(await next(socket, 'disconnect'), ['io server disconnect']);
    return [];
  } catch (err) {
    return [err.message];
  } finally {
    socket.close();
  }
}

for (const [way, options] of Object.entries(ways)) console.log(JSON.stringify({ way, faults: await talk(options) }));
