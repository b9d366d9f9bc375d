// Where a thread begins: at its first message, or at its newest with the button for earlier ones above.

import { h } from "./dom.js";

export function order(newest, path = location.pathname) {
  return newest
    ? h("a", { class: "button", href: path }, "From the beginning")
    : h("a", { class: "button", href: `${path}?from=newest` }, "From the newest");
}
