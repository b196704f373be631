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

const GAP = 5;

const AFTER = 2;

/**
 * Takes a client from server to server, with 5 numbered events at the first, 5 more each time that it is away, and 2 more
 * at each server that it comes to. `rooms` it is in beside its user's if the first is of Node's, and `away` is called when
 * it is away first. Returns the numbers and the other events that it was sent, and how often it says that it recovered.
 */
async function travel(cell, [first, ...stops], { rooms = [], away = async () => {} } = {}) {
  const between = await new Switch().start();
  const user = `mover-${++movers}`;
  const auth = { token: token(user, 'client'), name: user, user, rooms: [`user_${user}`, ...rooms] };
  const client = new Listener(first, user, { url: between.url, auth });
  const numbers = () => client.received.filter((e) => e[0] === 'notificacion_nueva').map((e) => e[1].n);
  const recovered = [];
  let n = 0;
  const more = async (count) => {
    await publish(cell, user, n, n + count);
    n += count;
  };
  const latest = () => until(`${n - 1} arrives`, () => numbers().at(-1) === n - 1);
  try {
    between.target = first;
    await client.connect();
    await more(GAP);
    await latest();
    for (const [i, stop] of stops.entries()) {
      // eslint-disable-next-line no-underscore-dangle
      const { id, _pid: pid } = client.socket;
      between.cut();
      await until('cut', () => client.disconnects.length === i + 1);
      await until('the session is kept', () => cell.context.redis.exists(`{teloo}:session:${pid}`));
      await more(GAP);
      await until('the log has them', async () => (await inLog(cell, user)) >= n);
      if (i === 0) await away(id);
      between.target = stop;
      await until('back', () => client.socket.connected && client.welcomes.length === i + 2);
      recovered.push(client.socket.recovered);
      await more(AFTER);
      await latest();
    }
    return { numbers: numbers(), others: client.received.filter((e) => e[0] !== 'notificacion_nueva'), recovered };
  } finally {
    client.close();
    between.close();
  }
}

const upTo = (n) => Array.from({ length: n }, (_, i) => i);

/** The server that stands for one: Go's are the gateway's own nodes here, since what a session is, and who may have it, is the application's. */
const stand = (cell, one, i) => (one.kind === 'Go' ? cell.context.gateways[i] : one);

export const recovery = [
  {
    group,
    name: 'recovers, each event once and in order',
    differs: (from, to) => from === 'Go' && to === 'Node' && 'Node cannot read the gateway\'s sessions: the client is told so '
      + '(`recovered` is false), and fetches its state as after any fresh connect',
    async run(cell) {
      const lost = cell.from.kind === 'Go' && cell.to.kind === 'Node';
      const numbers = upTo(2 * GAP + AFTER).filter((n) => !lost || n < GAP || n >= 2 * GAP);
      assert.deepEqual(await travel(cell, [stand(cell, cell.from, 0), stand(cell, cell.to, 1)]), { numbers, others: [], recovered: [!lost] });
    },
  },
  {
    group,
    name: 'there, back, and there again',
    only: (from, to) => from === 'Node' && to === 'Go',
    async run(cell) {
      const [gateway, other] = cell.context.gateways;
      // What it missed on its way back to Node, which cannot know, is lost, as it is told.
      const missed = 2 * GAP + AFTER;
      const numbers = upTo(4 * GAP + 3 * AFTER).filter((n) => n < missed || n >= missed + GAP);
      assert.deepEqual(await travel(cell, [cell.from, gateway, cell.from, other]), { numbers, others: [], recovered: [true, false, true] });
    },
  },
  {
    group,
    name: 'with what was sent to its socket\'s id, and to a room that is a number',
    only: (from) => from === 'Node',
    async run(cell) {
      const { others, recovered } = await travel(cell, [cell.from, stand(cell, cell.to, 1)], {
        rooms: [7],
        away: async (id) => {
          await cell.context.emitter.call({ call: 'emit', to: [id], event: 'mine', args: [1] });
          await cell.context.emitter.call({ call: 'emit', to: [7], event: 'seven', args: [] });
        },
      });
      assert.deepEqual({ others, recovered }, { others: [['mine', 1], ['seven']], recovered: [true] });
    },
  },
  {
    group,
    name: 'in the rooms that servers put it in, but not in another user\'s or role\'s',
    only: (from, to) => from === 'Node' && to === 'Go',
    async run(cell) {
      const rooms = ['club', 'admin', 'advisor', 'user_other', 'solicitud_other'];
      const { others, recovered } = await travel(cell, [cell.from, stand(cell, cell.to, 1)], {
        rooms,
        away: async () => {
          for (const room of ['admin', 'advisor', 'user_other', 'solicitud_other', 'club']) {
            await cell.context.emitter.call({ call: 'emit', to: [room], event: 'news', args: [room] });
          }
        },
      });
      assert.deepEqual({ others, recovered }, { others: [['news', 'club']], recovered: [true] });
    },
  },
];
