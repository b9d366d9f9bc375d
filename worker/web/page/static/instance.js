// One process instance: its diagram, its activities, and what was said.

import { get, id, Problem } from "./api.js";
import { cost, count, facts, h, name, note, number, say, seconds, time, tokens } from "./dom.js";
import { activitiesOf, diagram } from "./diagram.js";
import { asRecorded, state } from "./conversation.js";
import { eraseButton, receipt } from "./erase.js";
import { exports_ } from "./exports.js";
import { order } from "./order.js";
import { entry, merged } from "./places.js";
import { point, thread } from "./thread.js";

export async function instance(page) {
  const [own] = page.parts;
  const root = `${page.embedded ? "/embed" : ""}/instances/${id(own)}`;
  const path = `/instances/${id(own)}`;
  const [shown, standing, spent, sessions, spoken, states, model] = await Promise.all([
    get(path, {}, page.signal),
    get(`${path}/standing`, {}, page.signal),
    get(`${path}/cost`, {}, page.signal),
    get("/sessions", { instance: own, limit: 200 }, page.signal),
    get(`${path}/activities`, {}, page.signal),
    fromEngine(get(`${path}/states`, {}, page.signal)),
    fromEngine(get(`${path}/diagram`, {}, page.signal)),
  ]);
  const assistants = new Map(sessions.items.map((each) => [each.id, each.assistant]));
  const places = merged(spoken, model.value ? activitiesOf(model.value.xml) : [], states.value?.states);
  const view = { page, own, root, path, shown, standing, spent, sessions: sessions.items, places, states, assistants };

  const section = h("section", { "aria-labelledby": "said", class: "said" });
  const list = h("ol", { class: "activities" });
  view.select = (activity, { focus = true, message = null, newest = false } = {}) => fill(view, section, list, activity, { focus, message, newest });
  for (const place of places) list.append(entry(place, root, (activity) => view.select(activity)));

  const first = page.parameters.get("message");
  await view.select(page.parts[1] ?? null, { focus: false, message: first, newest: page.parameters.get("from") === "newest" });
  if (first) requestAnimationFrame(() => point(first));
  return { title: shown.business_key || shown.definition_key, content: layout(view, model, list, section) };
}

// In Cockpit's tab only what Cockpit does not show beside it.
function layout(view, model, list, section) {
  const { page, shown } = view;
  const columns = h("div", { class: "columns" },
    h("nav", { "aria-label": "Activities", class: "places" }, h("h2", {}, "Activities"), list),
    section);
  if (page.embedded) return [h("h1", { class: "hidden" }, name(shown.definition_key)), columns];
  return [
    h("div", { class: "heading" }, h("h1", {}, name(shown.definition_key)), state(shown, shown.id, view.standing)),
    ...[asRecorded(view.standing)].filter(Boolean),
    about(shown, view.spent),
    h("div", { class: "actions" }, exports_(page.me.formats, `${view.path}/export`, `instance-${shown.id}`), page.me.can_erase && erasing(page, shown)),
    process(view, model),
    columns,
  ];
}

function process(view, model) {
  return h("section", { "aria-labelledby": "process", class: "process" },
    h("h2", { id: "process" }, "Process"),
    view.states.problem && note("States are not known", view.states.problem),
    picture(view, model));
}

function about(shown, spent) {
  return facts([
    ["Business key", shown.business_key && name(shown.business_key)],
    ["Version", shown.definition_version],
    ["Tenant", shown.tenant && name(shown.tenant)],
    ["Started", time(shown.started_at)],
    ["Last said", time(shown.last_at)],
    ["Messages", number(shown.messages)],
    ["Tokens", tokens(spent)],
    ["Cost", cost(spent)],
    ["Instance", h("code", {}, shown.id)],
  ]);
}

function erasing(page, shown) {
  return eraseButton(shown, (said) => {
    const main = document.getElementById("main");
    main.replaceChildren(...receipt(said));
    main.querySelector("h1").focus();
    say("Erased");
  });
}

function picture(view, model) {
  if (!model.value) return note("No diagram", model.problem);
  if (!view.page.me.diagrams) return note("No diagram", "The part that draws diagrams is not installed beside this worker.");
  const place = h("div", { class: "diagram" });
  // It needs its size, so it is drawn when it is on the page.
  requestAnimationFrame(() =>
    diagram(place, model.value.xml, view.places, (activity) => view.select(activity), view.page.signal).then(
      (drawn) => { view.drawn = drawn; drawn.select(view.selected); },
      (error) => place.replaceWith(note("No diagram", error.message)),
    ),
  );
  return place;
}

// Shows one activity, or the whole conversation with null, and says so in the address.
async function fill(view, section, list, activity, { focus, message, newest }) {
  const place = view.places.find((each) => each.id === activity);
  const parameters = activity === null ? {} : { activity };
  const address = activity === null ? view.root : `${view.root}/activities/${id(activity)}`;
  view.selected = activity;
  view.drawn?.select(activity);
  for (const item of list.children) {
    const link = item.querySelector("a");
    item.dataset.activity === activity ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
  }
  let said;
  try {
    said = await thread(`${view.path}/thread`, parameters, { signal: view.page.signal, me: view.page.me, assistants: view.assistants, wanted: message, newest });
  } catch (error) {
    if (!focus) throw error;
    said = [h("p", { class: "wrong", role: "alert" }, error.message)];
  }
  if (view.selected !== activity) return;
  const title = h("h2", { id: "said", tabindex: "-1" }, activity === null ? "Conversation" : name(place?.name ?? activity));
  const back = (event) => (event.preventDefault(), view.select(null));
  section.replaceChildren(
    h("div", { class: "heading" }, title, activity === null ? order(newest, view.root) : h("a", { class: "button", href: view.root, onclick: back }, "Whole conversation")),
    ...(activity === null ? [threads(view)] : [sums(place)]).filter(Boolean),
    ...said,
  );
  if (focus) {
    history.pushState(null, "", address);
    title.focus();
  }
}

function threads(view) {
  if (view.sessions.length < 1 || view.page.embedded) return null;
  const links = view.sessions.map((each) => h("li", {}, h("a", { href: `/conversations/${id(each.id)}` }, name(each.assistant)), h("span", { class: "soft" }, ` ${count(each.messages, "message")}`)));
  return h("ul", { class: "threads", "aria-label": "Conversations by assistant" }, links);
}

function sums(place) {
  if (!place) return null;
  const said = place.said;
  return facts([
    ["State", place.state === "unknown" ? null : place.state],
    ["Turns", said ? number(said.turns) : "none"],
    ["Attempts", said && number(said.attempts)],
    ["Tokens", said && `${number(said.input_tokens)} read, ${number(said.output_tokens)} written`],
    ["Duration", said && seconds(said.seconds)],
    ["Last outcome", said?.outcome],
  ]);
}

// What only the engine knows may be missing: everything else is shown all the same.
async function fromEngine(asked) {
  try {
    return { value: await asked, problem: "" };
  } catch (error) {
    if (error instanceof Problem && [404, 503].includes(error.status)) return { value: null, problem: error.message };
    throw error;
  }
}
