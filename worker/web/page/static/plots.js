// Small plots of a decision. Each is a picture with a name, drawn of rectangles; what it shows stands in a table below it.

import { html } from "./lib/preact.js";

const SERIES = 12;

const DIGITS = new Intl.NumberFormat(undefined, { maximumFractionDigits: 3, signDisplay: "negative" });
const PERCENT = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
export const figure = (value) => DIGITS.format(value);
export const percent = (value) => PERCENT.format(value);

// What an alternative's sum is made of, by criterion.
export function parts(values, shares, alternative) {
  return Object.entries(shares).map(([criterion, share]) => share * (values[alternative][criterion] ?? 0));
}

// A part of a rectangle that is 100 wide and as high as its line, whatever its width on the screen.
const rect = (from, to, kind, key) => html`<rect key=${key} class=${kind} x=${Math.min(from, to)} width=${Math.max(0.2, Math.abs(to - from))} height="10" />`;

const Line = ({ label, text, children }) => html`<div class="line">
  <span class="of">${label}</span>
  <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">${children}</svg>
  <span class="figure">${text}</span>
</div>`;

const Plot = ({ label, children }) => html`<div class="plot" role="img" aria-label=${`${label}; the table below has the figures`}>${children}</div>`;

const Legend = ({ labels, kinds = [] }) => html`<ul class="legend">${labels.map((each, index) => html`<li key=${index}><span class=${`swatch ${kinds[index] ?? `s${index % SERIES}`}`}></span>${each}</li>`)}</ul>`;

// Lengths behind each other. A row is { key, label, sizes, text }, its sizes parts of 1 in the order of `series`.
export function Bars({ label, series, rows }) {
  return html`<${Plot} label=${label}>
    <${Legend} labels=${series} />
    ${rows.map((row) => {
      let from = 0;
      return html`<${Line} key=${row.key} label=${row.label} text=${row.text}>
        ${rect(0, 100, "track", "track")}
        ${row.sizes.map((size, index) => size > 0 && rect(from, (from += 100 * size) - 0.15, `s${index % SERIES}`, index))}
      </>`;
    })}
  </>`;
}

// From one end to the other of each bar, { key, label, low, high }, through what it is now.
export function Tornado({ label, now, bars }) {
  const all = [0, now, ...bars.flatMap((each) => [each.low, each.high])];
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const at = (value) => (100 * (value - least)) / (most - least || 1);
  return html`<${Plot} label=${label}>
    <${Legend} labels=${["to its low", "to its high", "no lead"]} kinds=${["s2", "s0", "zero"]} />
    ${bars.map((bar) => html`<${Line} key=${bar.key} label=${bar.label} text=${`${figure(bar.low)} … ${figure(bar.high)}`}>
      ${rect(0, 100, "track", "track")}
      ${rect(at(bar.low), at(now), "s2", "low")}
      ${rect(at(now), at(bar.high), "s0", "high")}
      ${rect(at(0) - 0.2, at(0) + 0.2, "zero", "zero")}
    </>`)}
  </>`;
}

// Each share with the nearest ones at which another draws level, { key, label, share, down, up }: beyond, another leads.
export function Swaps({ label, rows }) {
  return html`<${Plot} label=${label}>
    ${rows.map(({ key, label: of, share, down, up }) => html`<${Line} key=${key} label=${of} text=${percent(share)}>
      ${rect(0, 100, "track", "track")}
      ${down && rect(0, 100 * down.share, "beyond", "down")}
      ${up && rect(100 * up.share, 100, "beyond", "up")}
      ${rect(100 * share - 0.4, 100 * share + 0.4, "at", "share")}
    </>`)}
  </>`;
}

// The figures. A row is [key, cells], the first of which names it.
export function Grid({ title, head, rows, kind = "" }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${title}>
    <table class=${`figures ${kind}`}>
      <caption>${title}</caption>
      <thead><tr>${head.map((each, index) => html`<th key=${index} scope="col">${each}</th>`)}</tr></thead>
      <tbody>${rows.map(([key, [first, ...cells]]) => html`<tr key=${key}><th scope="row">${first}</th>${cells.map((cell, index) => html`<td key=${index}>${cell}</td>`)}</tr>`)}</tbody>
    </table>
  </div>`;
}
