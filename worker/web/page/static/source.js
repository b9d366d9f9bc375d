// Where something that was said comes from.

import { html } from "./lib/preact.js";
import { id } from "./api.js";
import { Facts, name, time } from "./parts.js";

const OF = { turn: "an answer of an assistant", document: "a document", person: "a person", variable: "a process variable" };

// The address of the message that said it; undefined where it was no message.
const place = (source, instance) => (typeof source?.answer === "string" ? `/instances/${id(source.instance ?? instance)}#m-${id(source.answer)}` : undefined);

// A figure that leads to the message that said it, or to what it was computed of: `what` says which.
export function SaidAt({ source, instance, what, children }) {
  const href = place(source, instance);
  return href ? html`<a href=${href}>${children}<span class="hidden">, read where ${what} was said</span></a>` : children;
}

// A source, with the way to the message that said it.
export function Source({ source, instance, words }) {
  if (!source) return null;
  const href = place(source, instance);
  return html`<${Facts} pairs=${[
    ["From", OF[source.of]],
    ["Said", time(source.at)],
    ["By", source.user && words(`${source.user}`)],
    ["Name", source.name && words(`${source.name}`)],
    ["Assistant", source.assistant && name(`${source.assistant}`)],
    ["Model", source.model && name(`${source.model}`)],
    ["Message", href && html`<a href=${href}>Read it where it was said</a>`],
  ]} />`;
}
