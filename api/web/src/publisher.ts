import { publish } from "./demo";
import { byId, el, say } from "./dom";
import { checkObject } from "./json";
import { eventName, presets, type Preset, type Who } from "./presets";

const custom = "custom";

/** The form that writes an event to the stream. */
export class Publisher {
  readonly #select = byId<HTMLSelectElement>("event-select");
  readonly #name = byId<HTMLInputElement>("event-name-input");
  readonly #data = byId<HTMLTextAreaElement>("data-input");
  readonly #button = byId<HTMLButtonElement>("publish");
  readonly #result = byId("publish-result");
  readonly #who: () => Who;
  #edited = false; // an example follows the page's role, user and solicitud until somebody edits it
  #busy = false;

  constructor(who: () => Who) {
    this.#who = who;
    for (const { family, presets: own } of presets) {
      this.#select.append(el("optgroup", { label: family }, ...own.map((p) => el("option", { value: p.event }, p.event))));
    }
    this.#select.append(el("optgroup", { label: "Other" }, el("option", { value: custom }, "another name…")));
    this.#select.addEventListener("change", () => this.#example());
    this.#name.addEventListener("input", () => this.#check());
    this.#data.addEventListener("input", () => {
      this.#edited = true;
      this.#check();
    });
    byId("data-reset").addEventListener("click", () => this.#example());
    byId("data-format").addEventListener("click", () => this.#format());
    byId("publish-form").addEventListener("submit", (submit) => {
      submit.preventDefault();
      void this.#publish();
    });
    this.#data.addEventListener("keydown", (key) => {
      if (key.key === "Enter" && (key.ctrlKey || key.metaKey)) void this.#publish();
    });
    this.#example();
  }

  /** Called when role, user or solicitud change. */
  refresh(): void {
    if (!this.#edited) this.#example();
  }

  get #preset(): Preset | undefined {
    return presets.flatMap((p) => p.presets).find((p) => p.event === this.#select.value);
  }

  #example(): void {
    const preset = this.#preset;
    byId("event-name-field").hidden = preset !== undefined;
    byId("event-hint").textContent = preset?.hint ?? "Any solicitud_, oferta_, evaluacion_ or notificacion_ event; its data decides who receives it.";
    this.#data.value = JSON.stringify(preset?.data(this.#who()) ?? { solicitud_id: this.#who().solicitud }, null, 2);
    this.#edited = false;
    this.#check();
  }

  #format(): void {
    if (!checkObject(this.#data.value).ok) return;
    this.#data.value = JSON.stringify(JSON.parse(this.#data.value), null, 2);
  }

  get #event(): string {
    return this.#select.value === custom ? this.#name.value.trim() : this.#select.value;
  }

  #check(): boolean {
    const data = checkObject(this.#data.value);
    say(byId("data-error"), data.ok ? "" : data.problem, true);
    this.#data.setAttribute("aria-invalid", String(!data.ok));
    const named = eventName.test(this.#event);
    say(byId("event-name-error"), named ? "" : "Begins with solicitud_, oferta_, evaluacion_ or notificacion_; then a–z, 0–9 and _.", true);
    this.#name.setAttribute("aria-invalid", String(!named));
    this.#button.disabled = !data.ok || !named;
    return data.ok && named;
  }

  async #publish(): Promise<void> {
    if (this.#busy || !this.#check()) return;
    const event = this.#event;
    this.#busy = true;
    try {
      const id = await publish(event, this.#data.value);
      say(this.#result, `${event} written as ${id}`);
      this.#result.dataset.id = id;
    } catch (err) {
      say(this.#result, err instanceof Error ? err.message : String(err), true);
    } finally {
      this.#busy = false;
    }
  }
}
