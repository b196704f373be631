import { byId, el, timeOf } from "./dom";
import { pretty } from "./json";
import { familyOf, type Family } from "./presets";

const kept = 200; // items; older ones leave the page

/** The list of what arrived, newest first. */
export class Feed {
  readonly #list = byId<HTMLOListElement>("events");
  readonly #filter = byId<HTMLSelectElement>("filter");
  readonly #expand = byId<HTMLInputElement>("expand");
  readonly #pause = byId<HTMLButtonElement>("pause");
  #received = 0;
  #waiting: HTMLLIElement[] = []; // while paused, oldest first

  constructor() {
    this.#filter.addEventListener("change", () => this.#refresh());
    this.#expand.addEventListener("change", () => {
      for (const details of this.#list.querySelectorAll("details")) details.open = this.#expand.checked;
    });
    this.#pause.addEventListener("click", () => this.#togglePause());
    byId("clear").addEventListener("click", () => {
      this.#waiting = [];
      this.#received = 0;
      this.#list.replaceChildren();
      this.#refresh();
    });
    this.#refresh();
  }

  get #paused(): boolean {
    return this.#pause.getAttribute("aria-pressed") === "true";
  }

  add(name: string, args: unknown[]): void {
    this.#received++;
    const item = this.#item(name, args);
    if (this.#paused) {
      this.#waiting.push(item);
      if (this.#waiting.length > kept) this.#waiting.shift();
    } else {
      this.#list.prepend(item);
    }
    this.#refresh(item);
    if (!item.hidden && !this.#paused) byId("announce").textContent = item.querySelector(".event-head")?.firstChild?.textContent ?? "";
  }

  #togglePause(): void {
    this.#pause.setAttribute("aria-pressed", String(!this.#paused));
    if (!this.#paused) {
      this.#list.prepend(...this.#waiting.reverse());
      this.#waiting = [];
    }
    this.#refresh();
  }

  #item(name: string, args: unknown[]): HTMLLIElement {
    const at = new Date();
    const family = familyOf(name);
    // Events from the log carry their log id, the stock client's recovery offset, behind the data.
    const last = args.at(-1);
    const id = args.length > 1 && typeof last === "string" ? last : "";
    const data = args[0];
    const details = el("details", {}, el("summary", {}, "Data"), el("pre", { "data-testid": "event-data", tabindex: "0" }, pretty(data)));
    details.open = this.#expand.checked;
    return el(
      "li",
      { "data-testid": "event", "data-event": name, "data-family": family, "data-id": id },
      el(
        "div",
        { class: "event-head" },
        el("span", { class: "event-name" }, name),
        el("span", { class: "event-about" }, about(data)),
        el("span", { class: "event-id", title: "id in the broadcast log" }, id),
        el("time", { datetime: at.toISOString() }, timeOf(at)),
      ),
      ...(data === undefined ? [] : [details]),
    );
  }

  #refresh(only?: HTMLLIElement): void {
    while (this.#list.childElementCount > kept) this.#list.lastElementChild?.remove();
    for (const item of only ? [only] : [...this.#list.children, ...this.#waiting]) {
      (item as HTMLElement).hidden = !this.#shows((item as HTMLElement).dataset.family as Family);
    }
    byId("event-count").textContent = String(this.#received);
    this.#pause.textContent = this.#paused ? `Resume (${this.#waiting.length})` : "Pause";
    byId("events-empty").hidden = this.#list.childElementCount > 0;
  }

  #shows(family: Family): boolean {
    const filter = this.#filter.value;
    return filter === "all" || filter === family || (filter === "domain" && family !== "system");
  }
}

/** The few words that tell one event from the next. */
function about(data: unknown): string {
  if (typeof data !== "object" || data === null) return "";
  const fields = data as Record<string, unknown>;
  return ["solicitud_id", "oferta_id", "evaluacion_id", "user_id", "role", "room"]
    .map((key) => fields[key])
    .filter((value) => typeof value === "string" || typeof value === "number")
    .slice(0, 3)
    .join(" · ");
}
