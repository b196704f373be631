// Stock clients that are sent away: `node clients.mjs URL N TAG` prints one line per way, {way, reasons: {reason: n}}.

import { io } from 'socket.io-client';

const [url, count, name] = process.argv.slice(2);
const kick = (tag) => fetch(`${url}/kick/${tag}`, { method: 'POST' });

const ways = {
  websocket: { transports: ['websocket'], when: (_, go) => go() },
  polling: { transports: ['polling'], when: (_, go) => go() },
  'at the start of an upgrade': { transports: ['polling', 'websocket'], when: (socket, go) => socket.io.engine.once('upgrading', go) },
  'after an upgrade': { transports: ['polling', 'websocket'], when: (socket, go) => socket.io.engine.once('upgrade', go) },
};

// An upgrade begins before the namespace is connected, so what is watched for may have happened by then.
function once(way, tag) {
  return new Promise((resolve) => {
    const socket = io(url, { transports: way.transports, auth: { tag }, forceNew: true, reconnection: false });
    const timer = setTimeout(() => done('nothing'), 15_000);
    const done = (reason) => {
      clearTimeout(timer);
      socket.disconnect();
      resolve(reason);
    };
    socket.on('connect_error', (err) => done(`connect_error: ${err.message}`));
    socket.on('disconnect', done);
    // From then on the server knows the socket by its tag.
    socket.on('ready', () => {
      const go = () => kick(tag).catch((err) => done(String(err)));
      const engine = socket.io.engine;
      if (engine.transport.name === 'websocket' || engine.upgrading) go();
      else way.when(socket, go);
    });
  });
}

for (const [title, way] of Object.entries(ways)) {
  const reasons = {};
  for (let i = 0; i < Number(count); i++) {
    const reason = await once(way, `${name}-${title}-${i}`.replaceAll(' ', '-'));
    reasons[reason] = (reasons[reason] ?? 0) + 1;
  }
  console.log(JSON.stringify({ way: title, reasons }));
}
