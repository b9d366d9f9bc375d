// The form that asks for a token, and offers to log in where the worker knows an issuer.

import { token } from "./api.js";
import { h } from "./dom.js";
import { logIn, logInEnded, offered } from "./login.js";

// Before anything is shown: who comes back from a log-in has a token then.
await logInEnded();

export function askForToken(refused, then) {
  const wrong = h("p", { class: "wrong", role: "alert" }, refused && "This token is not known here.");
  const input = h("input", {
    id: "token", name: "token", type: "password", required: true, autocomplete: "off", spellcheck: "false",
    "aria-describedby": "about-token",
  });
  const submit = (event) => {
    event.preventDefault();
    if (input.value.trim()) then(input.value.trim());
  };
  const form = h(
    "form",
    { class: "card token", onsubmit: submit },
    h("h1", {}, "Token"),
    wrong,
    h("label", { for: "token" }, "Token of this worker"),
    input,
    h("p", { id: "about-token", class: "hint" }, "It is kept in this browser tab, and forgotten when you close it."),
    h("button", { class: "primary" }, "Continue"),
  );
  const ended = (done) => (done ? then(token.get()) : (wrong.textContent = "The log-in did not succeed."));
  offered().then((login) => {
    if (!login) return;
    const button = h("button", { type: "button", class: "primary", onclick: () => logIn(login, ended) }, "Log in");
    wrong.after(button, h("p", { class: "hint" }, "Or, if you have one, with a token:"));
  });
  return form;
}
