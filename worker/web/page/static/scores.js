// What every option scores: a map of how much it is worth, and behind each cell who said it, why, and where.

import { html, useLayoutEffect, useRef, useState } from "./lib/preact.js";
import { name } from "./parts.js";
import { figure } from "./plots.js";
import { Source } from "./source.js";

const STEPS = 10;

export function Scores({ shown, criteria, options, called, words }) {
  const [chosen, choose] = useState(null);
  const { computed } = shown.content;
  const judges = Object.entries(shown.content.scores ?? {});
  const said = (option, criterion) => judges.flatMap(([judge, { scores }]) => scores.filter((each) => each.alternative === option && each.criterion === criterion).map((score) => ({ judge, score })));
  const opener = useRef(null);
  const open = (event, option, criterion) => {
    opener.current = event.currentTarget;
    choose({ option, criterion });
  };
  const close = () => {
    choose(null);
    opener.current?.focus();
  };
  const cell = (option, criterion) => {
    const found = said(option.id, criterion.id);
    if (!found.length) return html`<td key=${criterion.id} class="none">missing</td>`;
    const score = computed ? computed.scores[option.id][criterion.id] : found[0].score.base;
    const value = computed && computed.values[option.id][criterion.id];
    const isChosen = chosen?.option === option && chosen.criterion === criterion;
    return html`<td key=${criterion.id}><button type="button" class=${value === undefined ? "heat" : `heat h${Math.round(STEPS * value)}`} aria-expanded=${isChosen ? "true" : "false"} onclick=${(event) => open(event, option, criterion)}>
      ${figure(score)}<span class="worth">${value === undefined ? "" : html`<span class="hidden">, </span>worth ${figure(value)}`}</span>
    </button></td>`;
  };
  return html`<section aria-labelledby="scores" class="card part">
    <h2 id="scores">Scores</h2>
    <p class="soft">The stronger its colour, the more a score is worth. Choose one to see why it was given, and where.</p>
    <div class="scroll" tabindex="0" role="group" aria-label="Scores, and what they are worth">
      <table class="figures map">
        <caption>Scores, and what they are worth from 0 to 1</caption>
        <thead><tr><th scope="col">Option</th>${criteria.map((each) => html`<th key=${each.id} scope="col">${called(each.id)}${each.unit && html` <span class="soft">${name(each.unit)}</span>`}</th>`)}</tr></thead>
        <tbody>${options.map((option) => html`<tr key=${option.id}><th scope="row">${called(option.id)}</th>${criteria.map((criterion) => cell(option, criterion))}</tr>`)}</tbody>
      </table>
    </div>
    ${chosen && html`<${Cell} key=${`${chosen.option.id}/${chosen.criterion.id}`} shown=${shown} chosen=${chosen} found=${said(chosen.option.id, chosen.criterion.id)} called=${called} words=${words} close=${close} />`}
  </section>`;
}

function Cell({ shown, chosen: { option, criterion }, found, called, words, close }) {
  const heading = useRef(null);
  useLayoutEffect(() => heading.current.focus(), []);
  const unit = criterion.unit ? ` ${criterion.unit}` : "";
  const range = ({ low, high, sd }) => (sd ? `± ${figure(sd)}` : [low, high].some(Number.isFinite) && `${figure(low ?? high)} … ${figure(high ?? low)}`);
  return html`<div class="cell" role="region" aria-labelledby="cell" onkeydown=${(event) => event.key === "Escape" && close()}>
    <div class="heading"><h3 id="cell" tabindex="-1" ref=${heading}>${called(option.id)}: ${called(criterion.id)}</h3><button type="button" class="quiet" onclick=${close}>Close</button></div>
    <ul>${found.map(({ judge, score }) => html`<li key=${judge}>
      <p><strong>${figure(score.base)}${unit}</strong> ${range(score) && html`<span class="soft">(${range(score)})</span>`} says ${name(judge)}</p>
      ${score.why ? html`<p>${words(score.why)}</p>` : html`<p class="soft">No reason was given.</p>`}
      ${score.evidence?.length > 0 && html`<p>Evidence:</p><ul>${score.evidence.map((each, index) => html`<li key=${index}>${words(each)}</li>`)}</ul>`}
      <${Source} source=${shown.sources.scores?.[judge]} instance=${shown.process_instance_id} words=${words} />
    </li>`)}</ul>
  </div>`;
}
