// One decision: what was asked, what follows from what was said, how far it holds, and who signed what.

import { html, useState } from "./lib/preact.js";
import { get, id, query } from "./api.js";
import { Exports } from "./exports.js";
import { HoldButton, OnHold } from "./hold.js";
import { count, ERASED, Facts, name, Note, number, say, time, words } from "./parts.js";
import { Bars, figure, Grid, parts, percent, Swaps, Tornado } from "./plots.js";
import { Scores } from "./scores.js";
import { SaidAt, Source } from "./source.js";
import { Tried, WhatIf } from "./whatif.js";

const TAGS = { accepted: "done", rejected: "failed", void: "failed" };
const HASH = 12;

async function load({ parts: [own], parameters, signal }) {
  const path = `/decisions/${id(own)}`;
  const wanted = parameters.get("revision");
  const last = bare(await get(path, {}, signal));
  const shown = wanted && wanted !== `${last.record.revision}` ? bare(await get(path, { revision: wanted }, signal)) : last;
  return { title: shown.content.frame?.statement ?? "Decision", path, last, shown };
}

// Tables without what every object has: a criterion may be called `constructor`.
function bare(value) {
  if (value === null || typeof value !== "object") return value;
  Object.values(value).forEach(bare);
  return Array.isArray(value) ? value : Object.setPrototypeOf(value, null);
}

// Names for ids. The id stays where the name was erased.
function naming({ frame = {}, objectives = {}, alternatives = {}, weights = {}, what_ifs: tried = {} }) {
  const theirs = (own) => frame.stakeholders?.find((each) => each.id === own)?.name;
  const sets = (weights.sets ?? []).map((each) => ({ id: each.id, name: each.name ?? theirs(each.stakeholder) ?? each.id }));
  const all = [...sets, ...(tried.sets ?? []), ...(frame.stakeholders ?? []), ...(frame.uncertainties ?? []), ...(objectives.objectives ?? []), ...(alternatives.alternatives ?? [])];
  const names = new Map(all.map((each) => [each.id, each.name === ERASED ? `${each.id} ${ERASED}` : each.name]));
  return (own) => names.get(own) ?? own;
}

// What a condition rests on, limits among it, by what they say: they have no names.
function grounding({ assumptions = [], limits = [], uncertainties = [] }) {
  const said = (each) => each.text ?? each.statement ?? each.name;
  const all = new Map([...assumptions, ...limits, ...uncertainties].map((each) => [each.id, said(each) === ERASED ? `${each.id} ${ERASED}` : said(each)]));
  return (own) => `“${all.get(own) ?? own}”`;
}

