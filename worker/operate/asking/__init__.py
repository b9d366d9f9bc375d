"""`assistant-worker ask`: one task's question as a worker would ask it, and on wish the answer, without an engine."""

import asyncio
import json
from argparse import Namespace
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast
from xml.etree.ElementTree import Element

from worker import settings
from worker.bootstrap.adapters import model_of, remembering
from worker.bootstrap.written import allowed, provider_specs, rules
from worker.documents import DocumentReader, FileShelf
from worker.domain import deployed
from worker.domain.providers import ProviderSpec
from worker.domain.tasks import Activity, Task, Variable, has_expression
from worker.domain.threads import BYTES_PER_TOKEN, Assistant, size
from worker.engine.definitions import extensions
from worker.errors import Permanent
from worker.operate.asking import alone
from worker.operate.commands import tables
from worker.operate.instances import variables
from worker.operate.lint.reading import File, Process, all_read, deployed_from
from worker.ports.providers import ThreadProvider
from worker.settings import Settings
from worker.specs import assistants
from worker.specs.assistants import Current, Specs
from worker.specs.deployed import Deployed
from worker.telemetry import logs
from worker.turn import verdict
from worker.turn.answering import Answering
from worker.turn.facts import TurnFacts
from worker.turn.fleet import Fleet
from worker.turn.request import Ground
from worker.turn.stops import Stopped
from worker.turn.task_turn import Held, Turn

UNANSWERED: Final = 1
BPMN_ERROR: Final = 4


@dataclass(frozen=True, slots=True)
class Step:
    """The task that is tried, with the file and the process that it stands in."""

    file: File
    process: Process
    activity: Activity
    task: Task


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was asked, of whom, and what became of it."""

    question: str
    assistant: Assistant
    verdict: verdict.Verdict | None
    reads: int


def ask(options: Namespace) -> int:
    """Show what a task would ask, and ask it unless that is not wished. Returns the exit code; raises Permanent."""
    given = variables.read(options.variables) if options.variables is not None else {}
    step = _step(options, given)
    chosen = settings.read()
    logs.configure("console", "CRITICAL")  # what happens is printed
    known = _providers(chosen, is_needed=not options.dry_run)
    specs = assistants.load(options.assistants or chosen.assistants_dir, known)
    if options.dry_run or known is None:  # whom it would ask need not be known
        may_ask = deployed.allowed(chosen.deployed_assistants)
        names = alone.names({provider for provider, _ in may_ask.models}, specs)
        known = {name: ProviderSpec(name) for name in names} | dict(known or {})
    else:
        may_ask = allowed(chosen, known)
    found = asyncio.run(_taken(step, chosen, known, specs, may_ask, is_asked=not options.dry_run))
    return _tell(found, chosen, as_json=options.json)


def _providers(chosen: Settings, *, is_needed: bool) -> Mapping[str, ProviderSpec] | None:
    """Read who answers; to show a question it does without, where keys are not at hand."""
    try:
        return provider_specs(chosen)
    except Permanent as exc:
        if is_needed:
            raise
        for line in (
            "Shown as for providers of texts, as what is said of them cannot be read:",
            *str(exc).splitlines(),
        ):
            tables.complain(line)
        return None


def _step(options: Namespace, given: Mapping[str, Variable]) -> Step:
    """Find the task in its file. Raises Permanent where there is none of this id that asks an assistant."""
    path, id_ = options.file, options.task
    models = all_read([path], deployed_from(options.folder))
    for file in models:
        for process in file.processes:
            activity = process.definition.activities.get(id_)
            if activity is not None and activity.is_for_assistant:
                element = next(each for each in process.element.iter() if each.get("id") == id_)
                seen = _with_parameters(element, given)
                return Step(file, process, activity, _task(activity, process, seen, options.business_key))
    tasks = [
        each.id
        for file in models
        for process in file.processes
        for each in process.definition.activities.values()
        if each.is_for_assistant
    ]
    there = f"those that do are {', '.join(tasks)}" if tasks else "there is none that does"
    raise Permanent(f"{path} has no task {id_} that asks an assistant: {there}")


def _with_parameters(element: Element, given: Mapping[str, Variable]) -> Mapping[str, Variable]:
    """Add the task's input parameters that are fixed texts, which hide variables. Others engines alone evaluate."""
    found = dict(given)
    for each in extensions(element, "inputOutput", "inputParameter"):
        name, text = each.get("name", ""), (each.text or "").strip()
        if not len(each) and not has_expression(text):
            found[name] = Variable(text, "String") if text else Variable(None, "Null")  # as engines take it
        elif name not in given:
            raise Permanent(
                f"the input parameter {name} is evaluated by engines alone: give what it comes to in --variables"
            )
    return found


