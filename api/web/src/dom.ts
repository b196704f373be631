/** The element with a data-testid: the page's elements are found by the same names as its tests find them. */
export function byId<T extends Element = HTMLElement>(id: string): T {
  const found = document.querySelector<T>(`[data-testid="${id}"]`);
  if (!found) throw new Error(`the page has no ${id}`);
  return found;
}

type Child = Node | string;

/** A new element. Text stays text: nothing on this page turns a string into markup. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Shows a line of text, or hides it when there is none. */
export function say(line: HTMLElement, text: string, bad = false): void {
  line.textContent = text;
  line.hidden = text === "";
  line.classList.toggle("bad", bad);
  line.dataset.ok = String(!bad);
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hour12: false,
});

export function timeOf(date: Date): string {
  return clock.format(date);
}

export function plural(count: number, one: string, many: string): string {
  return count === 1 ? one : many;
}
