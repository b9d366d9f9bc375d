// A list that comes page by page: the first at once, others when somebody wants them.

import { h, say } from "./dom.js";

const MOST_PAGES = 100;
const EARLY = "800px";

// `load(after)` gets a page, `add(items)` shows it. Returns the place of the button for more; `load` may be aborted.
// `auto`: more comes by itself when the button comes near. `until` says that enough has come at first.
export async function paged(load, add, label, { auto = false, until = null } = {}) {
  const place = h("div", { class: "more" });
  let after;

  async function next() {
    const page = await load(after);
    add(page.items);
    after = page.next ?? undefined;
    return page.items.length;
  }

  async function onclick() {
    if (button.getAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true");  // not `disabled`, which would take the focus away
    try {
      say(`${await next()} more`);
      place.querySelector(".wrong")?.remove();
      if (!after) place.replaceChildren(h("p", { class: "soft", tabindex: "-1" }, "That is all."));
    } catch (error) {
      if (error.name !== "AbortError") place.replaceChildren(h("p", { class: "wrong", role: "alert" }, error.message), button);
    } finally {
      button.removeAttribute("aria-disabled");
      if (after) watch();
    }
  }

  const button = h("button", { type: "button", onclick }, label);
  const watcher = auto && new IntersectionObserver((seen) => {
    if (!seen.some((each) => each.isIntersecting)) return;
    watcher.disconnect();
    onclick();
  }, { rootMargin: EARLY });
  const watch = () => watcher && !place.querySelector(".wrong") && watcher.observe(button);

  let pages = 0;
  do await next();
  while (after && until && !until() && ++pages < MOST_PAGES);
  if (after) {
    place.append(button);
    watch();
  }
  return place;
}
