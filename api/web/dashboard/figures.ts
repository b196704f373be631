import { byId, el } from "../src/dom";
import { count, duration, list, notReady, number, percent, rate, refused, roles, say, time } from "./words";
import type { Counts, Deploy, NodeView, View } from "./types";

/** A row's cell; its heading stands before it where the table is a list of cards. */
export function cell(heading: string, ...content: (Node | string)[]): HTMLTableCellElement {
  return el("td", { role: "cell", "data-heading": heading }, ...content);
}

const total = (numbers: number[] | null): number => (numbers ?? []).reduce((a, b) => a + b, 0);
const sum = (counts: Counts | null | undefined): number => Object.values(counts ?? {}).reduce((a, b) => a + b, 0);

export function show(view: View): void {
  findings(view);
  tiles(view);
  nodes(view);
  refusals(view);
  deploy(view.deploy, view.at);
}

// What is the matter

type Level = "bad" | "warn" | "info";
interface Finding {
  level: Level;
  text: string;
  link?: string;
}

/** The nodes that are no longer there say so; the others may be in the way of something. */
function aboutNode(n: NodeView): Finding | undefined {
  const at = time(n.since ?? 0);
  switch (n.state) {
    case "lost":
      return { level: "bad", text: `${n.name} was lost at ${at}. Its clients go on with their sessions on other nodes; look at its process and its machine.` };
    case "silent":
      return { level: "bad", text: `${n.name} does not answer since ${at}, though it counts as living. It may be overloaded or frozen.` };
    case "not_ready":
      return { level: "bad", text: `${n.name} takes no clients: ${list((n.reasons ?? ["reason unknown"]).map((r) => notReady[r] ?? r))}.` };
    case "draining":
      return { level: "info", text: `${n.name} drains: ${count(n.total, "client is", "clients are")} still to go elsewhere.` };
    case "left":
      return { level: "info", text: `${n.name} left in order at ${at}.` };
    default:
      return n.lag > 2000 ? { level: "warn", text: `${n.name} reads the log ${duration(n.lag)} late, and so do its clients.` } : undefined;
  }
}

function find(view: View): Finding[] {
  const found: Finding[] = [];
  const say = (level: Level, text: string, link?: string): number => found.push({ level, text, ...(link && { link }) });
  if (view.redis_down_since) {
    say("bad", `Redis does not answer since ${time(view.redis_down_since)}. Events that were written wait there, and are delivered when it is back. Of other nodes nothing is known until then.`);
  }
  for (const n of view.nodes) {
    const about = aboutNode(n);
    if (about && !(view.redis_down_since && n.state === "not_ready")) found.push(about);
  }
  if (view.waiting > 3000 && !view.redis_down_since) {
    say(view.waiting > 15_000 ? "bad" : "warn", `Events wait to be relayed, the oldest for ${duration(Math.floor(view.waiting / 1000) * 1000)}.`);
  }
  const lately = sum(view.dead_lately);
  if (lately > 0) {
    const why = list(Object.entries(view.dead_lately).map(([reason, n]) => `${number(n)} × ${reason.replaceAll("_", " ")}`));
    say(lately > 20 ? "bad" : "warn", `${count(lately, "event", "events")} could not be relayed in the last 15 min: ${why}.`, "#dead");
  } else if (view.dead > 0) {
    say("info", `${count(view.dead, "dead letter waits", "dead letters wait")} for a decision.`, "#dead");
  }
  const slow = view.refused_lately["closed.slow_consumer"] ?? 0;
  if (slow > 0) say("warn", `${count(slow, "client", "clients")} read too slowly in the last 15 min and had to reconnect.`);
  const versions = new Set(view.nodes.filter((n) => n.state !== "lost" && n.state !== "left").map((n) => n.version));
  if (versions.size > 1) say("info", `Two versions run side by side: ${list([...versions].sort())}.`);
  const order: Level[] = ["bad", "warn", "info"];
  return found.sort((a, b) => order.indexOf(a.level) - order.indexOf(b.level));
}

