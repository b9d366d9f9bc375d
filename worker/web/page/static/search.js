// Messages with all words of a text.

import { get, id } from "./api.js";
import { h, name, note, time } from "./dom.js";
import { paged } from "./paged.js";
import { speaker } from "./thread.js";

export async function search({ parameters, signal, go }) {
  const q = parameters.get("q")?.trim() ?? "";
  const list = h("ol", { class: "hits" });
  const form = h(
    "form",
    { class: "searching", role: "search", "aria-label": "Messages" },
    h("label", { for: "q" }, "Words"),
    h("input", { id: "q", name: "q", type: "search", value: q, maxlength: 500, autocomplete: "off" }),
    h("button", { class: "primary" }, "Search"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(`/search?${new URLSearchParams(new FormData(form))}`);
  });
  const content = [h("h1", {}, "Search"), form];
  if (q) {
    const more = await paged(
      (after) => get("/search", { q, after, limit: 50 }, signal),
      (items) => list.append(...items.map((hit) => found(hit, q))),
      "Show more",
    );
    content.push(...(list.children.length ? [list, more] : [note("Nothing found", "A message must have all of these words.")]));
  }
  return { title: q ? `Search: ${q}` : "Search", content };
}

function found(hit, q) {
  const address = `/instances/${id(hit.process_instance_id)}/activities/${id(hit.activity_id)}?message=${id(hit.message_id)}`;
  return h(
    "li",
    {},
    h("a", { href: address }, `${speaker(hit)} at `, name(hit.activity_name || hit.activity_id)),
    h("p", { class: "excerpt", dir: "auto" }, marked(hit.excerpt, q)),
    h("p", { class: "soft" }, name(hit.assistant), hit.business_key ? [" · ", name(hit.business_key)] : "", " · ", time(hit.created_at)),
  );
}

function marked(text, q) {
  const words = q.split(/\s+/).filter(Boolean).map((word) => word.replace(/[^\p{L}\p{N}]/gu, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`));
  const parts = text.split(new RegExp(`(${words.join("|")})`, "giu"));
  return parts.map((part, index) => (index % 2 ? h("mark", {}, part) : part));
}
