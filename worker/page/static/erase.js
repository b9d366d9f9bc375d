// Erasing everything about an instance, after a question.

import { post } from "./api.js";
import { h, name } from "./dom.js";

export function eraseButton(instance, done) {
  return h("button", { type: "button", class: "danger", onclick: () => ask(instance, done) }, "Erase …");
}

function ask(instance, done) {
  const sure = h("input", { id: "sure", type: "checkbox", required: true });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const erase = h("button", { class: "danger" }, "Erase for good");
  const cancel = h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Cancel");
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "erase-title" }, "Erase what assistants said here?"),
    h("p", { id: "erase-about" }, "Conversations of this instance are removed at the provider, in the worker's memory, in the record and from the process variables of the worker: ",
      name(instance.definition_key), instance.business_key ? [", ", name(instance.business_key)] : "", ", ", h("code", {}, instance.id), "."),
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
      const receipt = await post("/erase", { instance: instance.id });
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

// What was removed where, as the API says it.
export function receipt(said) {
  return [
    h("h1", {}, "Erased"),
    h("p", {}, "This is the receipt. What could not be removed yet is tried again by itself."),
    h("pre", { class: "card" }, JSON.stringify(said, null, 2)),
    h("p", {}, h("a", { href: "/instances" }, "All instances")),
  ];
}