function Decision({ page, path, last: first, shown }) {
  const [last, see] = useState(first);
  const { content, record, findings } = shown;
  const { computed, frame = {} } = content;
  const called = naming(content);
  const grounds = grounding(frame);
  const objectives = content.objectives?.objectives ?? [];
  const options = content.alternatives?.alternatives ?? [];
  const criteria = objectives.filter((each) => !objectives.some((other) => other.parent === each.id));
  const own = `/decisions/${id(shown.id)}`;
  const isLast = record.revision === last.record.revision;
  const mayKeep = isLast && page.me.person !== null && page.me.rights.includes("ask");
  const isRanked = computed?.ranking.length > 1;
  const heldNow = async (held) => {
    say(held ? "The record is on legal hold." : "The record is released.");
    see(bare(await get(path, {}, page.signal)));
  };
  return html`
    <div class="heading"><h1>${words(frame.statement ?? "Decision")}</h1><span class=${`tag ${TAGS[shown.standing] ?? ""}`}>${shown.standing}</span></div>
    ${!isLast && html`<${Note} title=${`This is revision ${record.revision}, not the last one.`}><a href=${own}>Show revision ${last.record.revision}</a></>`}
    <${OnHold} held=${last.held} />
    <${About} shown=${shown} frame=${frame} />
    <div class="actions">
      <${Exports} formats=${shown.formats} path=${`${path}/export`} file=${`decision-${shown.id}-${record.revision}`} parameters=${{ revision: record.revision }} />
      <${HoldButton} path=${path} held=${last.held} me=${page.me} done=${heldNow} />
    </div>
    <${Verify} path=${path} revision=${record.revision} />
    <${Outcome} content=${content} record=${record} called=${called} grounds=${grounds} />
    ${findings.length > 0 && html`<section aria-labelledby="findings" class="card part"><h2 id="findings">What to know before signing</h2><ul class="findings">${findings.map((each, index) => html`<li key=${index}>${each.is_mismatch && html`<span class="tag failed">mismatch</span> `}${name(each.words)}</li>`)}</ul></section>`}
    ${computed ? html`<${Ranking} computed=${computed} called=${called} grounds=${grounds} />` : html`<${Note} title="Nothing is computed yet" detail="The record is open: parts are missing, or its process has not got there." />`}
    ${options.length > 0 && criteria.length > 0 && html`<${Scores} shown=${shown} criteria=${criteria} options=${options} called=${called} words=${words} />`}
    ${isRanked && html`<${WhatIf} computed=${computed} called=${called} keep=${mayKeep && { path, then: () => page.go(own) }}>
      <${Tried} sets=${content.what_ifs?.sets ?? []} sources=${shown.sources.what_ifs ?? {}} orders=${computed.sets} called=${called} words=${words} />
    </><${Holds} computed=${computed} called=${called} />`}
    ${computed && html`<${Orders} computed=${computed} judges=${shown.sources.scores ?? {}} called=${called} />`}
    <${Frame} shown=${shown} frame=${frame} objectives=${objectives} computed=${computed} called=${called} />
    <${Objections} content=${content} />
    <${Said} shown=${shown} />
    <${Rows} last=${last.record.revision} rows=${last.rows} texts=${last.record.texts} shown=${record.revision} own=${own} />`;
}

const list = (items) => items.map((each, index) => html`${index > 0 && ", "}${words(each)}`);

function About({ shown, frame }) {
  const { record } = shown;
  return html`<${Facts} pairs=${[
    ["Decided by", frame.decider && words(frame.decider)],
    ["Stakeholders", frame.stakeholders?.length > 0 && list(frame.stakeholders.map((each) => each.name))],
    ["Revision", number(record.revision)],
    ["Instance", html`<a href=${`/instances/${id(shown.process_instance_id)}`}><code>${shown.process_instance_id}</code></a>`],
    ["Process", name(shown.definition_key)],
    ["Record", shown.name && name(shown.name)],
    ["Business key", shown.business_key && name(shown.business_key)],
    ["Tenant", shown.tenant && name(shown.tenant)],
    ["Changed", time(shown.changed_at)],
    ["Content (SHA-256)", html`<code>${record.content_sha256}</code>`],
  ]} />`;
}

function Verify({ path, revision }) {
  const [said, set] = useState(null);
  const onclick = async () => {
    try {
      const verdict = await get(`${path}/verify`, { revision });
      set(verdict);
      say(titleOf(verdict));
    } catch (error) {
      set({ wrong: error.message });
      say(error.message);
    }
  };
  const titleOf = ({ holds }) => (holds ? `Revision ${revision} is what it was.` : `Revision ${revision} is not what it was.`);
  const points = said && !said.wrong && [
    ...said.problems,
    ...said.anchors.map((each) => `held by ${each}`),
    ...said.notes,
  ];
  return html`<div class="verify">
    <button type="button" onclick=${onclick}>Verify</button>
    ${said?.wrong && html`<p class="wrong">${said.wrong}</p>`}
    ${points && html`<div class="card"><strong class=${said.holds ? "holds" : "wrong"}>${titleOf(said)}</strong>${points.length > 0 && html`<ul>${points.map((each, index) => html`<li key=${index}>${name(each)}</li>`)}</ul>`}</div>`}
  </div>`;
}

function Outcome({ content: { recommendation: said }, record: { decision }, called, grounds }) {
  if (!said && !decision) return null;
  const next = (each) => html`${words(each.what)}${each.who && html`, ${words(each.who)}`}${each.by && html`, ${words(each.by)}`}`;
  return html`<section aria-labelledby="outcome" class="card part outcome-of">
    <h2 id="outcome">Recommendation</h2>
    ${decision && html`<${Facts} pairs=${[["Answer", decision.answer && words(decision.answer)], ["Void because", decision.void_reason && name(decision.void_reason)]]} />`}
    ${said && html`
      <p><strong>${said.alternative ? called(said.alternative) : "No option is recommended."}</strong></p>
      <p class="text">${words(said.why)}</p>
      <${Points} title="Given up" points=${said.given_up?.map(words)} />
      <${Points} title="Conditions" points=${said.conditions?.map((each) => html`${words(each.text)}${each.rests_on && html` <span class="soft">(on ${name(grounds(each.rests_on))})</span>`}`)} />
      <${Points} title="Next" points=${said.next?.map(next)} />`}
  </section>`;
}

