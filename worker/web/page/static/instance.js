// One process instance as it stands now: what came out of it, its diagram, its activities, and what was said.

import { html, useEffect, useState } from "./lib/preact.js";
import { get, id, Problem, query } from "./api.js";
import { cost, count, Facts, name, Note, number, plain, Process, seconds, State, time, tokens, tree, wordsOf } from "./parts.js";
import { Asks, asksOf } from "./asks.js";
import { jumpToNewest, lastOf } from "./conversation.js";
import { activitiesOf, Diagram } from "./diagram.js";
import { EraseButton } from "./erasure.js";
import { Exports } from "./exports.js";
import { useFollowed } from "./follow.js";
import { kept } from "./kept.js";
import { Order } from "./order.js";
import { goingOn, merged, Places, Steps } from "./places.js";
import { Moved, RewindButton, Rewound } from "./rewinding.js";
import { asking, firstOf, Thread, wantedIn } from "./thread.js";

const SECONDS = 3;
const SECONDS_WHEN_ENDED = 30;
const SHORT_RESULT = 60;
const NO_OUTCOME = { results: null, decisions: [] };
const BRANCH = "task:branch:";
const NOTHING_SAID = { sessions: [], spoken: [], spent: null };

async function load(page) {
  const { parts: [own, activity = null], parameters, signal, back } = page;
  const path = `/instances/${id(own)}`;
  const newest = parameters.get("from") === "newest";
  const wanted = wantedIn(parameters);
  const now = await get(`${path}/now`, {}, signal);
  const [said, outcome, model, chosen] = await Promise.all([
    whatWasSaid(own, now, signal),
    page.embedded ? NO_OUTCOME : outcomeOf(own, signal),
    fromEngine(get(`${path}/diagram`, {}, signal)),
    choice(path, now, activity, { newest, wanted, signal, pages: back ? kept().pages : 1 }),
  ]);
  const title = (now.instance ?? now.process).business_key || now.name || (now.instance ?? now.process).definition_key;
  return { title, own, path, now, said, outcome, model, chosen, wanted: wanted ?? (newest ? lastOf(chosen.first, newest) : null) };
}

// What the record has of an instance beside its messages.
async function whatWasSaid(own, now, signal) {
  if (!now.instance) return NOTHING_SAID;
  const [sessions, spoken, spent] = await Promise.all([
    get("/sessions", { instance: own, limit: 200 }, signal),
    get(`/instances/${id(own)}/activities`, {}, signal),
    get(`/instances/${id(own)}/cost`, {}, signal),
  ]);
  return { sessions: sessions.items, spoken, spent };
}

// What came out of it: process variables, and records of decisions.
async function outcomeOf(own, signal) {
  const [results, records] = await Promise.all([get(`/instances/${id(own)}/results`, {}, signal), get("/decisions", { instance: own }, signal)]);
  return { results, decisions: records.items };
}

// One activity, or the whole conversation with null, and the beginning of what was said there.
async function choice(path, now, activity, { newest = false, wanted = null, signal, pages = 1 }) {
  const load = asking(`${path}/thread`, activity === null ? {} : { activity }, { newest, signal });
  const first = now.instance ? await firstOf(load, { wanted, pages }) : { items: [], next: null, pages: 1 };
  return { activity, newest, load, first };
}

