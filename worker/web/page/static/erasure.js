// Erasing everything about an instance, after a question; and its receipt, which has an address of its own.

import { html, useState } from "./lib/preact.js";
import { get, id, post } from "./api.js";
import { useFollowed } from "./follow.js";
import { Facts, name, number, Table, time } from "./parts.js";
import { Question } from "./question.js";

const SECONDS = 10;
const STATES = { removed: ["removed", "done"], open: ["open", "failed"], stays: ["stays", ""], accepted: ["not seen, accepted as gone", ""] };
const COLUMNS = [["Where"], ["What"], ["State"], ["Count", true], ["When"], ["Why"]];

export function EraseButton({ instance, done }) {
  const [asking, ask] = useState(false);
  const about = html`Conversations of this instance are removed at the provider, in the worker's memory, in the record and from the process variables of the worker: ${name(instance.definition_key)}${instance.business_key ? html`, ${name(instance.business_key)}` : ""}, <code>${instance.id}</code>.`;
  return html`<button type="button" class="danger" onclick=${() => ask(true)}>Erase …</button>
    ${asking && html`<${Question}
      id="erase"
      title="Erase what assistants said here?"
      about=${about}
      label="Erase for good"
      kind="danger"
      act=${(form) => post(`/erase?results=${form.elements.results.checked}`, { instance: instance.id })}
      done=${done}
      close=${() => ask(false)}
    >
      <p class="check"><input id="results" type="checkbox" /><label for="results">Also the answers that the process keeps as its results.</label></p>
      <p class="check"><input id="sure" type="checkbox" required /><label for="sure">Yes. I know that nobody can bring it back.</label></p>
    </>`}`;
}

async function load({ parts: [order], signal }) {
  return { title: "Erasure", first: await get(`/erasures/${id(order)}`, {}, signal) };
}

// What was removed where and when, and what could not be.
function Receipt({ page, first }) {
  const [said, see] = useState(first);
  const isOver = Boolean(said.completed_at);
  useFollowed(async () => see(await get(`/erasures/${id(said.id)}`, {}, page.signal)), isOver ? null : SECONDS);
  const left = said.results ? "Nothing is left." : "Nothing is left but the results, which are the process's own.";
  const rows = said.steps.map((step) => [`${step.store} ${step.what}`, [
    name(step.store),
    html`<code>${step.what}</code>`,
    html`<span class=${`tag ${STATES[step.status]?.[1] ?? ""}`}>${STATES[step.status]?.[0] ?? step.status}</span>`,
    number(step.count),
    step.at ? time(step.at) : "—",
    step.why ? name(step.why) : "—",
  ]]);
  return html`
    <h1>${isOver ? "Erased" : "Not all is erased yet"}</h1>
    <p>${isOver ? left : "What is open is tried again by itself."}</p>
    <${Facts} pairs=${[
      ["Order", html`<code>${said.id}</code>`],
      ["Instance", said.instance && html`<code>${said.instance}</code>`],
      ["Business key", said.business_key && name(said.business_key)],
      ["Person", said.person && html`<code>${said.person}</code>`],
      ["Subject of the memory", said.memory && html`<code>${said.memory}</code>`],
      ["Conversation", said.chat && html`<code>${said.chat}</code>`],
      ["Ordered", time(said.ordered_at)],
      ["Complete", said.completed_at && time(said.completed_at)],
    ]} />
    ${rows.length > 0 && html`<${Table} title="Receipt" columns=${COLUMNS} rows=${rows} />`}
    <p><a href="/instances">All instances</a></p>`;
}

export const erasure = { nav: "/instances", load, View: Receipt };
