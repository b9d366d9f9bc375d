// What operators have stopped, above every view, and the way to lift it for those who may.

import { html, useState } from "./lib/preact.js";
import { query, remove } from "./api.js";
import { name, plain, time } from "./parts.js";
import { Question } from "./question.js";

export function Stops({ stops, me, lifted }) {
  const [asking, ask] = useState(null);
  if (!stops.length) return null;
  return html`<section class="stops" aria-label="Stopped by operators">
    <p>Stopped by operators: no call of these starts. Their tasks wait, and go on by themselves when the stop is lifted.</p>
    <ul>${stops.map((stop) => html`<li key=${label(stop)}>
      <span><strong>${what(stop)}</strong> stopped by ${name(stop.by)} since ${time(stop.since)}${stop.now && ", and calls that ran were broken off"}${stop.reason && html`: <span class="reason">${name(stop.reason)}</span>`}</span>
      ${me?.role === "operator" && html`<button type="button" aria-label=${`Lift: ${plain(label(stop))}`} onclick=${() => ask(stop)}>Lift …</button>`}
    </li>`)}</ul>
    ${asking && html`<${Question}
      id="lift"
      title="Lift this stop?"
      about=${html`${what(asking)} goes on at every worker: calls of the model start again.`}
      label="Lift for all workers"
      kind="primary"
      act=${() => remove(`/stops${query({ kind: asking.kind, name: asking.name })}`)}
      done=${lifted}
      close=${() => ask(null)}
    />`}
  </section>`;
}

const label = (stop) => (stop.kind === "all" ? "everything" : `${stop.kind} ${stop.name}`);
const what = (stop) => (stop.kind === "all" ? "Everything" : html`${`${stop.kind[0].toUpperCase()}${stop.kind.slice(1)} `}${name(stop.name)}`);
