import assert from 'node:assert/strict';
import { until } from '../lib/wait.mjs';

const group = 'Servers';

const heard = async (member, event, mark) => (await member.heard()).filter((e) => e[0] === event && e[1] === mark);

let marks = 0;

const nextMark = () => `mark-${++marks}`;

export const servers = [
  {
    group,
    name: 'serverSideEmit: to every other server, once',
    emitter: true,
    async run(cell) {
      const mark = nextMark();
      await cell.call({ call: 'tell', event: 'rumour', args: [mark, { n: [1, null] }] });
      const others = cell.members.filter((m) => m !== cell.from);
      await until('all heard it', async () => (await Promise.all(others.map((m) => heard(m, 'rumour', mark)))).every((h) => h.length > 0));
      await cell.follow();
      assert.deepEqual(await heard(cell.to, 'rumour', mark), [['rumour', mark, { n: [1, null] }]]);
      if (cell.from.heard) assert.deepEqual(await heard(cell.from, 'rumour', mark), []);
    },
  },
  {
    group,
    name: 'serverSideEmit: with binary, in a namespace',
    emitter: true,
    async run(cell) {
      const mark = nextMark();
      const blob = Buffer.from([0, 1, 255]);
      await cell.call({ call: 'tell', nsp: '/custom', event: 'rumour', args: [mark, { blob }] });
      await until('it is heard', async () => (await heard(cell.to, 'rumour', mark)).length > 0);
      const [[, , { blob: got }]] = await heard(cell.to, 'rumour', mark);
      assert.deepEqual(Buffer.from(got), blob);
    },
  },
  {
    group,
    name: 'serverSideEmit with acknowledgements',
    async run(cell) {
      const mark = nextMark();
      const answers = await cell.call({ call: 'inquire', event: 'rumour', args: [mark] });
      const want = cell.members.filter((m) => m !== cell.from).map((m) => ({ name: m.name, told: [mark] }));
      const byName = (a, b) => a.name.localeCompare(b.name);
      // The gateway's own nodes have no listener, and say so.
      assert.deepEqual(answers.filter(Boolean).toSorted(byName), want.toSorted(byName));
      assert.equal(answers.length, want.length + cell.context.gateways.length);
    },
  },
  {
    group,
    name: 'serverSideEmit with acknowledgements, without a listener there: null at once',
    differs: (_, to) => to === 'Node' && 'A Node server without a listener does not answer, so that the asker waits for the time-out',
    async run(cell) {
      // Those of the asker's kind, too, have to have a listener, or the two kinds could not be told apart.
      const event = cell.to.kind === 'Go' ? 'heard-by-node' : 'heard-by-go';
      const asked = cell.call({ call: 'inquire', event, args: ['x'] });
      if (cell.to.kind === 'Node') {
        await assert.rejects(asked, /time|timed/i);
        return;
      }
      const answers = await asked;
      const listening = cell.members.filter((m) => m.kind === 'Node' && m !== cell.from).map((m) => m.name);
      assert.deepEqual(answers.filter(Boolean).map((a) => a.name).toSorted(), listening.toSorted());
      assert.equal(answers.length, cell.members.length - 1 + cell.context.gateways.length);
    },
  },
  {
    group,
    name: 'a server that ends is not waited for (Go: killed; Node: closed)',
    async run(cell) {
      const gone = await cell.context.another(cell.to.kind);
      const all = () => cell.call({ call: 'fetch' });
      const guest = await cell.join('guest', {}, gone);
      await until('its sockets are found', async () => (await all()).some((s) => s.id === guest.id));
      guest.socket.io.reconnection(false);
      await gone.die();
      assert.equal((await all()).length, cell.listeners.length);
      const answers = await cell.call({ call: 'inquire', event: 'rumour', args: [nextMark()] });
      assert.equal(answers.length, cell.members.length - 1 + cell.context.gateways.length);
    },
  },
];