function Instance({ page, own, path, now: began, said: saidAtFirst, outcome: outcomeAtFirst, model, chosen: first }) {
  const [now, see] = useState(began);
  const [said, hear] = useState(saidAtFirst);
  const [outcome, setOutcome] = useState(outcomeAtFirst);
  const [chosen, choose] = useState(first);
  const [wrong, warn] = useState("");
  const [rewound, rewind] = useState(null);
  const root = `${page.embedded ? "/embed" : ""}/instances/${id(own)}`;
  const of = page.parameters.get("of");
  // Who saw it run reads along until the end of what is said.
  const wanted = began.runs ? { instance: own } : null;
  const told = useFollowed(async () => see(await get(`${path}/now`, {}, page.signal)), now.runs ? SECONDS : SECONDS_WHEN_ENDED, wanted);
  const messages = now.instance?.messages ?? 0;
  useNews(`${messages} ${now.runs}`, async () => {
    const [heard, came] = await Promise.all([whatWasSaid(own, now, page.signal), page.embedded ? NO_OUTCOME : outcomeOf(own, page.signal)]);
    hear(heard);
    setOutcome(came);
  });

  const steps = goingOn(now.steps, told.steps);
  const places = merged(said.spoken, model.value ? activitiesOf(model.value.xml) : [], now.states, steps);
  const select = async (activity) => {
    try {
      const next = await choice(path, now, activity, { signal: page.signal });
      page.move(`${root}${activity === null ? "" : `/activities/${id(activity)}`}${query({ of })}`);
      warn("");
      choose(next);
      requestAnimationFrame(() => document.getElementById("said")?.focus());
    } catch (error) {
      if (error.name !== "AbortError") warn(error.message);
    }
  };
  const view = { page, path, root, said, places, chosen, select, wrong, messages, answers: told.answers, remarks: told.remarks };
  const shown = now.instance ?? now.process;
  const columns = html`<div class="columns">
    <nav aria-label="Activities" class="places"><h2>Activities</h2><${Places} places=${places} selected=${chosen.activity} root=${root} select=${select} /></nav>
    <${Said} view=${view} />
  </div>`;
  // In Cockpit's tab only what Cockpit does not show beside it.
  if (page.embedded) {
    return html`
      ${of ? html`<div class="heading"><h1><${Process} called=${now.name} definitionKey=${shown.definition_key} /></h1>${shown.business_key && name(shown.business_key)}<${Standing} now=${now} steps=${steps} /><a class="button" href=${`/embed/instances${query({ definition_key: of })}`}>All instances</a></div>` : html`<h1 class="hidden">${name(now.name || shown.definition_key)}</h1>`}
      <${Steps} steps=${steps} places=${places} />
      ${columns}
      <${AskBack} page=${page} root=${root} sessions=${said.sessions} runs=${now.runs} pulse=${told.asked} answered=${async () => see(await get(`${path}/now`, {}, page.signal))} />`;
  }
  return html`
    <div class="heading"><h1>${name(now.name || shown.definition_key)}</h1><${Standing} now=${now} steps=${steps} /></div>
    ${now.problem && html`<${Note} title="As last recorded" detail=${now.problem} />`}
    <${Moved} own=${own} moved=${now.moved} />
    ${rewound && html`<${Rewound} ...${rewound} />`}
    <${About} shown=${shown} now=${now} spent=${said.spent} decisions=${outcome.decisions} />
    ${now.instance && html`<div class="actions">
      <${Exports} formats=${page.me.formats} path=${`${path}/export`} file=${`instance-${own}`} />
      ${now.runs && html`<${RewindButton} path=${path} places=${places} me=${page.me} done=${rewind} />`}
      ${page.me.can_erase && html`<${EraseButton} instance=${now.instance} done=${(receipt) => page.go(`/erasures/${id(receipt.id)}`)} />`}
    </div>`}
    <${Results} results=${outcome.results} />
    <${Steps} steps=${steps} places=${places} />
    <section aria-labelledby="process" class="process">
      <h2 id="process">Process</h2>
      <${Picture} page=${page} model=${model} places=${places} selected=${chosen.activity} select=${select} />
    </section>
    ${columns}`;
}

// In Cockpit's tab people ask back where they read: of several assistants the one that they choose.
// Answers stand in the whole conversation: one beside the process is at no activity.
function AskBack({ page, root, sessions, runs, pulse, answered }) {
  const trunks = sessions.filter((each) => !each.scope.startsWith(BRANCH));
  const [chosen, choose] = useState(null);
  const [first, begin] = useState(null);
  // What is shown stays: the newest conversation is another one when an assistant first answers, while somebody writes.
  const session = chosen ?? first?.session ?? trunks[0]?.id;
  useEffect(() => {
    let isLeft = false;
    if (session) Promise.resolve(asksOf(page, session)).then((asks) => isLeft || begin({ session, asks }), () => {});
    return () => (isLeft = true);
  }, [session]);
  if (!session || first?.session !== session) return null;
  return html`
    ${trunks.length > 1 && first.asks && html`<div class="begin"><label for="asked">Assistant to ask</label>
      <select id="asked" value=${session} onchange=${(event) => choose(event.target.value)}>${trunks.map((each) => html`<option key=${each.id} value=${each.id}>${plain(each.assistant)}</option>`)}</select></div>`}
    <${Asks} key=${session} page=${page} session=${session} runs=${runs} free=${false} first=${first.asks} pulse=${pulse} answered=${answered} near=${root + location.search} />`;
}

const Standing = ({ now, steps }) => html`<${State} runs=${now.runs} failed=${steps.some((each) => each.state === "failed")} />`;

// Looks for news whenever what tells of them changes; what fails then is asked for with the next ones.
function useNews(sign, look) {
  const [known, know] = useState(sign);
  useEffect(() => {
    if (known !== sign) look().then(() => know(sign), () => {});
  }, [sign]);
}

