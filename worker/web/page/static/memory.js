// What is remembered beyond instances: of whom, and what. Nobody stands there by name.

import { html, useState } from "./lib/preact.js";
import { download, get, id, post, remove } from "./api.js";
import { count, Facts, name, Note, number, say, Table, time } from "./parts.js";
import { Question } from "./question.js";

const SIZE = 200;
const COLUMNS = [["Subject"], ["By"], ["Tenant"], ["Facts", true], ["Proposed", true], ["Waiting", true], ["Changed"]];
const STATES = { proposed: "proposed", approved: "recalled" };

async function load({ parameters, signal }) {
  const wanted = Object.fromEntries(["kind", "value", "tenant"].map((each) => [each, parameters.get(each)?.trim() || undefined]));
  const found = await get("/memory", wanted.kind ? wanted : { limit: SIZE }, signal);
  return { title: "Memory", wanted, found };
}

function Memory({ page, wanted, found }) {
  const onsubmit = (event) => {
    event.preventDefault();
    const said = [...new FormData(event.target)].filter(([, value]) => value.trim());
    page.go(`/memory${said.length ? `?${new URLSearchParams(said)}` : ""}`);
  };
  const rows = found.map((each) => [each.digest, [
    html`<a href=${`/memory/${id(each.digest)}`}><code>${each.digest.slice(0, 12)}</code></a>`,
    name(each.kind),
    each.tenant ? name(each.tenant) : "—",
    number(each.facts),
    number(each.proposed),
    number(each.waiting),
    time(each.changed_at),
  ]]);
  const none = wanted.kind ? "Of this subject nothing was ever remembered." : "Here you will see of whom tasks with memory.subject remember something.";
  return html`<h1>Memory</h1>
    <form class="searching" role="search" aria-label="Subjects" onsubmit=${onsubmit}>
      <label for="kind">As memory.subject says it</label>
      <input id="kind" name="kind" placeholder="variable:customer_id" defaultValue=${wanted.kind ?? ""} maxlength="300" autocomplete="off" />
      <label for="value">Whose value is</label>
      <input id="value" name="value" defaultValue=${wanted.value ?? ""} maxlength="1000" autocomplete="off" />
      <label for="tenant">Of the tenant</label>
      <input id="tenant" name="tenant" defaultValue=${wanted.tenant ?? ""} maxlength="255" autocomplete="off" />
      <button class="primary">Find</button>
    </form>
    ${rows.length ? html`<${Table} title="Subjects" columns=${COLUMNS} rows=${rows} />` : html`<${Note} title="Nothing found" detail=${none} />`}`;
}

async function loadOne({ parts: [digest], parameters, signal }) {
  const words = parameters.get("words")?.trim() ?? "";
  return { title: "Subject", words, first: await get(`/memory/${id(digest)}`, { words, limit: SIZE }, signal) };
}

function Subject({ page, words, first }) {
  const [{ subject: one, facts, forgets_one: forgetsOne }, see] = useState(first);
  const [asking, ask] = useState(null);
  const path = `/memory/${id(one.digest)}`;
  const rights = page.me.rights;
  const done = (said) => (left) => {
    see(left);
    say(said);
    document.querySelector("main h1")?.focus();
  };
  const onsubmit = (event) => {
    event.preventDefault();
    page.go(`${path}?${new URLSearchParams(new FormData(event.target))}`);
  };
  return html`<h1>Subject</h1>
    <${Facts} pairs=${[
      ["Digest", html`<code>${one.digest}</code>`],
      ["By", name(one.kind)],
      ["Tenant", one.tenant && name(one.tenant)],
      ["Waiting to be remembered", one.waiting ? number(one.waiting) : null],
      ["Last forgotten", one.forgotten_at && time(one.forgotten_at)],
    ]} />
    <form class="searching" role="search" aria-label="Facts" onsubmit=${onsubmit}>
      <label for="words">Facts with these words</label>
      <input id="words" name="words" type="search" defaultValue=${words} maxlength="500" autocomplete="off" />
      <button class="primary">Search</button>
    </form>
    <p class="actions">
      <button type="button" onclick=${() => download(`${path}/export`, `memory-${one.digest}.json`)}>Export</button>
      ${rights.includes("erase") && html`<button type="button" class="danger" onclick=${() => ask({ path, all: true })}>Forget all …</button>`}
    </p>
    ${facts.length ? html`<ol class="hits facts">${facts.map((fact) => html`<${Fact} key=${fact.id} fact=${fact} path=${path} me=${page.me} forgetsOne=${forgetsOne} approved=${done("It is recalled from now on")} ask=${ask} />`)}</ol>` : html`<${Note} title=${words ? "Nothing found" : "Nothing is known"} />`}
    ${asking && html`<${Question}
      id="forget"
      title=${asking.all ? "Forget all that is known of this subject?" : "Forget this?"}
      about=${asking.all ? `That is ${count(one.facts + one.proposed, "fact")}. What its conversations say stays there.` : "No instance will be told of it any more."}
      label="Forget for good"
      kind="danger"
      act=${() => remove(asking.path)}
      done=${(left) => (asking.all ? page.go(`/erasures/${id(left.id)}`) : done("It is forgotten")(left))}
      close=${() => ask(null)}
    />`}`;
}

function Fact({ fact, path, me, forgetsOne, approved, ask }) {
  const [wrong, tell] = useState("");
  const own = `${path}/facts/${id(fact.id)}`;
  const approve = () => post(`${own}/approve`, {}).then(approved, (error) => tell(error.message));
  const source = `/instances/${id(fact.instance)}${fact.message ? `#m-${id(fact.message)}` : ""}`;
  const isProposed = fact.state === "proposed";
  return html`<li>
    <p class="excerpt fact" dir="auto">${fact.text}</p>
    <p class="soft"><span class="tag">${STATES[fact.state] ?? fact.state}</span> ${name(fact.assistant)} · ${time(fact.at)} · <a href=${source}>Where it is from</a>${fact.approved_by && html` · approved by ${name(fact.approved_by)}`}</p>
    <p class="actions">
      ${isProposed && me.person && me.rights.includes("sway") && html`<button type="button" class="primary" onclick=${approve}>Approve</button>`}
      ${(forgetsOne || isProposed) && me.rights.includes("erase") && html`<button type="button" class="danger" onclick=${() => ask({ path: own })}>${isProposed ? "Refuse" : "Forget"} …</button>`}
    </p>
    <p class="wrong" role="alert">${wrong}</p>
  </li>`;
}

export const memory = { nav: "/memory", load, View: Memory };
export const subject = { nav: "/memory", load: loadOne, View: Subject };
