// The BPMN diagram, drawn by bpmn-js, which the installation puts beside the page.

import { html, render, useEffect, useMemo, useRef, useState } from "./lib/preact.js";
import { name, Note } from "./parts.js";
import { label, stateClass } from "./places.js";

const VIEWER = "/vendor/bpmn-js/viewer.js";
const STYLES = ["/vendor/bpmn-js/diagram-js.css", "/vendor/bpmn-js/bpmn-js.css"];
const BPMN = "http://www.omg.org/spec/BPMN/20100524/MODEL";
const ACTIVITIES = /(?:[tT]ask|^callActivity|^subProcess|^adHocSubProcess|^transaction)$/;
const STEP = 60;
// Drawn, as few fonts have a sign for it.
const CORNERS = html`<svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2"><path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4" /></svg>`;

let loading = null;

// The activities of a model in its order, read without drawing it.
export function activitiesOf(xml) {
  const model = new DOMParser().parseFromString(xml, "application/xml");
  return [...model.getElementsByTagNameNS(BPMN, "*")]
    .filter((element) => ACTIVITIES.test(element.localName) && element.id)
    .map((element) => ({ id: element.id, name: (element.getAttribute("name") ?? "").trim() }));
}

// Draws a model once, and shows on it where its places stand, and which one is selected, whenever that changes.
export function Diagram(properties) {
  const dark = useDark(); // the colours of a drawing are set when it is made
  return html`<${Drawing} key=${String(dark)} ...${properties} />`;
}

function Drawing({ xml, places, selected, select }) {
  const paper = useRef(null);
  const [viewer, draw] = useState(null);
  const [wrong, say] = useState("");
  const onselect = useRef(select);
  onselect.current = select;
  const shown = useMemo(() => new Map(), []);
  const looks = JSON.stringify(places.map((each) => [each.id, stateClass(each), label(each)]));
  useEffect(() => viewer && decorate(viewer, places, shown, (activity) => onselect.current(activity)), [viewer, looks]);
  useEffect(() => (viewer ? choose(viewer, selected) : undefined), [viewer, selected]);
  useEffect(() => {
    let over = false;
    let made = null;
    const ready = (it) => {
      if (over) return it.destroy();
      made = it;
      it.get("eventBus").on("element.click", ({ element }) => {
        const target = element.type === "label" ? element.labelTarget : element;
        if (shown.has(target?.id)) onselect.current(target.id);
      });
      return draw(it);
    };
    drawn(paper.current, xml).then(ready, (error) => over || say(error.message));
    return () => {
      over = true;
      made?.destroy();
    };
  }, [xml]);
  if (wrong) return html`<${Note} title="No diagram" detail=${wrong} />`;
  const zoomed = (text, title, onclick) => html`<button type="button" aria-label=${title} title=${title} onclick=${onclick}>${text}</button>`;
  const canvas = () => viewer.get("canvas");
  return html`<div class="diagram">
    <div class="canvas" ref=${paper} role="region" aria-label="Diagram. Arrow keys move it, plus and minus zoom, 0 shows all." onkeydown=${(event) => viewer && steer(event, canvas())}></div>
    ${viewer && html`<div class="zoom">
      ${zoomed("+", "Zoom in", () => zoom(canvas(), 1.25))}
      ${zoomed("−", "Zoom out", () => zoom(canvas(), 0.8))}
      ${zoomed(CORNERS, "Show all", () => canvas().zoom("fit-viewport", "auto"))}
    </div>`}
  </div>`;
}

function useDark() {
  const scheme = useMemo(() => matchMedia("(prefers-color-scheme: dark)"), []);
  const [dark, set] = useState(scheme.matches);
  useEffect(() => {
    const onchange = () => set(scheme.matches);
    scheme.addEventListener("change", onchange);
    return () => scheme.removeEventListener("change", onchange);
  }, [scheme]);
  return dark;
}

// Rejects with a text for people.
async function drawn(paper, xml) {
  await (loading ??= load());
  const style = getComputedStyle(document.documentElement);
  const colour = (variable) => style.getPropertyValue(variable).trim();
  const viewer = new window.BpmnJS({
    container: paper,
    bpmnRenderer: { defaultFillColor: colour("--paper"), defaultStrokeColor: colour("--line-strong"), defaultLabelColor: colour("--ink") },
    textRenderer: { defaultStyle: { fontFamily: "system-ui, sans-serif" }, externalStyle: { fontFamily: "system-ui, sans-serif" } },
  });
  try {
    await viewer.importXML(xml);
  } catch (error) {
    viewer.destroy();
    throw new Error(/no (?:diagram|process)/i.test(error.message) ? "This model was deployed without a diagram." : "The model's diagram cannot be drawn.");
  }
  viewer.get("canvas").zoom("fit-viewport", "auto");
  return viewer;
}

// Shows where the places stand, with what leads to them. `shown` has what stands there, which is changed and not made
// anew: it may have the focus.
function decorate(viewer, places, shown, select) {
  const [canvas, overlays, registry] = ["canvas", "overlays", "elementRegistry"].map((part) => viewer.get(part));
  for (const place of places.filter((each) => registry.get(each.id))) {
    const known = shown.get(place.id) ?? { box: null, marker: null };
    shown.set(place.id, known);
    const marker = `state-${stateClass(place)}`;
    if (known.marker !== marker) {
      if (known.marker) canvas.removeMarker(place.id, known.marker);
      canvas.addMarker(place.id, marker);
      known.marker = marker;
    }
    if (label(place) && !known.box) {
      known.box = document.createElement("div");
      overlays.add(place.id, { position: { top: -22, left: 0 }, html: known.box });
    }
    if (known.box) render(badge(place, select), known.box);
  }
}

const badge = (place, select) =>
  html`<button type="button" class=${`badge ${stateClass(place)}`} onclick=${() => select(place.id)}><span class="hidden">${name(place.name)}: </span>${label(place)}</button>`;

function choose(viewer, activity) {
  const has = (each) => each && viewer.get("elementRegistry").get(each);
  if (!has(activity)) return undefined;
  viewer.get("canvas").addMarker(activity, "chosen");
  return () => has(activity) && viewer.get("canvas").removeMarker(activity, "chosen");
}

const zoom = (canvas, factor) => canvas.zoom(Math.min(4, Math.max(0.1, canvas.zoom() * factor)));

function steer(event, canvas) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("button")) return;
  const act = {
    ArrowLeft: () => canvas.scroll({ dx: STEP, dy: 0 }),
    ArrowRight: () => canvas.scroll({ dx: -STEP, dy: 0 }),
    ArrowUp: () => canvas.scroll({ dx: 0, dy: STEP }),
    ArrowDown: () => canvas.scroll({ dx: 0, dy: -STEP }),
    "+": () => zoom(canvas, 1.25),
    "=": () => zoom(canvas, 1.25),
    "-": () => zoom(canvas, 0.8),
    0: () => canvas.zoom("fit-viewport", "auto"),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}

function load() {
  const made = (tag, properties) => Object.assign(document.createElement(tag), properties);
  for (const href of STYLES) document.head.append(made("link", { rel: "stylesheet", href }));
  return new Promise((resolve, reject) => {
    const script = made("script", { src: VIEWER, onload: resolve });
    script.onerror = () => {
      loading = null;
      reject(new Error("The part that draws diagrams cannot be loaded."));
    };
    document.head.append(script);
  });
}
