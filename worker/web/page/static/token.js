// The form that asks for a token.

import { html } from "./lib/preact.js";

export function AskForToken({ refused, then }) {
  const onsubmit = (event) => {
    event.preventDefault();
    const value = event.target.elements.token.value.trim();
    if (value) then(value);
  };
  return html`<form class="card token" onsubmit=${onsubmit}>
    <h1>Token</h1>
    ${refused && html`<p class="wrong" role="alert">This token is not known here.</p>`}
    <label for="token">Token of this worker</label>
    <input id="token" name="token" type="password" required autocomplete="off" spellcheck="false" aria-describedby="about-token" />
    <p id="about-token" class="hint">It is kept in this browser tab, and forgotten when you close it.</p>
    <button class="primary">Continue</button>
  </form>`;
}
