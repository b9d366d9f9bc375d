// What people hand to a process of what they were answered: by a message that it waits for, or with a user task of it.

import { html, useEffect, useState } from "./lib/preact.js";
import { get, id, patch, post } from "./api.js";
import { name, plain, say, time } from "./parts.js";
import { Question } from "./question.js";

const LONGEST_NAME = 255;
const LONGEST_TEXT = 20_000;
const STATES = {
  running: "nobody knows yet whether it was handed over",
  handed_over: "handed over",
  unknown: "may have been handed over",
  not_handed_over: "not handed over",
};
const WAYS = { message: "Message", task: "User task" };
const TYPED = { message: "Name of the message", task: "Id of the user task" };

// How it stands with what was handed over of a session's asks, by their ids.
export const handoversOf = async ({ signal }, session) =>
  new Map((await get(`/sessions/${id(session)}/handovers`, {}, signal)).map((each) => [each.ask_id, each]));

export const mayHandOver = (me) => me.rights.includes("hand_over") && me.person !== null;

// Of one answered ask. `runs`: the process may take something; `look` is told that something has changed.
export function Handover({ ask, handover, me, runs, look }) {
  const [asking, open] = useState(false);
  const may = mayHandOver(me);
  const canBegin = may && runs && (!handover || ["running", "not_handed_over"].includes(handover.state));
  if (!handover && !canBegin) return null;
  const done = async ({ state }) => {
    say(STATES[state]);
    await look();
  };
  return html`<div class="handover" role="group" aria-label="Hand-over">
    ${handover && html`<${Stands} ...${handover} />`}
    ${may && handover?.state === "unknown" && html`<${Decide} ask=${ask} done=${done} />`}
    ${canBegin && html`<button type="button" onclick=${() => open(true)}>${handover?.state === "running" ? "Look again …" : "Hand over to the process …"}</button>`}
    ${asking && html`<${Begin} ask=${ask} before=${handover} done=${done} close=${() => open(false)} />`}
  </div>`;
}

function Stands({ state, person, message, task, variable, begun_at, finished_at, decided_by }) {
  return html`<p class="soft"><strong class=${`standing ${state}`}>${STATES[state] ?? state}</strong>
    ${" "}as <code>${variable}</code>, by ${name(person)} with the ${message === null ? "user task" : "message"} <code>${name(message ?? task)}</code>, ${time(finished_at ?? begun_at)}
    ${decided_by && html`. So says ${name(decided_by)}`}</p>`;
}

function Decide({ ask, done }) {
  const [wrong, tell] = useState("");
  const decide = (happened) => patch(`/asks/${id(ask.id)}/handover`, { happened }).then(done, (error) => tell(error.message));
  return html`<p>Nothing shows it any more: look at what the process did then.</p>
    <div class="actions" role="group" aria-label="Was it handed over?">
      <button type="button" onclick=${() => decide(true)}>It was</button>
      <button type="button" onclick=${() => decide(false)}>It was not</button>
    </div>
    ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}`;
}

// The same again does nothing twice: it says what became of the first.
function Begin({ ask, before, done, close }) {
  const [way, choose] = useState(before?.task ? "task" : "message");
  const [offered, see] = useState(null);
  useEffect(() => {
    const leaving = new AbortController();
    get(`/asks/${id(ask.id)}/receivers`, {}, leaving.signal).then(see, (error) => error.name !== "AbortError" && see({ wrong: error.message }));
    return () => leaving.abort();
  }, []);
  const act = (form) => {
    const { variable, receiver, typed, text } = form.elements;
    const to = receiver?.value || typed?.value;
    if (!to) throw new Error("There is nothing that takes it: choose another way.");
    const wanted = { variable: variable.value, [way]: to };
    return post(`/asks/${id(ask.id)}/handover`, text.value ? { ...wanted, text: text.value } : wanted);
  };
  const own = (part) => `${part}-${ask.id}`;
  return html`<${Question}
    id=${own("handover")}
    title="Hand this answer to the process?"
    about="The process goes on with it. It is handed over once, under your name, and cannot be taken back."
    label="Hand over"
    kind="primary"
    act=${act}
    done=${done}
    close=${close}
  >
    <p class="field"><label for=${own("way")}>How</label>
      <select id=${own("way")} name="way" value=${way} onchange=${(event) => choose(event.target.value)}>
        <option value="message">By a message it waits for</option>
        <option value="task">With a user task</option>
      </select></p>
    <${Receiver} key=${`${way} ${offered !== null}`} own=${own} way=${way} offered=${offered} before=${before?.[way] ?? ""} />
    <p class="field"><label for=${own("variable")}>Process variable that it comes into</label>
      <input id=${own("variable")} name="variable" required pattern="[A-Za-z_][A-Za-z0-9_]*" maxlength=${LONGEST_NAME} autocomplete="off" spellcheck=${false} defaultValue=${before?.variable ?? ""} /></p>
    <p class="field"><label for=${own("text")}>Text, if it is to be another than the answer</label>
      <textarea id=${own("text")} name="text" rows="3" maxlength=${LONGEST_TEXT} dir="auto" /></p>
  </>`;
}

// What the process waits for, to choose from; a message may be typed, too, and either where nobody tells what waits.
function Receiver({ own, way, offered, before }) {
  const waits = offered?.[`${way}s`] ?? [];
  const known = way === "task"
    ? waits.map((each) => [each.id, `${each.name}${each.may_complete ? "" : " (for somebody else, or not to be completed now)"}`, each.may_complete])
    : waits.map((each) => [each, each, true]);
  // One that was handed over to may not wait any more.
  const options = !before || known.some(([value]) => value === before) ? known : [[before, before, true], ...known];
  const [chosen, choose] = useState(before || (options.find(([, , may]) => may)?.[0] ?? ""));
  if (offered === null) return html`<p class="field soft">Looking what the process waits for …</p>`;
  const canType = way === "message" || offered.wrong;
  return html`
    ${offered.wrong && html`<p class="field soft">${offered.wrong}</p>`}
    ${options.length > 0 && html`<p class="field"><label for=${own("receiver")}>${WAYS[way]}</label>
      <select id=${own("receiver")} name="receiver" required=${!canType} value=${chosen} onchange=${(event) => choose(event.target.value)}>
        ${options.map(([value, label, may]) => html`<option key=${value} value=${value} disabled=${!may}>${plain(label)}</option>`)}
        ${canType && html`<option value="">Another one …</option>`}
      </select></p>`}
    ${!options.length && !offered.wrong && html`<p class="field soft">${way === "task" ? "No user task of this process instance is open now." : "This process instance waits for no message now."}</p>`}
    ${canType && (!options.length || !chosen) && html`<p class="field"><label for=${own("typed")}>${TYPED[way]}</label>
      <input id=${own("typed")} name="typed" required maxlength=${LONGEST_NAME} autocomplete="off" /></p>`}`;
}
