import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { el } from "../src/dom";
import { duration, number, rate, roles } from "./words";
import type { Chart, Point } from "./types";

interface Plan {
  id: string;
  title: string;
  names: string[];
  say: (n: number) => string;
  /** The values of a point, null where there are none. */
  of: (p: Point) => (number | null)[];
  /** What the summary says of the whole; nothing: of each line. */
  total: string;
  none: string;
}

const plans = (chart: Chart): Plan[] => [
  {
    id: "connections",
    title: "Connections by role",
    names: chart.roles.map((r) => roles[r]?.[1] ?? r),
    say: number,
    of: (p) => p.r ?? [],
    total: "connections",
    none: "Nobody was connected in this time.",
  },
  {
    id: "events",
    title: "Events per second by kind",
    names: chart.kinds,
    say: rate,
    of: (p) => p.e ?? [],
    total: "events per second",
    none: "No event came in this time.",
  },
  {
    id: "latency",
    title: "Latency, from written to sent",
    names: ["half within", "95 %", "99 %"],
    say: duration,
    of: (p) => (p.l?.length ? p.l : [null, null, null]),
    total: "",
    none: "Nothing was measured in this time.",
  },
];

/** Lines differ in their dashes, too, for who cannot tell the colours. */
const dashes = [[], [7, 4], [2, 3], [10, 3, 2, 3]];

class Graph {
  readonly figure: HTMLElement;
  private readonly box = el("div", { class: "plot", role: "img" });
  private readonly summary: HTMLElement;
  private readonly legend: HTMLElement;
  private plot: uPlot | undefined;
  private first = 0;
  private last = 0;

  constructor(private readonly plan: Plan) {
    const title = el("h2", { id: `${plan.id}-title` }, plan.title);
    this.summary = el("figcaption", { id: `${plan.id}-summary`, class: "note" });
    this.legend = el("ul", { class: "legend" });
    plan.names.forEach((name, i) => this.legend.append(el("li", { "data-line": String(i) }, swatch(i), el("span", {}, name), el("output"))));
    this.box.setAttribute("aria-labelledby", title.id);
    this.box.setAttribute("aria-describedby", this.summary.id);
    this.figure = el("figure", { class: "card chart", "data-testid": `chart-${plan.id}` }, title, this.legend, this.box, this.summary);
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.box);
  }

  private size(): { width: number; height: number } {
    return { width: Math.max(200, this.box.clientWidth), height: 190 };
  }

  /** All that is known, but at least two minutes, so that a gateway just started is not a line at the edge. */
  private span(window: number): [number, number] {
    const now = this.last || Date.now();
    const from = Math.min(this.first || now, now - 120_000);
    return [Math.max(from, now - window) / 1000, now / 1000];
  }

  /** The colours are the page's, which are others in the dark. */
  redraw(points: Point[], window: number): void {
    this.plot?.destroy();
    const css = getComputedStyle(document.documentElement);
    const colour = (name: string): string => css.getPropertyValue(name).trim();
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    this.plot = new uPlot(
      {
        ...this.size(),
        padding: [8, 8, 0, 0],
        cursor: { show: false },
        select: { show: false, left: 0, top: 0, width: 0, height: 0 },
        legend: { show: false },
        scales: {
          x: { time: true, range: () => this.span(window) },
          y: { range: (_u, _min, max) => [0, Math.max(max * 1.1, this.plan.id === "latency" ? 10 : 1)] },
        },
        axes: [
          { ...axis, size: 28, space: 50, incrs: [60, 120, 300, 600, 900, 1800], values: (_u, ticks) => ticks.map((t) => clock.format(t * 1000)) },
          { ...axis, size: 56, values: (_u, ticks) => ticks.map((t) => (this.plan.id === "latency" ? duration(t) : short.format(t))) },
        ],
        series: [
          {},
          ...this.plan.names.map((label, i) => ({
            label,
            stroke: colour(`--line-${i}`),
            width: 2,
            dash: dashes[i] ?? [],
            spanGaps: false,
            points: { show: false },
          })),
        ],
      },
      this.data(points),
      this.box,
    );
    this.words(points);
  }

  show(points: Point[]): void {
    this.plot?.setData(this.data(points));
    this.words(points);
  }

  private data(points: Point[]): uPlot.AlignedData {
    this.first = points[0]?.t ?? 0;
    this.last = points.at(-1)?.t ?? 0;
    const columns = this.plan.names.map((_n, i) => points.map((p) => this.plan.of(p)[i] ?? null));
    return [points.map((p) => p.t / 1000), ...columns];
  }

  /** What the lines show, for who does not see them. */
  private words(points: Point[]): void {
    const { of, say, names, total, none } = this.plan;
    const last = points.at(-1);
    const now = last ? of(last) : [];
    names.forEach((_n, i) => {
      const value = now[i];
      const output = this.legend.children[i]?.querySelector("output");
      if (output) output.textContent = value === null || value === undefined ? "–" : say(value);
    });
    const whole = (p: Point): number | null => {
      const values = of(p);
      if (!values.length) return null;
      return total ? values.reduce<number>((a, b) => a + (b ?? 0), 0) : (values[1] ?? null);
    };
    const all = points.map(whole).filter((n): n is number => n !== null);
    const most = Math.max(0, ...all);
    if (most === 0) {
      this.summary.textContent = none;
      return;
    }
    const current = last ? whole(last) : null;
    const range = `between ${say(Math.min(...all))} and ${say(most)} in the last ${duration((last?.t ?? 0) - (points[0]?.t ?? 0))}`;
    this.summary.textContent = total
      ? `${current === null ? "Not known" : `${say(current)} ${total}`} now, ${range}.`
      : `95 % are within ${current === null ? "an unknown time" : say(current)} now, ${range}.`;
  }
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function swatch(i: number): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 4");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", "M0 2h24");
  const dash = dashes[i];
  if (dash?.length) line.setAttribute("stroke-dasharray", dash.join(" "));
  svg.append(line);
  return svg;
}

/** The charts, in box: begun with a history, and gone on with point by point. */
export function charts(box: HTMLElement): { begin: (chart: Chart) => void; add: (point: Point) => void } {
  let graphs: Graph[] = [];
  let points: Point[] = [];
  let window = 900_000;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => graphs.forEach((g) => g.redraw(points, window)));
  return {
    begin(chart) {
      points = chart.points ?? [];
      window = chart.window;
      if (!graphs.length) {
        graphs = plans(chart).map((plan) => new Graph(plan));
        box.replaceChildren(...graphs.map((g) => g.figure));
      }
      graphs.forEach((g) => g.redraw(points, window));
    },
    add(point) {
      points.push(point);
      points = points.filter((p) => p.t > point.t - window);
      graphs.forEach((g) => g.show(points));
    },
  };
}
