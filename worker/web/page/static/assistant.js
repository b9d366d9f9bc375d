// One assistant: how much was said with it, and its conversations as they are at this moment.

import { html, useState } from "./lib/preact.js";
import { get, id } from "./api.js";
import { AsRecorded } from "./conversation.js";
import { useFollowed } from "./follow.js";
import { kept } from "./kept.js";
import { CONVERSATIONS, rowsOf, SIZE, withHead } from "./lists.js";
import { Facts, hidden, name, Note, number, Table } from "./parts.js";
import { firstPages, More, usePages } from "./pages.js";
import { Begin } from "./talk.js";

const SECONDS = 5;
// The name of one that came with a process: that process, and the name of its spec's file there.
const CAME = /^deployment:(.+):([^:]+)$/;
// They all are this assistant's: here what was asked tells one from another.
const COLUMNS = [["Conversation"], ...CONVERSATIONS.columns.slice(1)];
const cells = (each) => [
  html`<p class="opening" dir="auto"><a href=${`/conversations/${id(each.id)}`}>${name(each.asked || "Nothing said yet")}${hidden(each.business_key || each.scope)}</a></p>`,
  ...CONVERSATIONS.cells(each).slice(1),
];

async function load({ parts: [own], signal, back }) {
  const look = async () => (await get(`/assistants/${id(own)}/summary`, {}, signal)).counts;
  const ask = async (after) => rowsOf(await get("/listed/sessions", { assistant: own, after, limit: SIZE }, signal));
  const [counts, first, me] = await Promise.all([look(), firstPages(ask, { pages: back ? kept().pages : 1 }), get("/me", {}, signal)]);
  return { title: own, own, look, ask, counts, first, talks: me.assistants.includes(own) };
}

function Assistant({ page, own, look, ask, counts: began, first, talks }) {
  const list = usePages(first, ask);
  const [counts, see] = useState(began);
  const [, process, file] = CAME.exec(own) ?? [];
  useFollowed(async () => {
    const [now, head] = await Promise.all([look(), ask()]);
    see(now);
    list.change((known) => withHead(known, head));
  }, SECONDS);
  return html`
    <div class="heading"><h1>${name(own)}</h1></div>
    <${Facts} pairs=${[
      ["Spec", file && html`${name(`${file}.md`)}, deployed with the process ${name(process)}`],
      ["Conversations", number(counts.sessions)],
      ["Active", number(counts.active_sessions)],
      ["Instances", number(counts.instances)],
      ["Messages", number(counts.messages)],
      ["Tokens", `${number(counts.input_tokens)} read, ${number(counts.output_tokens)} written`],
    ]} />
    ${talks && html`<${Begin} page=${page} assistants=${[own]} />`}
    <section aria-labelledby="conversations" class="said">
      <h2 id="conversations">Conversations</h2>
      ${list.items.length > 0
        ? html`<${AsRecorded} standing=${list.items[0].standing} />
          <${Table} title="Conversations" columns=${COLUMNS} rows=${list.items.map((each) => [each.id, cells(each)])} />
          <${More} list=${list} label="Show more" />`
        : html`<${Note} title="Nothing found" detail="Nothing was said with this assistant that you may see." />`}
    </section>`;
}

export const assistant = { nav: "/conversations", load, View: Assistant };
