// The lists of instances and of conversations, with their filters, as they are at this moment.

import { html, useState } from "./lib/preact.js";
import { get, id, query } from "./api.js";
import { AsRecorded, runs } from "./conversation.js";
import { useFollowed } from "./follow.js";
import { kept } from "./kept.js";
import { firstPages, More, usePages } from "./pages.js";
import { Begin, isFree } from "./talk.js";
import { hidden, name, Note, number, Process, State, Table, time } from "./parts.js";

const SECONDS = 5;
export const SIZE = 50;
const FIELDS = [
  ["business_key", "Business key"],
  ["definition_key", "Process"],
  ["assistant", "Assistant"],
];
const STATES = [["", "any"], ["active", "active"], ["ended", "ended"]];
const ACTIVE = { active: true, ended: false };

// What an address asks for, as the API wants it.
function wantedIn(parameters) {
  const { active, ...wanted } = Object.fromEntries([...parameters].filter(([, value]) => value));
  const earlier = { true: "active", false: "ended" }[active]; // addresses that were kept name it so
  if (earlier) wanted.state ??= earlier;
  const { state, since, until, ...others } = wanted;
  const asked = { ...others, active: ACTIVE[state], since: instant(since), until: instant(until), parts: true };
  return { wanted, asked };
}

// What people type into a field for a local time, as the API wants it.
function instant(local) {
  const date = local ? new Date(local) : null;
  return date && !Number.isNaN(date.getTime()) ? date.toISOString() : undefined;
}

// Each item with what is known beside it.
export function rowsOf({ page, standing, names, asked }) {
  const items = page.items.map((each) => ({ ...each, standing, called: names[each.id], asked: asked[each.id] }));
  return { items, next: page.next };
}

// Running instances in which nothing was said yet, or those that failed; as items of the list.
async function ongoing(asked, failed, signal) {
  const { items, problem } = await get("/ongoing", { ...asked, failed }, signal);
  const rows = items.map(({ process, name: called, incident, asked: opening }) => ({
    ...process, called, asked: opening, incident, standing: { runs: { [process.id]: true }, failed: incident ? [process.id] : [] },
  }));
  return { rows, problem };
}

const NOTHING = { rows: [], problem: "" };

const lister = (path, { title, columns, cells, goesOn, begins }) => {
  async function load({ parameters, signal, back }) {
    const { wanted, asked } = wantedIn(parameters);
    const ask = async (after) => rowsOf(await get(path, { ...asked, after, limit: SIZE }, signal));
    const around = () => (goesOn && wanted.state !== "ended" ? ongoing(asked, wanted.state === "failed" || undefined, signal) : NOTHING);
    const pages = wanted.state === "failed" && goesOn ? { items: [], next: null, pages: 1 } : firstPages(ask, { pages: back ? kept().pages : 1 });
    const [first, now, me] = await Promise.all([pages, around(), get("/me", {}, signal)]); // `me` changes while the page is open
    return { title, wanted, ask, around, first, now, leftOut: goesOn ? me.left_out : [], assistants: begins ? me.assistants : [] };
  }

  function View({ page, wanted, ask, around, first, now: began, leftOut, assistants }) {
    const list = usePages(first, ask);
    const [now, see] = useState(began);
    useFollowed(async () => {
      const [head, seen] = await Promise.all([wanted.state === "failed" ? { items: [], next: null } : ask(), around()]);
      list.change((known) => withHead(known, head));
      see(seen);
    }, SECONDS);
    const recorded = new Set(list.items.map((each) => each.id));
    const rows = [...now.rows.filter((each) => !recorded.has(each.id)), ...list.items];
    const standing = list.items[0]?.standing ?? { problem: now.problem };
    return html`
      <h1 class=${page.embedded ? "hidden" : null}>${title}</h1>
      ${leftOut.length > 0 && html`<${Note} title="Not served by this worker"><ul>${leftOut.map((each) => html`<li key=${each}>${name(each)}</li>`)}</ul></>`}
      <${Begin} page=${page} assistants=${assistants} />
      ${!page.embedded && html`<${Filters} wanted=${wanted} page=${page} states=${goesOn ? [...STATES, ["failed", "failed"]] : STATES} />`}
      <${AsRecorded} standing=${standing} />
      ${rows.length
        ? html`<${Table} title=${title} columns=${columns} rows=${rows.map((each) => [each.id, cells(each, page)])} /><${More} list=${list} label="Show more" />`
        : html`<${Note} title="Nothing found" detail=${Object.keys(wanted).length ? "Try with fewer filters." : "Here you will see what assistants say in processes."} />`}`;
  }

  return { nav: `/${title.toLowerCase()}`, load, View };
};

