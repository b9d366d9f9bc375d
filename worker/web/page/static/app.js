// Finds the view of an address, and keeps focus, title and history in order.

import { get, Problem, token } from "./api.js";
import { h, note, say } from "./dom.js";
import { conversation } from "./conversation.js";
import { instance } from "./instance.js";
import { conversations, instances } from "./lists.js";
import { search } from "./search.js";
import { stops } from "./stops.js";
import { askForToken } from "./token.js";

const VIEWS = [
  [/^\/instances\/([^/]+)(?:\/activities\/([^/]+))?$/, instance],
  [/^\/embed\/instances\/([^/]+)(?:\/activities\/([^/]+))?$/, instance],
  [/^\/conversations\/([^/]+)$/, conversation],
  [/^\/conversations$/, conversations],
  [/^\/search$/, search],
  [/^\/(?:instances)?$/, instances],
];

const main = document.getElementById("main");
const embedded = location.pathname.startsWith("/embed/");
let leaving = new AbortController();
let me = null;

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function found() {
  const path = location.pathname.replace(/(.)\/$/, "$1");
  for (const [form, view] of VIEWS) {
    const match = form.exec(path);
    if (match) return { view, parts: match.slice(1).map((part) => part && decoded(part)) };
  }
  return { view: nowhere, parts: [] };
}

async function nowhere() {
  return { title: "Not found", content: [h("h1", {}, "Not found"), note("There is no such page.", "")] };
}

// Views get what they need, and return a title and their content. `signal` ends with the view.
async function show({ focus = true } = {}) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { view, parts } = found();
  mark(view);
  main.setAttribute("aria-busy", "true");
  try {
    me ??= await get("/me", {}, signal);
    const page = { parts, me, embedded, signal, go, parameters: new URLSearchParams(location.search) };
    tellStopped(signal);
    const { title, content } = await view(page);
    if (signal.aborted) return;
    put(title, content, focus);
  } catch (error) {
    if (signal.aborted) return;
    failed(error);
  } finally {
    if (!signal.aborted) main.removeAttribute("aria-busy");
  }
}

// No view waits for it. Where it cannot be known what is stopped, what was said last stays.
async function tellStopped(signal) {
  const known = await get("/stops", {}, signal).catch(() => null);
  if (known && !signal.aborted) head(known);
}

function head(known) {
  const lifted = (left) => {
    head(left);
    say("The stop is lifted");
    main.focus();
  };
  document.getElementById("stops").replaceChildren(...stops(known, me, lifted));
}

function put(title, content, focus) {
  main.replaceChildren(...content);
  document.title = `${title} · Conversations`;
  document.getElementById("leave").hidden = !token.get();
  say(title);
  if (focus) {
    scrollTo(0, 0);
    const heading = main.querySelector("h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
  }
}

function failed(error) {
  if (error instanceof Problem && error.status === 401) {
    const refused = token.get() !== null;
    token.forget();
    me = null;
    head([]);
    put("Token", [askForToken(refused, (value) => (token.set(value), show()))], false);
    main.querySelector("input").focus();
    return;
  }
  const again = h("button", { type: "button", onclick: () => show() }, "Try again");
  const known = error instanceof Problem;
  if (!known) console.error(error);
  const title = known ? error.title : "Something went wrong";
  put(title, [h("h1", {}, title), note(known ? error.message : "The page itself failed.", "", again)], true);
}

function mark(view) {
  const own = { [instances.name]: "/instances", [instance.name]: "/instances", [search.name]: "/search" }[view.name];
  for (const link of document.querySelectorAll(".top nav a")) {
    const current = link.getAttribute("href") === (own ?? "/conversations") && view !== nowhere;
    current ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
}

function go(address, { replace = false, focus = true } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  return show({ focus });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || event.defaultPrevented || link.target) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.quick") || event.defaultPrevented) return;
  event.preventDefault();
  go(`/search?${new URLSearchParams(new FormData(event.target))}`);
});
document.getElementById("leave").addEventListener("click", () => {
  token.forget();
  me = null;
  show();
});
addEventListener("popstate", () => show());
document.documentElement.classList.toggle("embedded", embedded);
show({ focus: false });
