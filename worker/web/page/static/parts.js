// Small parts of every view. Nothing here takes HTML: whatever comes from the record becomes text nodes.

import { h, html } from "./lib/preact.js";

const TAGS = new Set(
  "p h4 h5 h6 ul ol li blockquote pre code em strong s br hr table thead tbody tr th td".split(" "),
);

// A text as the server parsed it. An element that is not on the list becomes a plain span, whatever the server says.
// `words` marks words in it; `row` says that a heading cell is one of a row.
export function tree(nodes, words = null, row = false) {
  return nodes.map((node) => {
    if (typeof node === "string") return words ? marked(node, words) : node;
    const children = tree(node.children, words, node.tag === "tbody" || (row && node.tag === "tr"));
    if (node.tag === "a") return html`<${Link} href=${node.href}>${children}</>`;
    const tag = TAGS.has(node.tag) ? node.tag : "span";
    const element = h(tag, properties(node, row), children);
    return tag === "table" ? html`<div class="scroll" tabindex="0" role="group" aria-label="Table">${element}</div>` : element;
  });
}

const LONG_CELL = 60;
const lengthOf = (nodes) => nodes.reduce((sum, node) => sum + (typeof node === "string" ? node.length : lengthOf(node.children)), 0);

function properties(node, row) {
  const isLong = node.tag === "td" && lengthOf(node.children) > LONG_CELL;
  return {
    class: [node.right && "right", isLong && "long"].filter(Boolean).join(" ") || undefined,
    start: node.tag === "ol" && Number.isInteger(node.start) ? node.start : undefined,
    scope: node.tag === "th" ? (row ? "row" : "col") : undefined,
  };
}

// A link that a text names: to the web only, with its host in sight, whatever the text calls it.
export function Link({ href, children }) {
  const host = hostOf(href);
  if (!host) return html`<span>${children}</span>`;
  const told = String(children);
  const shown = told.includes(host) && told === plain(told) ? null : html`<bdi class="soft"> (${host})</bdi>`;
  return html`<a href=${href} target="_blank" rel="noopener noreferrer nofollow">${[children].flat().length ? children : href}</a>${shown}`;
}

// Links that came with what somebody said.
export const Attachments = ({ links }) => links.map((each) => html`<p key=${each} class="attachment">Attachment: <${Link} href=${each}>${each}</></p>`);

export function hostOf(href) {
  try {
    const { protocol, host } = new URL(href);
    return /^https?:$/.test(protocol) ? host : null;
  } catch {
    return null;
  }
}

// A pattern for the words of a search: long ones find longer words too, as the search does. Null without words.
export function wordsOf(text) {
  const words = (text.normalize("NFKC").match(/[\p{L}\p{N}]+/gu) ?? []).map((word) => (word.length < 3 ? `${word}(?![\\p{L}\\p{N}])` : word));
  return words.length ? new RegExp(`(?<![\\p{L}\\p{N}])(${words.join("|")})`, "giu") : null;
}

export function marked(text, words) {
  return text.split(words).map((part, index) => (index % 2 ? html`<mark>${part}</mark>` : part));
}

// An answer, and not what an agent says before it.
export const isAnswer = (said) => said.role === "agent" && !said.is_between;

// What is no letter, as reports of decisions know it: controls, and what turns the direction of what follows it.
const NO_LETTER = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]/gu;

// Names come from outside too: what is no letter is seen, and each is isolated, so that its writing direction stays its
// own. `plain` is for where nothing but text can be.
export const plain = (text) => (typeof text === "string" ? text.replace(NO_LETTER, "\ufffd") : text);
export const name = (text) => html`<bdi>${plain(text)}</bdi>`;

// What stands in decisions' records in place of a text that was erased; and what somebody said there, or that it was.
export const ERASED = "[erased]";
export const words = (text) => (text === ERASED ? html`<em class="soft">erased</em>` : name(text));

