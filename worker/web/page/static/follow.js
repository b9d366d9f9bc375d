// Where views hear that there may be news: at a pace while the page is seen, and at once where a feed tells of some.
// Views only say what to do then.

import { useEffect, useRef, useState } from "./lib/preact.js";
import { readAlong } from "./feed.js";
import { Answers } from "./growing.js";

const SLOWEST_SECONDS = 60;
const NEWS = ["message", "state", "ended"];
// While what is shown is removed, and until something else is shown: who looked at it then would find nothing.
let isGoing = false;

export async function removing(work) {
  isGoing = true;
  try {
    return await work();
  } catch (error) {
    isGoing = false;
    throw error;
  }
}

// Calls `look` again and again, more slowly while it fails, and at once when `hurry` is called; until `stop` is.
export function follow(look, seconds) {
  isGoing = false;
  let timer = null;
  let pause = seconds;
  let looking = false;
  let again = false;
  let over = false;

  async function next() {
    again = looking;
    if (looking || over || isGoing || document.hidden) return;
    clearTimeout(timer);
    looking = true;
    try {
      await look();
      pause = seconds;
    } catch {
      pause = Math.min(2 * pause, SLOWEST_SECONDS);
    }
    looking = false;
    if (!over) timer = setTimeout(next, again ? 0 : 1000 * pause);
  }

  document.addEventListener("visibilitychange", next);
  timer = setTimeout(next, 1000 * seconds);
  const stop = () => {
    over = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", next);
  };
  return { hurry: next, stop };
}

// The same for as long as a part is shown. `seconds` null: there is nothing to follow any more. What a feed tells of a
// `wanted` session or instance comes back: the answers that are being written; steps, null while it tells none; and by
// their ids remarks as they are by now, which alone of all messages change; `asked` changes when what people asked has.
// So does `hurry`, for other signs of news.
export function useFollowed(look, seconds, wanted = null) {
  const last = useRef(look);
  last.current = look;
  const following = useRef(null);
  useEffect(() => {
    if (seconds === null) return undefined;
    following.current = follow(() => last.current(), seconds);
    return following.current.stop;
  }, [seconds]);

  const [answers] = useState(() => new Answers());
  const [steps, tell] = useState(null);
  const [remarks, note] = useState(new Map());
  const [asked, hear] = useState(0);
  useEffect(() => {
    if (!wanted) return undefined;
    return readAlong(wanted, (event) => {
      answers.take(event);
      if (event.type === "state") tell(event.data.steps);
      if (event.type === "cut") tell(null);
      if (event.type === "asks") hear((times) => times + 1);
      if (event.type === "message" && event.data.metadata.remark) note((known) => new Map(known).set(event.data.id, event.data));
      if (NEWS.includes(event.type)) following.current?.hurry();
    });
  }, []);
  return { answers, steps, remarks, asked, hurry: () => following.current?.hurry() };
}
