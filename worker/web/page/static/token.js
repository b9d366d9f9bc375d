// The form that asks for a token.

import { h } from "./dom.js";

export function askForToken(refused, then) {
  const wrong = "This token is not known here.";
  const input = h("input", {
    id: "token", name: "token", type: "password", required: true, autocomplete: "off", spellcheck: "false",
    "aria-describedby": "about-token",
  });
  const submit = (event) => {
    event.preventDefault();
    if (input.value.trim()) then(input.value.trim());
  };
  return h(
    "form",
    { class: "card token", onsubmit: submit },
    h("h1", {}, "Token"),
    refused && h("p", { class: "wrong", role: "alert" }, wrong),
    h("label", { for: "token" }, "Token of this worker"),
    input,
    h("p", { id: "about-token", class: "hint" }, "It is kept in this browser tab, and forgotten when you close it."),
    h("button", { class: "primary" }, "Continue"),
  );
}
