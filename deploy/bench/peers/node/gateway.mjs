// A gateway of the same contract on Node's Socket.IO with the official Redis Streams adapter: JWT on each connect,
// presence and session in Redis, a consumer group on the event stream, the routing table, rooms. Written as a
// careful team would: pipelined commands, plain-text adapter, batches of 256. It exists to be measured.
import { createServer } from "node:http";

import { createAdapter } from "@socket.io/redis-streams-adapter";
import jwt from "jsonwebtoken";
import { createClient } from "redis";
import { Server } from "socket.io";

const secret = process.env.JWT_SECRET_KEY;
const prefix = "{teloo}";
const events = `${prefix}:events`;
const windowMs = 120_000;
const roles = { admin: "admin", analyst: "admin", support: "admin", advisor: "advisor", client: "client" };

const redis = createClient({ url: process.env.REDIS_URL });
const blocking = redis.duplicate();
for (const client of [redis, blocking]) client.on("error", (err) => console.error(err));
await Promise.all([redis.connect(), blocking.connect()]);

const http = createServer((_, res) => res.end("ok"));
const io = new Server(http, {
  adapter: createAdapter(redis, { streamName: `${prefix}:node-log`, channelPrefix: prefix, maxLen: 500_000, readCount: 1000, onlyPlaintext: true }),
  connectionStateRecovery: { maxDisconnectionDuration: windowMs, skipMiddlewares: false },
  perMessageDeflate: false,
  serveClient: false,
});

io.use((socket, next) => {
  try {
    const claims = jwt.verify(socket.handshake.auth.token, secret, { algorithms: ["HS256"] });
    const role = roles[String(claims.role).toLowerCase()];
    if (!role) throw new Error("role_unknown");
    socket.data.user = String(claims.sub);
    socket.data.role = role;
    next();
  } catch (err) {
    next(Object.assign(new Error("token_invalid"), { data: { code: "token_invalid" } }));
  }
});

function record(socket, by) {
  const { user, role } = socket.data;
  const session = `${prefix}:node-session:${socket.id}`;
  const multi = redis.multi().hIncrBy(`${prefix}:presence:role:${role}`, user, by).hIncrBy(`${prefix}:presence:users`, user, by);
  if (by > 0) {
    multi.set(session, JSON.stringify({ user, role, rooms: [...socket.rooms] }), { expiration: { type: "PX", value: windowMs } });
  } else {
    multi.del(session);
  }
  multi.execAsPipeline().catch((err) => console.error(err));
}

io.on("connection", (socket) => {
  const { user, role } = socket.data;
  const rooms = [`user_${user}`, role];
  socket.join(rooms);
  record(socket, 1);
  socket.on("disconnect", () => record(socket, -1));
  socket.on("subscribe_solicitud", (request, ack) => {
    const room = `solicitud_${request.solicitud_id}`;
    socket.join(room);
    ack?.({ ok: true, room });
  });
  socket.emit("connected", { user_id: user, role, rooms, node: "node", recovered: socket.recovered });
});

const usersOf = (...ids) => ids.filter((id) => id !== undefined && id !== "").map((id) => `user_${id}`);

function route(event, data) {
  const kind = event.slice(0, event.indexOf("_"));
  switch (kind) {
    case "solicitud": {
      const rooms = [`solicitud_${data.solicitud_id}`, ...usersOf(data.client_id), "admin"];
      return event === "solicitud_created" ? [...rooms, "advisor"] : rooms;
    }
    case "oferta":
    case "evaluacion":
      return [`solicitud_${data.solicitud_id}`, ...usersOf(data.advisor_id, data.client_id), "admin"];
    case "notificacion":
      if (data.user_id !== undefined) return usersOf(data.user_id);
      if (data.role !== undefined) return [roles[String(data.role).toLowerCase()]].filter(Boolean);
      return usersOf(...(data.user_ids ?? []));
    default:
      return [];
  }
}

function relay(fields) {
  const entry = fields.payload === undefined ? fields : JSON.parse(fields.payload);
  const data = typeof entry.data === "string" ? JSON.parse(entry.data) : entry.data;
  const rooms = entry.rooms === undefined ? route(entry.event, data) : JSON.parse(entry.rooms);
  if (rooms.length > 0) io.to(rooms).emit(entry.event, data);
}

// fresh leaves out the entries whose event_id was seen in another one, in one round trip.
async function fresh(messages) {
  const seen = await Promise.all(
    messages.map(({ id, message: { event_id } }) =>
      event_id ? redis.set(`${prefix}:seen:${event_id}`, id, { condition: "NX", GET: true, expiration: { type: "PX", value: 600_000 } }) : null),
  );
  return messages.filter(({ id }, i) => seen[i] === null || seen[i] === id);
}

async function consume() {
  await redis.xGroupCreate(events, "gateway", "0", { MKSTREAM: true }).catch((err) => {
    if (!err.message.startsWith("BUSYGROUP")) throw err;
  });
  for (;;) {
    const streams = await blocking.xReadGroup("gateway", "node", { key: events, id: ">" }, { COUNT: 256, BLOCK: 2000 });
    if (!streams) continue;
    const { messages } = streams[0];
    for (const { id, message } of await fresh(messages)) {
      try {
        relay(message);
      } catch (err) {
        console.error(id, err);
      }
    }
    redis.xAck(events, "gateway", messages.map(({ id }) => id)).catch((err) => console.error(err));
  }
}

http.listen(Number(process.env.PORT), "127.0.0.1", 4096);
await consume();
