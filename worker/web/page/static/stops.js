// What operators have stopped, above every view, and the way to lift it for those who may.

import { query, remove } from "./api.js";
import { h, name, time } from "./dom.js";

export function stops(known, me, lifted) {
  if (!known.length) return [];
  const row = (stop) => h("li", {},
    h("span", {},
      h("strong", {}, what(stop)), " stopped by ", name(stop.by), " since ", time(stop.since),
      stop.now && ", and calls that ran were broken off",
      stop.reason && [": ", h("span", { class: "reason" }, name(stop.reason))]),
    me.role === "operator" && h("button", { type: "button", "aria-label": `Lift: ${label(stop)}`, onclick: () => ask(stop, lifted) }, "Lift …"));
  return [h("section", { class: "stops", "aria-label": "Stopped by operators" },
    h("p", {}, "Stopped by operators: no call of these starts. Their tasks wait, and go on by themselves when the stop is lifted."),
    h("ul", {}, known.map(row)))];
}

const label = (stop) => (stop.kind === "all" ? "everything" : `${stop.kind} ${stop.name}`);
const what = (stop) => (stop.kind === "all" ? "Everything" : [`${stop.kind[0].toUpperCase()}${stop.kind.slice(1)} `, name(stop.name)]);

function ask(stop, lifted) {
  const wrong = h("p", { class: "wrong", role: "alert" });
  const lift = h("button", { class: "primary" }, "Lift for all workers");
  const cancel = h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Cancel");
  const form = h("form", { method: "dialog" },
    h("h2", { id: "lift-title" }, "Lift this stop?"),
    h("p", { id: "lift-about" }, what(stop), " goes on at every worker: calls of the model start again."),
    wrong,
    h("div", { class: "actions" }, cancel, lift));
  const dialog = h("dialog", { "aria-labelledby": "lift-title", "aria-describedby": "lift-about" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    lift.disabled = true;
    wrong.textContent = "";
    try {
      const left = await remove(`/stops${query({ kind: stop.kind, name: stop.name })}`);
      dialog.close();
      lifted(left);
    } catch (error) {
      wrong.textContent = error.message;
      lift.disabled = false;
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
