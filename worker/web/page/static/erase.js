// Erasing everything about an instance, after a question.

import { post } from "./api.js";
import { facts, h, name, number, time } from "./dom.js";
import { ask } from "./question.js";

const STATES = { removed: ["removed", "done"], open: ["open", "failed"], stays: ["stays", ""], accepted: ["not seen, accepted as gone", ""] };

export function eraseButton(instance, done) {
  return h("button", { type: "button", class: "danger", onclick: () => erase(instance, done) }, "Erase …");
}

function erase(instance, done) {
  const sure = h("input", { id: "sure", type: "checkbox", required: true });
  const results = h("input", { id: "results", type: "checkbox" });
  ask({
    id: "erase",
    title: "Erase what assistants said here?",
    about: ["Conversations of this instance are removed at the provider, in the worker's memory, in the transcript and from the process variables of the worker: ",
      name(instance.definition_key), instance.business_key ? [", ", name(instance.business_key)] : "", ", ", h("code", {}, instance.id), "."],
    more: [
      h("p", { class: "check" }, results, h("label", { for: "results" }, "Also the answers that the process keeps as its results.")),
      h("p", { class: "check" }, sure, h("label", { for: "sure" }, "Yes. I know that nobody can bring it back.")),
    ],
    label: "Erase for good",
    kind: "danger",
    act: () => post(`/erase?results=${results.checked}`, { instance: instance.id }),
    done,
  });
}

// What was removed where and when, and what could not be.
export function receipt(said) {
  const columns = ["Where", "What", "State", "Count", "When", "Why"];
  const row = (step) => h("tr", { role: "row" }, [
    name(step.store),
    h("code", {}, step.what),
    h("span", { class: `tag ${STATES[step.status]?.[1] ?? ""}` }, STATES[step.status]?.[0] ?? step.status),
    number(step.count),
    step.at ? time(step.at) : "—",
    step.why ? name(step.why) : "—",
  ].map((cell, index) => h("td", { role: "cell", "data-label": columns[index] }, cell)));
  const head = h("tr", { role: "row" }, columns.map((column) => h("th", { scope: "col", role: "columnheader" }, column)));
  return [
    h("h1", { tabindex: "-1" }, said.completed_at ? "Erased" : "Not all is erased yet"),
    h("p", {}, said.completed_at ? (said.results ? "Nothing is left." : "Nothing is left but the results, which are the process's own.") : "What is open is tried again by itself."),
    facts([["Order", h("code", {}, said.id)], ["Instance", h("code", {}, said.instance)], ["Ordered", time(said.ordered_at)], ["Complete", said.completed_at && time(said.completed_at)]]),
    h("table", { class: "list", role: "table" },
      h("caption", { class: "hidden" }, "Receipt"),
      h("thead", { role: "rowgroup" }, head),
      h("tbody", { role: "rowgroup" }, said.steps.map(row))),
    h("p", {}, h("a", { href: "/instances" }, "All instances")),
  ];
}
