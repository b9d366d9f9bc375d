// A conversation as a readable thread, page by page, which goes on while it is read.

import { Component, html, useEffect, useLayoutEffect, useRef, useState } from "./lib/preact.js";
import { get, id } from "./api.js";
import { Feedback } from "./feedback.js";
import { follow } from "./follow.js";
import { Growing, useGrowing } from "./growing.js";
import { Attachments, bring, copy, count, Facts, isAnswer, money, name, number, say, seconds, settle, time, tokens, tree } from "./parts.js";
import { firstPages, More, usePages } from "./pages.js";

const SIZE = 100;
const SPEAKERS = { user: "Question", agent: "Answer", system: "System" };
const BETWEEN = { user: "Message", agent: "Step", system: "System" };
const ELSEWHERE = { user: "User elsewhere", agent: "Agent elsewhere", system: "System elsewhere" };
const LONG = 1200;
const MOST_NEWS = 10;
const NEAR = 300;

const OUTCOMES = {
  ok: null,
  refused: "The assistant refused to answer",
  filtered: "A filter kept the answer back",
  incomplete: "The answer is incomplete",
  failed: "The provider failed",
  empty: "The answer is empty",
  invalid: "The answer is not what was asked for",
};

// What a message is: question and answer, or, where it stands between them or was said elsewhere, of whom.
export const speaker = (said) => (said.metadata?.remark ? ELSEWHERE : said.is_between ? BETWEEN : SPEAKERS)[said.role] ?? said.role;

const attachments = (said) => said.metadata.attachments ?? (said.attachment_url ? [said.attachment_url] : []);

// What is said of an answer whose assistant knew nothing of what may have been said before.
const MEMORIES = {
  lost: "What was said before is lost: the assistant knew nothing of it",
  empty: "The instance was started behind its beginning: the assistant knew nothing of what comes before",
  unknown: "The assistant knew nothing of before, and nobody can tell whether something was said",
};

// What became of an answer that is to be remembered beyond its instance.
const REMEMBERED = {
  remembered: "Remembered",
  waiting: "Waits to be remembered",
  late: "Waits to be remembered, and is tried every hour",
  proposed: "Waits for a person to approve that it is remembered",
  refused: "Not remembered: a person refused it",
  forgotten: "Not remembered any more: it was forgotten",
};
const SOON_SECONDS = 3;

const idOf = (item) => item.message.id;

// How a thread is asked for, page by page. `path` is the API's list of messages.
export function asking(path, parameters, { newest = false, signal = undefined } = {}) {
  return (after, back = newest) => get(path, { ...parameters, after, limit: SIZE, newest: back || undefined }, signal);
}

// The thread as it is shown first: until the `wanted` message is there, or as many pages as were shown before.
export const firstOf = (load, { wanted = null, pages = 1 } = {}) =>
  firstPages(load, { pages, until: wanted && ((items) => items.some((item) => idOf(item) === wanted)) });

// Shows a message: at the first of the words in it that were searched for, if there are any.
export function point(wanted) {
  const target = document.getElementById(`m-${wanted}`);
  if (!target) return;
  for (const each of document.querySelectorAll(".message.wanted")) each.classList.remove("wanted");
  target.classList.add("wanted");
  target.tabIndex = -1;
  target.focus({ preventScroll: true });
  const mark = target.querySelector("mark");
  const folded = mark?.closest("details");
  if (folded) folded.open = true;
  bring(mark ?? target);
}

// Whose permalink an address has, or none.
export const wantedIn = (parameters) => /^#m-(\w+)$/.exec(location.hash)?.[1] ?? parameters.get("message");

