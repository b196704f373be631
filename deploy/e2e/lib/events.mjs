// A reproducible flow of domain events of all kinds, in both entry forms, with values that careless code breaks.

const AWKWARD = [
  '"nota":"ñandú – 日本語 – 🛠️🚗 – שלום"',
  '"nota":"\\u2028 \\u0000 \\ud83d\\ude80 \\" \\\\ \\/ <b>&amp;</b>"',
  '"monto":9007199254740993',
  '"monto":123456789012345678901234567890',
  '"monto":0.10000000000000000555,"tasa":1.0,"exp":1E+2',
  '"z":1,"a":2,"10":3,"2":4',
  '"anidado":{"b":[1,{"c":null}],"a":[]},"vacio":{},"texto":""',
  '"ok":true,"no":false,"nada":null',
];

const NAMES = {
  solicitud: ['solicitud_created', 'solicitud_updated', 'solicitud_closed', 'solicitud_v2_reopened'],
  oferta: ['oferta_created', 'oferta_accepted', 'oferta_rejected'],
  evaluacion: ['evaluacion_started', 'evaluacion_completed'],
  notificacion: ['notificacion_created', 'notificacion_read'],
};

/** A small generator of pseudo-random numbers (mulberry32): the same seed, the same test. */
export function random(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const pick = (rnd, list) => list[rnd(list.length)];

// Ids of a kind may be strings or integers; an integer is written as one now and then.
const id = (rnd, value) => (/^\d+$/.test(value) && rnd(2) ? value : JSON.stringify(value));

function idsOf(kind, rnd, { solicitudes, clients, advisors, users }) {
  const solicitud = `"solicitud_id":${id(rnd, pick(rnd, solicitudes))}`;
  const client = `"client_id":${id(rnd, pick(rnd, clients))}`;
  const advisor = `"advisor_id":${id(rnd, pick(rnd, advisors))}`;
  switch (kind) {
    case 'solicitud':
      return rnd(3) ? [solicitud, client] : [solicitud];
    case 'oferta':
    case 'evaluacion':
      return [[solicitud, advisor, client], [solicitud, advisor], [solicitud]][rnd(3)];
    default:
      return [
        [`"user_id":${id(rnd, pick(rnd, users))}`],
        [`"role":"${pick(rnd, ['admin', 'advisor', 'client'])}"`],
        [`"user_ids":[${[0, 1, 2].map(() => id(rnd, pick(rnd, users))).join(',')}]`],
      ][rnd(3)];
  }
}

const roomSets = (rnd, { solicitudes, users }) => [
  [`user_${pick(rnd, users)}`],
  ['advisor', 'admin'],
  [`solicitud_${pick(rnd, solicitudes)}`, `user_${pick(rnd, users)}`, 'client'],
  ['nobody-is-here'],
][rnd(4)];

/** The `n`th event about a world of `{solicitudes, clients, advisors, users}` (lists of ids as strings). */
function event(n, rnd, world) {
  const kind = pick(rnd, Object.keys(NAMES));
  const parts = [`"n":${n}`, ...idsOf(kind, rnd, world)];
  if (rnd(3) === 0) parts.splice(rnd(parts.length + 1), 0, pick(rnd, AWKWARD));
  const spaced = rnd(8) === 0;
  return {
    name: pick(rnd, NAMES[kind]),
    data: spaced ? `{ ${parts.join(' , ')} }` : `{${parts.join(',')}}`,
    rooms: rnd(5) === 0 ? roomSets(rnd, world) : undefined,
    form: rnd(3) === 0 ? 'payload' : 'flat',
    extra: {
      ...(rnd(4) === 0 && { event_id: `event-${n}` }),
      ...(rnd(4) === 0 && { occurred_at: new Date().toISOString() }),
      ...(rnd(8) === 0 && { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }),
    },
  };
}

/** `count` events, and now and then the publisher's second try of an earlier one, which nobody may see twice. */
export function flow(count, world, seed = 1) {
  const rnd = random(seed);
  const events = [];
  for (let n = 0; n < count; n++) {
    events.push(event(n, rnd, world));
    const earlier = events[rnd(events.length)];
    if (n % 40 === 39 && earlier.extra.event_id) events.push({ ...earlier, silent: true });
  }
  return events;
}
