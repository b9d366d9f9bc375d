// A list that comes page by page: the first with its view, others when somebody wants them.

import { html, useEffect, useRef, useState } from "./lib/preact.js";
import { say } from "./parts.js";
import { keep } from "./kept.js";

const MOST_PAGES = 100;
const EARLY = "800px";

// Loads the first pages: as many as were shown when people left, or until enough has come.
export async function firstPages(load, { pages = 1, until = null } = {}) {
  let after;
  let count = 0;
  const items = [];
  do {
    const page = await load(after);
    items.push(...page.items);
    after = page.next ?? undefined;
    count += 1;
  } while (after && count < MOST_PAGES && (count < pages || (until && !until(items))));
  return { items, next: after ?? null, pages: count };
}

// Returns the list as it is now, `more` that loads the next page, and `change(items => items)`.
export function usePages(first, load) {
  const [list, set] = useState({ ...first, wrong: "", busy: false, began: false });
  const more = async () => {
    if (list.busy || !list.next) return;
    set((now) => ({ ...now, busy: true, began: true }));
    try {
      const page = await load(list.next);
      keep({ pages: list.pages + 1 });
      set((now) => ({ ...now, items: [...now.items, ...page.items], next: page.next ?? null, pages: now.pages + 1, wrong: "", busy: false }));
      say(`${page.items.length} more`);
    } catch (error) {
      if (error.name !== "AbortError") set((now) => ({ ...now, wrong: error.message, busy: false }));
    }
  };
  return { ...list, more, change: (change) => set((now) => ({ ...now, ...change(now) })) };
}

// The place of the button for more. `auto`: more comes by itself when the button comes near.
export function More({ list, label, auto = false }) {
  const button = useRef(null);
  useEffect(() => {
    if (!auto || !button.current || list.busy || list.wrong) return undefined;
    const watcher = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && list.more(), { rootMargin: EARLY });
    watcher.observe(button.current);
    return () => watcher.disconnect();
  });
  if (!list.next) return list.began ? html`<div class="more"><p class="soft">That is all.</p></div>` : null;
  // Not `disabled`, which would take the focus away.
  return html`<div class="more">
    ${list.wrong && html`<p class="wrong" role="alert">${list.wrong}</p>`}
    <button type="button" ref=${button} aria-disabled=${list.busy ? "true" : null} onclick=${list.more}>${label}</button>
  </div>`;
}
