// What people say of an answer: right or wrong, and why. Everybody sees it, and those with a name can say it.

import { html, useState } from "./lib/preact.js";
import { id, put, remove } from "./api.js";
import { name, say, time } from "./parts.js";

const RATINGS = { right: "Right", wrong: "Wrong" };
const LONGEST_NOTE = 2000;

// `said` is an answer as the API has it, and `me` who looks.
export function Feedback({ said, me }) {
  const [all, show] = useState(said.feedback);
  if (!me.person && !all.length) return null;
  return html`<div class="feedback" role="group" aria-label="Feedback">
    ${me.person && html`<${Own} said=${said} person=${me.person} all=${all} show=${show} />`}
    ${all.length > 0 && html`<ul>${all.map((each) => html`<${Word} key=${`${each.person}${each.at}`} ...${each} />`)}</ul>`}
  </div>`;
}

function Word({ rating, person, at, note }) {
  return html`<li>
    <strong class=${`rating ${rating}`}>${RATINGS[rating]}</strong> says ${name(person)} <span class="soft">${time(at)}</span>
    ${note && html`<p dir="auto" class="excerpt">${note}</p>`}
  </li>`;
}

// What the person who looks says, to be changed: a rating that is chosen again is taken back.
function Own({ said, person, all, show }) {
  const path = `/messages/${id(said.id)}/feedback`;
  const mine = all.find((each) => each.person_id === person.id);
  const [note, write] = useState(mine?.note ?? "");
  const [wrong, tell] = useState("");
  const [waits, wait] = useState(false);

  async function change(asked, done) {
    if (waits) return;
    wait(true);
    tell("");
    try {
      const now = await asked();
      write(now.find((each) => each.person_id === person.id)?.note ?? "");
      show(now);
      say(done);
    } catch (error) {
      tell(error.message);
    } finally {
      wait(false);
    }
  }

  const give = (rating) => change(() => put(path, { rating, note }), `Marked as ${rating}`);
  const choose = (rating) => (rating === mine?.rating ? change(() => remove(path), "Taken back") : give(rating));
  const save = (event) => {
    event.preventDefault();
    give(mine.rating);
  };
  const button = ([rating, label]) =>
    html`<button type="button" aria-pressed=${String(rating === mine?.rating)} onclick=${() => choose(rating)}>${label}</button>`;
  return html`<div class="own">
    <div class="actions" role="group" aria-label="Is this answer right?">${Object.entries(RATINGS).map(button)}</div>
    ${mine && html`<form onsubmit=${save}>
      <label for=${`note-${said.id}`}>Why (seen by all who read this)</label>
      <textarea id=${`note-${said.id}`} rows="3" maxlength=${LONGEST_NOTE} dir="auto" value=${note} oninput=${(event) => write(event.target.value)} />
      <button>Save note</button>
    </form>`}
    <p class="wrong" role="alert">${wrong}</p>
  </div>`;
}
