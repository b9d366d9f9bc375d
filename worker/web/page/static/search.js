// Messages with all words of a text, and instances that it names.

import { html } from "./lib/preact.js";
import { get, id } from "./api.js";
import { kept } from "./kept.js";
import { firstPages, More, usePages } from "./pages.js";
import { marked, name, Note, Process, time, wordsOf } from "./parts.js";
import { speaker } from "./thread.js";

const MOST_NAMED = 10;

async function load({ parameters, signal, back }) {
  const q = parameters.get("q")?.trim() ?? "";
  const ask = (after) => get("/search", { q, after, limit: 50 }, signal);
  if (!q) return { title: "Search", q, ask, first: { items: [], next: null, pages: 1 }, named: [] };
  const [first, named] = await Promise.all([firstPages(ask, { pages: back ? kept().pages : 1 }), namedBy(q, signal)]);
  return { title: `Search: ${q}`, q, ask, first, named };
}

// Instances with this id, or with this in their business key.
async function namedBy(q, signal) {
  if (q.length > 255) return [];
  const ways = [{ instance: q }, { business_key: q, parts: true }];
  const found = await Promise.all(ways.flatMap((wanted) => [
    get("/listed/instances", { ...wanted, limit: MOST_NAMED }, signal).then(({ page, names, asked }) => page.items.map((each) => ({ ...each, called: names[each.id], asked: asked[each.id] }))),
    get("/ongoing", wanted, signal).then(({ items }) => items.map(({ process, name: called }) => ({ ...process, called }))),
  ]));
  return [...new Map(found.flat().map((each) => [each.id, each])).values()].slice(0, MOST_NAMED);
}

function Search({ page, q, ask, first, named }) {
  const list = usePages(first, ask);
  const words = wordsOf(q);
  const onsubmit = (event) => {
    event.preventDefault();
    page.go(`/search?${new URLSearchParams(new FormData(event.target))}`);
  };
  return html`
    <h1>Search</h1>
    <form class="searching" role="search" aria-label="Messages" onsubmit=${onsubmit}>
      <label for="q">Words, an instance's id, or a business key</label>
      <input id="q" name="q" type="search" defaultValue=${q} maxlength="500" autocomplete="off" />
      <button class="primary">Search</button>
    </form>
    ${named.length > 0 && html`<section aria-labelledby="named" class="said"><h2 id="named">Instances</h2><ul class="hits">${named.map((each) => html`<li key=${each.id}>
      <a href=${`/instances/${id(each.id)}`}><${Process} called=${each.called} definitionKey=${each.definition_key} version=${each.definition_version} /></a>
      ${each.asked && html`<p class="excerpt" dir="auto">${each.asked}</p>`}
      <p class="soft">${each.business_key && html`${name(each.business_key)} · `}<code>${each.id}</code></p>
    </li>`)}</ul></section>`}
    ${list.items.length > 0 && html`<section aria-labelledby="hits" class="said"><h2 id="hits">Messages</h2><ol class="hits">${list.items.map((hit) => html`<${Hit} key=${hit.message_id} hit=${hit} q=${q} words=${words} />`)}</ol><${More} list=${list} label="Show more" /></section>`}
    ${q && !list.items.length && !named.length && html`<${Note} title="Nothing found" detail="A message must have all of these words." />`}`;
}

function Hit({ hit, q, words }) {
  // What persons say is at no activity.
  const place = hit.activity_id ? `/instances/${id(hit.process_instance_id)}/activities/${id(hit.activity_id)}` : `/conversations/${id(hit.session_id)}`;
  const address = `${place}?${new URLSearchParams({ q })}#m-${id(hit.message_id)}`;
  return html`<li>
    <a href=${address}>${speaker(hit)}${hit.activity_id && html` at ${name(hit.activity_name || hit.activity_id)}`}</a>
    <p class="excerpt" dir="auto">${words ? marked(hit.excerpt, words) : hit.excerpt}</p>
    <p class="soft">${name(hit.assistant)}${hit.business_key && html` · ${name(hit.business_key)}`} · ${time(hit.created_at)}</p>
  </li>`;
}

export const search = { nav: "/search", load, View: Search };
