// The form that asks for a token, and offers to log in where the worker knows an issuer.

import { html, useEffect, useState } from "./lib/preact.js";
import { token } from "./api.js";
import { logIn, logInEnded, offered } from "./login.js";

// Before anything is shown: who comes back from a log-in has a token then.
await logInEnded();

export function AskForToken({ refused, then }) {
  const [login, offer] = useState(null);
  const [wrong, tell] = useState(refused ? "This token is not known here." : "");
  useEffect(() => {
    offered().then(offer);
  }, []);
  const ended = (done) => (done ? then(token.get()) : tell("The log-in did not succeed."));
  const onsubmit = (event) => {
    event.preventDefault();
    const value = event.target.elements.token.value.trim();
    if (value) then(value);
  };
  return html`<form class="card token" onsubmit=${onsubmit}>
    <h1>Token</h1>
    ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
    ${login && html`<button type="button" class="primary" onclick=${() => logIn(login, ended)}>Log in</button>
      <p class="hint">Or, if you have one, with a token:</p>`}
    <label for="token">Token of this worker</label>
    <input id="token" name="token" type="password" required autocomplete="off" spellcheck="false" aria-describedby="about-token" />
    <p id="about-token" class="hint">It is kept in this browser tab, and forgotten when you close it.</p>
    <button class="primary">Continue</button>
  </form>`;
}
