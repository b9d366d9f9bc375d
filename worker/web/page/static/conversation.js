// One conversation: everything that was said with one assistant on one thread.

import { html, useState } from "./lib/preact.js";
import { get, id } from "./api.js";
import { Asks, asksOf } from "./asks.js";
import { bring, cost, count, Facts, name, Note, number, Process, seconds, State, time, tokens } from "./parts.js";
import { Exports } from "./exports.js";
import { useFollowed } from "./follow.js";
import { kept } from "./kept.js";
import { Order } from "./order.js";
import { End, isFree } from "./talk.js";
import { asking, firstOf, Thread, wantedIn } from "./thread.js";

const SECONDS = 5;
const SECONDS_WHEN_ENDED = 30;

async function load(page) {
  const { parts: [own], signal, parameters, back } = page;
  const newest = parameters.get("from") === "newest";
  const wanted = wantedIn(parameters);
  const ask = asking(`/sessions/${id(own)}/thread`, {}, { newest, signal });
  const pages = back ? kept().pages : 1;
  const [now, visits, first, asks] = await Promise.all([look(own, signal), visitsTo(own, signal), firstOf(ask, { wanted, pages }), asksOf(page, own)]);
  return { title: now.session.assistant, own, now, visits, first, ask, asks, newest, wanted: wanted ?? (newest ? lastOf(first, newest) : null) };
}

async function look(own, signal) {
  const [session, stands, spent] = await Promise.all(["", "/standing", "/cost"].map((part) => get(`/sessions/${id(own)}${part}`, {}, signal)));
  return { session, spent, ...stands };
}

const visitsTo = (own, signal) => get(`/sessions/${id(own)}/visits`, { open: true }, signal);

// The newest message, to begin with.
export const lastOf = (first, newest) => first.items.at(newest ? 0 : -1)?.message.id ?? null;

// By the engine's word, or else as the record last heard it.
export const runs = (each, instance, standing) => (Object.hasOwn(standing.runs, instance) ? standing.runs[instance] : each.is_active);

export const AsRecorded = ({ standing }) => standing.problem && html`<${Note} title="Active or ended: as last recorded" detail=${standing.problem} />`;

function Conversation({ page, own, now: began, visits, first, ask, asks, newest }) {
  const [now, see] = useState(began);
  const { session, standing, spent } = now;
  const free = isFree(session);
  const isActive = runs(session, session.process_instance_id, standing);
  const again = async () => see(await look(own, page.signal));
  const { answers, remarks, asked } = useFollowed(again, isActive ? SECONDS : SECONDS_WHEN_ENDED, { session: own });
  const speaking = new Map([[own, session.assistant]]);
  const path = `/conversations/${id(own)}`;
  return html`
    <div class="heading"><h1><a href=${`/assistants/${id(session.assistant)}`}>${name(session.assistant)}</a></h1>${!free && html`<${State} runs=${isActive} failed=${standing.failed.includes(session.process_instance_id)} />`}</div>
    <${AsRecorded} standing=${standing} />
    <${Here} page=${page} own=${own} first=${visits} />
    <${About} session=${session} called=${now.name} spent=${spent} />
    <div class="actions"><${Exports} formats=${page.me.formats} path=${`/sessions/${id(own)}/export`} file=${`conversation-${own}`} />${free && html`<${End} page=${page} session=${session} />`}</div>
    <section aria-labelledby="said" class="said">
      <div class="heading"><h2 id="said">${count(session.messages, "message")}</h2>${session.messages > 0 && html`<${Order} newest=${newest} path=${path} jump=${() => jumpToNewest(session.messages)} />`}</div>
      <${Thread} first=${first} load=${ask} newest=${newest} pulse=${session.messages} root=${path} me=${page.me} answers=${answers} remarks=${remarks} assistants=${speaking} />
    </section>
    <${Asks} page=${page} session=${own} runs=${isActive && !free} free=${free} first=${asks} pulse=${asked} answered=${again} />`;
}

// Who has the conversation open, each once for all of their tabs. They come and go after its end as before.
function Here({ page, own, first }) {
  const [visits, see] = useState(first);
  useFollowed(async () => see(await visitsTo(own, page.signal)), SECONDS);
  const persons = new Map(visits.map((each) => [each.is_yours ? "you" : each.person, each]));
  if (!persons.size) return null;
  return html`<p class="here"><strong>Here now:</strong> <span>${[...persons.values()].map((each, index) => html`${index ? ", " : ""}${each.is_yours ? "you" : name(each.person)}`)}</span></p>`;
}

// Shows the newest message if all messages are on the page.
export function jumpToNewest(messages) {
  const all = document.querySelectorAll(".thread > .message");
  if (!all.length || document.querySelectorAll(".thread > .message[id]").length < messages) return false;
  const last = all[all.length - 1];
  last.tabIndex = -1;
  last.focus({ preventScroll: true });
  bring(last);
  return true;
}

function About({ session, called, spent }) {
  const instance = session.process_instance_id;
  const place = [
    ["Process", html`<${Process} called=${called} definitionKey=${session.definition_key} version=${session.definition_version} />`],
    ["Instance", instance ? html`<a href=${`/instances/${id(instance)}`}><code>${instance}</code></a>` : "shared by business key"],
  ];
  return html`<${Facts} pairs=${[
    ...(isFree(session) ? [["Process", "none: it is yours alone"]] : place),
    ["Conversation", session.kind === "chat" && !isFree(session) && "beside the process's own"],
    ["Business key", session.business_key && name(session.business_key)],
    ["Tenant", session.tenant && name(session.tenant)],
    ["Version", session.assistant_version && name(session.assistant_version)],
    ["Thread", session.thread_id && html`<code>${session.thread_id}</code>`],
    ["Generation", session.generation > 1 ? number(session.generation) : null],
    ["Person", session.user && name(session.user)],
    ["Tokens", tokens(spent)],
    ["Cost", cost(spent)],
    ["Started", time(session.started_at)],
    ["Ended", session.ended_at && time(session.ended_at)],
    ["Erased at the provider", session.thread_erased_at && time(session.thread_erased_at)],
    ["Anonymised", session.anonymised_at && time(session.anonymised_at)],
    ["Lasted", session.duration_seconds === null ? null : seconds(session.duration_seconds)],
  ]} />`;
}

export const conversation = { nav: "/conversations", load, View: Conversation };
