// Where something that was said comes from.

import { html } from "./lib/preact.js";
import { id } from "./api.js";
import { Facts, name, time } from "./parts.js";

const OF = { turn: "an answer of an assistant", document: "a document", person: "a person", variable: "a process variable" };

// A source, with the way to the message that said it.
export function Source({ source, instance, words }) {
  if (!source) return null;
  const message = typeof source.answer === "string" ? source.answer : undefined;
  return html`<${Facts} pairs=${[
    ["From", OF[source.of]],
    ["Said", time(source.at)],
    ["By", source.user && words(`${source.user}`)],
    ["Name", source.name && words(`${source.name}`)],
    ["Assistant", source.assistant && name(`${source.assistant}`)],
    ["Model", source.model && name(`${source.model}`)],
    ["Message", message && html`<a href=${`/instances/${id(source.instance ?? instance)}#m-${id(message)}`}>Read it where it was said</a>`],
  ]} />`;
}
