// Small plots of a decision. Each is a picture with a name, drawn of rectangles; what it shows stands in a table below it.

import { html } from "./lib/preact.js";

const SERIES = 8;

const DIGITS = new Intl.NumberFormat(undefined, { maximumFractionDigits: 3 });
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

// Lengths behind each other. A row is { key, label, sizes, text }, its sizes parts of 1 in the order of `series`.
export function Bars({ label, series, rows }) {
  return html`<${Plot} label=${label}>
    <ul class="legend">${series.map((each, index) => html`<li key=${index}><span class=${`swatch s${index % SERIES}`}></span>${each}</li>`)}</ul>
    ${rows.map((row) => {
      let from = 0;
      return html`<${Line} key=${row.key} label=${row.label} text=${row.text}>
        ${rect(0, 100, "track", "track")}
        ${row.sizes.map((size, index) => size > 0 && rect(from, (from += 100 * size) - 0.15, `s${index % SERIES}`, index))}
      </>`;
    })}
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
