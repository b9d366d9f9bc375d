// A question before something is done that concerns others, too. What is wrong is said in it, and it stays open then.

import { h } from "./dom.js";

export function ask({ id, title, about, more = [], label, kind, act, done }) {
  const wrong = h("p", { class: "wrong", role: "alert" });
  const go = h("button", { class: kind }, label);
  const cancel = h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Cancel");
  const form = h("form", { method: "dialog" },
    h("h2", { id: `${id}-title` }, title),
    h("p", { id: `${id}-about` }, about),
    more,
    wrong,
    h("div", { class: "actions" }, cancel, go));
  const dialog = h("dialog", { "aria-labelledby": `${id}-title`, "aria-describedby": `${id}-about` }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    wrong.textContent = "";
    try {
      const result = await act();
      dialog.close();
      done(result);
    } catch (error) {
      wrong.textContent = error.message;
      go.disabled = false;
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
