// Having an instance's conversations go on as they were before one of its steps, after a question.

import { html, useState } from "./lib/preact.js";
import { id, post } from "./api.js";
import { name, Note, plain, time } from "./parts.js";
import { Question } from "./question.js";

// What an instance that was moved by hand still knows, and the way to have that end; `moved` is null where nobody moved it.
export function Moved({ own, moved }) {
  return moved && html`<${Note} title=${moved.by_batch ? "Perhaps moved by a batch" : "Moved by a modification"} detail=${html`Last ${time(moved.at)}${moved.by_batch && ", with instances of this process, of which the engine does not tell"}. If that was back to an earlier step: its conversations go on with all that was said since. To have them end before that step, rewind them, here or by <code>assistant-worker threads rewind ${own} --before ACTIVITY</code>.`} />`;
}

// Offers it to those who may, where something was said.
export function RewindButton({ path, places, me, done }) {
  const [asking, ask] = useState(false);
  const asked = places.filter((each) => each.said?.turns && each.id);
  if (!me.rights.includes("sway") || asked.length === 0) return null;
  return html`<button type="button" onclick=${() => ask(true)}>Rewind …</button>
    ${asking && html`<${Question}
      id="rewind"
      title="Rewind its conversations?"
      about="For an instance that was moved back: the next task of each assistant begins a new conversation, which knows what was said before that step. The transcript keeps all, and so do process variables."
      label="Rewind"
      kind="primary"
      act=${({ elements: { before, attempt, reason } }) => ordered(path, before.value, attempt.value, reason.value)}
      done=${done}
      close=${() => ask(false)}
    >
      <p class="field"><label for="before">Before this step</label><select id="before" required>
        ${asked.map((each) => html`<option key=${each.id} value=${each.id}>${plain(each.name ?? each.id)}</option>`)}
      </select></p>
      <p class="field"><label for="attempt">Which time, where it was asked several times, from 1; empty is the latest</label><input id="attempt" type="number" min="1" max="1000000" step="1" /></p>
      <p class="field"><label for="reason">Why, for whoever looks later</label><input id="reason" maxlength="500" /></p>
    </>`}`;
}

async function ordered(path, before, attempt, reason) {
  const told = { before, reason, ...(attempt && { attempt: Number(attempt) }) };
  return { before, threads: await post(`${path}/rewind`, told) };
}

// What becomes of each conversation.
export function Rewound({ before, threads }) {
  return html`<div class="note" role="status"><strong>Rewound to before ${name(before)}</strong>
    <ul>${threads.map((each) => html`<li key=${each.assistant}>${name(each.assistant)}: ${each.why || "its next task begins a new conversation"}</li>`)}</ul>
  </div>`;
}
