// The activities of an instance, as a list that says in words what the diagram shows.

import { html } from "./lib/preact.js";
import { id } from "./api.js";
import { count, name } from "./parts.js";

const MARKS = { done: "✓", running: "▶", failed: "!", cancelled: "✕" };

// What a task that is not done waits for, in a word for the list and a sentence beside the diagram.
const STEPS = {
  waiting: ["waiting", "Waits for a worker."],
  turn: ["waits for its turn", "A worker has it: it waits until another task, or a person, is answered on its conversation, or was put off."],
  preparing: ["preparing", "A worker has it, and looks for its conversation."],
  model: ["asking", "The model is asked."],
  repairing: ["repairing", "The model is asked to put its answer right, which did not have the form."],
  paused: ["paused", "Its provider cannot be asked now. It goes on by itself when that can be asked again."],
  delivering: ["delivering", "There is an answer, which the engine is told."],
  delivered: ["answered", "The engine has its answer."],
  asking: ["asking", "A worker has it: it asks the model, or waits for its turn."],
  again: ["tried again", "It failed, and is tried again."],
  failed: ["failed", "It failed, and nothing goes on by itself."],
  suspended: ["suspended", "It is suspended in the engine: activate it there."],
};

// What a feed says of a step, by its words, where they are not the same.
const HEARD = { asking: "model", incident: "failed" };
// Of a task that the engine does not know, or not yet: it is told as long as somebody is at it.
const AT_IT = ["preparing", "asking", "repairing"];

// What a person can do about an incident, by the engine's word for its kind.
const WAYS_OUT = {
  failedExternalTask: "When the cause is mended, raise the retries of the task in Cockpit: the worker then tries again.",
  failedJob: "When the cause is mended, raise the retries of the job in Cockpit: the engine then tries again.",
};
const WAY_OUT = "Cockpit says more about it.";

// What goes on by the engine's word, with what a feed has `heard` of the same tasks since; null where there is no feed.
export function goingOn(steps, heard) {
  if (!heard) return steps;
  const known = new Map(heard.map((each) => [each.task_id, each]));
  const told = steps.map((step) => (known.has(step.task_id) ? together(step, known.get(step.task_id)) : step));
  const ids = new Set(steps.map((each) => each.task_id));
  const others = heard.filter((each) => AT_IT.includes(each.state) && !ids.has(each.task_id));
  return [...told, ...others.map((each) => together({ activity_id: each.activity_id ?? each.assistant }, each))];
}

function together(step, heard) {
  if (["failed", "suspended"].includes(step.state)) return step;
  if (heard.state === "waiting") return step.state === "asking" ? { ...step, state: "turn" } : step;
  const kind = heard.state === "incident" ? "failedExternalTask" : step.kind;
  return { ...step, state: HEARD[heard.state] ?? heard.state, message: heard.text, kind };
}

// Activities as the model has them, then those that it does not know.
export function merged(spoken, modelled, states, steps = []) {
  const said = new Map(spoken.map((each) => [each.id, each]));
  const known = new Set(modelled.map((each) => each.id));
  const others = spoken.filter((each) => !known.has(each.id));
  const unreached = states && Object.keys(states).length ? "not reached" : "unknown";
  return [...modelled, ...others].map((each) => ({
    id: each.id,
    name: each.name || said.get(each.id)?.name || each.id,
    said: said.get(each.id) ?? null,
    state: states?.[each.id] ?? unreached,
    step: steps.find((step) => step.activity_id === each.id) ?? null,
  }));
}

export function label(place) {
  const turns = place.said ? count(place.said.turns, "turn") : "";
  const state = place.step ? STEPS[place.step.state]?.[0] ?? place.step.state : place.state;
  return [state === "unknown" ? "" : state, turns].filter(Boolean).join(", ");
}

export const stateClass = (place) => place.state.replace(" ", "-");

export function Places({ places, selected, root, select }) {
  return html`<ol class="activities">${places.map((place) => {
    const onclick = (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      select(place.id);
    };
    return html`<li key=${place.id}><a href=${`${root}/activities/${id(place.id)}`} aria-current=${place.id === selected ? "true" : null} onclick=${onclick}>
      <span class=${`state ${stateClass(place)}`} aria-hidden="true">${MARKS[place.state] ?? "\u00a0"}</span>
      <span class="place">${name(place.name)} <span class="soft">${label(place) || "no turns"}</span></span>
    </a></li>`;
  })}</ol>`;
}

// What goes on at this moment, and what a person can do where nothing does.
export function Steps({ steps, places }) {
  if (!steps.length) return null;
  const called = new Map(places.map((each) => [each.id, each.name]));
  return html`<section aria-labelledby="steps" class="steps">
    <h2 id="steps">What goes on now</h2>
    <ul>${steps.map((step, index) => html`<li key=${`${step.activity_id} ${index}`} class=${step.state}>
      <p><strong>${name(called.get(step.activity_id) ?? step.activity_id)}</strong> <span>${STEPS[step.state]?.[1] ?? step.state}</span>${step.state === "again" && step.retries !== null && html`<span class="soft"> ${count(step.retries, "try", "tries")} left.</span>`}</p>
      ${step.message && html`<p class="reason" dir="auto">${step.message}</p>`}
      ${step.state === "failed" && html`<p class="soft">${WAYS_OUT[step.kind] ?? WAY_OUT}</p>`}
    </li>`)}</ul>
  </section>`;
}
