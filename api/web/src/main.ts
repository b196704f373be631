import "./style.css";
import { Connection, type State } from "./connection";
import { byId, say } from "./dom";
import { Feed } from "./feed";
import { watchPresence } from "./presence";
import { Publisher } from "./publisher";
import { Rooms } from "./rooms";
import { themeSwitch } from "./theme";

const role = byId<HTMLSelectElement>("role-select");
const user = byId<HTMLInputElement>("user-input");
const solicitud = byId<HTMLInputElement>("solicitud-input");
const node = byId("node");
const problem = byId("error");

const who = () => ({ role: role.value, user: user.value.trim(), solicitud: solicitud.value.trim() });

// A link can say who to be: /demo?role=advisor&user=advisor-2&solicitud=sol-7&connect=1
const given = new URLSearchParams(location.search);
if ([...role.options].some((option) => option.value === given.get("role"))) role.value = given.get("role") ?? role.value;
user.value = given.get("user") || `${role.value}-1`;
solicitud.value = given.get("solicitud") || solicitud.value;

const feed = new Feed();
let pinged = 0;

const connection = new Connection({
  state: showState,
  error: (text) => say(problem, text, true),
  transport: (name) => (byId("transport").textContent = name || "–"),
  event: (name, args) => {
    feed.add(name, args);
    handle(name, (typeof args[0] === "object" && args[0] !== null ? args[0] : {}) as Record<string, unknown>);
  },
});
const rooms = new Rooms(connection);
const publisher = new Publisher(who);

function handle(name: string, data: Record<string, unknown>): void {
  switch (name) {
    case "connected":
      node.textContent = String(data.node ?? "–");
      rooms.connected(Array.isArray(data.rooms) ? data.rooms.map(String) : []);
      break;
    case "user_joined":
    case "user_left":
      rooms.member(name === "user_joined", String(data.room), String(data.user_id));
      break;
    case "pong":
      byId("latency").textContent = `${(performance.now() - pinged).toFixed(1)} ms`;
      break;
    case "error":
      say(problem, `${String(data.code)}: ${String(data.message)}`, true);
      break;
  }
}

function showState(state: State): void {
  const pill = byId("status");
  pill.textContent = state;
  pill.dataset.state = state;
  const idle = state === "disconnected" || state === "refused";
  role.disabled = user.disabled = !idle;
  // The button that is pressed becomes the other one, for the keyboard's focus too.
  const [on, off] = idle ? (["connect", "disconnect"] as const) : (["disconnect", "connect"] as const);
  const focused = document.activeElement === byId(off);
  byId<HTMLButtonElement>(on).disabled = false;
  byId<HTMLButtonElement>(off).disabled = true;
  if (focused) byId(on).focus();
  for (const id of ["subscribe", "unsubscribe", "ping"]) byId<HTMLButtonElement>(id).disabled = state !== "connected";
  if (state === "connected") return;
  node.textContent = "–";
  byId("latency").textContent = "–";
  rooms.clear(idle);
}

function connect(): void {
  if (who().user === "") {
    user.setAttribute("aria-invalid", "true");
    say(problem, "A user id is needed.", true);
    user.focus();
    return;
  }
  user.removeAttribute("aria-invalid");
  say(problem, "");
  connection.open(role.value, who().user);
}

function onSubmit(form: string, then: () => void): void {
  byId(form).addEventListener("submit", (submit) => {
    submit.preventDefault();
    then();
  });
}

function followInputs(): void {
  const next = new URLSearchParams({ role: role.value === "client" ? "advisor" : "client", solicitud: who().solicitud, connect: "1" });
  byId<HTMLAnchorElement>("another").href = `?${next}`;
  publisher.refresh();
}

let named = given.get("user") !== null; // a name that somebody chose stays when the role changes
role.addEventListener("change", () => {
  if (!named) user.value = `${role.value}-1`;
  followInputs();
});
user.addEventListener("input", () => {
  named = user.value !== "";
  followInputs();
});
solicitud.addEventListener("input", followInputs);

onSubmit("connect-form", connect);
byId("disconnect").addEventListener("click", () => {
  connection.close();
  say(problem, "");
});
byId("ping").addEventListener("click", () => {
  pinged = performance.now();
  connection.send("ping");
});
onSubmit("rooms-form", () => void rooms.subscribe(who().solicitud));
byId("unsubscribe").addEventListener("click", () => void rooms.unsubscribe(who().solicitud));

themeSwitch();
followInputs();
watchPresence(() => node.textContent ?? "");
if (given.get("connect") === "1") connect();
