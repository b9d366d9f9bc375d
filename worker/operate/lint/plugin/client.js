// The lint rules that look at one model alone, for bpmnlint and for Camunda Modeler, which draws what they find at the
// element. `assistant-worker lint --plugin DIR` writes this file, with the table in it that the worker goes by itself.
'use strict';

const plugin = ((TABLE) => {
  const { spaces, names, forms, clashes, outcomes, words, near } = TABLE;
  const namespaces = [...new Set(names.map((name) => `${name.split('.')[0]}.`))];
  const hasExpression = (text) => /[$#]\{/.test(text);
  const isNamedBy = (name) => ['data.output', 'data.output.fields'].includes(name) || name.startsWith('error.');
  const entries = (text) => text.split(',').map((each) => each.trim()).filter(Boolean);
  const whole = (pattern) => new RegExp(`^(?:${pattern})$`, 'su');
  const named = (text) => [text.split('=')[0].trim(), text.split('=').slice(1).join('=').trim()];
  const quoted = (text) => `'${text}'`;

  // What a model says, whether or not bpmn-moddle was told of the engines' own elements.

  const kind = (element) => element.$type.replace(/^.*:/, '');
  const isEngines = (element) =>
    element.$type.startsWith('camunda:') || spaces.includes(element.$descriptor?.ns?.uri);
  const parts = (element) =>
    ['$children', 'values', 'inputParameters'].flatMap((each) => element[each] || []);

  function extensions(element, group, name) {
    const found = [];
    (element.extensionElements?.values || []).forEach((outer, i) => {
      if (!isEngines(outer) || kind(outer).toLowerCase() !== group.toLowerCase()) return;
      parts(outer).forEach((inner, j) => {
        const path = ['extensionElements', 'values', i, 'values', j, 'value'];
        if (kind(inner).toLowerCase() === name.toLowerCase()) found.push({ inner, path });
      });
    });
    return found;
  }

  function attribute(element, name, prefixes) {
    const values = ['camunda', ...prefixes].map((each) => element.$attrs?.[`${each}:${name}`]);
    // What is written goes before what bpmn-moddle may have as a default.
    return String([...values, element.get(`camunda:${name}`)].find((each) => each !== undefined) ?? '');
  }

  function carrier(element) {
    if (['ServiceTask', 'SendTask', 'BusinessRuleTask'].includes(kind(element))) return element;
    if (!['IntermediateThrowEvent', 'EndEvent'].includes(kind(element))) return undefined;
    return (element.eventDefinitions || []).find((each) => kind(each) === 'MessageEventDefinition');
  }

  // The codes of BPMN errors that these events catch; an empty one for every code.
  const codes = (events) =>
    events.flatMap((event) =>
      (event.eventDefinitions || [])
        .filter((each) => kind(each) === 'ErrorEventDefinition')
        .map((each) => each.errorRef?.errorCode || ''));

  const isLoop = (element) => kind(element.loopCharacteristics || { $type: '' }) === 'MultiInstanceLoopCharacteristics';
  const properties = (element) => extensions(element, 'properties', 'property');

  function read(definitions) {
    const prefixes = Object.entries(definitions.$attrs || {})
      .filter(([name, uri]) => name.startsWith('xmlns:') && spaces.includes(uri))
      .map(([name]) => name.slice('xmlns:'.length));
    const ofEngines = (element, name) => attribute(element, name, prefixes);
    const processes = (definitions.rootElements || []).filter((each) => kind(each) === 'Process');
    return processes.map((element) => {
      const process = { element, id: element.id, tasks: [], elements: [element], calls: [], timers: {} };
      process.timeToLive = ofEngines(element, 'historyTimeToLive');
      const look = (scope, loops, around) => {
        const inner = scope.flowElements || [];
        const events = inner.filter((each) => kind(each) === 'BoundaryEvent');
        const starts = inner.filter((each) => each.triggeredByEvent).flatMap((each) => each.flowElements || [])
          .filter((each) => kind(each) === 'StartEvent');
        const within = [...around, ...codes(starts)];
        for (const each of inner) {
          process.elements.push(each);
          const attached = events.filter((event) => event.attachedToRef === each);
          const caught = [...within, ...codes(attached)];
          const inLoops = loops + isLoop(each);
          const there = carrier(each);
          if (each.flowElements || /SubProcess|Transaction/.test(kind(each))) look(each, inLoops, caught);
          else if (there && ofEngines(there, 'type').toLowerCase() === 'external') {
            process.tasks.push(task(each, ofEngines(there, 'topic'), inLoops, caught, ofEngines(each, 'asyncAfter')));
            process.timers[each.id] = attached.filter((event) => event.cancelActivity !== false);
          } else if (each.calledElement) process.calls.push({ called: each.calledElement, caught });
        }
      };
      look(element, 0, []);
      return process;
    });
  }

  function task(element, topic, loops, caught, asyncAfter) {
    const given = properties(element).map(({ inner, path }) => ({ name: inner.name || '', value: inner.value || '', path }));
    const values = Object.fromEntries(given.filter((each) => each.name).map(({ name, value }) => [name, value]));
    const said = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.trim()]));
    const parameters = extensions(element, 'inputOutput', 'inputParameter').map(({ inner }) => inner.name);
    const made = { element, topic, loops, caught, given, values, said, parameters, isAfter: asyncAfter.trim() === 'true' };
    made.kind = words.kinds.find((each) => each === values['service.type']);
    made.isAsked = made.kind === words.kinds[0];
    made.documentation = (element.documentation || []).map((each) => (each.text || '').trim()).filter(Boolean).join('\n\n');
    made.wrong = made.kind ? wrong(made) : [];
    const left = new Set(made.wrong.map(([name]) => name));
    made.kept = Object.fromEntries(Object.entries(said).filter(([name]) => !left.has(name)));
    return made;
  }

  const output = (said, element) => said['data.output'] || element.id.replace(/[^\p{L}\p{N}_]/gu, '_');
  const fields = (said) => entries(said['data.output.fields'] || '').map((each) => named(each)[0]);

  function inputs({ said, isAsked }) {
    if (!isAsked) return entries(said['record.given'] || '').map((each) => named(each)[1]).filter(Boolean);
    const found = entries(said['data.input'] || '').map((each) => each.replace(/\?$/, '').trimEnd());
    return said['data.input'] === '-' ? [] : found.filter(Boolean);
  }

  // What properties may hold, and which exclude each other.

  function seconds(text) {
    const found = whole(TABLE.duration).exec(text);
    return found && [86400, 3600, 60, 1].reduce((sum, unit, i) => sum + unit * (found[i + 1] || 0), 0);
  }

  function fits(form, value) {
    const one = (each) => {
      const size = form.most && (/^\d+$/.test(each) ? Number(each) : seconds(each));
      return whole(form.pattern).test(each) && (typeof size !== 'number' || (size >= 1 && size <= form.most));
    };
    if (!form.entries) return one(value);
    const given = entries(value);
    return given.every(one) && new Set(given.map((each) => named(each)[0])).size === given.length;
  }

  function* flaws({ element, kind, said, parameters, isAsked }) {
    const fixed = 'it is fixed text, in which no expression is evaluated';
    for (const [name, value] of Object.entries(said)) {
      if (isNamedBy(name) && hasExpression(value)) yield [name, `property ${name} is ${quoted(value)}: ${fixed}`];
      if (name.startsWith('error.') && isAsked && !outcomes.includes(name.slice('error.'.length))) {
        yield [name, `property ${name}: unknown outcome; allowed are ${outcomes.join(', ')}`];
      }
    }
    for (const [name, form] of Object.entries(forms[kind])) {
      const value = said[name];
      if (value && !fits(form, value)) yield [name, `property ${name} is ${quoted(value)}; allowed are ${form.allowed}`];
    }
    if (!isAsked) {
      if (forms[kind]['record.stage'] && !said['record.stage']) yield ['', `property record.stage is missing; allowed are ${forms[kind]['record.stage'].allowed}`];
      return;
    }
    const ofDeployment = (where, name) =>
      name.startsWith(words.deployment) && !whole(words.deployed).test(name)
        ? [[where, `property ${where} is ${quoted(name)}; an assistant of the deployment is named deployment:<name>.md`]] : [];
    if (!parameters.includes('assistant')) yield* ofDeployment('service.name', said['service.name'] || '');
    yield* entries(said['data.input.answers'] || '').flatMap((each) => ofDeployment('data.input.answers', each));
    const result = output(said, element);
    const taken = fields(said).find((each) => [result, `${result}_meta`].includes(each));
    if (taken) yield ['data.output.fields', `property data.output.fields: ${taken} is the name of the result itself`];
    if ([`${result}_meta`, ...fields(said)].some((each) => each.length > TABLE.longest)) {
      yield ['data.output', `property data.output: a variable's name has ${TABLE.longest} characters at most`];
    }
    if (said['data.questions'] && said['service.calls'] && Number(said['service.calls']) < Number(said['data.questions.orders'])) {
      yield ['data.questions.orders', 'property data.questions.orders is more than service.calls'];
    }
  }

  function wrong(task) {
    const found = [...flaws(task)];
    const left = new Set(found.map(([name]) => name));
    const holds = (name) => (left.has(name) ? '' : task.said[name] || '');
    const asked = task.parameters.includes('assistant') ? '?' : holds('service.name');
    for (const { name, said, where } of clashes[task.kind]) {
      const isSo = ([each, pattern]) => whole(pattern).test(each === 'service.name' ? asked : holds(each));
      if (!left.has(name) && Object.entries(where).every(isSo)) found.push([name, `property ${name} ${said}`]);
    }
    return found;
  }

  // Names that are nearly one of ours: Python's difflib, which the worker's own linter goes by.

  function common(a, b) {
    let [at, from, length] = [0, 0, 0];
    for (let i = 0; i < a.length; i++) {
      for (let j = 0; j < b.length; j++) {
        let size = 0;
        while (i + size < a.length && a[i + size] === b[j + size]) size++;
        if (size > length) [at, from, length] = [i, j, size];
      }
    }
    return length && length + common(a.slice(0, at), b.slice(0, from)) + common(a.slice(at + length), b.slice(from + length));
  }

  const likeness = (a, b) =>
    2 * Math.min(a.length, b.length) < near * (a.length + b.length) ? 0 : (2 * common(a, b)) / (a.length + b.length);
  const closest = (word, known) =>
    known.map((each) => [likeness(each, word), each]).filter(([how]) => how >= near).sort((a, b) => b[0] - a[0])[0]?.[1];
  const isMeantForUs = (name) => namespaces.some((each) => name.startsWith(each)) || closest(name, names);

  // The rules: what each finds, as [detail, property].

  const every = (choose) => (look) => (process, all) =>
    choose(process).flatMap((each) =>
      [...(look(each, process, all) || [])].map(([detail, about]) => ({ ...each, detail, about })));
  const ours = every((process) => process.tasks.filter((each) => each.kind));
  const asked = every((process) => process.tasks.filter((each) => each.isAsked));
  const unasked = every((process) => process.tasks.filter((each) => each.kind && !each.isAsked));
  const records = every((process) => process.tasks.filter((each) => each.kind && forms[each.kind]['record.stage']));
  const others = every((process) => process.tasks.filter((each) => !each.kind));
  const whether = (is, detail = '', about = '') => (is ? [[detail, about]] : []);
  const topicsOfOthers = (process) => process.tasks.filter((each) => !each.kind).map((each) => each.topic);

  function* outside(process, all) {
    const seen = new Set([process.id]);
    for (const key of seen) {
      for (const caller of all) {
        for (const { called, caught } of caller.calls) {
          if (called !== key && !hasExpression(called)) continue;
          yield* caught;
          seen.add(caller.id);
        }
      }
    }
  }

  function answers(said) {
    try {
      return JSON.parse(said['data.questions']).flatMap(({ name }) => [name, `${name}_confidence`]);
    } catch {
      return []; // none, or in a file
    }
  }

  function misspeltKind({ values }) {
    return Object.entries(values).filter(([name, value]) =>
      closest(value.trim().toLowerCase(), words.kinds) &&
      (name === 'service.type' || closest(name.trim().toLowerCase(), ['service.type'])))[0];
  }

  const RULES = {
    'no-topic': ours(({ topic }) => whether(!topic.trim())),
    'not-external': (process) => {
      const known = process.tasks.map((each) => each.element);
      return process.elements.filter((each) => !known.includes(each)).flatMap((element) =>
        properties(element)
          .filter(({ inner }) => inner.name === 'service.type' && words.kinds.includes(inner.value))
          .map(({ inner }) => ({ element, detail: `it is a ${kind(element)}, and has service.type=${inner.value}` })));
    },
    'topic-of-others': ours(({ topic }, process) =>
      whether(topic.trim() && !hasExpression(topic) && topicsOfOthers(process).includes(topic), topic)),
    'topic-expression': ours(({ topic }) => whether(topic.trim() && hasExpression(topic), topic)),
    'topic-elsewhere': ours(({ topic }, process, all) =>
      whether(topic.trim() && !hasExpression(topic) && !topicsOfOthers(process).includes(topic) &&
        all.some((each) => each !== process && topicsOfOthers(each).includes(topic)), topic)),
    'no-question': asked(({ documentation, parameters }) => whether(!documentation && !parameters.includes('prompt'))),
    'no-assistant': asked(({ said, parameters }) =>
      whether(!said['service.name'] && !parameters.includes('assistant'), 'set service.name', 'service.name')),
    'wrong-value': ours((task) => task.wrong.map(([about, detail]) => [detail, about])),
    'loop-in-loop': asked(({ loops, kept }) => whether(loops > 1 && kept['data.output.scope'] !== 'local')),
    'record-topic': unasked(({ topic }, process) =>
      whether(process.tasks.some((each) => each.isAsked && each.topic === topic), topic)),
    'record-parts': records(({ kept }, process, all) => {
      const isHere = process.calls.every(({ called }) => all.some((each) => each.id === called));
      if (kept['record.scope'] === 'root' || !isHere || !kept['record.stage']) return [];
      const family = process.calls.length ? all : [process];
      const of = family.flatMap((each) => each.tasks)
        .filter((each) => each.isAsked && (each.said['record.id'] || '') === (kept['record.id'] || ''))
        .map((each) => each.said['record.part']);
      const given = entries(kept['record.given'] || '').map((each) => named(each)[0]);
      const missing = TABLE.parts[kept['record.stage']].filter((each) => ![...of, ...given].includes(each));
      return whether(missing.length, `no task has record.part=${missing.join(', ')}`, 'record.stage');
    }),
    'record-open': records(({ kept }, process) => {
      const closes = process.tasks.some((each) => each.kind && !each.isAsked &&
        each.said['record.stage'] === 'close' && (each.said['record.id'] || '') === (kept['record.id'] || ''));
      return whether(kept['record.stage'] === 'propose' && !closes, 'no task has record.stage=close', 'record.stage');
    }),
    'left-alone': others((task) => {
      const misspelt = misspeltKind(task);
      if (misspelt) return [[`${misspelt[0]} is ${quoted(misspelt[1])}, which is not read`, misspelt[0]]];
      if (!('service.type' in task.values) && task.parameters.includes('service.type'))
        return [['service.type is an input parameter, and only extension properties are read']];
      const further = Object.keys(task.values).some((each) => each !== 'service.name' && names.includes(each));
      const isMeant = task.said['service.name'] && !('service.type' in task.values) && further;
      return whether(isMeant, 'it has service.name, and no service.type', 'service.name');
    }),
    'unread-property': ours(({ values }) =>
      Object.keys(values)
        .filter((name) => isMeantForUs(name.trim().toLowerCase()) && !names.includes(name) && !name.startsWith('error.'))
        .map((name) => {
          const meant = name.trim().toLowerCase();
          const close = meant.startsWith('error.') ? meant : closest(meant, names);
          const shown = name === name.trim() ? name : quoted(name);
          return [close ? `${shown}; did you mean ${close}?` : shown, name];
        })),
    'repeated-property': ours(({ given, values }) =>
      Object.keys(values).filter((name) => given.filter((each) => each.name === name).length > 1)
        .map((name) => [`${name}, of which the last counts`, name])),
    'nameless-property': (process, all) =>
      every(({ tasks }) => tasks)(({ given }) => whether(given.some((each) => !each.name)))(process, all),
    'expression': ours(({ values, documentation, parameters, isAsked }) => [
      ...Object.entries(values)
        .filter(([name, value]) => hasExpression(value) && !isNamedBy(name) && names.includes(name))
        .map(([name, value]) => [`${name} is ${quoted(value)}`, name]),
      ...whether(isAsked && hasExpression(documentation) && !parameters.includes('prompt'),
        'its documentation; what is to be evaluated goes into an input parameter prompt'),
    ]),
    'odd-input': ours((task) =>
      inputs(task).filter((name) => /[ ;|\t\n]/.test(name) && !hasExpression(name))
        .map((name) => [`${quoted(name)}; separate names by commas`, task.isAsked ? 'data.input' : 'record.given'])),
    'overwritten-input': asked((task) => {
      const { said, element, wrong, loops } = task;
      if (wrong.length || loops || said['data.output.scope'] === 'local') return [];
      const result = output(said, element);
      const results = [result, `${result}_meta`, ...fields(said), ...answers(said)];
      const both = inputs(task).filter((each) => results.includes(each));
      return whether(both.length, both.join(', '), 'data.input');
    }),
    'uncaught-error': asked(({ kept, caught, loops }, process, all) => {
      const known = new Set([...caught, ...outside(process, all)]);
      const thrown = outcomes.map((each) => `error.${each}`).filter((name) => kept[name] && !known.has(kept[name]));
      const isUnread = loops > 1 && kept['data.output.scope'] !== 'local';
      return whether(thrown.length && !known.has('') && !isUnread,
        [...new Set(thrown.map((name) => kept[name]))].join(', '), thrown[0]);
    }),
    'no-async-after': ours(({ isAfter }) => whether(!isAfter, 'tick "Asynchronous continuations: After"')),
    'short-timer': ours(({ said, element }, process) => {
      const timeout = seconds(said['service.timeout'] || '');
      return process.timers[element.id].flatMap((event) => {
        const definition = (event.eventDefinitions || []).find((each) => kind(each) === 'TimerEventDefinition');
        const limit = seconds((definition?.timeDuration?.body || '').trim());
        const isShort = timeout !== null && limit !== null && limit < timeout;
        return whether(isShort, `${event.id} after ${limit} s, service.timeout is ${timeout} s`, 'service.timeout');
      });
    }),
    'not-executable': (process) =>
      process.tasks.some((each) => each.kind) && !process.element.isExecutable ? [process] : [],
    'no-time-to-live': (process) => (process.element.isExecutable && !process.timeToLive.trim() ? [process] : []),
  };

  // What bpmnlint wants of a plugin: each rule by itself, all of which it asks at once of a model that then may change.

  let latest;
  function known(definitions) {
    if (latest?.definitions !== definitions) {
      latest = { definitions, processes: read(definitions) };
      Promise.resolve().then(() => (latest = undefined));
    }
    return latest.processes;
  }

  function sentence(about, detail) {
    if (detail.startsWith('property ')) return `P${detail.slice(1)}`; // which says it all
    const said = /^an? /.test(about) ? `A${about.slice(1)}` : `Task ${about}`;
    return said + (detail && `: ${detail}`);
  }
  const factory = (id) => () => ({
    check(node, reporter) {
      if (node.$type !== 'bpmn:Definitions') return;
      const all = known(node);
      for (const { element, given, detail = '', about } of all.flatMap((process) => RULES[id](process, all))) {
        const message = sentence(TABLE.rules[id].about, detail);
        const path = about && given?.find((each) => each.name === about)?.path;
        reporter.report(element.id, message, ...(path ? [path] : []));
      }
    },
  });
  const ids = Object.keys(TABLE.rules);
  const levels = { error: 'error', warning: 'warn', note: 'info' };
  return {
    configs: { recommended: { rules: Object.fromEntries(ids.map((id) => [id, levels[TABLE.rules[id].level]])) } },
    rules: Object.fromEntries(ids.map((id) => [id, factory(id)])),
  };
})(/* TABLE */ {});

if (typeof module === 'object') module.exports = plugin;
else {
  // In Camunda Modeler's window, which reads no packages.
  (window.plugins = window.plugins || []).push({
    type: 'lintRules.bpmn',
    plugin: {
      config: { extends: 'plugin:assistant-worker/recommended' },
      resolver: {
        resolveConfig(of, name) {
          if (of === 'bpmnlint-plugin-assistant-worker' && plugin.configs[name]) return plugin.configs[name];
          throw new Error(`unknown config ${name} of ${of}`);
        },
        resolveRule(of, name) {
          if (of === 'bpmnlint-plugin-assistant-worker' && plugin.rules[name]) return plugin.rules[name];
          throw new Error(`unknown rule ${name} of ${of}`);
        },
      },
    },
  });
}
