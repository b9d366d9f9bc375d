// Answers while they are written, below the last message: as plain text, until the record has them whole.

import { html, useEffect, useState } from "./lib/preact.js";
import { isAnswer, name, number, say } from "./parts.js";

// Where a task stands like this, nobody writes its answer.
const BROKEN_OFF = ["waiting", "paused", "incident"];
const CUT = "The connection is cut. It goes on when the worker is reached again.";
const LOST = "Nobody goes on writing: the worker that did is dead, or cut off. The answer comes whole, or it is asked anew.";
const STOPPED = "It was broken off, and is asked anew when the task is tried again.";

// What a feed has told of them, one for each conversation; each listener is called when there is more.
export class Answers {
  #bySession = new Map();
  #steps = [];
  #isCut = false;
  #listeners = new Set();

  take({ type, data }) {
    if (type === "delta") this.#grow(data);
    else if (type === "restarted") this.#change(data.session_id, { ...data, text: "", length: 0, isLost: false, isAnew: true });
    else if (type === "lost") this.#change(data.session_id, { isLost: true });
    else if (type === "state") this.#steps = data.steps;
    else if (type === "cut" || type === "subscribed") this.#isCut = type === "cut";
    else return;
    this.#learn();
    for (const each of this.#listeners) each();
  }

  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // Those of which `items` do not have the whole: at one activity, or at all with null.
  missingIn(items, activity) {
    const isIn = (answer) => items.some(({ message: each }) => isAnswer(each) && each.task_id === answer.task_id && each.attempt === answer.attempt);
    return [...this.#bySession.values()]
      .filter((each) => (activity === null || each.activity === activity) && !isIn(each))
      .map((each) => ({ ...each, problem: this.#problem(each) }));
  }

  // Offsets count characters, of which this language takes some for two.
  #grow({ session_id, task_id, attempt, offset, text }) {
    const last = this.#bySession.get(session_id);
    const before = last?.task_id === task_id && last.attempt === attempt ? last : { text: "", length: 0 };
    const known = before.length === offset ? before.text : [...before.text].slice(0, offset).join("");
    if (!offset) say(before.isAnew ? "An answer is written anew" : "An answer is being written");
    const grown = { session_id, task_id, attempt, text: known + text, length: offset + [...text].length, isLost: false };
    this.#bySession.set(session_id, { ...before, ...grown });
  }

  #change(session, what) {
    const before = this.#bySession.get(session);
    if (before) this.#bySession.set(session, { ...before, ...what });
    if (before && what.isLost) say(LOST);
  }

  // A step tells where it is and who speaks as long as it goes on only.
  #learn() {
    for (const [session, answer] of this.#bySession) {
      const step = this.#stepOf(answer);
      const learnt = { activity: step?.activity_id ?? answer.activity, assistant: step?.assistant ?? answer.assistant };
      this.#bySession.set(session, { ...answer, ...learnt });
    }
  }

  #stepOf = (answer) => this.#steps.find((each) => each.task_id === answer.task_id);

  #problem(answer) {
    if (answer.isLost) return LOST;
    if (BROKEN_OFF.includes(this.#stepOf(answer)?.state)) return STOPPED;
    return this.#isCut ? CUT : "";
  }
}

// Calls for a new look at the answers whenever there is more of them.
export function useGrowing(answers) {
  const [, redraw] = useState(0);
  useEffect(() => answers.listen(() => redraw((count) => count + 1)), [answers]);
}

// `called` tells the name of an activity, `assistant` whose conversation it is if that is known.
export function Growing({ answer, assistant, called }) {
  const { session_id, activity, attempt, text, problem, isAnew } = answer;
  return html`<article class="message agent growing" data-growing=${session_id} aria-labelledby=${`growing-${session_id}`} aria-busy=${String(!problem)}>
    <header>
      <h3 id=${`growing-${session_id}`}>Answer${assistant ? html` of ${name(assistant)}` : ""}</h3>
      ${activity && html`<span class="soft">${name(called(activity))}</span>`}
      ${attempt > 1 && html`<span class="tag failed">attempt ${number(attempt)}</span>`}
      <span class=${`tag ${problem ? "failed" : "running"}`}>${problem ? "not whole" : isAnew ? "is written anew" : "is being written"}</span>
    </header>
    ${problem && html`<p class="outcome">${problem}</p>`}
    <div class="content" dir="auto"><p>${text}</p></div>
  </article>`;
}