function Points({ title, points }) {
  if (!points?.length) return null;
  return html`<div><h3>${title}</h3><ul>${points.map((each, index) => html`<li key=${index}>${each}</li>`)}</ul></div>`;
}

function Ranking({ computed, called, grounds }) {
  const { ranking, excluded, sums, shares, values, over_weights: weights, over_scores: scores, is_uncertain: isUncertain } = computed;
  const criteria = Object.keys(shares);
  const others = Object.keys(values).filter((each) => !ranking.includes(each));
  const row = (each, place) => [each, [
    called(each), place, sums[each] === undefined ? "—" : figure(sums[each]),
    ...criteria.map((criterion) => (values[each][criterion] === undefined ? "missing" : figure(shares[criterion] * values[each][criterion]))),
    weights[each] ? percent(weights[each][0]) : "—",
    ...(isUncertain ? [scores[each] ? percent(scores[each][0]) : "—"] : []),
  ]];
  const why = (each) => (excluded[each] ? `excluded: breaks ${excluded[each].map(grounds).join(", ")}` : "not ranked");
  const bar = (each) => ({ key: each, label: called(each), sizes: parts(values, shares, each), text: sums[each] === undefined ? "—" : figure(sums[each]) });
  const leads = computed.leader ? `${called(computed.leader)} leads by ${figure(computed.lead)}.` : "Fewer than two options can be ranked.";
  const uncertain = computed.leader && isUncertain ? ` Over the scores' ranges it is first in ${percent(computed.first_share)}, and its lead varies by ${figure(computed.lead_sd)}.` : "";
  return html`<section aria-labelledby="ranking" class="card part">
    <h2 id="ranking">Ranking</h2>
    <p class="leads">${leads}${uncertain}</p>
    <${Bars} label="Weighted sums, by criterion" series=${criteria.map(called)} rows=${[...ranking, ...others].map(bar)} />
    <${Grid} title="Weighted sums" head=${["Option", "Rank", "Sum", ...criteria.map(called), "First over all weights", ...(isUncertain ? ["First over the scores' ranges"] : [])]}
      rows=${[...ranking.map((each, index) => row(each, index + 1)), ...others.map((each) => row(each, why(each)))]} />
  </section>`;
}

// How far the order holds.
function Holds({ computed, called }) {
  const swaps = Object.entries(computed.swaps);
  const of = (each) => each.split("/").map(called).join(", ");
  const level = (swap) => (swap ? `${called(swap.to)} at ${percent(swap.share)}` : "nobody");
  const moves = ({ low, high }) => [low, high].some((end) => figure(end) !== figure(computed.lead));
  const bars = computed.tornado.filter(moves);
  const still = computed.tornado.length - bars.length;
  const leads = [
    ...bars.map((bar) => [bar.of, [of(bar.of), figure(bar.low), figure(bar.high)]]),
    ...(still > 0 ? [["*", [`${number(still)} that ${still === 1 ? "moves" : "move"} nothing`, figure(computed.lead), figure(computed.lead)]]] : []),
  ];
  const ranks = [["over_weights", "Ranks over all weights"], ["over_scores", "Ranks over the scores' ranges"], ["over_both", "Ranks over both"]];
  return html`<section aria-labelledby="holds" class="card part">
    <h2 id="holds">How far the order holds</h2>
    <h3>Swap points</h3>
    <p class="soft">The mark is the share that a weight has, from 0 to 100 %. Where the line is red, another leads.</p>
    <${Swaps} label="Each weight, and from where on another leads" rows=${swaps.map(([key, swap]) => ({ key, label: called(key), ...swap }))} />
    <${Grid} title="Where another draws level" head=${["Weight", "Share", "Below", "Above"]} rows=${swaps.map(([key, swap]) => [key, [called(key), percent(swap.share), level(swap.down), level(swap.up)]])} />
    ${computed.tornado.length > 0 && html`<h3>Tornado</h3>
      <${Tornado} label="The lead with one thing at its ends" now=${computed.lead} bars=${bars.map(({ of: key, ...ends }) => ({ key, label: of(key), ...ends }))} />
      <${Grid} title=${`The lead, now ${figure(computed.lead)}, with one thing at its ends`} head=${["Of", "At its low", "At its high"]} rows=${leads} />`}
    ${ranks.filter(([key]) => Object.keys(computed[key]).length > 0 && (key === "over_weights" || computed.is_uncertain)).map(([key, title]) => html`<${Ranks} key=${key} title=${title} table=${computed[key]} ranking=${computed.ranking} called=${called} />`)}
    ${Object.keys(computed.information).length > 0 && html`<${Grid} title="What it would be worth to know, in the sums' unit" head=${["Uncertainty", "Worth"]} rows=${[...Object.entries(computed.information).map(([key, worth]) => [key, [called(key), figure(worth)]]), ["*", ["everything", figure(computed.all_information)]]]} />`}
  </section>`;
}

