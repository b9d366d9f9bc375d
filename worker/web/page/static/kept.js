// How a view looked when people left it: kept with its entry in the browser's history, for when they come back.

import { settle } from "./parts.js";

const DELAY = 150;

let waiting = null;

export const kept = () => history.state?.kept ?? {};

export function keep(more) {
  history.replaceState({ kept: { ...kept(), ...more } }, "");
}

// The first message in sight, and where it stands: what is above it may have another height next time.
function place() {
  const first = [...document.querySelectorAll("main article[id]")].find((each) => each.getBoundingClientRect().bottom > 0);
  return { y: scrollY, id: first?.id, top: first?.getBoundingClientRect().top };
}

// Before an entry is left for a new one.
export function keepPlace() {
  clearTimeout(waiting);
  keep({ place: place() });
}

// Whether there was a place to go back to.
export function restorePlace() {
  clearTimeout(waiting);
  const { place: was } = kept();
  if (!was) return false;
  const message = was.id && was.y > 0 && document.getElementById(was.id);
  if (message) settle(message, () => scrollBy(0, message.getBoundingClientRect().top - was.top));
  else scrollTo(0, was.y);
  return true;
}

export function startKeeping() {
  history.scrollRestoration = "manual";
  addEventListener("scroll", () => {
    clearTimeout(waiting);
    waiting = setTimeout(keepPlace, DELAY);
  }, { passive: true });
  addEventListener("popstate", () => clearTimeout(waiting));
}
