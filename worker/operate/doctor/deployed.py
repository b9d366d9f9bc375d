"""The deployed models: which topics they come to, and whether each task for an assistant could be answered."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from worker.domain import deployed
from worker.domain.providers import ProviderSpec
from worker.domain.tasks import Activity, Definition, has_expression
from worker.engine import RestEngine, Survey
from worker.engine.topics import READS_AT_ONCE, Usage, relevant, survey
from worker.engine.wire import Deployed
from worker.errors import BadDefinition, Conflict, ReadRefused, TaskLost, Unanswered, WorkerError
from worker.operate.doctor.checks import Check, Contact, Finding, Level
from worker.operate.doctor.engine import reached
from worker.operate.models import approvals, calls, files, records, rules, tasks
from worker.operate.models.rules import DEPLOY, Fault, Rule
from worker.settings import Settings
from worker.specs.assistants import Specs
from worker.specs.deployed import Deployed as Brought

AREA = "deployed models"
_UNREAD = (
    "Deploy it again as well-formed XML; where it is too large, make processes of their own of its sub-processes; "
    "where the engine refuses it, do as its words say."
)
_NOTHING = "Deploy a model whose external tasks have the property service.type=assistant; see also the rights above."


@dataclass(slots=True)
class Models:
    """What is deployed and counts: latest versions, and older ones with running instances.

    `files` has what is wrong with those that tasks name, by definition, property and name: a fault, or a text that says
    why nobody can know it.
    """

    labels: Mapping[str, str]
    keys: Mapping[str, str]
    definitions: dict[str, Definition] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    files: dict[tuple[str, str, str], Fault | str] = field(default_factory=dict)
    tenants: Mapping[str, str | None] = field(default_factory=dict)

    def calls(self) -> calls.Calls:
        """Return which of them call which."""
        return calls.Calls((self.keys[id_], each) for id_, each in self.definitions.items())

    def family(self, id_: str, record: Activity) -> Sequence[Definition]:
        """Return the definitions whose answers a record may gather: its own, and any where processes call others."""
        return calls.family(record, self.definitions[id_], list(self.definitions.values()))

    @property
    def usages(self) -> dict[str, Usage]:
        """Who uses which topics, by definition."""
        usages = {id_: Usage.of(each) for id_, each in self.definitions.items()}
        return usages | {id_: Usage(unreadable=reason) for id_, reason in self.unreadable.items()}


def checks(
    engine: RestEngine,
    contact: Contact,
    specs: Specs | None,
    settings: Settings,
    providers: Mapping[str, ProviderSpec] | None,
) -> list[Check]:
    """Return the one check of the models."""
    weighing = frozenset(name for name, each in (providers or {}).items() if each.weighs)

    async def examined() -> list[Finding]:
        await reached(contact)
        models = await read(engine)
        taken = await brought(models, engine, settings, providers)
        usages = models.usages
        look = survey(usages)
        about_topics = given(settings.topics, look, usages, models.labels) if settings.topics else found(look, models)
        return [
            *about_topics,
            *_unread(models, settings.topics),
            *judged(models, specs, weighing),
            *taken,
            *_unkept(models, settings),
        ]

    return [Check(AREA, "topics, tasks", examined)]


async def read(engine: RestEngine) -> Models:
    """Read every definition that counts, a few at a time. Raises EngineDown."""
    deployed = {each.id: each for each in await engine.deployed()}
    ids = relevant(deployed.values())
    models = Models(
        {id_: _label(deployed[id_]) for id_ in ids},
        {id_: deployed[id_].key for id_ in ids},
        tenants={id_: deployed[id_].tenant_id for id_ in ids},
    )
    places = asyncio.Semaphore(READS_AT_ONCE)

    async def read_one(id_: str) -> None:
        async with places:
            try:
                models.definitions[id_] = definition = await engine.definition(id_)
                for kind, name in {each for task in _ours(definition) for each in files.named(task)}:
                    if (fault := await _fault_of_file(engine, id_, kind, name)) is not None:
                        models.files[id_, kind, name] = fault
            except (BadDefinition, Conflict, ReadRefused, Unanswered) as exc:
                models.unreadable[id_] = str(exc)
            except TaskLost:
                return  # deleted meanwhile
            except WorkerError:
                raise
            except Exception as exc:  # noqa: BLE001 - the others are to be looked at all the same
                models.unreadable[id_] = f"definition {id_} cannot be read: an unforeseen {type(exc).__name__}"

    await asyncio.gather(*map(read_one, ids))
    return models


def _ours(definition: Definition) -> Iterator[Activity]:
    return (each for each in definition.activities.values() if each.is_ours)


_LEVELS: Mapping[rules.Level, Level] = {
    rules.Level.ERROR: Level.PROBLEM,
    rules.Level.WARNING: Level.WARNING,
    rules.Level.NOTE: Level.UNKNOWN,
}


async def _fault_of_file(engine: RestEngine, id_: str, kind: str, name: str) -> Fault | str | None:
    """Say what is wrong with a file, or in a text why nobody can know it. None where all is right."""
    try:
        text = await engine.resource(id_, name)
    except BadDefinition as exc:
        return tasks.of_file(str(exc), kind, Rule.MISSING_FILE)
    except WorkerError as exc:
        return str(exc)
    try:
        # Beside the loop: while a large schema is read, the other checks' seconds would run out.
        await asyncio.to_thread(files.check, kind, text, f"the resource {name!r} in property {kind}")
    except BadDefinition as exc:
        return tasks.of_file(str(exc), kind, Rule.BAD_FILE)
    return None


async def brought(
    models: Models, engine: RestEngine, settings: Settings, providers: Mapping[str, ProviderSpec] | None
) -> list[Finding]:
    """Read the assistants that came with processes, as the worker does. Without providers nobody knows who they are."""
    finder = Brought(engine.resource, deployed.allowed(settings.deployed_assistants), providers or {})
    named = {
        (id_, name)
        for id_, definition in models.definitions.items()
        for task in _ours(definition)
        if files.spec(task) and (name := deployed.named(task.said(files.SPEC), task.process))
    }
    rows = []
    for id_, name in sorted(named) if providers is not None else ():
        subject = f"{models.labels[id_]}: {name}"
        try:
            found = await finder.find(name, id_, models.tenants[id_])
        except BadDefinition as exc:
            rows.append(_finding(subject, Level.PROBLEM, f"{exc}; an incident when it is reached", DEPLOY))
        except WorkerError as exc:
            rows.append(_finding(subject, Level.UNKNOWN, str(exc)))
        else:
            chain = ", then ".join(f"{provider}/{model}" for provider, model in found.chain)
            said = f"version {found.version}, asks {chain}, {found.max_output_tokens} tokens an answer at most"
            rows.append(_finding(subject, Level.OK, said))
    return rows


def _label(definition: Deployed) -> str:
    tenant = f" of tenant {definition.tenant_id}" if definition.tenant_id else ""
    return f"{definition.key} version {definition.version}{tenant}"


def found(look: Survey, models: Models) -> Iterator[Finding]:
    """Judge the topics that the worker finds by itself."""
    for each in look.not_served:
        if each.topic:
            subject = f"{models.labels[each.definition_id]}, topic {each.topic}"
            advice = "Correct the model and deploy it. The worker leaves these tasks alone."
            yield _finding(subject, Level.PROBLEM, f"not served: {each.reason}", advice)
    for topic in look.topics:
        names = ", ".join(models.labels[id_] for id_ in topic.definitions)
        shared = f"shared with other workers; polled for {names} only" if names else "polled for every definition"
        yield _finding(f"topic {topic.name}", Level.OK, shared)
    if not look.definitions:
        yield _finding("topics", Level.WARNING, "no deployed task is for an assistant", _NOTHING)


def given(
    names: tuple[str, ...], look: Survey, usages: Mapping[str, Usage], labels: Mapping[str, str]
) -> Iterator[Finding]:
    """Judge the topics that TOPICS names: every task on them is taken for ours."""
    for name in names:
        others = sorted(labels[id_] for id_, usage in usages.items() if name in usage.others)
        if others:
            said = f"in TOPICS, but tasks of {', '.join(others)} use it that are not for assistants: they would fail"
            advice = (
                "Leave TOPICS empty, so that the worker finds out what is its own, or give ours a topic of their own."
            )
            yield _finding(f"topic {name}", Level.PROBLEM, said, advice)
        elif any(name in usage.ours for usage in usages.values()):
            yield _finding(f"topic {name}", Level.OK, "in TOPICS; polled for every definition")
        else:
            yield _finding(
                f"topic {name}", Level.WARNING, "in TOPICS, but no deployed task for an assistant uses it", _NOTHING
            )
    for id_ in look.definitions:
        for topic in sorted(usages[id_].ours.difference(names)):
            yield _left_out(labels[id_], topic)


def _left_out(label: str, topic: str) -> Finding:
    if has_expression(topic):
        said = "an expression: whether TOPICS names what comes of it shows only when the task is reached"
        return _finding(f"{label}, topic {topic}", Level.UNKNOWN, said)
    advice = "Add it to TOPICS, unless another worker serves it."
    return _finding(f"{label}, topic {topic}", Level.WARNING, "has tasks for assistants, but is not in TOPICS", advice)


def _unread(models: Models, given: Sequence[str]) -> Iterator[Finding]:
    # Whatever comes on a topic that is given is taken for ours, and then nobody can tell what it wants.
    fate = (
        "its tasks on TOPICS, if any, become incidents" if given else "its tasks for assistants, if any, are left alone"
    )
    for id_, reason in sorted(models.unreadable.items()):
        yield _finding(models.labels[id_], Level.WARNING, f"{reason}; {fate}", _UNREAD)


def judged(models: Models, specs: Specs | None, weighing: frozenset[str]) -> Iterator[Finding]:
    """Judge each task; those of one definition with the same fault share a row. `weighing`: providers that do."""
    count = 0
    rows: defaultdict[tuple[str, Fault | str], list[str]] = defaultdict(list)
    callers = models.calls()
    for id_, definition in sorted(models.definitions.items()):
        outside = callers.caught_outside(models.keys[id_])
        for activity in definition.activities.values():
            count += activity.is_ours
            ours = activity.is_ours
            if activity.is_record:
                look = records.faults(activity, definition, models.family(id_, activity))
            elif activity.is_approval:
                look = approvals.faults(activity, definition)
            else:
                look = tasks.faults(activity, specs, outside, weighing) if ours else tasks.strange(activity, specs)
            named = [models.files.get((id_, *each)) for each in files.named(activity)] if ours else []
            faults: list[Fault | str] = [
                *look,
                *tasks.nameless(activity),
                *(each for each in named if each is not None),
            ]
            for fault in faults:
                rows[models.labels[id_], fault].append(activity.id)
    for (label, fault), activities in rows.items():
        subject = f"{label}: {', '.join(activities)}"
        if isinstance(fault, str):
            yield _finding(subject, Level.UNKNOWN, fault)
        else:
            yield _finding(subject, _LEVELS[fault.level], fault.said, fault.advice)
    if count and specs is None:
        yield _finding("assistants of the tasks", Level.UNKNOWN, "the specs cannot be loaded")
    if count and not rows:
        yield _finding("tasks", Level.OK, f"{count} for assistants, each with all that it needs")


def _unkept(models: Models, settings: Settings) -> Iterator[Finding]:
    """Say what records lack that no model can give them."""
    if not any(each.is_record for one in models.definitions.values() for each in one.activities.values()):
        return
    if not settings.keeps_transcript:
        advice = "Set TRANSCRIPT_URL to a database."
        yield _finding("decision records", Level.PROBLEM, "there is no database to keep them in", advice)
    if find_spec("numpy") is None:
        advice = "Install the worker with its extra: pip install 'assistant-worker[decisions]'."
        yield _finding(
            "decision records", Level.PROBLEM, "numpy, which they are computed with, is not installed", advice
        )


def _finding(subject: str, level: Level, said: str, advice: str = "") -> Finding:
    return Finding(AREA, subject, level, said, advice)
