import "./style.css";
import { io, type Socket } from "socket.io-client";
import { byId } from "../src/dom";
import { charts } from "./charts";
import { deadLetters } from "./dead";
import { show } from "./figures";
import { duration, time } from "./words";
import type { Chart, Reply, View } from "./types";

const KEPT = "operators-key";
/** After this long without figures, ms, what is shown is no longer the present. */
const OLD = 7000;

const login = byId("login");
const form = byId<HTMLFormElement>("login-form");
const key = byId<HTMLInputElement>("key");
const fault = byId("login-error");
const button = byId<HTMLButtonElement>("sign-in");
const page = byId("page");
const link = byId("link");
const banner = byId("banner");
const teller = byId("teller");

const draw = charts(byId("charts"));
const letters = deadLetters(ask);

let socket: Socket | undefined;
let heard = 0; // when the last figures came, by this browser's clock
let last: View | undefined;

const refusals: Record<string, string> = {
  unauthorized: "That is not the key.",
  rate_limited: "Too many wrong keys came from your address. Wait a minute, then try again.",
  server_full: "Too many watch this node already. Try again later.",
};

function signIn(secret: string): void {
  fault.textContent = "";
  button.disabled = true;
  button.textContent = "Signing in …";
  socket = io({
    path: "/dashboard/socket.io/",
    auth: { key: secret },
    transports: ["websocket", "polling"],
    tryAllTransports: true,
    reconnectionDelay: 500,
    reconnectionDelayMax: 3000,
  });
  socket.on("connect", () => {
    sessionStorage.setItem(KEPT, secret);
    heard = Date.now();
    enter();
  });
  socket.on("connect_error", (err: Error & { data?: { code?: string } }) => {
    const refusal = refusals[err.data?.code ?? ""];
    if (refusal) leave(refusal);
    else if (page.hidden) leave("The gateway does not answer. Try again in a moment.");
    else state();
  });
  socket.on("disconnect", (reason) => {
    // The gateway's own goodbye is the one after which the client does not come back by itself.
    if (reason === "io server disconnect") socket?.connect();
    state();
  });
  socket.on("history", (chart: Chart) => draw.begin(chart));
  socket.on("figures", (view: View) => {
    heard = Date.now();
    last = view;
    show(view);
    draw.add(view.redis_down_since ? { t: view.at, r: null, e: null, l: null } : view.point); // this node alone is not the cluster
    letters.changed(view);
    teller.textContent = `as ${view.node} sees it, ${time(view.at)}`;
    state();
  });
}

/** The page instead of the form. */
function enter(): void {
  if (page.hidden) {
    login.hidden = true;
    page.hidden = false;
    byId("link-state").hidden = false;
    key.value = "";
    byId("content").focus();
    letters.load();
  }
  state();
}

/** The form instead of the page. */
function leave(why: string): void {
  socket?.removeAllListeners();
  socket?.disconnect();
  socket = undefined;
  sessionStorage.removeItem(KEPT);
  letters.close();
  page.hidden = true;
  byId("link-state").hidden = true;
  login.hidden = false;
  button.disabled = false;
  button.textContent = "Open the page";
  fault.textContent = why;
  key.focus();
  if (why) key.select();
}

/** How fresh the figures are. What is read aloud changes only with the kind of it. */
function state(): void {
  const age = Date.now() - heard;
  const now = !socket?.connected ? "lost" : age > OLD ? "old" : last ? "live" : "connecting";
  document.documentElement.dataset.link = now;
  if (link.dataset.state !== now) {
    link.dataset.state = now;
    link.textContent = {
      live: "Live",
      connecting: "Connecting",
      old: "No news from the gateway",
      lost: "Connection lost, trying again",
    }[now];
  }
  banner.hidden = !last || now === "live" || now === "connecting";
  if (last && !banner.hidden) {
    const text = `${last.node} ${now === "lost" ? "cannot be reached" : "sends no figures"}. What stands here is of ${time(last.at)}. Trying again; if it stays away, open the page of another node.`;
    if (banner.textContent !== text) banner.textContent = text;
  }
  if (last && (now === "lost" || now === "old")) {
    teller.textContent = `figures of ${time(last.at)}, ${duration(age)} ago`;
  }
}

/** Asks the gateway; what goes wrong on the way is an answer, too. */
async function ask(event: string, what: Record<string, string>): Promise<Reply> {
  if (!socket?.connected) return { ok: false, error: "offline" };
  try {
    return ((await socket.timeout(15_000).emitWithAck(event, what)) as Reply | null) ?? { ok: false, error: "unavailable" };
  } catch {
    return { ok: false, error: "offline" };
  }
}

form.addEventListener("submit", (e) => {
  e.preventDefault();
  if (key.value) signIn(key.value);
});
byId("sign-out").addEventListener("click", () => leave(""));
setInterval(() => page.hidden || state(), 1000);

const kept = sessionStorage.getItem(KEPT);
if (kept) signIn(kept);
else login.hidden = false;
