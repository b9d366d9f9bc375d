// What people say of an answer: right or wrong, and why. Everybody sees it, and those with a name can say it.

import { id, put, remove } from "./api.js";
import { h, name, say, time } from "./dom.js";

const RATINGS = { right: "Right", wrong: "Wrong" };
const LONGEST_NOTE = 2000;

// `said` is an answer as the API has it, and `me` who looks. The element keeps itself up to date.
export function feedback(said, me) {
  const words = h("ul", {});
  const place = h("section", { class: "feedback", "aria-label": "Feedback" }, me.person && own(said, me.person, show), words);
  function show(all) {
    words.replaceChildren(...all.map(word));
    place.hidden = !me.person && !all.length;
  }
  show(said.feedback);
  return place;
}

function word({ rating, person, at, note }) {
  return h("li", {},
    h("strong", { class: `rating ${rating}` }, RATINGS[rating]), " says ", name(person), " ", h("span", { class: "soft" }, time(at)),
    note && h("p", { dir: "auto", class: "excerpt" }, note));
}

// What the person who looks says, to be changed: a rating that is chosen again is taken back.
function own(said, person, show) {
  const path = `/messages/${id(said.id)}/feedback`;
  const wrong = h("p", { class: "wrong", role: "alert" });
  const note = h("textarea", { id: `note-${said.id}`, rows: 3, maxlength: LONGEST_NOTE, dir: "auto" });
  const form = h("form", {}, h("label", { for: note.id }, "Why (seen by all who read this)"), note, h("button", {}, "Save note"));
  const buttons = Object.entries(RATINGS).map(([rating, label]) => h("button", { type: "button", onclick: () => choose(rating) }, label));
  let chosen = null;
  let waits = false;

  function take(all) {
    const mine = all.find((each) => each.person_id === person.id);
    chosen = mine?.rating ?? null;
    note.value = mine?.note ?? "";
    form.hidden = chosen === null;
    Object.keys(RATINGS).forEach((rating, place) => buttons[place].setAttribute("aria-pressed", String(rating === chosen)));
  }

  async function change(asked, done) {
    if (waits) return;
    waits = true;
    wrong.textContent = "";
    try {
      const all = await asked();
      take(all);
      show(all);
      say(done);
    } catch (error) {
      wrong.textContent = error.message;
    } finally {
      waits = false;
    }
  }

  const give = (rating) => change(() => put(path, { rating, note: note.value }), `Marked as ${rating}`);
  const choose = (rating) => (rating === chosen ? change(() => remove(path), "Taken back") : give(rating));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    give(chosen);
  });
  take(said.feedback);
  return h("div", { class: "own" }, h("div", { class: "actions", role: "group", "aria-label": "Is this answer right?" }, buttons), form, wrong);
}
