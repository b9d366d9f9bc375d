// The lists of instances and of conversations, with their filters.

import { get, id, query } from "./api.js";
import { h, name, note, number, time } from "./dom.js";
import { asRecorded, state } from "./conversation.js";
import { paged } from "./paged.js";

const FIELDS = [
  ["business_key", "Business key"],
  ["definition_key", "Process"],
  ["assistant", "Assistant"],
];

export async function instances(page) {
  const { left_out } = await get("/me", {}, page.signal); // asked anew: it changes while the page is open
  const found = await instanceList(page);
  if (left_out.length) found.content.splice(1, 0, note("Not served by this worker", "", h("ul", {}, left_out.map((each) => h("li", {}, name(each))))));
  return found;
}

function instanceList(page) {
  return list(page, "Instances", "/listed/instances", ["Process", "Business key", "State", "Started", "Conversations", "Messages"], (each, standing) => [
    h("a", { href: `/instances/${id(each.id)}` }, name(each.definition_key), version(each), hidden(each.business_key || each.id)),
    each.business_key ? name(each.business_key) : "—",
    state(each, each.id, standing),
    time(each.started_at),
    number(each.sessions),
    number(each.messages),
  ]);
}

export async function conversations(page) {
  return list(page, "Conversations", "/listed/sessions", ["Assistant", "Process", "Business key", "State", "Started", "Messages"], (each, standing) => [
    h("a", { href: `/conversations/${id(each.id)}` }, name(each.assistant), hidden(each.business_key || each.scope)),
    [name(each.definition_key), version(each)],
    each.business_key ? name(each.business_key) : "—",
    state(each, each.process_instance_id, standing),
    time(each.started_at),
    number(each.messages),
  ]);
}

async function list(page, title, path, columns, cells) {
  const wanted = Object.fromEntries([...page.parameters].filter(([, value]) => value));
  const asked = { ...wanted, since: instant(wanted.since), until: instant(wanted.until) };
  // Roles are said because narrow windows show rows as blocks, which browsers then take for no table.
  const body = h("tbody", { role: "rowgroup" });
  const told = h("div", {});
  const more = await paged(
    async (after) => {
      const listing = await get(path, { ...asked, after, limit: 50 }, page.signal);
      told.replaceChildren(...[asRecorded(listing.standing)].filter(Boolean));
      return { ...listing.page, items: listing.page.items.map((each) => [each, listing.standing]) };
    },
    (items) => body.append(...items.map(([each, standing]) => row(columns, cells(each, standing)))),
    "Show more",
  );
  const head = h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((column) => h("th", { scope: "col", role: "columnheader" }, column))));
  const table = h("table", { class: "list", role: "table" }, h("caption", { class: "hidden" }, title), head, body);
  const nothing = note("Nothing found", Object.keys(wanted).length ? "Try with fewer filters." : "Here you will see what assistants say in processes.");
  const path_ = location.pathname === "/" ? "/instances" : location.pathname;
  return {
    title,
    content: [
      h("h1", {}, title),
      filters(path_, wanted, page.go),
      told,
      ...(body.children.length ? [table, more] : [nothing]),
    ],
  };
}

function row(columns, cells) {
  return h("tr", { role: "row" }, cells.map((cell, index) => h("td", { role: "cell", "data-label": columns[index] }, cell)));
}

const version = (each) => (each.definition_version ? h("span", { class: "soft" }, ` v${each.definition_version}`) : "");

// What people type into a field for a local time, as the API wants it.
function instant(local) {
  const date = local ? new Date(local) : null;
  return date && !Number.isNaN(date.getTime()) ? date.toISOString() : undefined;
}

function filters(path, wanted, go) {
  const field = (key, label, type) =>
    h("div", { class: type === "text" ? null : "wide" }, h("label", { for: key }, label), h("input", { id: key, name: key, type, value: wanted[key], maxlength: 255, autocomplete: "off" }));
  const states = [["", "any"], ["true", "active"], ["false", "ended"]].map(([value, label]) =>
    h("option", { value, selected: (wanted.active ?? "") === value }, label),
  );
  const form = h(
    "form",
    { class: "filters", "aria-label": "Filters", role: "search" },
    FIELDS.map(([key, label]) => field(key, label, "text")),
    h("div", {}, h("label", { for: "active" }, "State"), h("select", { id: "active", name: "active" }, states)),
    field("since", "From", "datetime-local"),
    field("until", "To", "datetime-local"),
    h("div", { class: "actions" }, h("button", { class: "primary" }, "Filter"), Object.keys(wanted).length > 0 && h("a", { class: "button", href: path }, "Clear")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(path + query(Object.fromEntries([...new FormData(form)].filter(([, value]) => value.trim()))));
  });
  return form;
}


// Tells links apart for people who hear them one by one.
const hidden = (text) => h("span", { class: "hidden" }, ", ", name(text));
