// The list of records of decisions, those that changed last first.

import { html } from "./lib/preact.js";
import { get, id } from "./api.js";
import { kept } from "./kept.js";
import { firstPages, More, usePages } from "./pages.js";
import { hidden, name, Note, number, Table, time } from "./parts.js";

const SIZE = 50;
const COLUMNS = [["Decision"], ["Business key"], ["Status"], ["Revision", true], ["Instance"], ["Changed"]];

async function load({ signal, back }) {
  const ask = (after) => get("/decisions", { after, limit: SIZE }, signal);
  return { title: "Decisions", ask, first: await firstPages(ask, { pages: back ? kept().pages : 1 }) };
}

function Decisions({ ask, first }) {
  const list = usePages(first, ask);
  const rows = list.items.map((each) => [each.id, [
    html`<a href=${`/decisions/${id(each.id)}`}>${name(each.definition_key)}${each.name && html`: ${name(each.name)}`}${hidden(each.business_key || each.process_instance_id)}</a>`,
    each.business_key ? name(each.business_key) : "—",
    html`<span class="tag">${each.status}</span>${each.held && html` <span class="tag held">on hold</span>`}`,
    number(each.revision),
    html`<a href=${`/instances/${id(each.process_instance_id)}`}><code>${each.process_instance_id}</code></a>`,
    time(each.changed_at),
  ]]);
  return html`<h1>Decisions</h1>
    ${rows.length ? html`<${Table} title="Decisions" columns=${COLUMNS} rows=${rows} /><${More} list=${list} label="Show more" />` : html`<${Note} title="Nothing found" detail="Here you will see the records of decisions that processes keep." />`}`;
}

export const decisions = { nav: "/decisions", load, View: Decisions };
