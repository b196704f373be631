import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { Listener } from '../lib/members.mjs';
import { LOG, addAll, entryOf } from '../lib/stream.mjs';
import { token } from '../lib/tokens.mjs';
import { until } from '../lib/wait.mjs';

const group = 'Recovery of a client that moves, with what it missed';

/** An address behind which there is one server, then none, then another. */
class Switch {
  #open = new Set();

  async start() {
    this.server = createServer((incoming) => {
      if (!this.target) {
        incoming.destroy();
        return;
      }
      const outgoing = connect(Number(new URL(this.target.url).port), '127.0.0.1');
      incoming.pipe(outgoing).pipe(incoming);
      for (const end of [incoming, outgoing]) {
        this.#open.add(end);
        end.on('error', () => {}).on('close', () => {
          this.#open.delete(end);
          incoming.destroy();
          outgoing.destroy();
        });
      }
    }).listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  cut() {
    this.target = undefined;
    this.#open.forEach((end) => end.destroy());
  }

  close() {
    this.cut();
    this.server.close();
  }
}

let movers = 0;

async function publish(cell, user, from, to) {
  const events = Array.from({ length: to - from }, (_, i) => entryOf({ name: 'notificacion_nueva', data: JSON.stringify({ n: from + i, user_id: user }) }));
  await addAll(cell.context.redis, events);
}

/** How many of the user's events are in the log. */
async function inLog(cell, user) {
  const entries = await cell.context.redis.xRange(LOG, '-', '+');
  return entries.filter((e) => e.message.data?.includes(`"user_${user}"`)).length;
}

/** Moves a client from one server to the other while events come; what it was sent, and whether it says that it recovered. */
async function move(cell, from, to) {
  const between = await new Switch().start();
  const user = `mover-${++movers}`;
  const client = new Listener(from, user, { url: between.url, auth: { token: token(user, 'client'), name: user, user, rooms: [`user_${user}`] } });
  const numbers = () => client.received.filter((e) => e[0] === 'notificacion_nueva').map((e) => e[1].n);
  try {
    between.target = from;
    await client.connect();
    await publish(cell, user, 0, 5);
    await until('five arrive', () => numbers().length === 5);
    // eslint-disable-next-line no-underscore-dangle
    const pid = client.socket._pid;
    between.cut();
    await until('cut', () => client.disconnects.length === 1);
    await until('the session is kept', () => cell.context.redis.exists(`{teloo}:session:${pid}`));
    await publish(cell, user, 5, 10);
    await until('the log has them', async () => (await inLog(cell, user)) >= 10);
    between.target = to;
    await until('back', () => client.socket.connected && client.welcomes.length === 2);
    await publish(cell, user, 10, 12);
    await until('the last arrives', () => numbers().at(-1) === 11);
    return { numbers: numbers(), recovered: client.socket.recovered };
  } finally {
    client.close();
    between.close();
  }
}

export const recovery = [
  {
    group,
    name: 'recovers, each event once and in order',
    differs: (from, to) => from === 'Go' && to === 'Node' && 'Node cannot read the gateway\'s sessions: the client is told so '
      + '(`recovered` is false), and fetches its state as after any fresh connect',
    async run(cell) {
      // The gateway's own nodes are Go's here: what a session is, and who may have it, is the application's.
      const [from, to] = [cell.from, cell.to].map((m, i) => (m.kind === 'Go' ? cell.context.gateways[i] : m));
      const lost = cell.from.kind === 'Go' && cell.to.kind === 'Node';
      const numbers = Array.from({ length: 12 }, (_, n) => n).filter((n) => !lost || n < 5 || n >= 10);
      assert.deepEqual(await move(cell, from, to), { numbers, recovered: !lost });
    },
  },
];
