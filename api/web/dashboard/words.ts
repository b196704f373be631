// Numbers, times and codes in the words of whoever reads the page.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const clockOf = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayOf = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const number = (n: number): string => whole.format(n);

/** A rate, with a decimal while it is small. */
export const rate = (n: number): string => (n > 0 && n < 0.05 ? "< 0.1" : (n < 10 ? fine : whole).format(n));

export const count = (n: number, one: string, many: string): string => `${number(n)} ${n === 1 ? one : many}`;

/** Milliseconds as a person says them. */
export function duration(ms: number): string {
  if (ms < 1) return ms > 0 ? "< 1 ms" : "0 ms";
  if (ms < 1000) return `${(ms < 10 ? fine : whole).format(ms)} ms`;
  if (ms < 60_000) return `${(ms < 10_000 ? fine : whole).format(ms / 1000)} s`;
  if (ms < 3_600_000) return `${whole.format(Math.floor(ms / 60_000))} min`;
  if (ms < 172_800_000) return `${whole.format(Math.floor(ms / 3_600_000))} h ${Math.floor((ms % 3_600_000) / 60_000)} min`;
  return `${whole.format(Math.floor(ms / 86_400_000))} days`;
}

/** A time of today by the clock, an older one with its day. */
export function time(ms: number): string {
  const date = new Date(ms);
  return Date.now() - ms < 43_200_000 ? clockOf.format(date) : dayOf.format(date);
}

export function percent(part: number, all: number): string {
  const p = (100 * part) / all;
  // 99.96 % is not all of them.
  if (part < all && p > 99.9) return "over 99.9 %";
  return `${fine.format(p)} %`;
}

/** "a, b and c". */
export function list(parts: string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}

export const roles: Record<string, [one: string, many: string]> = {
  client: ["client", "clients"],
  advisor: ["advisor", "advisors"],
  admin: ["admin", "admins"],
};

/** Why a node takes no clients. */
export const notReady: Record<string, string> = {
  redis: "Redis does not answer it",
  log: "it does not read the log",
  presence: "its presence is not written yet",
  keys: "it has no keys to check tokens with",
  revocations: "it has not read the revocations yet",
  draining: "it is draining",
  deaf: "its own events do not come back to it",
};

/** What was refused or closed. */
export const refused: Record<string, string> = {
  "connect.token_missing": "Connects without a token",
  "connect.token_invalid": "Connects with an invalid token",
  "connect.token_expired": "Connects with an expired token",
  "connect.token_revoked": "Connects with a revoked token",
  "connect.role_unknown": "Connects with an unknown role",
  "connect.server_full": "Connects to a full node",
  "connect.rate_limited": "Connects over a user's or the cluster's limit",
  "handshake.rate_limited": "Handshakes over an address' rate",
  "handshake.budget": "Handshakes over the cluster's rate",
  "request.transport": "Requests for an unknown transport",
  "request.unknown_session": "Requests of a session that is not here",
  "request.method": "Requests with a wrong method",
  "request.bad_request": "Malformed requests",
  "request.origin": "Requests of pages that may not connect",
  "request.protocol": "Requests in another protocol version",
  "request.too_large": "Requests that are too large",
  "request.stopped": "Requests while stopping",
  "request.full": "Handshakes with a full node",
  "request.upgrade": "Failed changes to WebSocket",
  "event.rate_limited": "Client events over the rate",
  "closed.event_flood": "Clients closed for flooding",
  "closed.slow_consumer": "Clients closed for reading too slowly",
  "closed.token_revoked": "Clients closed as their token was revoked",
  "closed.token_expired": "Clients closed as their token expired",
  "closed.gap": "Clients closed as their node missed events",
};

/** Why an event became a dead letter. */
export const dead: Record<string, string> = {
  malformed: "Not in the form of an event",
  bad_payload: "Its payload is not valid",
  payload_too_large: "Its payload is over 128 KiB",
  unknown_event: "An event name that nobody agreed on",
  bad_data: "Its data is not a JSON object",
  data_too_large: "Its data is over 64 KiB",
  bad_rooms: "Its rooms are not valid",
  too_many_rooms: "It names too many rooms",
  invalid_schema: "It does not keep its schema",
  bad_id: "An id in it is not valid",
  no_route: "Nobody to send it to",
  bad_event_id: "Its event_id is not valid",
  unroutable: "It could not be routed",
  panic: "A fault of the gateway's own",
  poison: "Its handling failed again and again",
};

/** A code in words, or at least without underscores. */
export function say(words: Record<string, string>, code: string): string {
  return words[code] ?? code.replace(/^\w+\./, "").replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase());
}