// The list with its first page as it is now: what has left that page, such as what has ended, has left the list.
export function withHead(known, head) {
  if (!head.next) return { items: head.items, next: null };
  const ids = new Set(head.items.map((each) => each.id));
  const last = head.items.at(-1);
  const rest = last ? known.items.filter((each) => !ids.has(each.id) && each.started_at <= last.started_at) : [];
  return { items: [...head.items, ...rest], next: rest.length ? known.next : head.next };
}

const where = (page, each) => (page.embedded ? `/embed/instances/${id(each.id)}${query({ of: each.definition_key })}` : `/instances/${id(each.id)}`);
const opening = (each) => (each.incident ? html`<p class="wrong excerpt" dir="auto">${each.incident.message}</p>` : each.asked && html`<p class="soft opening" dir="auto">${each.asked}</p>`);
const key = (each) => (each.business_key ? name(each.business_key) : "—");
const state = (each, instance) => html`<${State} runs=${runs(each, instance, each.standing)} failed=${each.standing.failed.includes(instance)} />`;

export const instances = lister("/listed/instances", {
  title: "Instances",
  columns: [["Process"], ["Business key"], ["State"], ["Started"], ["Conversations", true], ["Messages", true]],
  goesOn: true,
  cells: (each, page) => [
    html`<a href=${where(page, each)}><${Process} called=${each.called} definitionKey=${each.definition_key} version=${each.definition_version} />${hidden(each.business_key || each.id)}</a>${opening(each)}`,
    key(each),
    state(each, each.id),
    each.started_at ? time(each.started_at) : "—",
    each.sessions === undefined ? "—" : number(each.sessions),
    each.messages === undefined ? (each.asked ? "—" : "none yet") : number(each.messages),
  ],
});

export const CONVERSATIONS = {
  columns: [["Assistant"], ["Process"], ["Business key"], ["State"], ["Started"], ["Messages", true]],
  cells: (each) => [
    html`<a href=${`/conversations/${id(each.id)}`}>${name(each.assistant)}${hidden(each.business_key || each.scope)}</a>${opening(each)}`,
    isFree(each) ? "none, yours alone" : html`<${Process} called=${each.called} definitionKey=${each.definition_key} version=${each.definition_version} />`,
    key(each),
    isFree(each) ? "—" : state(each, each.process_instance_id),
    time(each.started_at),
    number(each.messages),
  ],
};

export const conversations = lister("/listed/sessions", { title: "Conversations", goesOn: false, begins: true, ...CONVERSATIONS });

function Filters({ wanted, page, states }) {
  const path = location.pathname === "/" ? "/instances" : location.pathname;
  const field = (own, label, type) =>
    html`<div class=${type === "text" ? null : "wide"}><label for=${own}>${label}</label><input id=${own} name=${own} type=${type} defaultValue=${wanted[own] ?? ""} maxlength="255" autocomplete="off" /></div>`;
  const onsubmit = (event) => {
    event.preventDefault();
    page.go(path + query(Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value.trim()))));
  };
  return html`<form class="filters" aria-label="Filters" role="search" onsubmit=${onsubmit}>
    ${FIELDS.map(([own, label]) => field(own, label, "text"))}
    <div><label for="state">State</label><select id="state" name="state">${states.map(([value, label]) => html`<option value=${value} selected=${(wanted.state ?? "") === value}>${label}</option>`)}</select></div>
    ${field("since", "From", "datetime-local")}
    ${field("until", "To", "datetime-local")}
    <div class="actions"><button class="primary">Filter</button>${Object.keys(wanted).length > 0 && html`<a class="button" href=${path}>Clear</a>`}</div>
  </form>`;
}
