// What operators have stopped, above every view, and the way to lift it for those who may.

import { query, remove } from "./api.js";
import { h, name, time } from "./dom.js";
import { ask } from "./question.js";

export function stops(known, me, lifted) {
  if (!known.length) return [];
  const row = (stop) => h("li", {},
    h("span", {},
      h("strong", {}, what(stop)), " stopped by ", name(stop.by), " since ", time(stop.since),
      stop.now && ", and calls that ran were broken off",
      stop.reason && [": ", h("span", { class: "reason" }, name(stop.reason))]),
    me.role === "operator" && h("button", { type: "button", "aria-label": `Lift: ${label(stop)}`, onclick: () => lift(stop, lifted) }, "Lift …"));
  return [h("section", { class: "stops", "aria-label": "Stopped by operators" },
    h("p", {}, "Stopped by operators: no call of these starts. Their tasks wait, and go on by themselves when the stop is lifted."),
    h("ul", {}, known.map(row)))];
}

const label = (stop) => (stop.kind === "all" ? "everything" : `${stop.kind} ${stop.name}`);
const what = (stop) => (stop.kind === "all" ? "Everything" : [`${stop.kind[0].toUpperCase()}${stop.kind.slice(1)} `, name(stop.name)]);

function lift(stop, lifted) {
  ask({
    id: "lift",
    title: "Lift this stop?",
    about: [what(stop), " goes on at every worker: calls of the model start again."],
    label: "Lift for all workers",
    kind: "primary",
    act: () => remove(`/stops${query({ kind: stop.kind, name: stop.name })}`),
    done: lifted,
  });
}