// `first` is what `firstOf` returned, `load` what it was asked with; `pulse` changes when there may be news. `root` is
// the address that permalinks begin with, `assistants` tells whose conversation a message is in, `words` are marked.
// Of `answers` that are being written those of one `activity` are shown, of all with null; `called` tells its name.
// `remarks` are those that have come or changed since.
export function Thread({ first, load, newest, pulse, root, me, answers, remarks, activity = null, called = (each) => each, assistants = null, words = null }) {
  const list = usePages(first, load);
  const [fresh, tell] = useState(null);
  const stood = useRef(null);
  useGrowing(answers);
  useLayoutEffect(() => {
    const { id, top } = stood.current ?? {};
    const whole = id && document.getElementById(`m-${id}`);
    stood.current = null;
    if (whole) settle(whole, () => scrollBy(0, whole.getBoundingClientRect().top - top));
  }, [list.items]);
  const began = useRef(pulse);
  useEffect(() => {
    if (began.current === pulse) return;
    began.current = pulse;
    // Before the end of a thread that begins at its beginning, what is new comes with the pages behind.
    if (!newest && list.next) return;
    news(load, list.items).then(take, () => {}); // the next pulse brings it
  }, [pulse]);
  // What waits without a reason is remembered in a moment.
  const isSoon = list.items.some(({ message }) => message.remembered?.state === "waiting" && !message.remembered.why);
  useEffect(() => {
    if (!isSoon) return undefined;
    return follow(async () => {
      const found = new Map((await load(undefined, true)).items.map((item) => [idOf(item), item]));
      list.change((now) => ({ items: now.items.map((item) => remembered(item, found.get(idOf(item)))) }));
    }, SOON_SECONDS).stop;
  }, [isSoon]);
  const take = (found) => {
    if (!found.length) return;
    stood.current ??= standing(found);
    const isInSight = stood.current || document.documentElement.scrollHeight - scrollY - innerHeight < NEAR;
    list.change((now) => ({ items: together(now.items, found, newest) }));
    say(count(found.length, "new message"));
    tell(isInSight ? null : { count: found.length, id: idOf(together([], found, false)[0]) });
  };
  const now = list.items.map((item) => (remarks.has(idOf(item)) ? { ...item, message: remarks.get(idOf(item)) } : item));
  const messages = newest ? now.toReversed() : now;
  const growing = !newest && list.next ? [] : answers.missingIn(list.items, activity);
  const more = html`<${More} list=${list} label=${newest ? "Show earlier messages" : "Show more messages"} auto=${!newest} />`;
  return html`
    ${newest && more}
    <div class="thread">
      ${messages.map((item) => html`<${Message} key=${idOf(item)} item=${item} root=${root} me=${me} assistant=${assistants?.get(item.message.session_id)} words=${words} />`)}
      ${growing.map((each) => html`<${Growing} key=${each.session_id} answer=${each} assistant=${each.assistant ?? assistants?.get(each.session_id)} called=${called} />`)}
      ${!messages.length && !growing.length && html`<p class="soft">Nothing was said here.</p>`}
    </div>
    ${!newest && more}
    ${fresh && html`<button type="button" class="primary fresh" onclick=${() => (point(fresh.id), tell(null))}>${count(fresh.count, "new message")} ↓</button>`}
  `;
}

const remembered = (item, found) =>
  found && JSON.stringify(found.message.remembered) !== JSON.stringify(item.message.remembered) ? found : item;

// Where an answer stands in the window that grows there and has come whole: what comes with it must not move it.
function standing(found) {
  for (const { message } of found.filter((each) => isAnswer(each.message))) {
    const { top, bottom } = document.querySelector(`[data-growing="${message.session_id}"]`)?.getBoundingClientRect() ?? {};
    if (top < innerHeight && bottom > 0) return { id: message.id, top };
  }
  return null;
}

// What was said since: from the newest back, until something is known.
async function news(load, known) {
  const ids = new Set(known.map(idOf));
  const found = [];
  let after;
  for (let page = 0; page < MOST_NEWS; page += 1) {
    const { items, next } = await load(after, true);
    const fresh = items.filter((item) => !ids.has(idOf(item)));
    found.push(...fresh);
    if (!next || fresh.length < items.length) break;
    after = next;
  }
  return found;
}

// What was recorded late stands where it was said.
function together(items, found, newest) {
  const ids = new Set(items.map(idOf));
  const all = [...items, ...found.filter((item) => !ids.has(idOf(item)))];
  all.sort((one, other) => one.message.position - other.message.position || (idOf(one) < idOf(other) ? -1 : 1));
  return newest ? all.reverse() : all;
}

// A message may be long, and is made once, but for remarks that change.
class Message extends Component {
  shouldComponentUpdate(next) {
    return ["item", "assistant", "words", "root", "me"].some((each) => next[each] !== this.props[each]);
  }

