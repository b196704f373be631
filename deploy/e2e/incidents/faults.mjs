// The incidents: what is done to the cluster, and what has to be seen of it.
//
// Each has `metric`, an expression, with `moved` and `back` for its value; `inject`, which gives what mends it; `cause`,
// what the runbook's commands have to print that leads to the cause; `page`, what the operators' page says. `resolves`
// is when the alert ends: at once, 'later' when the window of its rule has passed, or 'tested', when that takes longer
// than this may last and alerts_test.yml shows it.

import { Agent, get } from 'node:http';
import { connectAll } from '../lib/clients.mjs';
import { EVENTS, addAll, entryOf } from '../lib/stream.mjs';

const none = (v) => !v;

async function deadLetters({ cluster }) {
  // A Core API whose new version names a role that there is not.
  const event = (n) => entryOf({ name: 'notificacion_aviso', data: `{"role":"asesor","n":${n}}` });
  await addAll(cluster.redis, Array.from({ length: 60 }, (_, n) => event(n)));
  return () => cluster.redis.del('{teloo}:dead');
}

async function slowConsumers({ cluster }) {
  const [node] = cluster.nodes;
  const slow = Array.from({ length: 14 }, () => cluster.client({ on: node, user: 'slow', role: 'client', reconnection: false }));
  await connectAll(slow);
  slow.forEach((c) => c.socket.io.engine.transport.ws._socket.pause());
  const text = 'x'.repeat(60_000);
  const event = entryOf({ name: 'notificacion_aviso', data: `{"user_id":"slow","text":"${text}"}` });
  await addAll(cluster.redis, Array.from({ length: 300 }, () => event), 50);
  return () => slow.forEach((c) => {
    c.socket.io.engine.transport.ws._socket.destroy();
    c.close();
  });
}

async function redisStopped({ cluster }) {
  await cluster.redisProcess.kill('SIGKILL');
  return () => cluster.startRedis();
}

async function nobodyReads({ cluster }) {
  // Somebody changed the rights of the gateway's user.
  await cluster.redis.sendCommand(['ACL', 'SETUSER', 'gateway', '-xreadgroup']);
  return async () => {
    await cluster.redis.sendCommand(['ACL', 'SETUSER', 'gateway', '+xreadgroup']);
    await cluster.redis.sendCommand(['ACL', 'LOG', 'RESET']); // what is there else was not meant
  };
}

async function eventHeld({ cluster }) {
  // A handling that does not end, as Redis sees it: it is the node's, and is renewed for as long as the node lives.
  const node = cluster.node('gw3');
  const consumers = (await cluster.redis.sendCommand(['XINFO', 'CONSUMERS', EVENTS, 'gateway'])).map((flat) => flat[1]);
  const holder = consumers.filter((name) => name.startsWith(`${node.name}:`)).sort().at(-1);
  const [, read] = await cluster.redis.multi()
    .addCommand(['XADD', EVENTS, '*', ...entryOf({ name: 'notificacion_aviso', data: '{"user_id":"c1"}' })])
    .addCommand(['XREADGROUP', 'GROUP', 'gateway', holder, 'COUNT', '1', 'STREAMS', EVENTS, '>'])
    .exec();
  const id = read[0][1][0][0];
  const renew = setInterval(() => {
    cluster.redis.sendCommand(['XCLAIM', EVENTS, 'gateway', holder, '0', id, 'JUSTID']).catch(() => {});
  }, 500);
  return async () => {
    clearInterval(renew);
    await node.process.kill('SIGTERM', 30_000);
    cluster.startNode(node);
  };
}

function deafNode({ cluster }) {
  cluster.tap.deaf = true;
  return () => { cluster.tap.deaf = false; };
}

function storm({ cluster }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const knock = setInterval(() => cluster.nodes.forEach(({ url }) => {
    get(`${url}/socket.io/?EIO=4&transport=polling`, { agent }, (res) => res.resume()).on('error', () => {});
  }), 25);
  return () => {
    clearInterval(knock);
    agent.destroy();
  };
}

async function nodeKilled({ cluster }) {
  const node = cluster.node('gw2');
  await node.process.kill('SIGKILL');
  return () => cluster.startNode(node);
}

export const incidents = [
  {
    name: 'dead-letter burst', alert: 'GatewayDeadLetters', inject: deadLetters, resolves: 'later',
    metric: 'sum(increase(teloo_events_dead_total[20s]))', moved: (v) => v > 20, back: none,
    cause: /role "asesor" is unknown/, page: /\d+ events could not be relayed in the last/,
  },
  {
    name: 'slow consumers', alert: 'GatewaySlowConsumers', inject: slowConsumers, resolves: 'later',
    metric: 'sum(increase(teloo_slow_consumers_total[20s]))', moved: (v) => v > 10, back: none,
    cause: /^teloo_slow_consumers_total 14$/m, page: /read too slowly/,
  },
  {
    name: 'Redis stopped', alert: 'GatewayRedisUnreachable', inject: redisStopped,
    metric: 'min(teloo_redis_up)', moved: (v) => v === 0, back: (v) => v === 1,
    cause: /Could not connect to Redis at .*: Connection refused/, page: /Redis does not answer since/,
  },
  {
    name: 'consumers stuck', alert: 'GatewayConsumerStuck', inject: nobodyReads,
    metric: 'max(teloo_group_lag_seconds)', moved: (v) => v > 15, back: (v) => v < 3,
    cause: /^errorstat_NOPERM:count=\d+/m, page: /Events wait to be relayed/,
  },
  {
    name: 'an event held', alert: 'GatewayEventsPending', inject: eventHeld,
    metric: 'max(teloo_group_oldest_pending_seconds)', moved: (v) => v > 15, back: (v) => v < 3,
    cause: /^gw3:\d+\n\d+\n\d+$/m, page: /Events wait to be relayed/,
  },
  {
    name: 'deaf node', alert: 'GatewayNodeDeaf', inject: deafNode,
    metric: 'max(time() - teloo_canary_last_success_timestamp_seconds)', moved: (v) => v > 15, back: (v) => v < 8,
    cause: /"deaf"/, page: /gw3 takes no clients/,
  },
  {
    name: 'storm', alert: 'GatewayConnectStorm', inject: storm, resolves: 'later',
    metric: 'sum(rate(teloo_handshakes_refused_total{reason="address_rate"}[15s]))', moved: (v) => v > 10, back: none,
    cause: /^teloo_handshakes_refused_total\{reason="address_rate"\} [1-9]/m, page: /Handshakes over an address' rate/,
  },
  {
    name: 'node killed', alert: 'GatewayNodeLost', inject: nodeKilled, resolves: 'tested',
    metric: 'sum(increase(teloo_presence_reaped_nodes_total[20s]))', moved: (v) => v > 0, back: none,
    cause: /== \S+\ncurl: \(7\) Failed to connect/, page: /gw2 was lost/,
  },
];
