// The activities of an instance, as a list that says in words what the diagram shows.

import { id } from "./api.js";
import { count, h, name } from "./dom.js";

const MARKS = { done: "✓", running: "▶", failed: "!", cancelled: "✕" };

// Activities as the model has them, then those that it does not know.
export function merged(spoken, modelled, states) {
  const said = new Map(spoken.map((each) => [each.id, each]));
  const known = new Set(modelled.map((each) => each.id));
  const others = spoken.filter((each) => !known.has(each.id));
  const unreached = states && Object.keys(states).length ? "not reached" : "unknown";
  return [...modelled, ...others].map((each) => ({
    id: each.id,
    name: each.name || said.get(each.id)?.name || each.id,
    said: said.get(each.id) ?? null,
    state: states?.[each.id] ?? unreached,
  }));
}

export function label(place) {
  const turns = place.said ? count(place.said.turns, "turn") : "";
  return [place.state === "unknown" ? "" : place.state, turns].filter(Boolean).join(", ");
}

export const stateClass = (place) => place.state.replace(" ", "-");

export function entry(place, root, onselect) {
  const mark = h("span", { class: `state ${stateClass(place)}`, "aria-hidden": "true" }, MARKS[place.state] ?? "");
  const text = [mark, h("span", { class: "place" }, name(place.name), h("span", { class: "soft" }, label(place) || "no turns"))];
  const onclick = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    onselect(place.id);
  };
  return h("li", { "data-activity": place.id }, h("a", { href: `${root}/activities/${id(place.id)}`, onclick }, text));
}
