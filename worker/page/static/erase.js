// Erasing everything about an instance, after a question.

import { post } from "./api.js";
import { facts, h, name, number, time } from "./dom.js";

const STATES = { removed: ["removed", "done"], open: ["open", "failed"], stays: ["stays", ""], accepted: ["not seen, accepted as gone", ""] };

export function eraseButton(instance, done) {
  return h("button", { type: "button", class: "danger", onclick: () => ask(instance, done) }, "Erase …");
}

function ask(instance, done) {
  const sure = h("input", { id: "sure", type: "checkbox", required: true });
  const results = h("input", { id: "results", type: "checkbox" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const erase = h("button", { class: "danger" }, "Erase for good");
  const cancel = h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Cancel");
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "erase-title" }, "Erase what assistants said here?"),
    h("p", { id: "erase-about" }, "Conversations of this instance are removed at the provider, in the worker's memory, in the record and from the process variables of the worker: ",
      name(instance.definition_key), instance.business_key ? [", ", name(instance.business_key)] : "", ", ", h("code", {}, instance.id), "."),
    h("p", { class: "check" }, results, h("label", { for: "results" }, "Also the answers that the process keeps as its results.")),
    h("p", { class: "check" }, sure, h("label", { for: "sure" }, "Yes. I know that nobody can bring it back.")),
    wrong,
    h("div", { class: "actions" }, cancel, erase),
  );
  const dialog = h("dialog", { "aria-labelledby": "erase-title", "aria-describedby": "erase-about" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    erase.disabled = true;
    wrong.textContent = "";
    try {
      const receipt = await post(`/erase?results=${results.checked}`, { instance: instance.id });
      dialog.close();
      done(receipt);
    } catch (error) {
      wrong.textContent = error.message;
      erase.disabled = false;
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
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
