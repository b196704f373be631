import { el } from "./dom";

export type Checked = { ok: true } | { ok: false; problem: string };

/** Says whether text is one JSON object, and if not, where it goes wrong. */
export function checkObject(text: string): Checked {
  if (text.trim() === "") return { ok: false, problem: "Empty: an event needs a JSON object." };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (err) {
    return { ok: false, problem: describe(text, err instanceof Error ? err.message : String(err)) };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const kind = Array.isArray(value) ? "an array" : value === null ? "null" : `a ${typeof value}`;
    return { ok: false, problem: `This is ${kind}; an event's data is a JSON object, like {"solicitud_id": "sol-1001"}.` };
  }
  return { ok: true };
}

/** Browsers give a position in words of their own; a person wants line and column. */
function describe(text: string, message: string): string {
  const found = /^(.*?)(?: in JSON)? at position (\d+)/s.exec(message);
  if (!found) return `Not valid JSON: ${message}.`;
  const before = text.slice(0, Number(found[2])).split("\n");
  return `Line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}: ${found[1]}.`;
}

const token = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Indented JSON as coloured spans. */
export function pretty(value: unknown): DocumentFragment {
  const text = JSON.stringify(value, null, 2) ?? "undefined";
  const out = document.createDocumentFragment();
  let end = 0;
  for (const match of text.matchAll(token)) {
    out.append(text.slice(end, match.index));
    const [all, str, colon, word] = match;
    if (str !== undefined) {
      out.append(el("span", { class: colon === undefined ? "j-str" : "j-key" }, str), colon ?? "");
    } else {
      out.append(el("span", { class: word === undefined ? "j-num" : "j-word" }, all));
    }
    end = match.index + all.length;
  }
  out.append(text.slice(end));
  return out;
}