function Ranks({ title, table, ranking, called }) {
  const places = ranking.map((_, index) => `Rank ${index + 1}`);
  return html`<h3>${title}</h3>
    <${Bars} label=${title} series=${places} rows=${ranking.map((each) => ({ key: each, label: called(each), sizes: table[each], text: percent(table[each][0]) }))} />
    <${Grid} title=${title} head=${["Option", ...places]} rows=${ranking.map((each) => [each, [called(each), ...table[each].map(percent)]])} />`;
}

const AGREEMENT = { agree: "The judges agree", differ: "The judges differ", not_measured: "No agreement was measured" };
const ORDERS = [["judges", "judge"], ["without_judge", "without judge"], ["sets", "weights"], ["without_criterion", "without criterion"]];

// Which judges are the same assistant: that it agrees with itself is no second opinion.
function seats(judges) {
  const seated = new Map();
  for (const judge of Object.keys(judges).sort()) {
    const source = judges[judge];
    if (source?.of === "turn" && source.assistant) seated.set(source.assistant, [...(seated.get(source.assistant) ?? []), judge]);
  }
  return [...seated].filter(([, sat]) => sat.length > 1).map(([assistant, sat]) => `${sat.join(", ")} are one assistant, ${assistant}, asked ${sat.length} times.`);
}

function Orders({ computed, judges, called }) {
  const rows = ORDERS.flatMap(([key, by]) => Object.entries(computed[key]).map(([own, order]) => [`${key} ${own}`, [
    by, key.endsWith("judge") || key === "judges" ? own : called(own), html`<div class="order">${order.ranking.map(called).join(" > ")}</div>`, figure(order.lead),
  ]]));
  const measured = computed.kendall_w === null ? "." : `: Kendall's W is ${figure(computed.kendall_w)}.`;
  return html`<section aria-labelledby="orders" class="card part">
    <h2 id="orders">Judges, stakeholders and other orders</h2>
    <p>${AGREEMENT[computed.agreement]}${measured}</p>
    ${seats(judges).map((each) => html`<p key=${each}>${words(each)}</p>`)}
    <${Grid} title="Orders" head=${["By", "Whose", "Order", "Lead"]} rows=${rows} kind="words" />
  </section>`;
}

function Frame({ shown, frame, objectives, computed, called }) {
  const limit = (each) => html`<span class="tag">${each.hard ? "hard" : "soft"}</span> ${words(each.statement)}`;
  const said = (part, what, text) => html`<${SaidAt} source=${shown.sources[part]} instance=${shown.process_instance_id} what=${what}>${text}</>`;
  const scale = ({ value, unit }) => (value ? said("objectives", "the scale", `${figure(value.walk_away)} → ${figure(value.ideal)} ${unit ?? ""}`) : "—");
  const shares = computed?.shares ?? {};
  return html`<section aria-labelledby="frame" class="card part">
    <h2 id="frame">What it was decided on</h2>
    <${Points} title="Limits" points=${frame.limits?.map(limit)} />
    <${Points} title="Assumptions" points=${frame.assumptions?.map((each) => words(each.text))} />
    <${Points} title="Uncertainties" points=${frame.uncertainties?.map((each) => html`${words(each.name)}${each.why && html`: ${words(each.why)}`}`)} />
    ${objectives.length > 0 && html`<${Grid} title="Objectives" head=${["Objective", "Worth 0 → worth 1", "Weight"]} rows=${objectives.map((each) => [each.id, [called(each.id), scale(each), shares[each.id] === undefined ? "—" : said("weights", "the weight", percent(shares[each.id]))]])} />`}
  </section>`;
}

