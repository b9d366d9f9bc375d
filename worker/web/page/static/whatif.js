// Other weights, tried out in the browser: what the same values add up to with them, and which of them were kept.

import { html, useState } from "./lib/preact.js";
import { post } from "./api.js";
import { name, say, time } from "./parts.js";
import { Bars, figure, Grid, parts, percent } from "./plots.js";

const DIGITS = 1e12; // what differs by less is the same, as it is for the record

// Gives one criterion another share, and the others what is left in their proportion, or in that of `base` if they have none.
export function rescaled(shares, criterion, share, base) {
  const others = Object.keys(shares).filter((each) => each !== criterion);
  const [mine] = [shares, base].filter((given) => others.some((each) => given[each] > 0));
  const proportion = (each) => (mine ? mine[each] : 1);
  const rest = others.reduce((sum, each) => sum + proportion(each), 0);
  return Object.fromEntries(Object.keys(shares).map((each) => [each, each === criterion ? share : (proportion(each) * (1 - share)) / rest]));
}

// Weighs, adds up and orders; what ties is ordered by id.
export function ranked(values, shares, among) {
  const sums = new Map(among.map((each) => [each, Object.entries(shares).reduce((sum, [criterion, share]) => sum + share * values[each][criterion], 0)]));
  const rounded = (each) => Math.round(DIGITS * sums.get(each));
  return { sums, order: [...among].sort((one, other) => rounded(other) - rounded(one) || (one < other ? -1 : 1)) };
}

function leads({ sums, order }, called) {
  const [first, second] = order;
  const lead = sums.get(first) - sums.get(second);
  return Math.round(DIGITS * lead) ? `${called(first)} leads by ${figure(lead)}.` : `${called(first)} and ${called(second)} draw level.`;
}

const LONGEST_NAME = 100;
const LONGEST_WHY = 2000;

// Keeps weights under a name: `path` is the record's in the API, `then` shows it anew.
function Keep({ path, shares, then }) {
  const [wrong, tell] = useState("");
  const [waits, wait] = useState(false);
  const onsubmit = async (event) => {
    event.preventDefault();
    if (waits) return;
    wait(true);
    tell("");
    try {
      const { name: own, why } = Object.fromEntries(new FormData(event.target));
      const points = Object.fromEntries(Object.entries(shares).map(([key, share]) => [key, 100 * share]));
      await post(`${path}/what-ifs`, { name: own, why, points });
      await then();
      say(`Kept as ${own}`);
    } catch (error) {
      tell(error.message);
      wait(false);
    }
  };
  return html`<form class="keep" onsubmit=${onsubmit}>
    <div><label for="keep-name">Save as</label><input id="keep-name" name="name" required maxlength=${LONGEST_NAME} autocomplete="off" dir="auto" /></div>
    <div><label for="keep-why">Why (kept with your name, seen by all who read this)</label><textarea id="keep-why" name="why" rows="2" required maxlength=${LONGEST_WHY} dir="auto" /></div>
    <button disabled=${waits}>Save</button>
    <p class="wrong" role="alert">${wrong}</p>
  </form>`;
}

// What persons kept, with who did, when and why.
export function Tried({ sets, sources, orders, called, words }) {
  if (!sets.length) return null;
  const by = ({ user, name: own }) => [own, user].filter(Boolean).map((each, index) => html`${index > 0 && ", "}${words(`${each}`)}`);
  return html`<${Grid} title="What-ifs that were kept: they rank nothing" kind="words" head=${["Name", "Order", "Lead", "Why", "Kept by", "At"]} rows=${sets.map((each) => [each.id, [
    name(called(each.id)), html`<div class="order">${orders[each.id].ranking.map(called).join(" > ")}</div>`, figure(orders[each.id].lead), words(each.why), by(sources[each.id]), time(sources[each.id].at),
  ]])} />`;
}

// `keep` is where weights are kept and what comes then, if who looks may do that.
export function WhatIf({ computed, called, keep, children }) {
  const { shares: base, values, ranking, sets } = computed;
  const [shares, set] = useState(base);
  const now = ranked(values, shares, ranking);
  const criteria = Object.keys(base);
  const differs = (given) => criteria.some((each) => Math.abs(given[each] - base[each]) > 1 / DIGITS);
  const isChanged = differs(shares);
  const isKept = Object.values(sets).some((each) => criteria.every((one) => Math.abs(each.shares[one] - shares[one]) <= 1 / DIGITS));
  const choose = (given) => {
    set(given);
    say(leads(ranked(values, given, ranking), called));
  };
  const slider = (each) => html`<div key=${each} class="slider">
    <label for=${`share-${each}`}>${called(each)}</label>
    <input id=${`share-${each}`} type="range" min="0" max="100" step="1" value=${100 * shares[each]} aria-valuetext=${percent(shares[each])} disabled=${criteria.length < 2}
      oninput=${(event) => set(rescaled(shares, each, Number(event.target.value) / 100, base))}
      onchange=${() => say(leads(now, called))} />
    <output for=${`share-${each}`}>${percent(shares[each])}</output>
  </div>`;
  return html`<section aria-labelledby="what-if" class="card part">
    <div class="heading"><h2 id="what-if">Weights: what if?</h2><span class=${`tag ${isChanged ? "running" : ""}`}>${isChanged ? (isKept ? "what if, kept" : "what if, not kept") : "as kept"}</span></div>
    <p class="soft">Move a weight: the others share what is left as they did before. This page computes it; nothing of it is kept${keep ? ", unless you save it" : ""}.</p>
    <div class="sliders">${criteria.map(slider)}</div>
    <div class="actions">
      <button type="button" disabled=${!isChanged} onclick=${() => choose(base)}>Reset</button>
      ${Object.keys(sets).filter((each) => differs(sets[each].shares)).map((each) => html`<button key=${each} type="button" class="quiet" onclick=${() => choose(sets[each].shares)}>Weights of ${called(each)}</button>`)}
    </div>
    ${keep && isChanged && !isKept && html`<${Keep} ...${keep} shares=${shares} />`}
    <p class="leads">${leads(now, called)}</p>
    <${Bars} label="Weighted sums with these weights" series=${criteria.map(called)} rows=${now.order.map((each) => ({ key: each, label: called(each), sizes: parts(values, shares, each), text: figure(now.sums.get(each)) }))} />
    <${Grid} title="With these weights" head=${["Option", "Rank", "Rank as kept", "Sum", "Sum as kept"]} rows=${now.order.map((each, index) => [each, [
      called(each), index + 1, ranking.indexOf(each) + 1, figure(now.sums.get(each)), figure(computed.sums[each]),
    ]])} />
    ${children}
  </section>`;
}