def _task(activity: Activity, process: Process, variables_: Mapping[str, Variable], business_key: str | None) -> Task:
    """Make the task as it would be fetched."""
    return Task(
        id="tried",
        topic=activity.topic,
        activity_id=activity.id,
        process_instance_id="tried",
        process_definition_id=process.key,
        process_definition_key=process.key,
        execution_id="tried",
        created_at=datetime.now(UTC),
        fetched_at=0.0,
        business_key=business_key,
        variables=variables_,
    )


async def _taken(
    step: Step,
    chosen: Settings,
    known: Mapping[str, ProviderSpec],
    specs: Specs,
    may_ask: deployed.Allowed,
    *,
    is_asked: bool,
) -> Outcome:
    """Take the turn as a worker does, on a thread on which nothing was said."""
    engine = alone.FileEngine(step.process.definition, step.file.folder, step.task.variables).as_port()
    threads, nobody = alone.OneThread(), alone.Nobody()
    stopped = Stopped(nobody.as_book())
    await stopped.look()
    async with AsyncExitStack() as stack:
        recorders: dict[str, alone.Recorder] = {}
        providers: dict[str, ThreadProvider] = {}
        for name, spec in known.items():
            model = await model_of(spec, stack) if is_asked else None
            recorders[name] = alone.Recorder(model)
            providers[name] = remembering(spec, recorders[name], threads)
        ground = Ground(
            threads.as_port(),
            rules(chosen),
            lambda: False,
            lambda _: None,
            lambda _, __: None,
            lambda _: None,
            alone.later,
            stopped,
            Fleet(nobody.as_presence(), lambda: specs.versions),
            DocumentReader(),
            stack.enter_context(closing(FileShelf(DocumentReader()))),
            history=alone.NoHistory(),
            prices={name: spec.prices for name, spec in known.items()},
        )
        brought = Deployed(engine.resource, may_ask, known)
        plain = alone.Plain(Current(specs, brought))
        nothing = cast("Any", None)  # the task makes no record, and approves nothing
        turn = Turn(engine, Answering(providers, ground), plain, ground, nothing, nothing)
        facts = TurnFacts(step.activity.label)
        taken = await turn.take(step.task, facts)
    asked = [each for recorder in recorders.values() for each in recorder.asked]
    if not asked:
        raise Permanent(f"it would not be asked: {facts.error or taken}")
    question, assistant = asked[-1] if is_asked else asked[0]
    is_shown = isinstance(facts.error, alone.Shown) or isinstance(taken, Held)
    return Outcome(question, assistant, None if is_shown else cast("verdict.Verdict", taken), facts.reads)


def _tell(found: Outcome, chosen: Settings, *, as_json: bool) -> int:
    tokens, said = size(found.question) // BYTES_PER_TOKEN + 1, found.verdict
    assistant = found.assistant
    code, words = 0, ""
    values: Mapping[str, Variable] = {}
    match said:
        case verdict.Complete(variables=whole, local=local):
            values = {**whole, **local}
        case verdict.BpmnError(code=thrown, message=message, variables=with_it):
            code, words, values = BPMN_ERROR, f"It throws the BPMN error {thrown}: {message}", with_it
        case verdict.Fail(message=message):
            code, words = UNANSWERED, f"It fails: {message}"
        case None:
            pass
        case other:
            code, words = UNANSWERED, f"It is not answered now: {other.reason}"
    if as_json:
        tables.as_json(
            {
                "assistant": f"{assistant.name} {assistant.version}",
                "provider": assistant.provider,
                "model": assistant.model,
                "instructions": assistant.told,
                "question": found.question,
                "tokens": tokens,
                "input_tokens": chosen.input_tokens,
                "reads": found.reads,
                "schema": assistant.output_schema,
                "said": words,
                "variables": {name: {"type": each.type, "value": each.value} for name, each in values.items()},
            }
        )
        return code
    tables.say(found.question)
    if assistant.looked_up:
        tables.say(f"\n{assistant.looked_up}")
    tables.complain(
        f"As on an empty thread, to {assistant.name} {assistant.version} ({assistant.provider}, {assistant.model}): "
        f"about {tokens} tokens, of {chosen.input_tokens} that INPUT_TOKENS allows its inputs; with instructions and "
        f"form {found.reads} at most."
    )
    if values:
        tables.say("")
        rows = [(name, each.type, _shown(each)) for name, each in values.items()]
        tables.show(["variable", "type", "value"], rows, "")
    if words:
        tables.complain(words)
    return code


def _shown(variable: Variable) -> str:
    value: Any = variable.value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
