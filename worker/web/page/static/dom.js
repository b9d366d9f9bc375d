// Makes elements. Nothing here takes HTML: whatever comes from the transcript becomes text nodes.

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const TAGS = new Set(
  "p h4 h5 h6 ul ol li blockquote pre code em strong s br hr table thead tbody tr th td".split(" "),
);

// A text as the server parsed it. An element that is not on the list becomes a plain span, whatever the server says.
export function tree(nodes) {
  const fragment = document.createDocumentFragment();
  for (const node of nodes) {
    if (typeof node === "string") {
      fragment.append(node);
      continue;
    }
    const element = document.createElement(TAGS.has(node.tag) ? node.tag : "span");
    if (node.tag === "ol" && Number.isInteger(node.start)) element.start = node.start;
    if (node.tag === "th") element.scope = "col";
    element.append(tree(node.children));
    fragment.append(node.tag === "table" ? scrollable(element) : element);
  }
  return fragment;
}

function scrollable(table) {
  for (const cell of table.querySelectorAll(":scope > tbody > tr > th")) cell.scope = "row";
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table" }, table);
}

// Names come from outside too: isolated, so that their writing direction stays their own.
export const name = (text) => h("bdi", {}, text);

const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function time(iso) {
  const date = new Date(iso);
  return h("time", { datetime: iso, title: FULL.format(date) }, SHORT.format(date));
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

export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
}

// Says something to people who do not see the page.
export function say(text) {
  document.getElementById("status").textContent = text;
}

export function note(title, detail, ...more) {
  return h("div", { class: "note", role: "note" }, h("strong", {}, title), detail && h("p", {}, detail), ...more);
}
