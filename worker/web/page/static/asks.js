// What people ask of a conversation's assistant, and how that stands. An ask is safe once the worker has taken it.

import { html, useEffect, useRef, useState } from "./lib/preact.js";
import { get, id, newId, post, remove } from "./api.js";
import { useFollowed } from "./follow.js";
import { Handover, handoversOf } from "./handover.js";
import { Attachments, count, hostOf, name, say, time } from "./parts.js";

const SECONDS = 10;
const SECONDS_WHILE_ASKED = 2;
const LONGEST = 20_000;
const SHOWN = 5; // beside those that are open

const STATES = {
  queued: "waits its turn", running: "is being answered", answered: "answered", failed: "not answered",
  withdrawn: "withdrawn", gone: "the conversation was erased first",
};
const isOpen = (ask) => ["queued", "running"].includes(ask.state);

// What was asked of a session, and what of that was handed over; null where nothing can be asked, as nobody answers
// persons here.
export const asksOf = (page, session) => (page.me.has_asks ? read(page, session).catch((error) => {
  if (error.name === "AbortError") throw error;
  return null;
}) : null);

async function read(page, session) {
  const [asks, handovers] = await Promise.all([get(`/sessions/${id(session)}/asks`, {}, page.signal), handoversOf(page, session)]);
  return { ...asks, handovers };
}

// In a conversation that is nobody else's, messages and answers stand above: only what is not answered is listed.
// `near` is the address whose view has the answers, where that is not the one of the conversation that they are in.
// `pulse` changes when somebody has asked, here or elsewhere, and when how that stands has changed.
export function Asks({ page, session, runs, free, first, pulse, answered, near }) {
  const [asks, see] = useState(first);
  const look = async () => {
    const now = (await asksOf(page, session)) ?? asks;
    if (now.items.some((each) => each.answer && !asks.items.some((before) => before.id === each.id && before.answer))) answered().catch(() => {}); // the next look brings it
    see(now);
  };
  const { hurry } = useFollowed(look, asks === null ? null : asks.items.some(isOpen) ? SECONDS_WHILE_ASKED : SECONDS);
  const [isWhole, showAll] = useState(false);
  const known = useRef(pulse);
  useEffect(() => {
    if (known.current !== pulse) hurry();
    known.current = pulse;
  }, [pulse]);
  const mayAsk = page.me.rights.includes("ask");
  const shown = asks?.items.filter((each) => !free || each.state !== "answered");
  if (asks === null || (!mayAsk && !shown.length)) return null;
  const showRest = () => {
    showAll(true);
    document.getElementById("asks").focus(); // the button is gone then
  };
  const listed = shown.filter((each, index) => isWhole || index < SHOWN || isOpen(each));
  return html`<section class="asks" aria-labelledby="asks">
    <h2 id="asks" tabindex="-1">${free ? "Go on" : "Ask back"}</h2>
    ${listed.length < shown.length && html`<div><button type="button" onclick=${showRest}>Show ${count(shown.length - listed.length, "earlier question")}</button></div>`}
    <ul>${listed.toReversed().map((each) => html`<${One} key=${each.id} ask=${each} handover=${asks.handovers.get(each.id)} session=${session} runs=${runs} me=${page.me} look=${look} near=${near} />`)}</ul>
    ${mayAsk && html`<${Composer} session=${session} runs=${runs} free=${free} sways=${page.me.rights.includes("sway")} waiting=${asks.items.filter((each) => each.state === "queued" && each.is_yours)} look=${look} />`}
  </section>`;
}

