// JSON text compared as text: JavaScript's numbers would hide a lost digit of an integer beyond 2^53.

const STRING_OR_REST = /"(?:[^"\\]|\\.)*"|[^"\s]+/gs;

/**
 * The same text without insignificant whitespace and with every string escaped in one way. Numbers keep their
 * digits, objects the order of their keys.
 */
export function canonical(text) {
  let out = '';
  for (const [part] of text.matchAll(STRING_OR_REST)) {
    out += part[0] === '"' ? JSON.stringify(JSON.parse(part)) : part;
  }
  return out;
}
