// Reads along what is said, and how far it is, as it happens (docs/feeds.md): over a socket, or by server-sent events
// where none can be had. A tab has one feed. What a feed misses while it is cut, asking at a pace brings.

import { id, opened, post, token } from "./api.js";

const PATH = "/api/feeds";
const PROTOCOL = "feeds";
const NAME = "page";
const NOW = "now";
// Characters: longer ones may find no room in an address. Who begins with `now` hears an answer from its beginning, too.
const LONGEST_PLACE = 6000;
const FIRST_PAUSE = 1;
const SLOWEST_PAUSE = 60;
// Seconds: who was connected for so long was not turned away.
const HELD = 10;
const NOT_FOR_US = [401, 403];
// What a socket says where a place is not good, or there is no room.
const REFUSALS = ["refused", "problem"];

// Hands each event of a `session` or an `instance` to `take`, as { type, data }, until the returned function is called.
// Beside those that are documented: `subscribed` when they begin to come, `cut` when none come until then.
export function readAlong(wanted, take) {
  const leaving = new AbortController();
  goOn(wanted, take, leaving.signal);
  return () => leaving.abort();
}

async function goOn(wanted, take, signal) {
  let place = NOW;
  let pause = FIRST_PAUSE;
  const hear = (event) => {
    if (signal.aborted) return;
    place = REFUSALS.includes(event.type) ? NOW : event.id ?? place;
    take(event);
  };
  while (!signal.aborted) {
    const began = performance.now();
    const after = place.length > LONGEST_PLACE ? NOW : place;
    try {
      if (!(await overSocket(wanted, after, hear, signal))) await overFetch(wanted, after, hear, signal);
    } catch (error) {
      if (NOT_FOR_US.includes(error.status)) return;
    }
    hear({ type: "cut" });
    if (performance.now() - began > 1000 * HELD) pause = FIRST_PAUSE;
    // Not all at once at a worker that comes back.
    await sleep(pause * (0.75 + Math.random() / 2), signal);
    pause = Math.min(2 * pause, SLOWEST_PAUSE);
  }
}

function sleep(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

// Resolves at its end: to whether the worker said anything by it. Browsers do not tell why they get no socket.
async function overSocket(wanted, after, hear, signal) {
  const socket = await connected(signal).catch((error) => {
    if (NOT_FOR_US.includes(error.status)) throw error;
    return null;
  });
  if (!socket) return false;
  return new Promise((resolve) => {
    let isServed = false;
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      isServed = true;
      hear(event);
      if (event.type === "closing" || REFUSALS.includes(event.type)) socket.close();
    };
    socket.onclose = () => resolve(isServed);
    signal.addEventListener("abort", () => socket.close(), { once: true });
    socket.send(JSON.stringify({ type: "subscribe", feed: NAME, ...wanted, after }));
  });
}

// An open socket, or null. One that is not open yet is not closed either: browsers call that an error.
async function connected(signal) {
  const ticket = token.get() ? [`ticket.${await ticketed()}`] : [];
  const address = new URL(PATH, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address, [PROTOCOL, ...ticket]);
  await new Promise((resolve) => Object.assign(socket, { onopen: resolve, onclose: resolve }));
  if (signal.aborted) socket.close();
  return socket.readyState === WebSocket.OPEN ? socket : null;
}

async function ticketed() {
  return (await post("/tickets", {})).ticket;
}

async function overFetch({ session, instance }, after, hear, signal) {
  const path = session ? `/sessions/${id(session)}/feed` : `/instances/${id(instance)}/feed`;
  const response = await opened(path, { after }, signal);
  hear({ type: "subscribed" });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const texts = (rest + value).split("\n\n");
    rest = texts.pop();
    texts.map(parsed).filter((event) => event.type).forEach(hear);
  }
}

// A server-sent event as a socket tells it; the worker writes each of its fields on one line.
function parsed(text) {
  const fields = Object.fromEntries(text.split("\n").map((line) => [line.split(":", 1)[0], line.slice(line.indexOf(":") + 2)]));
  return { type: fields.event, id: fields.id, data: fields.data && JSON.parse(fields.data) };
}