function One({ ask, handover, session, runs, me, look, near }) {
  const [wrong, tell] = useState("");
  const withdraw = () => remove(`/asks/${id(ask.id)}`).then(look, (error) => tell(error.message));
  const beside = ask.answered_in !== session;
  const answer = ask.answer && `${near ?? `/conversations/${id(ask.answered_in)}`}#m-${id(ask.answer)}`;
  return html`<li class="card">
    <p dir="auto" class="excerpt">${ask.text}</p>
    <${Attachments} links=${ask.attachments} />
    <p class="soft">${name(ask.person)}, ${time(ask.created_at)}: <strong>${STATES[ask.state] ?? ask.state}</strong>
      ${answer && html` <a href=${answer}>Answer${beside ? ", beside the process" : ""}</a>`}
      ${ask.failure && html` <span>${name(ask.failure)}</span>`}</p>
    ${ask.state === "queued" && ask.is_yours && html`<button type="button" class="quiet" onclick=${withdraw}>Withdraw</button>`}
    ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
    ${ask.state === "answered" && html`<${Handover} ask=${ask} handover=${handover} me=${me} runs=${runs} look=${look} />`}
  </li>`;
}

const nothing = () => ({ id: newId(), text: "", on_thread: false, links: "", interrupts: false });
const heardBy = ({ free, runs, on_thread }) => {
  if (free) return "Nobody else sees it.";
  if (!runs) return "Answered on this conversation.";
  return on_thread ? "Answered on the process's own conversation: its later steps hear it." : "Answered beside the process: its steps hear nothing of it.";
};
const linksIn = (text) => text.split(/\s+/).filter(Boolean);

// `waiting` are asks of this person's that nobody has begun with: one that interrupts takes their place.
// The message keeps its id until it is taken: sent again after a lost reply, it is the same ask.
function Composer({ session, runs, free, sways, waiting, look }) {
  const [message, write] = useState(nothing);
  const [wrong, tell] = useState("");
  const [waits, wait] = useState(false);
  const before = waiting.filter((each) => !runs || each.on_thread === message.on_thread);
  const change = (what) => write({ ...message, ...what, id: newId() });
  async function send(event) {
    event.preventDefault();
    if (waits || !message.text.trim()) return;
    const { links, interrupts, ...said } = message;
    const mode = interrupts && before.length ? "interrupt" : "enqueue";
    const attachments = linksIn(links);
    const odd = attachments.find((each) => !hostOf(each));
    if (odd) return tell(`This is no link to the web: ${odd}`);
    wait(true);
    tell("");
    try {
      await post(`/sessions/${id(session)}/asks`, { ...said, mode, attachments });
      write(nothing());
      say(mode === "interrupt" ? "Asked in place of what waited" : "Asked");
      await look().catch(() => {});
    } catch (error) {
      tell(error.message);
    } finally {
      wait(false);
    }
  }
  return html`<form class="card" onsubmit=${send}>
    <label for="ask">${free ? "Your message" : "Your question"}</label>
    <p id="ask-heard" class="soft">${heardBy({ free, runs, ...message })}</p>
    <textarea id="ask" aria-describedby="ask-heard" rows="3" maxlength=${LONGEST} dir="auto" value=${message.text} oninput=${(event) => change({ text: event.target.value })} />
    ${runs && sways && html`<label class="check"><input type="checkbox" checked=${message.on_thread} onchange=${(event) => change({ on_thread: event.target.checked })} /> Say it on the process's own conversation: later steps hear it</label>`}
    ${before.length > 0 && html`<label class="check"><input type="checkbox" checked=${message.interrupts} onchange=${(event) => change({ interrupts: event.target.checked })} /> Withdraw ${before.length === 1 ? "my question that waits" : `my ${before.length} questions that wait`}, and ask this ${before.length === 1 ? "in its place" : "in their place"}</label>`}
    <div class="actions"><button class="primary" disabled=${waits}>Ask</button>
      <details class="links"><summary>Attach links</summary>
        <label for="links">Links for those who read this, one a line: nobody here follows them, nor is the assistant told</label>
        <textarea id="links" rows="2" spellcheck=${false} value=${message.links} oninput=${(event) => change({ links: event.target.value })} />
      </details>
    </div>
    ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
  </form>`;
}