function title(view: View, found: Finding[]): string {
  const bad = found.filter((f) => f.level === "bad").length;
  const warn = found.filter((f) => f.level === "warn").length;
  if (bad) return bad === 1 ? "Something is wrong" : `${number(bad)} things are wrong`;
  if (warn) return "Worth a look";
  const idle = total(view.point.r) === 0 && total(view.point.e) === 0;
  const ready = count(view.nodes.filter((n) => n.state === "ready").length, "node takes", "nodes take");
  return idle ? `All is well, and quiet: ${ready} clients, none is connected, no events come` : `All is well: ${ready} clients, nothing waits`;
}

const levels: Record<Level, string> = { bad: "Wrong", warn: "Look", info: "Note" };
let shown = "";

/** The list is built anew, and read aloud, only when its words change. */
function findings(view: View): void {
  const found = find(view);
  const head = title(view, found);
  const level = found[0]?.level === "info" || !found.length ? "good" : (found[0]?.level ?? "good");
  const text = JSON.stringify([head, found]);
  if (text === shown) return;
  const spoken = [head, ...found.map((f) => f.text.replace(/\d+ (ms|s|min)\b/g, ""))].join(". ");
  shown = text;
  byId("state").dataset.level = level;
  byId("state-title").textContent = head;
  document.title = `${level === "good" ? "" : "● "}${level === "good" ? "All well" : head} · Realtime Gateway`;
  byId("findings").replaceChildren(
    ...found.map((f) =>
      el("li", { "data-level": f.level }, el("strong", {}, levels[f.level]), " ", el("span", {}, f.text), ...(f.link ? [" ", el("a", { href: f.link }, "Look inside")] : [])),
    ),
  );
  const aloud = byId("state-spoken");
  if (aloud.dataset.said !== spoken) {
    aloud.dataset.said = spoken;
    aloud.textContent = [head, ...found.map((f) => f.text)].join(" ");
  }
}

// The figures at a glance

function tiles(view: View): void {
  const sockets = total(view.point.r);
  const users = sum(view.users);
  const latency = view.point.l;
  const behind = Math.max(0, ...view.nodes.map((n) => n.lag));
  const waiting = Math.max(0, view.unread) + view.pending;
  const d = view.deploy;
  const came = d ? d.recovered + d.not_recovered : 0;
  put("tiles", [
    ["connections", "Connections", number(sockets), view.redis_down_since ? "of this node alone" : `of ${count(users, "user", "users")}`],
    ["events", "Events per second", rate(total(view.point.e)), `${rate(total(view.nodes.map((n) => n.deliveries)))} messages sent`],
    ["latency", "Latency, 95 %", latency?.length ? duration(latency[1] ?? 0) : "–", latency?.length ? "from written to sent, last minute" : "nothing measured lately"],
    ["lag", "Events waiting", view.redis_down_since ? "?" : number(waiting), view.redis_down_since ? "Redis is away" : behind > 0 ? `slowest node ${duration(behind)} behind` : "no node is behind"],
    ["dead-letters", "Dead letters", number(view.dead), `${number(sum(view.dead_lately))} in the last 15 min`],
    ["recovered", "Recovered", came ? percent(d?.recovered ?? 0, came) : "–", came ? `of ${count(came, "return", "returns")} since the last deploy` : "nobody had to come back"],
  ]);
}

function put(id: string, rows: [id: string, label: string, value: string, note: string][]): void {
  const box = byId(id);
  for (const [name, label, value, note] of rows) {
    let tile = box.querySelector<HTMLElement>(`[data-tile="${name}"]`);
    if (!tile) {
      tile = el("div", { "data-tile": name }, el("dt", {}, label), el("dd", { class: "value" }), el("dd", { class: "note" }));
      box.append(tile);
    }
    set(tile.children[1], value);
    set(tile.children[2], note);
  }
}

/** What stays the same is left alone, so that selections and screen readers are. */
function set(at: Element | undefined, text: string): void {
  if (at && at.textContent !== text) at.textContent = text;
}

// Nodes

const states: Record<NodeView["state"], string> = {
  ready: "takes clients",
  not_ready: "takes no clients",
  draining: "drains",
  silent: "does not answer",
  unknown: "not known",
  lost: "lost",
  left: "left",
};

