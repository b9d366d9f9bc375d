// Other weights, tried out in the browser alone: what the same values add up to with them.

import { html, useState } from "./lib/preact.js";
import { say } from "./parts.js";
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

export function WhatIf({ computed, called }) {
  const { shares: base, values, ranking, sets } = computed;
  const [shares, set] = useState(base);
  const now = ranked(values, shares, ranking);
  const criteria = Object.keys(base);
  const differs = (given) => criteria.some((each) => Math.abs(given[each] - base[each]) > 1 / DIGITS);
  const isChanged = differs(shares);
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
    <div class="heading"><h2 id="what-if">Weights: what if?</h2><span class=${`tag ${isChanged ? "running" : ""}`}>${isChanged ? "what if, not kept" : "as kept"}</span></div>
    <p class="soft">Move a weight: the others share what is left as they did before. This page computes it; nothing of it is kept.</p>
    <div class="sliders">${criteria.map(slider)}</div>
    <div class="actions">
      <button type="button" disabled=${!isChanged} onclick=${() => choose(base)}>Reset</button>
      ${Object.keys(sets).filter((each) => differs(sets[each].shares)).map((each) => html`<button key=${each} type="button" class="quiet" onclick=${() => choose(sets[each].shares)}>Weights of ${called(each)}</button>`)}
    </div>
    <p class="leads">${leads(now, called)}</p>
    <${Bars} label="Weighted sums with these weights" series=${criteria.map(called)} rows=${now.order.map((each) => ({ key: each, label: called(each), sizes: parts(values, shares, each), text: figure(now.sums.get(each)) }))} />
    <${Grid} title="With these weights" head=${["Option", "Rank", "Rank as kept", "Sum", "Sum as kept"]} rows=${now.order.map((each, index) => [each, [
      called(each), index + 1, ranking.indexOf(each) + 1, figure(now.sums.get(each)), figure(computed.sums[each]),
    ]])} />
  </section>`;
}
