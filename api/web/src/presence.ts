import { byId, el, plural, timeOf } from "./dom";

interface Stats {
  connected_users: number;
  admins_connected: number;
  advisors_connected: number;
  clients_connected: number;
  connections: number;
  nodes: { name: string; connections: number; version: string; last_heartbeat: string }[];
  as_of: string;
  stale?: boolean;
}

const figures = ["connected_users", "admins_connected", "advisors_connected", "clients_connected"] as const;
const remembered = 60; // readings in a sparkline: a minute

const history = new Map<string, number[]>(figures.map((figure) => [figure, []]));

function draw(figure: (typeof figures)[number], value: number): void {
  byId(`stats-${figure}`).textContent = String(value);
  const values = history.get(figure) ?? [];
  values.push(value);
  if (values.length > remembered) values.shift();
  const most = Math.max(1, ...values);
  const points = values.map((v, i) => `${120 - (values.length - 1 - i) * (120 / (remembered - 1))},${26 - (v / most) * 24}`);
  document.querySelector(`[data-figure="${figure}"] polyline`)?.setAttribute("points", points.join(" "));
}

function show(stats: Stats, here: string): void {
  for (const figure of figures) draw(figure, stats[figure]);
  byId("stats-connections").textContent = String(stats.connections);
  byId("stats-connections-label").textContent = plural(stats.connections, "connection on", "connections on");
  byId("stats-nodes").textContent = String(stats.nodes.length);
  byId("stats-nodes-label").textContent = plural(stats.nodes.length, "node", "nodes");
  byId("nodes").replaceChildren(
    ...stats.nodes.map((node) =>
      el(
        "li",
        {
          "data-testid": "stats-node",
          "data-node": node.name,
          "data-connections": String(node.connections),
          title: `version ${node.version}, last heartbeat ${timeOf(new Date(node.last_heartbeat))}`,
          ...(node.name === here ? { "aria-current": "true" } : {}),
        },
        el("span", {}, node.name),
        el("strong", {}, String(node.connections)),
      ),
    ),
  );
  const asOf = byId<HTMLTimeElement>("stats-as_of");
  asOf.dateTime = stats.as_of;
  asOf.textContent = timeOf(new Date(stats.as_of)).slice(0, 8);
}

function state(name: "fresh" | "stale" | "unreachable", text: string): void {
  const line = byId("stats-state");
  if (line.dataset.state === name) return; // a live region speaks only of changes
  line.dataset.state = name;
  line.textContent = text;
}

/** Reads /stats once a second for as long as somebody looks. */
export function watchPresence(here: () => string): void {
  let last = "";
  const read = async (): Promise<void> => {
    if (document.visibilityState === "hidden") return;
    try {
      const response = await fetch("/stats", { signal: AbortSignal.timeout(3_000) });
      if (!response.ok) throw new Error(String(response.status));
      const stats = (await response.json()) as Stats;
      show(stats, here());
      last = stats.as_of;
      if (stats.stale) state("stale", "stale, last known at");
      else state("fresh", "as of");
    } catch {
      state("unreachable", last === "" ? "not available" : "unreachable since");
    }
  };
  const loop = (): void => void read().finally(() => setTimeout(loop, 1_000));
  document.addEventListener("visibilitychange", () => void read());
  loop();
}
