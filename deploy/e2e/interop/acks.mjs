import assert from 'node:assert/strict';

const group = 'Broadcasts with acknowledgements';

/** Has the clients answer `question` with `answer(client, ...args)` while `body` runs. */
async function answered(clients, answer, body) {
  for (const client of clients) {
    client.socket.on('question', (...args) => args.pop()(answer(client, ...args)));
  }
  try {
    await body();
  } finally {
    clients.forEach((c) => c.socket.off('question'));
  }
}

export const acks = [
  {
    group,
    name: 'one receiver',
    run: (cell) => answered([cell.target], (_, { n }) => ({ n: n + 1 }), async () => {
      assert.deepEqual(await cell.ask({ to: [cell.target.name] }, 'question', { n: 1 }), [{ n: 2 }]);
    }),
  },
  {
    group,
    name: 'receivers on every server',
    run: (cell) => answered(cell.listeners, (client) => client.name, async () => {
      const names = await cell.ask({ to: ['everybody'] }, 'question');
      assert.deepEqual(names.toSorted(), cell.listeners.map((l) => l.name).toSorted());
    }),
  },
  {
    group,
    name: 'no receiver: no answers, at once',
    async run(cell) {
      assert.deepEqual(await cell.ask({ to: ['nobody'] }, 'question'), []);
    },
  },
  {
    group,
    name: 'binary in question and answer',
    run: (cell) => answered([cell.target], (_, blob) => ({ blob, more: Buffer.from([1, 2]) }), async () => {
      const blob = Buffer.from([0, 255, 128]);
      assert.deepEqual(await cell.ask({ to: [cell.target.name] }, 'question', blob), [{ blob, more: Buffer.from([1, 2]) }]);
    }),
  },
  {
    group,
    name: 'one who does not answer: an error after the time-out, with the answers that came',
    run: (cell) => answered(cell.others, (client) => client.name, async () => {
      const err = await cell.ask({ to: ['everybody'], timeout: 300 }, 'question').then(() => assert.fail('answered'), (e) => e);
      assert.match(err.message, /timed out/);
      assert.deepEqual(err.responses.toSorted(), cell.others.map((l) => l.name).toSorted());
    }),
  },
  {
    group,
    name: '`local`: this server\'s alone are asked (both libraries then wait for the time-out)',
    run: (cell) => answered(cell.listeners, (client) => client.name, async () => {
      const err = await cell.ask({ to: ['everybody'], local: true, timeout: 300 }, 'question').then(() => assert.fail('answered'), (e) => e);
      assert.deepEqual(err.responses, [cell.own.name]);
    }),
  },
  {
    group,
    name: 'one socket found by fetchSockets',
    run: (cell) => answered([cell.target], (_, n) => n + 1, async () => {
      assert.deepEqual(await cell.ask({ to: [cell.target.name], through: true }, 'question', 1), [2]);
    }),
  },
  {
    group,
    name: 'one socket found by fetchSockets that does not answer: an error after the time-out',
    async run(cell) {
      await assert.rejects(cell.ask({ to: [cell.target.name], through: true, timeout: 100 }, 'question', 1), /time/);
    },
  },
  {
    group,
    name: 'from a socket: all but itself are asked',
    run: (cell) => answered(cell.listeners, (client) => client.name, async () => {
      const names = await cell.ask({ from: cell.own.id, to: ['everybody'] }, 'question');
      assert.deepEqual(names.toSorted(), cell.listeners.filter((l) => l !== cell.own).map((l) => l.name).toSorted());
    }),
  },
  {
    group,
    name: 'answers of several values (the first is taken), of none, and of nothing',
    run: (cell) => answered([cell.target], () => undefined, async () => {
      assert.deepEqual(await cell.ask({ to: [cell.target.name] }, 'question'), [null]);
      cell.target.socket.off('question').once('question', (ack) => ack(1, 2));
      assert.deepEqual(await cell.ask({ to: [cell.target.name] }, 'question'), [1]);
      cell.target.socket.once('question', (ack) => ack());
      assert.deepEqual(await cell.ask({ to: [cell.target.name] }, 'question'), [null]);
    }),
  },
];
