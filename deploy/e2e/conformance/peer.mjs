// The contract of the conformance tests on Node's engine.io and socket.io: `node peer.mjs OPTIONS` prints its port and
// ends with its standard input.

import { createServer } from 'node:http';
import { Server as Engine } from 'engine.io';
import { Server as SocketServer } from 'socket.io';

const { allowed, foreign, connectTimeout, ...limits } = JSON.parse(process.argv[2]);
const options = {
  ...limits,
  httpCompression: false,
  cors: { origin: [allowed], credentials: true },
  allowRequest: (req, done) => done(null, req.headers.origin !== foreign),
};

const sessions = new Map();
const sockets = new Map();
const live = new Map();

function onSession(session) {
  const record = { session, closes: [] };
  sessions.set(session.id, record);
  session.on('close', (reason) => record.closes.push(reason));
}

function burst(session, n, size) {
  for (let i = 0; i < n; i++) session.send(`${i}:${'x'.repeat(size)}`);
}

function tick(session, n, every) {
  let i = 0;
  const timer = setInterval(() => {
    if (i === n || session.readyState !== 'open') return clearInterval(timer);
    session.send(String(i++));
  }, every);
}

const commands = {
  '!close': (session) => session.close(),
  '!discard': (session) => session.close(true),
  '!burst': burst,
  '!burst-close': (session, n, size) => {
    burst(session, n, size);
    session.close();
  },
  '!tick': tick,
};

const engine = new Engine(options);
engine.on('connection', (session) => {
  onSession(session);
  // An empty message has no data at all.
  session.on('data', (data = '') => {
    if (typeof data !== 'string' || !data.startsWith('!')) return session.send(data);
    const [command, ...args] = data.split(' ');
    commands[command]?.(session, ...args.map(Number));
  });
});

const http = createServer((req, res) => {
  const answer = (value) => res.setHeader('content-type', 'application/json').end(JSON.stringify(value));
  const [, verb, what, name] = decodeURIComponent(req.url).split('/');
  if (verb === 'seen' && what === 'session') {
    const record = sessions.get(name);
    return answer(record
      ? { state: record.session.readyState, transport: record.session.transport.name, writable: record.session.transport.writable, closes: record.closes }
      : {});
  }
  if (verb === 'seen' && what === 'socket') return answer(sockets.get(name) ?? {});
  if (verb === 'seen' && what === 'sessions') return answer([...sessions.values()].filter((r) => r.closes.length === 0).length);
  if (verb === 'kick') {
    for (const socket of live.get(what) ?? []) socket.disconnect(true);
    return answer({});
  }
  res.writeHead(404).end();
});

const io = new SocketServer(http, { ...options, connectTimeout, serveClient: false, destroyUpgrade: false });
io.engine.on('connection', onSession);

function refuse(socket, next) {
  const { auth: { refuse: how } } = socket.handshake;
  const refusal = (message, data) => next(Object.assign(new Error(message), { data }));
  if (socket.nsp.name === '/locked') return refusal('locked', { code: 'locked', retry: [1, null] });
  if (how === 'with data') return refusal('refused', { code: 'no', nested: { é: true } });
  return how ? refusal('refused') : next();
}

function onSocket(socket) {
  const { tag = '' } = socket.handshake.auth;
  const seen = sockets.get(tag) ?? { connects: 0, handled: 0, late: 0, disconnects: [] };
  sockets.set(tag, seen);
  live.set(tag, [...(live.get(tag) ?? []), socket]);
  seen.connects++;
  socket.on('count', () => {
    seen.handled++;
    if (seen.disconnects.length > 0) seen.late++;
  });
  socket.on('echo', (...args) => socket.emit('echo', ...args));
  socket.on('kick', () => socket.disconnect(true));
  socket.on('bye', () => {
    socket.emit('bye');
    socket.disconnect(true);
  });
  socket.on('disconnect', (reason) => seen.disconnects.push(reason));
  registerEvents(socket);
  socket.emit('ready');
}

// What these do is said in handlers_test.go.
function registerEvents(socket) {
  const split = (args) => (typeof args.at(-1) === 'function' ? [args.slice(0, -1), args.at(-1)] : [args, () => {}]);
  const acked = (event, fn) => socket.on(event, (...args) => fn(...split(args)));
  socket.on('auth', () => socket.emit('auth', socket.handshake.auth));
  acked('ask', (args, ack) => ack(...args));
  acked('twice', (args, ack) => {
    ack(...args);
    ack('again');
  });
  acked('silent', () => {});
  const waiting = [];
  acked('later', (args, ack) => waiting.push(() => ack(...args)));
  socket.on('now', () => waiting.splice(0).forEach((answer) => answer()));
  socket.on('question', (...args) => socket.emit('question', ...args, (...reply) => socket.emit('answer', ...reply)));
  socket.on('questions', (n) => {
    for (let i = 0; i < n; i++) socket.emit('question', i, (...reply) => socket.emit('answer', i, ...reply));
  });
  socket.on('impatient', (within) => {
    socket.timeout(within).emit('question', (err, ...reply) => socket.emit('answer', ...(err ? ['timeout'] : reply)));
  });
  socket.on('blobs', (n, size) => socket.emit('blobs', ...Array.from({ length: n }, (_, i) => Buffer.alloc(size, i))));
  socket.on('shout', (...args) => socket.nsp.emit('shout', ...args));
  socket.on('leave', () => socket.disconnect());
}

for (const nsp of [io, io.of('/custom'), io.of('/locked'), io.of(/^\/dynamic-\d+$/)]) {
  nsp.use(refuse);
  nsp.on('connection', onSocket);
}
engine.attach(http, { path: '/engine.io', destroyUpgrade: false });

http.listen(0, '127.0.0.1', () => console.log(http.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
