import { byId, el } from "../src/dom";
import { cell } from "./figures";
import { count, dead, duration, number, say, time } from "./words";
import type { Letter, Reply, View } from "./types";

type Ask = (event: string, what: Record<string, string>) => Promise<Reply>;

const faults: Record<string, string> = {
  offline: "The gateway cannot be reached at the moment.",
  unavailable: "The dead letters cannot be read at the moment; Redis may be away.",
  no_letter: "This dead letter is no longer there: it was replayed or dropped meanwhile.",
  relayed: "An event with the same event_id was relayed since, so that a replay would be ignored. It can be dropped.",
  cut: "It was too large to be kept whole, so it cannot be replayed. Its publisher has to send it again.",
};

const fault = (reply: Reply): string => faults[reply.error ?? ""] ?? "That did not work.";

/** The list of dead letters, and the look inside one. */
export function deadLetters(ask: Ask): {
  load: () => void;
  changed: (view: View) => void;
  close: () => void;
} {
  const table = byId("dead");
  const empty = byId("dead-empty");
  const error = byId("dead-error");
  const older = byId<HTMLButtonElement>("dead-older");
  const dialog = byId<HTMLDialogElement>("letter");
  let rows: Letter[] = [];
  let next = "";
  let known = "";
  let busy = false;
  let again = false;

  async function load(more = false): Promise<void> {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    const reply = await ask("dead_list", more ? { after: next } : {});
    busy = false;
    error.textContent = reply.ok ? "" : fault(reply);
    if (reply.ok) {
      rows = more ? [...rows, ...(reply.letters ?? [])] : (reply.letters ?? []);
      next = reply.next ?? "";
      list();
    }
    if (again) {
      again = false;
      void load();
    }
  }

  function list(): void {
    table.hidden = rows.length === 0;
    empty.hidden = rows.length > 0;
    empty.textContent = "None. Every event found its way.";
    older.hidden = next === "";
    const focused = document.activeElement?.closest("[data-letter]")?.getAttribute("data-letter");
    table.querySelector("tbody")?.replaceChildren(...rows.map(row));
    if (focused) table.querySelector<HTMLButtonElement>(`[data-letter="${focused}"] button`)?.focus();
  }

  function row(l: Letter): HTMLTableRowElement {
    const name = l.event || "without a name";
    const look = el("button", { type: "button", class: "quiet", "aria-label": `Look inside ${name}, died ${time(l.at)}` }, "Look inside");
    look.addEventListener("click", () => void open(l.id));
    return el(
      "tr",
      { role: "row", "data-letter": l.id },
      el("th", { role: "rowheader", scope: "row" }, el("code", {}, name), ...(l.event_id ? [el("small", {}, `event_id ${l.event_id}`)] : [])),
      cell("Reason", say(dead, l.reason), el("small", {}, l.reason)),
      cell("Died", time(l.at)),
      cell("", look),
    );
  }

  let current: Letter | undefined;
  const result = byId("letter-result");
  const replay = byId<HTMLButtonElement>("letter-replay");
  const drop = byId<HTMLButtonElement>("letter-drop");

  async function open(id: string): Promise<void> {
    const reply = await ask("dead_get", { id });
    if (!reply.ok || !reply.letter) {
      error.textContent = fault(reply);
      if (reply.error === "no_letter") void load();
      return;
    }
    error.textContent = "";
    current = reply.letter;
    inside(current);
    dialog.showModal();
    dialog.scrollTop = 0;
  }

  function inside(l: Letter): void {
    byId("letter-title").textContent = l.event || "An event without a name";
    byId("letter-why").replaceChildren(
      `${say(dead, l.reason)} (${l.reason}).${l.cut ? ` ${faults["cut"]}` : ""}`,
      ...(l.detail ? [el("small", {}, l.detail)] : []),
    );
    const facts: [string, string | undefined][] = [
      ["Died", `${new Date(l.at).toLocaleString("en-GB")}, ${duration(Math.max(0, Date.now() - l.at))} ago`],
      ["event_id", l.event_id],
      ["Id in the event stream", l.source_id],
      ["Id as a dead letter", l.id],
      ["Given up by", l.node],
      ["Tried", l.deliveries ? count(l.deliveries, "time", "times") : undefined],
    ];
    byId("letter-facts").replaceChildren(
      ...facts.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value ?? ""))),
    );
    byId("letter-fields").replaceChildren(
      ...(l.fields ?? []).map((f, i) =>
        el(
          "div",
          {},
          el("h4", { id: `field-${i}` }, f.name),
          el("pre", { tabindex: "0", role: "group", "aria-labelledby": `field-${i}` }, pretty(f.value)),
          ...(f.size > new Blob([f.value]).size ? [el("p", { class: "note" }, `The beginning of ${number(f.size)} bytes.`)] : []),
        ),
      ),
    );
    if (!l.fields?.length) byId("letter-fields").replaceChildren(el("p", { class: "empty" }, "It has none."));
    result.textContent = "";
    delete result.dataset.ok;
    replay.hidden = drop.hidden = false;
    replay.disabled = Boolean(l.cut);
    confirming();
  }

  /** JSON with line breaks, where that changes nothing else: numbers beyond what this language holds stay as written. */
  function pretty(text: string): string {
    if (!/^\s*[[{]/.test(text) || text.length > 20_000) return text;
    let out = "";
    let depth = 0;
    let quoted = false;
    for (let i = 0; i < text.length; i++) {
      const c = text[i] ?? "";
      if (quoted) {
        out += c;
        if (c === "\\") out += text[++i] ?? "";
        else if (c === '"') quoted = false;
      } else if (c === '"') {
        quoted = true;
        out += c;
      } else if (c === "{" || c === "[") {
        out += text[i + 1] === "}" || text[i + 1] === "]" ? c : `${c}\n${"  ".repeat(++depth)}`;
      } else if (c === "}" || c === "]") {
        out += text[i - 1] === "{" || text[i - 1] === "[" ? c : `\n${"  ".repeat(Math.max(0, --depth))}${c}`;
      } else if (c === ",") out += `,\n${"  ".repeat(depth)}`;
      else if (c === ":") out += ": ";
      else if (!/\s/.test(c)) out += c;
    }
    return out;
  }

  /** Dropping is for good, so it is asked for twice. */
  function confirming(sure = false): void {
    drop.dataset.sure = String(sure);
    drop.textContent = sure ? "Really drop it for good" : "Drop";
  }

  async function act(event: string, done: string): Promise<void> {
    if (!current) return;
    replay.disabled = drop.disabled = true;
    const reply = await ask(event, { id: current.id });
    drop.disabled = false;
    replay.disabled = Boolean(current.cut);
    confirming();
    result.dataset.ok = String(reply.ok);
    result.textContent = reply.ok ? done : fault(reply);
    if (reply.ok || reply.error === "no_letter") {
      replay.hidden = drop.hidden = true;
      byId("letter-close").focus();
    }
    void load();
  }

  replay.addEventListener("click", () => void act("dead_replay", "Replayed: it is in the event stream again, as a new event."));
  drop.addEventListener("click", () => {
    if (drop.dataset.sure === "true") void act("dead_drop", "Dropped.");
    else confirming(true);
  });
  drop.addEventListener("blur", () => confirming());
  byId("letter-close").addEventListener("click", () => dialog.close());
  byId("dead-refresh").addEventListener("click", () => void load());
  older.addEventListener("click", () => void load(true));

  return {
    load: () => void load(),
    changed(view) {
      byId("dead-note").textContent = view.dead ? `${number(view.dead)} open` : "";
      const now = JSON.stringify([view.dead, view.dead_lately, view.redis_down_since]);
      if (now !== known) {
        known = now;
        void load();
      }
    },
    close: () => dialog.close(),
  };
}
