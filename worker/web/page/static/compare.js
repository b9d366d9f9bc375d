// Two revisions of a decision: how both stand, and each thing that is different.

import { html, useState } from "./lib/preact.js";
import { get, id, query } from "./api.js";
import { count, ERASED, Facts, name, Note, number, time, words } from "./parts.js";
import { figure } from "./plots.js";

const SIZE = 200;
const TITLES = {
  computed: "What follows", decision: "Decision", frame: "Frame", objectives: "Objectives", weights: "Weights", what_ifs: "What-ifs",
  alternatives: "Alternatives", scores: "Scores", recommendation: "Recommendation", dissent: "Dissent", pre_mortem: "Pre-mortem",
};
// Fields whose values are ids, with what stands between several.
const NAMED = { leader: " > ", alternative: " > ", stakeholder: " > ", rests_on: " > ", ranking: " > ", order: ", ", excluded: ", " };
const KINDS = { added: "added", removed: "removed", changed: "changed", unknown: "erased: nobody can tell" };

async function load({ parts: [own], parameters, signal }) {
  const wanted = { from: parameters.get("from"), to: parameters.get("to") };
  return { title: "Compare revisions", own, found: await get(`/decisions/${id(own)}/compare`, wanted, signal) };
}

function Compare({ own, found: { before, after, changes, names, last, erased }, page }) {
  const called = (each) => (Object.hasOwn(names, each) ? names[each] : each);
  const path = `/decisions/${id(own)}`;
  const parts = Object.keys(TITLES).map((part) => [part, changes.filter((each) => each.part === part)]).filter(([, found]) => found.length);
  return html`
    <h1>Compare revisions</h1>
    <p><a href=${path}>Back to the decision</a></p>
    <${Choice} before=${before.revision} after=${after.revision} last=${last} go=${(both) => page.go(`${path}/compare${query(both)}`)} />
    <div class="sides"><${Side} title="Before" side=${before} path=${path} called=${called} /><${Side} title="After" side=${after} path=${path} called=${called} /></div>
    ${erased > 0 && html`<${Note} title=${`${count(erased, "text was", "texts were")} erased.`} detail="Of those only hashes are left: where they differ, nobody can tell whether the words did." />`}
    ${!parts.length && html`<${Note} title=${`Nothing is different between revisions ${before.revision} and ${after.revision}.`} />`}
    ${parts.map(([part, found]) => html`<${Part} key=${part} part=${part} changes=${found} called=${called} before=${before.revision} after=${after.revision} />`)}`;
}

function Choice({ before, after, last, go }) {
  const all = Array.from({ length: last }, (_, index) => index + 1);
  const onsubmit = (event) => {
    event.preventDefault();
    go(Object.fromEntries(new FormData(event.target)));
  };
  const choice = (key, label, chosen) => html`<div><label for=${key}>${label}</label><select id=${key} name=${key}>${all.map((each) => html`<option key=${each} value=${each} selected=${each === chosen}>Revision ${each}</option>`)}</select></div>`;
  return html`<form class="revisions" onsubmit=${onsubmit}>${choice("from", "Before", before)}${choice("to", "After", after)}<button>Compare</button></form>`;
}

function Side({ title, side, path, called }) {
  const signed = ({ row, accepted, doubt, by, at }) => html`<li key=${row}>${accepted ? "accepted" : "not accepted"}${by && html` by ${words(by)}`}, ${time(at)}${doubt && html`; does not count: ${words(doubt)}`}</li>`;
  return html`<section aria-labelledby=${`side-${title}`} class="card part">
    <h2 id=${`side-${title}`}>${title}: revision ${number(side.revision)}</h2>
    <${Facts} pairs=${[
      ["Stands", side.standing],
      ["Since", side.at && time(side.at)],
      ["Leads", side.leader && html`${name(called(side.leader))}, by ${figure(side.lead)}`],
      ["Order", side.ranking.length > 0 && side.ranking.map((each, index) => html`${index > 0 && " > "}${name(called(each))}`)],
      ["Content (SHA-256)", html`<code>${side.content_sha256}</code>`],
    ]} />
    <h3>Signatures of this revision</h3>
    ${side.signatures.length ? html`<ul>${side.signatures.map(signed)}</ul>` : html`<p class="soft">Nobody has signed it.</p>`}
    <p><a href=${`${path}${query({ revision: side.revision })}`}>Show revision ${side.revision}</a></p>
  </section>`;
}

// The changes of one part. Those of one place stand below each other.
function Part({ part, changes, called, before, after }) {
  const [shown, show] = useState(SIZE);
  const own = `part-${part}`;
  const more = changes.length - shown;
  return html`<section aria-labelledby=${own} class="card part">
    <h2 id=${own}>${TITLES[part]}</h2>
    <table class="list differences" role="table">
      <caption class="hidden">${TITLES[part]}, in revision ${before} and in revision ${after}</caption>
      <thead role="rowgroup"><tr role="row">${["What", "How", `Revision ${before}`, `Revision ${after}`].map((each, index) => html`<th key=${index} scope="col" role="columnheader">${each}</th>`)}</tr></thead>
      <tbody role="rowgroup">${changes.slice(0, shown).map((each, index) => html`<${Row} key=${index} change=${each} called=${called} before=${before} after=${after} />`)}</tbody>
    </table>
    ${more > 0 && html`<button type="button" onclick=${() => show(shown + SIZE)}>Show ${count(Math.min(more, SIZE), "more change")}</button>`}
  </section>`;
}

function Row({ change, called, before, after }) {
  const shown = (given) => (NAMED[change.field] && typeof given === "string" ? given.split(NAMED[change.field]).map(called).join(NAMED[change.field]) : given);
  const [old, fresh] = [shown(change.before), shown(change.after)];
  const [was, is] = typeof old === "string" && typeof fresh === "string" ? around(old, fresh) : [null, null];
  const what = [...change.of.map(called), change.field.replaceAll("_", " ")];
  return html`<tr role="row" class=${change.kind}>
    <td role="cell" data-label="What"><div>${what.map((each, index) => html`${index > 0 && " · "}${name(each)}`)}</div></td>
    <td role="cell" data-label="How"><div>${KINDS[change.kind]}</div></td>
    <td role="cell" data-label=${`Revision ${before}`}><div class="text">${value("del", old, was)}</div></td>
    <td role="cell" data-label=${`Revision ${after}`}><div class="text">${value("ins", fresh, is)}</div></td>
  </tr>`;
}

// One side of a change, with what is different in it marked.
function value(tag, given, split) {
  if (given === null) return html`<span class="soft">—</span>`;
  if (given === ERASED) return words(given);
  const text = typeof given === "number" ? figure(given) : typeof given === "boolean" ? (given ? "yes" : "no") : given;
  const [begin, middle, end] = split ?? ["", text, ""];
  return html`<bdi>${begin}<${tag}>${middle}</${tag}>${end}</bdi>`;
}

// Splits two texts into what they begin with alike, what is different, and what they end with alike: at words.
export function around(before, after) {
  const [one, other] = [before, after].map((text) => text.split(/(\s+)/));
  const least = Math.min(one.length, other.length);
  let begin = 0;
  while (begin < least && one[begin] === other[begin]) begin += 1;
  let end = 0;
  while (end < least - begin && one.at(-1 - end) === other.at(-1 - end)) end += 1;
  return [one, other].map((all) => [all.slice(0, begin), all.slice(begin, all.length - end), all.slice(all.length - end)].map((each) => each.join("")));
}

export const compare = { nav: "/decisions", load, View: Compare };