  render({ item: { message: said, body }, assistant, words, root, me }) {
    const answer = isAnswer(said);
    return html`<article class=${`message ${said.is_between ? "between" : said.role}`} id=${`m-${said.id}`} aria-labelledby=${`title-${said.id}`}>
      <header>
        <h3 id=${`title-${said.id}`}>${speaker(said)}${answer && assistant ? html` of ${name(assistant)}` : ""}</h3>
        ${(said.activity_name || said.activity_id) && html`<span class="soft">${name(said.activity_name || said.activity_id)}</span>`}
        ${said.user && html`<span class="soft">${name(said.user)}</span>`}
        ${said.attempt > 1 && html`<span class="tag failed">attempt ${number(said.attempt)}</span>`}
        <span class="when">
          <span class="soft">${time(said.created_at)}</span>
          <${Copy} text=${said.content} />
          <a class="permalink" href=${`${root}#m-${id(said.id)}`} aria-label="Link to this message" title="Link to this message">#</a>
        </span>
      </header>
      ${answer && html`<${Outcome} said=${said} />`}
      ${answer && Object.hasOwn(MEMORIES, said.metadata.memory ?? "") && html`<p class="outcome">${MEMORIES[said.metadata.memory]}</p>`}
      ${said.metadata.recalled && html`<${Recalled} known=${said.metadata.recalled} me=${me} />`}
      <${Content} said=${said} body=${body} words=${words} />
      <${Attachments} links=${attachments(said)} />
      ${answer && said.remembered && html`<${Remembered} known=${said.remembered} me=${me} />`}
      ${answer && html`<${About} said=${said} />`}
      ${answer && html`<${Feedback} said=${said} me=${me} />`}
    </article>`;
  }
}

function Copy({ text }) {
  const [told, tell] = useState("Copy");
  const onclick = async () => {
    const done = (await copy(text)) ? "Copied" : "Not copied";
    tell(done);
    say(done);
  };
  return html`<button type="button" class="quiet copy" onclick=${onclick}>${told}</button>`;
}

function Content({ said, body, words }) {
  const text = html`<div class="content" dir="auto">${tree(body, words)}</div>`;
  if (isAnswer(said) || said.content.length <= LONG) return text;
  const first = said.content.replace(/^[#\s]+/, "").split("\n", 1)[0].slice(0, 160);
  return html`<details><summary>${name(first)}<span class="soft"> (${count(said.content.length, "character")})</span></summary>${text}</details>`;
}

// What the question was shown of what is remembered beyond its instance.
function Recalled({ known: { subject, facts = [], why }, me }) {
  const what = facts.length ? count(facts.length, "fact") : "nothing";
  const link = subject && me.has_memory ? html`<a href=${`/memory/${id(subject)}`}>${what}</a>` : what;
  return html`<p class="soft recalled">Recalled: ${link}${why ? html` (${name(why)})` : ""}</p>`;
}

function Remembered({ known: { subject, state, why }, me }) {
  const link = me.has_memory && html` · <a href=${`/memory/${id(subject)}`}>Subject</a>`;
  return html`<p class="soft remembered">${REMEMBERED[state] ?? state}${why ? html` (${name(why)})` : ""}${link}</p>`;
}

function Outcome({ said }) {
  const { outcome: kind, detail } = said.metadata;
  if (!kind || OUTCOMES[kind] === null) return null;
  return html`<p class="outcome">${OUTCOMES[kind] ?? kind}${detail ? html`: ${name(detail)}` : ""}</p>`;
}

function About({ said }) {
  const { metadata } = said;
  const code = (text) => text && html`<code>${text}</code>`;
  const anew = said.generation > 1 ? ` (made anew, ${said.generation})` : "";
  return html`<details class="about">
    <summary>${summary(said)}</summary>
    <${Facts} pairs=${[
      ["Model", said.model && name(said.model)],
      ["Tokens", said.output_tokens === null ? null : tokens(said)],
      ["Cost", said.cost ? money(said.cost) : "not known"],
      ["Duration", seconds(said.processing_seconds)],
      ["Attempt", number(said.attempt)],
      ["Outcome", metadata.outcome],
      ["Use of the thread", metadata.use],
      ["Found again after", metadata.recovered],
      ["Repaired", metadata.repaired ? "yes" : null],
      ["Rewound: told nothing of what was said from", cutOff(metadata.cuts)],
      ["Earlier turns not told word for word", metadata.untold ? number(metadata.untold) : null],
      ["Assistant's version", metadata.assistant_version && name(metadata.assistant_version)],
      ["Instructions", code(metadata.instructions)],
      ["Schema of the answer", code(metadata.output_schema)],
      ["Worker", metadata.worker && name(metadata.worker)],
      ["Thread", said.thread_id && html`${code(said.thread_id)}${anew}`],
      ["Response", code(said.response_id)],
      ["Task", code(said.task_id)],
    ]} />
  </details>`;
}

// The times from which on earlier threads are not told any more; positions are microseconds.
function cutOff(cuts) {
  const from = (Array.isArray(cuts) ? cuts : []).map((cut) => new Date(cut?.[0] / 1000)).filter((date) => !Number.isNaN(date.getTime()));
  return from.length ? from.map((date, index) => html`${index ? ", " : ""}${time(date.toISOString())}`) : null;
}

function summary(said) {
  const parts = [said.model, said.output_tokens !== null && `${number(said.input_tokens + said.output_tokens)} tokens`];
  if (said.processing_seconds !== null) parts.push(seconds(said.processing_seconds));
  if (said.cost) parts.push(money(said.cost));
  return parts.filter(Boolean).join(" · ") || "About this answer";
}
