import { byId, el, say } from "./dom";
import type { Ack, Connection } from "./connection";

const prefix = "solicitud_";

/** The rooms of this connection, and the solicitudes that the person wants to be in whatever happens to it. */
export class Rooms {
  readonly #list = byId<HTMLUListElement>("rooms");
  readonly #result = byId("subscribe-result");
  readonly #wanted = new Set<string>(); // solicitud ids
  readonly #rooms = new Map<string, Set<string>>(); // room → users seen joining it
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async subscribe(solicitud: string): Promise<void> {
    const ack = await this.#connection.ask("subscribe_solicitud", { solicitud_id: solicitud });
    this.#tell(ack, "subscribed to", solicitud);
    if (!ack.ok) return;
    this.#wanted.add(solicitud);
    this.#add(ack.room ?? prefix + solicitud);
  }

  async unsubscribe(solicitud: string): Promise<void> {
    const ack = await this.#connection.ask("unsubscribe_solicitud", { solicitud_id: solicitud });
    this.#tell(ack, "unsubscribed from", solicitud);
    if (!ack.ok) return;
    this.#wanted.delete(solicitud);
    this.#rooms.delete(ack.room ?? prefix + solicitud);
    this.#draw();
  }

  /** On every connect the server says which rooms it granted; a connection that did not recover asks for the rest anew. */
  connected(granted: string[]): void {
    this.#rooms.clear();
    for (const room of granted) this.#rooms.set(room, new Set());
    this.#draw();
    for (const solicitud of this.#wanted) {
      if (!this.#rooms.has(prefix + solicitud)) void this.subscribe(solicitud);
    }
  }

  member(joined: boolean, room: string, user: string): void {
    const seen = this.#rooms.get(room);
    if (!seen) return;
    if (joined) seen.add(user);
    else seen.delete(user);
    this.#draw();
  }

  clear(forget: boolean): void {
    if (forget) this.#wanted.clear();
    this.#rooms.clear();
    say(this.#result, "");
    this.#draw();
  }

  #add(room: string): void {
    if (!this.#rooms.has(room)) this.#rooms.set(room, new Set());
    this.#draw();
  }

  #tell(ack: Ack, done: string, solicitud: string): void {
    if (ack.ok) say(this.#result, `${done} ${ack.room ?? solicitud}`);
    else say(this.#result, `${ack.error?.code ?? "error"}: ${ack.error?.message ?? "refused"}`, true);
  }

  #draw(): void {
    this.#list.replaceChildren(
      ...[...this.#rooms].map(([room, seen]) => {
        const item = el("li", { "data-testid": "room", "data-room": room }, el("span", { class: "room-name" }, room));
        if (seen.size > 0) {
          item.append(el("span", { class: "room-seen", "data-testid": "room-members" }, `also here: ${[...seen].join(", ")}`));
        }
        if (room.startsWith(prefix)) {
          const leave = el("button", { type: "button", class: "quiet", "aria-label": `Leave ${room}` }, "Leave");
          leave.addEventListener("click", () => void this.unsubscribe(room.slice(prefix.length)));
          item.append(leave);
        }
        return item;
      }),
    );
    byId("rooms-empty").hidden = this.#rooms.size > 0;
  }
}
