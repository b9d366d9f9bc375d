// A modeler like Camunda's for the desktop: bpmn-js with its panel, templates and, from a plugin, lint rules.
import Modeler from 'bpmn-js/lib/Modeler';
import {
  BpmnPropertiesPanelModule, BpmnPropertiesProviderModule, CamundaPlatformPropertiesProviderModule,
} from 'bpmn-js-properties-panel';
import { ElementTemplatesPropertiesProviderModule } from 'bpmn-js-element-templates';
import behaviors from 'camunda-bpmn-js-behaviors/lib/camunda-platform';
import camunda from 'camunda-bpmn-moddle/resources/camunda.json';
import linting from 'bpmn-js-bpmnlint';
import { Linter } from '@camunda/linting';

import 'bpmn-js/dist/assets/diagram-js.css';
import 'bpmn-js/dist/assets/bpmn-js.css';
import 'bpmn-js/dist/assets/bpmn-font/css/bpmn-embedded.css';
import '@bpmn-io/properties-panel/dist/assets/properties-panel.css';
import 'bpmn-js-element-templates/dist/assets/element-templates.css';
import 'bpmn-js-bpmnlint/dist/assets/css/bpmn-js-bpmnlint.css';
import './layout.css';

const EMPTY = `<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:bpmndi="http://www.omg.org/spec/BPMN/20100524/DI" targetNamespace="test"
    xmlns:modeler="http://camunda.org/schema/modeler/1.0"
    modeler:executionPlatform="Camunda Platform" modeler:executionPlatformVersion="7.24.0">
  <bpmn:process id="process" isExecutable="true" />
  <bpmndi:BPMNDiagram id="diagram"><bpmndi:BPMNPlane id="plane" bpmnElement="process" /></bpmndi:BPMNDiagram>
</bpmn:definitions>`;
let made;
const get = (name) => made.get(name);
const rules = () => (window.plugins || []).filter(({ type }) => type === 'lintRules.bpmn').map(({ plugin }) => plugin);
const element = (id) => get('elementRegistry').get(id);

window.modeler = {
  async begin() {
    // As Camunda Modeler takes what its plugins have registered.
    const [bpmnlint] = rules();
    made = new Modeler({
      container: '#canvas',
      propertiesPanel: { parent: '#panel' },
      debounceInput: false,
      moddleExtensions: { camunda },
      additionalModules: [
        BpmnPropertiesPanelModule, BpmnPropertiesProviderModule, CamundaPlatformPropertiesProviderModule,
        ElementTemplatesPropertiesProviderModule, behaviors, ...(bpmnlint ? [linting] : []),
      ],
      ...(bpmnlint ? { linting: { bpmnlint, active: true } } : {}),
    });
    await window.modeler.open(EMPTY);
  },
  async open(xml) {
    await made.importXML(xml);
    get('canvas').zoom('fit-viewport', 'auto');
  },
  async save() {
    return (await made.saveXML({ format: true })).xml;
  },
  // What the templates' loader of Modeler says against these.
  load(templates) {
    const said = [];
    get('eventBus').on('elementTemplates.errors', ({ errors }) => said.push(...errors.map(({ message }) => message)));
    get('elementTemplatesLoader').setTemplates(templates);
    return said;
  },
  // Draws a chain of elements behind each other, each as {id, name, type}, and returns nothing.
  draw(several) {
    const root = get('canvas').getRootElement();
    let last;
    several.forEach(({ id, name, type, documentation }, place) => {
      const businessObject = get('bpmnFactory').create(type, { id, name });
      if (documentation) {
        businessObject.documentation = [get('bpmnFactory').create('bpmn:Documentation', { text: documentation })];
      }
      const shape = get('elementFactory').createShape({ type, businessObject });
      get('modeling').createShape(shape, { x: 120 + 180 * place, y: 200 }, root);
      if (last) get('modeling').connect(last, shape);
      last = shape;
    });
    get('canvas').zoom('fit-viewport', 'auto');
  },
  set(id, values) {
    get('modeling').updateProperties(element(id), values);
  },
  apply(id, template) {
    const known = get('elementTemplates').getAll().find((each) => each.id === template);
    get('elementTemplates').applyTemplate(element(id), known);
  },
  select(id) {
    get('selection').select(element(id));
  },
  // Opens the groups of the template's fields, for whichever element is selected.
  unfold() {
    document
      .querySelectorAll('[data-group-id*="ElementTemplates__CustomProperties"] .bio-properties-panel-group-header:not(.open)')
      .forEach((each) => each.click());
  },
  // What Camunda Modeler's own linter says, with its plugins: [element, rule, message].
  async lint() {
    const linter = new Linter({ modeler: 'desktop', type: 'platform', plugins: rules() });
    return (await linter.lint(await window.modeler.save())).map(({ id, rule, message }) => [id, rule, message]);
  },
  // What lint says at each element, as its hint has it.
  shown() {
    const all = [...document.querySelectorAll('.djs-overlays')].map((each) => [
      each.dataset.containerId, [...each.querySelectorAll('.bjsl-overlay li')].map((item) => item.textContent.trim()),
    ]);
    return Object.fromEntries(all.filter(([, said]) => said.length));
  },
};
