// Where a thread begins: at its first message, or at its newest with the button for earlier ones above.

import { html } from "./lib/preact.js";

// `jump` shows the newest message if it is there already, and says whether it is.
export function Order({ newest, path, jump }) {
  if (newest) return html`<a class="button" href=${path}>From the beginning</a>`;
  const onclick = (event) => jump() && event.preventDefault();
  return html`<a class="button" href=${`${path}?from=newest`} onclick=${onclick}>Jump to the newest</a>`;
}
