// The BPMN diagram, drawn by bpmn-js, which the installation puts beside the page.

import { h, name } from "./dom.js";
import { label, stateClass } from "./places.js";

const VIEWER = "/vendor/bpmn-js/viewer.js";
const STYLES = ["/vendor/bpmn-js/diagram-js.css", "/vendor/bpmn-js/bpmn-js.css"];
const BPMN = "http://www.omg.org/spec/BPMN/20100524/MODEL";
const ACTIVITIES = /(?:[tT]ask|^callActivity|^subProcess|^adHocSubProcess|^transaction)$/;
const STEP = 60;

let loading = null;

// The activities of a model in its order, read without drawing it.
export function activitiesOf(xml) {
  const model = new DOMParser().parseFromString(xml, "application/xml");
  return [...model.getElementsByTagNameNS(BPMN, "*")]
    .filter((element) => ACTIVITIES.test(element.localName) && element.id)
    .map((element) => ({ id: element.id, name: (element.getAttribute("name") ?? "").trim() }));
}

// Rejects with a text for people. Returns `select(activity)`, which marks one.
export async function diagram(place, xml, places, onselect, signal) {
  await (loading ??= load());
  if (signal.aborted) return { select() {} };
  const paper = h("div", { class: "canvas", role: "region", "aria-label": "Diagram. Arrow keys move it, plus and minus zoom, 0 shows all." });
  place.replaceChildren(paper);
  const viewer = await drawn(paper, xml);
  const canvas = viewer.get("canvas");
  place.append(buttons(canvas));
  paper.addEventListener("keydown", (event) => steer(event, canvas));
  const known = new Map(places.map((each) => [each.id, each]));
  for (const each of places) decorate(viewer, each, onselect);
  viewer.get("eventBus").on("element.click", ({ element }) => {
    const target = element.type === "label" ? element.labelTarget : element;
    if (known.has(target?.id)) onselect(target.id);
  });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => diagram(place, xml, places, onselect, signal), { once: true, signal });
  signal.addEventListener("abort", () => viewer.destroy(), { once: true });
  let marked = null;
  return {
    select(activity) {
      const registry = viewer.get("elementRegistry");
      if (marked && registry.get(marked)) canvas.removeMarker(marked, "chosen");
      marked = activity;
      if (activity && registry.get(activity)) canvas.addMarker(activity, "chosen");
    },
  };
}

async function drawn(paper, xml) {
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

function decorate(viewer, place, onselect) {
  if (!viewer.get("elementRegistry").get(place.id)) return;
  viewer.get("canvas").addMarker(place.id, `state-${stateClass(place)}`);
  const text = label(place);
  if (!text) return;
  const badge = h("button", { type: "button", class: `badge ${stateClass(place)}`, onclick: () => onselect(place.id) }, h("span", { class: "hidden" }, name(place.name), ": "), text);
  viewer.get("overlays").add(place.id, { position: { top: -22, left: 0 }, html: badge });
}

function buttons(canvas) {
  const button = (text, title, onclick) => h("button", { type: "button", "aria-label": title, title, onclick }, text);
  return h("div", { class: "zoom" },
    button("+", "Zoom in", () => zoom(canvas, 1.25)),
    button("−", "Zoom out", () => zoom(canvas, 0.8)),
    button("⤢", "Show all", () => canvas.zoom("fit-viewport", "auto")));
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
  for (const href of STYLES) document.head.append(h("link", { rel: "stylesheet", href }));
  return new Promise((resolve, reject) => {
    const script = h("script", { src: VIEWER });
    script.onload = resolve;
    script.onerror = () => {
      loading = null;
      reject(new Error("The part that draws diagrams cannot be loaded."));
    };
    document.head.append(script);
  });
}
