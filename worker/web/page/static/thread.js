// A conversation as a readable thread, page by page.

import { get } from "./api.js";
import { count, facts, h, money, name, number, seconds, time, tokens, tree } from "./dom.js";
import { feedback } from "./feedback.js";
import { paged } from "./paged.js";

const SIZE = 100;
const SPEAKERS = { user: "Question", agent: "Answer", system: "System" };
const BETWEEN = { user: "Message", agent: "Step", system: "System" };
const LONG = 1200;

const OUTCOMES = {
  ok: null,
  refused: "The assistant refused to answer",
  filtered: "A filter kept the answer back",
  incomplete: "The answer is incomplete",
  failed: "The provider failed",
  empty: "The answer is empty",
  invalid: "The answer is not what was asked for",
};

// `path` is the API's list of messages, `me` who looks. `wanted` is the id of a message to begin with.
// Returns the section's content; `assistants` tells whose conversation a message is in.
export async function thread(path, parameters, { signal, me, assistants = new Map(), newest = false, wanted = null }) {
  const list = h("div", { class: "thread" });
  const load = async (after) => {
    const page = await get(path, { ...parameters, after, limit: SIZE, newest: newest || undefined }, signal);
    return newest ? { ...page, items: page.items.toReversed() } : page;
  };
  const add = (items) => {
    const shown = items.map((item) => message(item, assistants, me));
    newest ? list.prepend(...shown) : list.append(...shown);
  };
  const label = newest ? "Show earlier messages" : "Show more messages";
  const more = await paged(load, add, label, {
    auto: !newest,
    until: wanted && (() => list.querySelector(`#${CSS.escape(`message-${wanted}`)}`)),
  });
  if (!list.children.length) list.append(h("p", { class: "soft" }, "Nothing was said here."));
  return newest ? [more, list] : [list, more];
}

// What a message is: question and answer, or, where it stands between them, of whom.
export const speaker = (said) => (said.is_between ? BETWEEN : SPEAKERS)[said.role] ?? said.role;

const isAnswer = (said) => said.role === "agent" && !said.is_between;

export function point(id) {
  const target = document.getElementById(`message-${id}`);
  if (!target) return;
  target.classList.add("wanted");
  target.tabIndex = -1;
  target.focus({ preventScroll: true });
  target.scrollIntoView({ block: "center" });
}

function message({ message: said, body }, assistants, me) {
  const answer = isAnswer(said);
  const title = `title-${said.id}`;
  const where = said.activity_name || said.activity_id;
  const assistant = assistants.get(said.session_id);
  return h(
    "article",
    { class: `message ${said.is_between ? "between" : said.role}`, id: `message-${said.id}`, "aria-labelledby": title },
    h(
      "header",
      {},
      h("h3", { id: title }, speaker(said), answer && assistant ? [" of ", name(assistant)] : ""),
      h("span", { class: "soft" }, name(where)),
      said.user && h("span", { class: "soft" }, name(said.user)),
      said.attempt > 1 && h("span", { class: "tag failed" }, `attempt ${number(said.attempt)}`),
      h("span", { class: "soft when" }, time(said.created_at)),
    ),
    answer && outcome(said),
    content(said, body),
    answer && about(said),
    answer && feedback(said, me),
  );
}

function content(said, body) {
  const text = h("div", { class: "content", dir: "auto" }, tree(body));
  if (isAnswer(said) || said.content.length <= LONG) return text;
  const first = said.content.replace(/^[#\s]+/, "").split("\n", 1)[0].slice(0, 160);
  return h("details", {}, h("summary", {}, name(first), h("span", { class: "soft" }, ` (${count(said.content.length, "character")})`)), text);
}

function outcome(said) {
  const kind = said.metadata.outcome;
  if (!kind || OUTCOMES[kind] === null) return null;
  const detail = said.metadata.detail;
  return h("p", { class: "outcome" }, `${OUTCOMES[kind] ?? kind}`, detail ? [": ", name(detail)] : "");
}

function about(said) {
  const thread = said.thread_id && [h("code", {}, said.thread_id), said.generation > 1 ? ` (made anew, ${said.generation})` : ""];
  return h(
    "details",
    { class: "about" },
    h("summary", {}, summary(said)),
    facts([
      ["Model", said.model && name(said.model)],
      ["Tokens", said.output_tokens === null ? null : tokens(said)],
      ["Cost", said.cost ? money(said.cost) : "not known"],
      ["Duration", seconds(said.processing_seconds)],
      ["Attempt", number(said.attempt)],
      ["Outcome", said.metadata.outcome],
      ["Use of the thread", said.metadata.use],
      ["Found again after", said.metadata.recovered],
      ["Repaired", said.metadata.repaired ? "yes" : null],
      ["Earlier turns not told word for word", said.metadata.untold ? number(said.metadata.untold) : null],
      ["Thread", thread],
      ["Response", said.response_id && h("code", {}, said.response_id)],
      ["Task", h("code", {}, said.task_id)],
    ]),
  );
}

function summary(said) {
  const parts = [said.model, said.output_tokens !== null && `${number(said.input_tokens + said.output_tokens)} tokens`];
  if (said.processing_seconds !== null) parts.push(seconds(said.processing_seconds));
  if (said.cost) parts.push(money(said.cost));
  return parts.filter(Boolean).join(" · ") || "About this answer";
}
