// Finds the view of an address, and keeps focus, title, place and history in order.

import { html, render } from "./lib/preact.js";
import { get, Problem, token } from "./api.js";
import { assistant } from "./assistant.js";
import { compare } from "./compare.js";
import { conversation } from "./conversation.js";
import { decision } from "./decision.js";
import { decisions } from "./decisions.js";
import { erasure } from "./erasure.js";
import { follow } from "./follow.js";
import { instance } from "./instance.js";
import { keepPlace, restorePlace, startKeeping } from "./kept.js";
import { conversations, instances } from "./lists.js";
import { memory, subject } from "./memory.js";
import { Note, plain, say } from "./parts.js";
import { search } from "./search.js";
import { Stops } from "./stops.js";
import { point } from "./thread.js";
import { AskForToken } from "./token.js";

// A view loads what it begins with, and is then shown: `load(page)` returns its title and whatever else it wants to
// have. `nav` is the part of the page that it belongs to, `wanted` a message to begin at.
const VIEWS = [
  [/^\/instances\/([^/]+)(?:\/activities\/([^/]+))?$/, instance],
  [/^\/embed\/instances\/([^/]+)(?:\/activities\/([^/]+))?$/, instance],
  [/^\/embed\/instances$/, instances],
  [/^\/conversations\/([^/]+)$/, conversation],
  [/^\/conversations$/, conversations],
  [/^\/assistants\/([^/]+)$/, assistant],
  [/^\/decisions\/([^/]+)\/compare$/, compare],
  [/^\/decisions\/([^/]+)$/, decision],
  [/^\/decisions$/, decisions],
  [/^\/erasures\/([^/]+)$/, erasure],
  [/^\/memory\/([^/]+)$/, subject],
  [/^\/memory$/, memory],
  [/^\/search$/, search],
  [/^\/(?:instances)?$/, instances],
];
const PARTS = [["/instances", "Instances"], ["/conversations", "Conversations"], ["/decisions", "Decisions"], ["/search", "Search"]];
const MEMORY = ["/memory", "Memory"];
const SECONDS = 15;

const nowhere = {
  load: async () => ({ title: "Not found" }),
  View: () => html`<h1>Not found</h1><${Note} title="There is no such page." />`,
};

const embedded = location.pathname.startsWith("/embed/");
const root = document.getElementById("page");
let leaving = new AbortController();
let shown = { number: 0, view: null, stops: [], me: null, isBusy: true };
let address = null;

function draw(more) {
  shown = { ...shown, ...more };
  render(html`<${Frame} ...${shown} />`, root);
}

function Frame({ number, view, nav, data, page, stops, me, isBusy }) {
  return html`
    ${!embedded && html`<a class="skip" href="#main">Skip to the content</a>
    <header class="top" id="top">
      <a class="brand" href="/instances"><span class="mark" aria-hidden="true"></span>Conversations</a>
      <nav aria-label="Main">${(me?.has_memory ? [...PARTS, MEMORY] : PARTS).map(([path, label]) => html`<a key=${path} href=${path} aria-current=${path === nav ? "page" : null}>${label}</a>`)}</nav>
      <form class="quick" role="search" aria-label="All messages" action="/search" method="get">
        <label class="hidden" for="quick">Search all messages</label>
        <input id="quick" name="q" type="search" placeholder="Search messages" maxlength="500" autocomplete="off" />
      </form>
      <button type="button" id="leave" class="quiet" hidden=${!token.get()} onclick=${leave}>Forget token</button>
    </header>`}
    <div id="stops"><${Stops} stops=${stops} me=${me} lifted=${lifted} /></div>
    <main id="main" tabindex="-1" aria-busy=${isBusy ? "true" : null}>${view && html`<${view.View} key=${number} page=${page} ...${data} />`}</main>`;
}

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

// `signal` ends with the view. `back`: people return to what they have seen.
async function show({ focus = true, back = false } = {}) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { view, parts } = found();
  address = here();
  draw({ nav: view.nav, isBusy: true });
  try {
    if (!shown.me) draw({ me: await get("/me", {}, signal) });
    tellStopped(signal);
    const page = { parts, me: shown.me, embedded, signal, go, move, back, parameters: new URLSearchParams(location.search) };
    const data = await view.load(page);
    if (!signal.aborted) put(view, page, data, { focus, back });
  } catch (error) {
    if (!signal.aborted) failed(error);
  }
}

function put(view, page, data, { focus, back = false }) {
  draw({ number: shown.number + 1, view, page, data, isBusy: false });
  const title = plain(data.title);
  document.title = `${title} · Conversations`;
  say(title);
  if (focus) {
    const heading = document.querySelector("main h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
  }
  if (back && restorePlace()) return;
  if (focus) scrollTo(0, 0);
  if (data.wanted) requestAnimationFrame(() => point(data.wanted));
}

// No view waits for it. Where it cannot be known what is stopped, what was said last stays.
async function tellStopped(signal) {
  const stops = await get("/stops", {}, signal).catch(() => null);
  if (stops && !signal.aborted) draw({ stops });
}

function lifted(stops) {
  draw({ stops });
  say("The stop is lifted");
  document.getElementById("main").focus();
}

function failed(error) {
  if (error instanceof Problem && error.status === 401) {
    const refused = token.get() !== null;
    token.forget();
    draw({ me: null, stops: [] });
    const then = (value) => (token.set(value), show());
    put({ View: AskForToken }, null, { title: "Token", refused, then }, { focus: false });
    document.getElementById("token").focus();
    return;
  }
  const isKnown = error instanceof Problem;
  if (!isKnown) console.error(error);
  const title = isKnown ? error.title : "Something went wrong";
  put({ View: Failed }, null, { title, detail: isKnown ? error.message : "The page itself failed." }, { focus: true });
}

const Failed = ({ title, detail }) => html`<h1>${title}</h1><${Note} title=${detail}><button type="button" onclick=${() => show()}>Try again</button></>`;

function leave() {
  token.forget();
  draw({ me: null });
  show();
}

const here = () => location.pathname + location.search;

// To another address that the view shows by itself.
function move(to) {
  keepPlace();
  history.pushState(null, "", to);
  address = here();
}

function go(to) {
  move(to);
  return show();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || event.defaultPrevented || link.target) return;
  if (link.hash && link.pathname + link.search === here()) return; // within this view
  event.preventDefault();
  go(link.getAttribute("href"));
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.quick") || event.defaultPrevented) return;
  event.preventDefault();
  go(`/search?${new URLSearchParams(new FormData(event.target))}`);
});
addEventListener("popstate", () => {
  const wanted = /^#m-(\w+)$/.exec(location.hash)?.[1];
  if (here() === address && location.hash) return wanted && point(wanted);
  show({ back: true });
});
document.documentElement.classList.toggle("embedded", embedded);
startKeeping();
show({ focus: false, back: true });
follow(() => tellStopped(leaving.signal), SECONDS);