function Objections({ content }) {
  const dissent = content.dissent?.dissent ?? [];
  const failures = content.pre_mortem?.pre_mortem ?? [];
  if (!dissent.length && !failures.length) return null;
  return html`<section aria-labelledby="objections" class="card part">
    <h2 id="objections">Who sees it otherwise, and how it may fail</h2>
    <${Points} title="Dissent" points=${dissent.map((each) => html`${each.who && html`${words(each.who)}: `}${words(each.text)}`)} />
    <${Points} title="Pre-mortem" points=${failures.map((each) => html`${words(each.what)}${each.sign && html`; sign: ${words(each.sign)}`}${each.answer && html`; answer: ${words(each.answer)}`}`)} />
  </section>`;
}

// Where each part comes from; scores say it in their cells.
function Said({ shown }) {
  const sources = Object.entries(shown.sources).filter(([part]) => part !== "scores" && part !== "what_ifs");
  const { earlier, proposed } = shown.record;
  if (!sources.length) return null;
  return html`<details class="card"><summary>Where its parts come from</summary>
    <dl class="sources">${sources.map(([part, source]) => html`<dt key=${part}>${part.replace("_", "-")}</dt><dd><${Source} source=${source} instance=${shown.process_instance_id} words=${words} /></dd>`)}</dl>
    ${earlier.length > 0 && html`<p class="soft">${count(earlier.length, "earlier item")} replaced by newer ones.</p>`}
    ${proposed.length > 0 && html`<p class="soft">Said by a model after a person, and not taken over: ${proposed.map((each) => each.part).join(", ")}.</p>`}
  </details>`;
}

// What a row tells in short values; texts of persons may have been erased.
function told(row, texts) {
  const text = (value) => (value?.text_sha256 ? texts[value.text_sha256]?.text ?? ERASED : value);
  const short = Object.entries(row.facts).map(([key, value]) => [key, text(value)]).filter(([, value]) => ["string", "boolean", "number"].includes(typeof value));
  return short.map(([key, value], index) => html`${index > 0 && ", "}${name(key)}: ${words(`${value}`)}`);
}

// The revision that a row tells of: a signature of what its person was shown, though it may have been kept beside a later one.
function revisionOf(row, rows) {
  const shown = row.kind === "signature" && rows.findLast((each) => each.number < row.number && each.content_sha256 === row.facts.shown_sha256);
  return shown ? shown.revision : row.revision;
}

function Rows({ last, rows, texts, shown, own }) {
  const revision = (each) => (each === shown ? html`${each} <span class="soft">(shown)</span>` : html`<a href=${`${own}${query({ revision: each })}`}>${each}<span class="hidden">, show this revision</span></a>`);
  return html`<section aria-labelledby="rows" class="card part">
    <h2 id="rows">Changes, signatures and holds</h2>
    ${last > 1 && html`<p><a href=${`${own}/compare${query({ from: shown > 1 ? shown - 1 : 1, to: shown > 1 ? shown : 2 })}`}>Compare two revisions</a></p>`}
    <${Grid} title="Rows, each with the hash of the one before it" head=${["Row", "What", "Revision", "At", "Says", "Content (SHA-256)"]} kind="words" rows=${rows.map((row) => [row.number, [
      row.number, html`${row.kind}${row.signed && html` <span class="soft">key ${row.signed.key}</span>`}`, revision(revisionOf(row, rows)), time(row.at), told(row, texts), html`<code title=${row.content_sha256}>${row.content_sha256.slice(0, HASH)}…</code>`,
    ]])} />
  </section>`;
}

export const decision = { nav: "/decisions", load, View: Decision };
