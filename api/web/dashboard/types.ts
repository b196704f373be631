// What the gateway sends; see the package dashboard. Times are unix milliseconds.

export interface Point {
  t: number;
  r: number[] | null;
  e: number[] | null;
  l: number[] | null;
}

export interface Chart {
  roles: string[];
  kinds: string[];
  window: number;
  points: Point[] | null;
}

export type Counts = Record<string, number>;

export interface NodeView {
  name: string;
  version: string;
  state: "ready" | "not_ready" | "draining" | "silent" | "unknown" | "lost" | "left";
  since?: number;
  reasons?: string[];
  started?: number;
  connections?: Counts;
  total: number;
  polling: number;
  websocket: number;
  deliveries: number;
  latency: { count: number; p50: number; p95: number; p99: number };
  lag: number;
  backlog: number;
}

export interface Deploy {
  began: number;
  ended: number;
  nodes: number;
  of: number;
  counted: number;
  versions: string[];
  recovered: number;
  not_recovered: number;
}

export interface View {
  at: number;
  node: string;
  redis_down_since?: number;
  nodes: NodeView[];
  users: Counts | null;
  point: Point;
  unread: number;
  pending: number;
  waiting: number;
  dead: number;
  dead_lately: Counts;
  refused: Counts;
  refused_lately: Counts;
  deploy?: Deploy;
}

export interface Letter {
  id: string;
  at: number;
  reason: string;
  detail?: string;
  event?: string;
  event_id?: string;
  source_id?: string;
  node?: string;
  deliveries?: number;
  cut?: boolean;
  fields?: { name: string; value: string; size: number }[];
}

export interface Reply {
  ok: boolean;
  error?: string;
  letters?: Letter[];
  next?: string;
  letter?: Letter;
}