const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function time(iso) {
  const date = new Date(iso);
  return html`<time datetime=${iso} title=${FULL.format(date)}>${SHORT.format(date)}</time>`;
}

export function seconds(value) {
  if (value === null || value === undefined) return "—";
  if (value < 60) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  const minutes = Math.floor(value / 60);
  return `${minutes} min ${Math.round(value - 60 * minutes)} s`;
}

export const number = (value) => new Intl.NumberFormat().format(value ?? 0);
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

// Tokens as a message or a sum has them, with what of them was cached and what was reasoning.
export function tokens(said) {
  const cached = said.cached_tokens ? ` (${number(said.cached_tokens)} cached)` : "";
  const reasoning = said.reasoning_tokens ? ` (${number(said.reasoning_tokens)} reasoning)` : "";
  return `${number(said.input_tokens)} read${cached}, ${number(said.output_tokens)} written${reasoning}`;
}

// An amount stays the text that it is: numbers of JavaScript would round it.
export const money = ({ amount, currency }) => `${amount} ${currency}`;

export function cost(spent) {
  const unknown = spent.unpriced ? [`${count(spent.unpriced, "answer")} of unknown cost`] : [];
  return [...spent.cost.map(money), ...unknown].join(" + ") || null;
}

export function Facts({ pairs }) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return html`<dl class="facts">${shown.map(([term, value]) => html`<div key=${term}><dt>${term}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function Note({ title, detail, children }) {
  return html`<div class="note" role="note"><strong>${title}</strong>${detail && html`<p>${detail}</p>`}${children}</div>`;
}

// A process by its name, with its key where that is another word.
export function Process({ called, definitionKey, version }) {
  const number = version ? html`<span class="soft"> v${version}</span>` : null;
  return called && called !== definitionKey
    ? html`${name(called)}${number} <code class="soft">${name(definitionKey)}</code>`
    : html`${name(definitionKey)}${number}`;
}

// How an instance stands: an incident before all, else by the engine's word, or as the record last heard it.
export function State({ runs, failed = false }) {
  if (failed) return html`<span class="tag failed">failed</span>`;
  return html`<span class=${`tag ${runs ? "running" : "done"}`}>${runs ? "active" : "ended"}</span>`;
}

// Rows of a table. Roles are said because narrow windows show rows as blocks, which browsers then take for no table.
// A column is [title, is a number]; a row is [key, cells].
export function Table({ title, columns, rows }) {
  const kind = (index) => (columns[index][1] ? "right" : undefined);
  return html`<table class="list" role="table">
    <caption class="hidden">${title}</caption>
    <thead role="rowgroup"><tr role="row">${columns.map(([label], index) => html`<th key=${label} scope="col" role="columnheader" class=${kind(index)}>${label}</th>`)}</tr></thead>
    <tbody role="rowgroup">${rows.map(([key, cells]) => html`<tr role="row" key=${key}>${cells.map((cell, index) => html`<td role="cell" class=${kind(index)} data-label=${columns[index][0]}><div>${cell}</div></td>`)}</tr>`)}</tbody>
  </table>`;
}

// Tells links apart for people who hear them one by one.
export const hidden = (text) => html`<span class="hidden">, ${name(text)}</span>`;

// Scrolls, and again while what is near the target gets its height, which is only guessed before it is seen.
export function settle(target, scroll, tries = 10) {
  const top = () => target.getBoundingClientRect().top;
  scroll();
  const at = top();
  requestAnimationFrame(() => requestAnimationFrame(() => tries > 0 && Math.abs(top() - at) > 1 && settle(target, scroll, tries - 1)));
}

export const bring = (target) => settle(target, () => target.scrollIntoView({ block: "center" }));

// Says something to people who do not see the page.
export function say(text) {
  document.getElementById("status").textContent = text;
}

// Browsers let pages write to the clipboard over TLS or on this machine only; elsewhere by the old way.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