function About({ shown, now, spent, decisions }) {
  return html`<${Facts} pairs=${[
    ["Process", now.name && html`<code>${name(shown.definition_key)}</code>`],
    ["Business key", shown.business_key && name(shown.business_key)],
    ["Version", shown.definition_version],
    ["Tenant", shown.tenant && name(shown.tenant)],
    ["Started", shown.started_at && time(now.process?.started_at ?? shown.started_at)],
    ["Last said", now.instance && time(now.instance.last_at)],
    ["Messages", now.instance ? number(now.instance.messages) : "none yet"],
    ["Tokens", spent && tokens(spent)],
    ["Cost", spent && cost(spent)],
    ["Instance", html`<code>${shown.id}</code>`],
    ["Decision", decisions.length > 0 && decisions.map((each) => html`<a key=${each.id} href=${`/decisions/${id(each.id)}`}>${each.name ? name(each.name) : "Record"}</a> <span class="soft">${each.status}, revision ${number(each.revision)}</span> `)],
  ]} />`;
}

// What came out of the process, the newest first: short values beside each other, of the long ones the newest open.
function Results({ results }) {
  if (!results || !(results.items.length || results.problem)) return null;
  const short = results.items.filter((each) => textOf(each.body)?.length <= SHORT_RESULT);
  const long = results.items.filter((each) => !short.includes(each));
  return html`<section aria-labelledby="results" class="results card">
    <h2 id="results">Result</h2>
    ${results.problem && html`<${Note} title="Results are not known" detail=${results.problem} />`}
    ${short.length > 0 && html`<${Facts} pairs=${short.map((each) => [each.name, textOf(each.body) || "—"])} />`}
    ${long.map((each, index) => html`<details key=${each.name} open=${index === 0}>
      <summary><h3>${name(each.name)}</h3>${each.at && html`<span class="soft"> ${time(each.at)}</span>`}</summary>
      <div class="content" dir="auto">${each.body ? tree(each.body) : "A file, which the engine keeps."}</div>
      ${each.is_cut && html`<p class="soft">It is longer than is shown here.</p>`}
    </details>`)}
  </section>`;
}

// A value that is one line of text, or undefined.
function textOf(body) {
  if (body?.length !== 1 || typeof body[0] === "string") return undefined;
  const [{ tag, children }] = body;
  return ["p", "pre"].includes(tag) && children.length <= 1 && typeof (children[0] ?? "") === "string" ? children[0] ?? "" : undefined;
}

function Picture({ page, model, places, selected, select }) {
  if (!model.value) return html`<${Note} title="No diagram" detail=${model.problem} />`;
  if (!page.me.diagrams) return html`<${Note} title="No diagram" detail="The part that draws diagrams is not installed beside this worker." />`;
  return html`<${Diagram} xml=${model.value.xml} places=${places} selected=${selected} select=${select} />`;
}

function Said({ view: { page, path, root, said, places, chosen, select, wrong, messages, answers, remarks } }) {
  const { activity, newest, load, first } = chosen;
  const place = places.find((each) => each.id === activity);
  const assistants = new Map(said.sessions.map((each) => [each.id, each.assistant]));
  const called = (wanted) => places.find((each) => each.id === wanted)?.name ?? wanted;
  const back = (event) => (event.preventDefault(), select(null));
  const words = wordsOf(page.parameters.get("q") ?? "");
  return html`<section aria-labelledby="said" class="said">
    <div class="heading">
      <h2 id="said" tabindex="-1">${activity === null ? "Conversation" : name(place?.name ?? activity)}</h2>
      ${activity === null
        ? messages > 0 && html`<${Order} newest=${newest} path=${root} jump=${() => jumpToNewest(messages)} />`
        : html`<a class="button" href=${root} onclick=${back}>Whole conversation</a>`}
    </div>
    ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
    ${activity === null && !page.embedded && said.sessions.length > 0 && html`<ul class="threads" aria-label="Conversations by assistant">${said.sessions.map((each) => html`<li key=${each.id}><a href=${`/conversations/${id(each.id)}`}>${name(each.assistant)}</a><span class="soft"> ${count(each.messages, "message")}</span></li>`)}</ul>`}
    ${place && html`<${Sums} place=${place} />`}
    <${Thread} key=${`${activity}`} first=${first} load=${load} newest=${newest} pulse=${messages} root=${path} me=${page.me} answers=${answers} remarks=${remarks} activity=${activity} called=${called} assistants=${assistants} words=${words} />
  </section>`;
}

function Sums({ place }) {
  const { said } = place;
  return html`<${Facts} pairs=${[
    ["State", place.state === "unknown" ? null : place.state],
    ["Turns", said ? number(said.turns) : "none"],
    ["Attempts", said && number(said.attempts)],
    ["Tokens", said && `${number(said.input_tokens)} read, ${number(said.output_tokens)} written`],
    ["Duration", said && seconds(said.seconds)],
    ["Last outcome", said?.outcome],
  ]} />`;
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

export const instance = { nav: "/instances", load, View: Instance };