function nodes(view: View): void {
  const body = byId("nodes").querySelector("tbody");
  body?.replaceChildren(
    ...view.nodes.map((n) => {
      const gone = n.state === "lost" || n.state === "left" || n.state === "silent" || n.state === "unknown";
      const split = Object.keys(roles)
        .filter((r) => n.connections?.[r])
        .map((r) => `${number(n.connections?.[r] ?? 0)} ${roles[r]?.[n.connections?.[r] === 1 ? 0 : 1]}`);
      const state = el("span", { class: "badge", "data-state": n.state }, states[n.state]);
      const why = gone && n.since ? `last heard of ${time(n.since)}` : (n.reasons ?? []).map((r) => notReady[r] ?? r).join(", ");
      return el(
        "tr",
        { role: "row", "data-node": n.name, "data-state": n.state },
        el("th", { role: "rowheader", scope: "row" }, el("strong", {}, n.name), el("small", {}, `version ${n.version}`)),
        cell("State", state, ...(why ? [el("small", {}, why)] : [])),
        cell("Connections", gone ? "–" : number(n.total), ...(gone || !split.length ? [] : [el("small", {}, split.join(", "))])),
        cell("Sent per second", gone ? "–" : rate(n.deliveries)),
        cell("Latency, 95 %", gone || !n.latency.count ? "–" : duration(n.latency.p95)),
        cell("Behind", gone ? "–" : duration(n.lag)),
        cell("Running for", gone || !n.started ? "–" : duration(Math.max(0, view.at - n.started))),
      );
    }),
  );
}

// Refusals

function refusals(view: View): void {
  const rows = Object.entries(view.refused).filter(([, n]) => n > 0).sort(([a, n], [b, m]) => (view.refused_lately[b] ?? 0) - (view.refused_lately[a] ?? 0) || m - n);
  const table = byId("refused");
  table.hidden = rows.length === 0;
  byId("refused-empty").hidden = rows.length > 0;
  table.querySelector("tbody")?.replaceChildren(
    ...rows.map(([reason, n]) =>
      el(
        "tr",
        { role: "row", "data-reason": reason },
        el("th", { role: "rowheader", scope: "row" }, say(refused, reason)),
        cell("Last 15 min", number(view.refused_lately[reason] ?? 0)),
        cell("Since start", number(n)),
      ),
    ),
  );
}

// The last deploy

function deploy(d: Deploy | undefined, now: number): void {
  const box = byId("deploy");
  if (!d) {
    box.replaceChildren(el("p", { class: "empty" }, "Nothing is known of it yet."));
    return;
  }
  const came = d.recovered + d.not_recovered;
  const when = d.ended - d.began > 2000 ? `between ${time(d.began)} and ${time(d.ended)}` : `at ${time(d.began)}`;
  const lines = [
    el(
      "p",
      {},
      `${d.nodes === d.of ? (d.of === 1 ? "The node was" : `All ${number(d.of)} nodes were`) : `${number(d.nodes)} of ${count(d.of, "node was", "nodes were")}`} started ${when}, ${duration(Math.max(0, now - d.ended))} ago. ${d.versions.length > 1 ? "Versions" : "Version"} ${list(d.versions)}.`,
    ),
  ];
  if (came === 0) {
    lines.push(el("p", { class: "note" }, "No client has come back with a session since."));
  } else {
    const share = percent(d.recovered, came);
    const meter = el("div", { class: "meter", role: "img", "aria-label": `${share} recovered` }, el("span"));
    meter.style.setProperty("--share", String(d.recovered / came));
    meter.dataset.level = d.recovered / came < 0.95 ? "warn" : "good";
    lines.push(
      el("p", { class: "share" }, el("strong", { "data-testid": "share" }, share), " of returning clients went on with nothing missed"),
    );
    box.replaceChildren(
      ...lines,
      meter,
      el("p", { class: "note" }, `${count(d.recovered, "client", "clients")} recovered; ${number(d.not_recovered)} began afresh and had to reload.${d.counted < d.of ? ` Only ${count(d.counted, "node remembers", "nodes remember")} that far back.` : ""}`),
    );
    return;
  }
  box.replaceChildren(...lines);
}
