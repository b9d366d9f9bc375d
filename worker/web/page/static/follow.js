// Where views hear that there may be news. Today it is looked for at a pace, while the page is seen. Whatever tells of
// news by itself belongs here, in place of the pace: views only say what to do then.

import { useEffect, useRef } from "./lib/preact.js";

const SLOWEST_SECONDS = 60;

// Calls `look` again and again until the returned function is called; more slowly while it fails.
export function follow(look, seconds) {
  let timer = null;
  let pause = seconds;
  let looking = false;
  let over = false;

  async function next() {
    if (looking || over || document.hidden) return;
    clearTimeout(timer);
    looking = true;
    try {
      await look();
      pause = seconds;
    } catch {
      pause = Math.min(2 * pause, SLOWEST_SECONDS);
    }
    looking = false;
    if (!over) timer = setTimeout(next, 1000 * pause);
  }

  document.addEventListener("visibilitychange", next);
  timer = setTimeout(next, 1000 * seconds);
  return () => {
    over = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", next);
  };
}

// The same for as long as a part is shown. `seconds` null: there is nothing to follow any more.
export function useFollowed(look, seconds) {
  const last = useRef(look);
  last.current = look;
  useEffect(() => (seconds === null ? undefined : follow(() => last.current(), seconds)), [seconds]);
}
