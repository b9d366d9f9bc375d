// Conversations that a person has with an assistant beside all processes: they begin here, and end by their person.

import { html, useState } from "./lib/preact.js";
import { id, newId, post, remove } from "./api.js";
import { removing } from "./follow.js";
import { name, plain } from "./parts.js";
import { Question } from "./question.js";

export const isFree = (session) => session.scope.startsWith("task:person:");

// The conversation keeps its id until it is begun: sent again after a lost reply, it is the same one.
export function Begin({ page, assistants }) {
  const [own, renew] = useState(newId);
  const [wrong, tell] = useState("");
  const [waits, wait] = useState(false);
  if (!assistants.length) return null;
  async function begin(event) {
    event.preventDefault();
    if (waits) return;
    wait(true);
    tell("");
    const { value } = event.target.elements.with;
    try {
      const session = await post(`/assistants/${id(value)}/conversations`, { id: own });
      renew(newId());
      page.go(`/conversations/${id(session.id)}`);
    } catch (error) {
      tell(error.message);
      wait(false);
    }
  }
  return html`<form class="begin" aria-label="New conversation" onsubmit=${begin}>
    <label for="with">Talk with an assistant, beside all processes</label>
    <select id="with">${assistants.map((each) => html`<option key=${each} value=${each}>${plain(each)}</option>`)}</select>
    <button>Begin</button>
    ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
  </form>`;
}

export function End({ page, session }) {
  const [asking, ask] = useState(false);
  const about = html`What was said in this conversation with ${name(session.assistant)} is removed at the provider, in the worker's memory and from the record. Nobody can bring it back.`;
  return html`<button type="button" class="danger" onclick=${() => ask(true)}>End …</button>
    ${asking && html`<${Question}
      id="end"
      title="End this conversation?"
      about=${about}
      label="Erase it for good"
      kind="danger"
      act=${() => removing(() => remove(`/sessions/${id(session.id)}`))}
      done=${() => page.go("/conversations")}
      close=${() => ask(false)}
    />`}`;
}
