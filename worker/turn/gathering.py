"""What was said for a decision's record: out of the engine's history, or of what its variables are now without one."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from worker.decisions import hashing
from worker.decisions.items import Item, judge_ids
from worker.domain import foreign
from worker.domain.evidence import COMPLETE, Completion, Operation, PersonsTask, Value
from worker.domain.tasks import META_SUFFIX, Activity, Task
from worker.errors import BadRecord, TaskLost
from worker.modelling import properties
from worker.modelling.properties import RecordProperties
from worker.ports.decisions import DecisionSources
from worker.ports.engine import Engine
from worker.runtime.beside import beside_if

LARGEST_PART: Final = 4_000_000
"""Bytes of a file that holds a part."""
LARGE: Final = 30_000
"""Characters of JSON that take more than a few milliseconds to read, and to hash."""
LARGEST_NUMBER: Final = 2**53
_SCORES: Final = "scores"
LONGEST_FACT: Final = 500
"""Characters of one; anybody may write a variable that looks like a result's meta."""
MOST_FILES: Final = 20
"""Names of files that are taken from a meta."""
_FACTS: Final = (
    *("assistant", "version", "instructions", "provider", "model", "thread", "generation", "response"),
    *("attempt", "question", "answer"),
)
"""What a result's meta knows of its origin."""
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)

_Mark: TypeAlias = tuple[str, str, str]
"""By which copies of an answer are known: its variable's name, the task that was answered, and the value."""


@dataclass(frozen=True, slots=True)
class Part:
    """An activity whose answers are one part of the record."""

    activity: Activity
    name: str
    output: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that was said, and what else is needed to judge what became of it.

    `tasks` names the activities that are to bring each part. `records` are passages of the tasks that make this record,
    by their stage. `absent` counts judges of the last run of a panel who brought nothing. `has_past`: the engine has a
    history of every value. Parts that are `completed` were brought by a task that the engine has taken.
    """

    instances: Sequence[str]
    items: Sequence[Item]
    tasks: Mapping[str, Sequence[str]]
    records: Sequence[tuple[str, str, Completion]] = ()
    absent: int = 0
    has_past: bool = True
    completed: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Past:
    """What persons did in one instance."""

    tasks: Mapping[str, PersonsTask]
    operations: Mapping[str, Operation]


@dataclass(frozen=True, slots=True)
class _Said:
    """A value of a part with its source, before judges have their ids. `judge` is empty but for scores."""

    part: str
    value: Any
    source: Mapping[str, Any]
    judge: str = ""
    run: tuple[str, ...] = field(default=(), compare=False)


class Gathering:
    """Gathers it. Every method may raise what `Engine` and `DecisionSources` raise."""

    def __init__(self, engine: Engine, sources: DecisionSources) -> None:
        self._engine = engine
        self._sources = sources

    async def gather(self, task: Task, wanted: RecordProperties) -> Gathered:
        """Gather what was said in the record's instance, and in those that it called. Raises BadRecord."""
        own = task.process_instance_id
        scope = await self._engine.root_instance(own) if wanted.is_of_root else own
        calls = await self._sources.called(scope)
        # Its own as well: where the engine does not tell who called whom it would not be among those below the root.
        instances = list(dict.fromkeys([scope, *(each.id for each in calls.called), own]))
        # This task was created, so a history that knows nothing of it is of a level below full, or hidden from us.
        if not await self._sources.remembers(task.id):
            definitions = {each.id: each.definition_id for each in calls.called}
            if scope != own and (process := await self._sources.instance(scope)) is not None:
                definitions[scope] = process.definition_id
            return await self._as_of_now(wanted, instances, {**definitions, own: task.process_definition_id}, own)
        done = [each for instance in instances for each in await self._sources.completions(instance)]
        done.sort(key=lambda each: each.at)
        known = await self._activities({task.process_definition_id, *(each.definition for each in done)})
        parts = _parts(known, wanted.name)
        said, absent = list[_Said](), 0
        for instance in instances:
            mine = [each for each in done if each.instance == instance]
            found, missing = await self._of_instance(instance, mine, parts)
            said, absent = said + found, absent + missing
            said += await self._given(instance, wanted.given, {each.activity_instance for each in done})
        records = list(_records(done, known, wanted.name))
        places = ((each.definition, each.activity) for each in done)
        completed = frozenset(parts[place].name for place in places if place in parts)
        return Gathered(instances, _items(said), _tasks(parts.values()), records, absent, completed=completed)

    async def _activities(self, definitions: Iterable[str]) -> dict[tuple[str, str], tuple[Activity, str]]:
        """Read the activities of definitions, each with the name of its result."""
        found = dict[tuple[str, str], tuple[Activity, str]]()
        for each in sorted(definitions):
            with suppress(TaskLost):  # deleted with all that it had
                definition = await self._engine.definition(each)
                for activity in definition.activities.values():
                    output = properties.output_name(activity.id, activity.properties, definition)
                    found[each, activity.id] = activity, output
        return found

    async def _of_instance(
        self, instance: str, done: Sequence[Completion], parts: Mapping[tuple[str, str], Part]
    ) -> tuple[list[_Said], int]:
        """Return what was said in one instance, and how many judges of a panel's last run said nothing."""
        mine = {each.activity_instance: each for each in done if (each.definition, each.activity) in parts}
        by_output = defaultdict[str, list[Part]](list)
        for each in mine.values():
            part = parts[each.definition, each.activity]
            if part not in by_output[part.output]:
                by_output[part.output].append(part)
        values = {output: await self._sources.values(instance, output) for output in by_output}
        past = await self._past(instance)
        said, absent = list[_Said](), 0
        for output, found in values.items():
            runs = {each.activity.id: await self._runs(instance, each) for each in by_output[output]}
            said += await self._of_output(found, mine, parts, past, runs)
            absent += sum(_absent(each, mine) for each in runs.values())
        return said, absent

    async def _past(self, instance: str) -> _Past:
        """Read who did what. After the values, so that whoever has written one is among them."""
        tasks = {each.activity_instance: each for each in await self._sources.persons_tasks(instance)}
        return _Past(tasks, await self._sources.operations(instance))

    async def _given(self, instance: str, given: Mapping[str, str], passages: Collection[str]) -> list[_Said]:
        """Read parts that others write. What came with completions of external tasks is no doing of theirs.

        A variable that was emptied is not set. Raises BadRecord if what it is last is no part; before, that is nothing.
        """
        found = dict[str, list[Value]]()
        for part, variable in given.items():
            values = [
                each
                for each in await self._sources.values(instance, variable)
                if each.name == variable and each.activity_instance not in passages
            ]
            if values and not _is_empty(values[-1]):
                found[part] = values
        if not found:
            return []
        past, said = await self._past(instance), list[_Said]()
        for part, values in found.items():
            variable = given[part]
            judge = variable if part == _SCORES else ""
            where = f"the variable {variable}, which record.given names,"
            for value in values:
                read = await self._tried(value, where, is_last=value is values[-1])
                if read is not None and (not said or (said[-1].part, said[-1].value) != (part, read)):
                    said.append(_Said(part, read, _of_others(value, past), judge))
        return said

    async def _runs(self, instance: str, part: Part) -> Mapping[str, str]:
        return await self._sources.panel(instance, part.activity.id) if part.activity.loops else {}

    async def _of_output(
        self,
        values: Sequence[Value],
        mine: Mapping[str, Completion],
        parts: Mapping[tuple[str, str], Part],
        past: _Past,
        runs: Mapping[str, Mapping[str, str]],
    ) -> list[_Said]:
        """Sort the values of one result: answers, edits of persons, and what was written otherwise."""
        metas = {(each.name, each.activity_instance): each.value for each in values if each.name.endswith(META_SUFFIX)}
        results = [each for each in values if not each.name.endswith(META_SUFFIX)]
        answers = _answers(results, mine)
        newest = {each.name: each for each in results}
        said, latest = list[_Said](), dict[str, _Said]()
        for value in results:
            is_last = newest[value.name] is value
            answer, before = answers.get((value.name, value.activity_instance)), latest.get(value.name)
            if answer is value:
                done = mine[value.activity_instance]
                part = parts[done.definition, done.activity]
                meta = _meta(metas.get((value.name + META_SUFFIX, value.activity_instance)))
                source = _of_turn(done, value, meta)
                run = runs.get(done.activity, {}).get(done.activity_instance, "")
                judge = _judge(part, meta)
                read = await self._read(value, part.activity, is_last=is_last)
                new = _Said(part.name, read, source, judge, (part.activity.id, run))
            elif before is None or (answer is not None and answer.operation == value.operation):
                continue  # what stood in this name before anything was said, or the answer once more, by a mapping
            else:
                read = await self._changed(value, past, before, is_last=is_last)
                if read is None:
                    continue
                new = replace(before, value=read, source=_of_others(value, past))
            if before is None or new.value != before.value or new.source["of"] == "turn":
                latest[value.name] = new
                if read is not None:
                    said.append(new)
        return _of_last_runs(_numbered(said))

    async def _read(self, value: Value, activity: Activity, *, is_last: bool = True) -> Any:
        """Read an answer; None if that is no part at all, and something else has come in its place."""
        return await self._tried(value, f"the answer of {activity.label} in the variable {value.name}", is_last=is_last)

    async def _changed(self, value: Value, past: _Past, before: _Said, *, is_last: bool) -> Any:
        """Read what others have written in place of an answer; None if that is no part at all.

        Raises BadRecord if it stands there still, and a person signed it. Who empties a variable says nothing.
        """
        if _is_empty(value):
            return None
        task = past.tasks.get(value.activity_instance)
        where = f"what {task.activity if task else 'somebody'} has made of {before.part} in the variable {value.name}"
        return await self._tried(value, where, is_last=is_last and _of_others(value, past)["of"] == "person")

    async def _tried(self, value: Value, where: str, *, is_last: bool) -> Any:
        """Read a part; None for what is none. Raises BadRecord if it is the last value, which has to be one."""
        try:
            return await _parsed(await self._text(value), where)
        except BadRecord:
            if is_last:
                raise
            return None

    async def _text(self, value: Value) -> str | bytes | None:
        if value.value is None and value.type in {"File", "Bytes"}:
            return await self._sources.content(value, LARGEST_PART)
        return value.value if isinstance(value.value, str) else None

    async def _as_of_now(
        self, wanted: RecordProperties, instances: Sequence[str], definitions: Mapping[str, str], own: str
    ) -> Gathered:
        """Take what the variables are now: whose they are, their meta alone says. `own` is the task's instance."""
        known = await self._activities({each for each in definitions.values() if each})
        parts = _parts(known, wanted.name)
        # Nobody can tell which was written last: the task's own instance counts before the record's, and that before
        # those that were called, of which some are over and have what was handed to them long ago. The last one counts.
        nearer = sorted(instances, key=lambda each: (each == own, each == instances[0]))
        gathered = await self._that_stand(instances, nearer, definitions, parts)
        for instance in nearer:
            gathered += await self._given(instance, wanted.given, ())
        passages = [
            Completion("", instance, activity, "", definition, _LONG_AGO)
            for instance in nearer
            for definition, activity in known
            if definitions.get(instance) == definition
        ]
        records = list(_records(passages, known, wanted.name))
        return Gathered(instances, _items(gathered), _tasks(parts.values()), records, has_past=False)

    async def _that_stand(
        self,
        instances: Sequence[str],
        nearer: Sequence[str],
        definitions: Mapping[str, str],
        parts: Mapping[tuple[str, str], Part],
    ) -> list[_Said]:
        """Read what results are now, each answer once; those of the last of `nearer` come last."""
        copies = list[tuple[bool, str, _Mark, _Said]]()
        for instance in nearer:
            for (definition, _), part in parts.items():
                is_own = definitions.get(instance) == definition
                found = await self._that_stands(instance, definition, part)
                copies += [(is_own, instance, mark, said) for mark, said in found]
        # Where it was said first: mappings hand values on, up and down, and with their meta they say who said them.
        first = dict[_Mark, _Said]()
        for _, _, mark, said in sorted(copies, key=lambda copy: (not copy[0], instances.index(copy[1]))):
            first.setdefault(mark, said)
        places = {mark: place for place, (_, _, mark, _) in enumerate(copies)}
        return [first[mark] for mark in sorted(places, key=lambda mark: places[mark])]

    async def _that_stands(self, instance: str, definition: str, part: Part) -> list[tuple[_Mark, _Said]]:
        """Read what one result is now in one instance. Raises BadRecord if nobody can tell who said it."""
        marks, said = list[_Mark](), list[_Said]()
        for value, meta in _paired(await self._sources.values(instance, part.output), part):
            source = _of_turn(_as_completed(part, instance, definition, meta), value, meta)
            said.append(_Said(part.name, await self._read(value, part.activity), source, _judge(part, meta)))
            marks.append((value.name, str(meta.get("task") or instance), str(value.value)))
        return list(zip(marks, _numbered(said), strict=True))


def _parts(known: Mapping[tuple[str, str], tuple[Activity, str]], record: str) -> dict[tuple[str, str], Part]:
    return {
        place: Part(activity, part, output)
        for place, (activity, output) in known.items()
        if activity.is_for_assistant and (part := activity.said("record.part")) and activity.said("record.id") == record
    }


def _tasks(parts: Iterable[Part]) -> dict[str, list[str]]:
    found = defaultdict[str, list[str]](list)
    for each in parts:
        found[each.name].append(each.activity.id)
    return found


def _records(
    done: Iterable[Completion], known: Mapping[tuple[str, str], tuple[Activity, str]], name: str
) -> Iterable[tuple[str, str, Completion]]:
    """Find the passages of tasks that made this record, each with its stage and the name of its result."""
    for each in done:
        activity, output = known.get((each.definition, each.activity), (None, ""))
        if activity is not None and activity.is_record and activity.said("record.id") == name:
            yield activity.said("record.stage"), output, each


def _judge(part: Part, meta: Mapping[str, Any]) -> str:
    return str(meta.get("assistant") or part.activity.id) if part.name == _SCORES else ""


def _answers(results: Sequence[Value], mine: Mapping[str, Completion]) -> dict[tuple[str, str], Value]:
    """Find the values that came with completions: the last ones until then, for somebody may have written before."""
    return {
        # In the order of time: the last one stays.
        (each.name, each.activity_instance): each
        for each in results
        if (done := mine.get(each.activity_instance)) is not None and (each.at or _LONG_AGO) <= done.at
    }


def _numbered(said: Sequence[_Said]) -> list[_Said]:
    """Tell judges of one run apart who are the same assistant, by the names that their answers went into."""
    per_run = defaultdict[tuple[str, ...], dict[str, set[str]]](lambda: defaultdict(set))
    for each in said:
        if each.source["of"] == "turn":
            per_run[each.run][each.judge].add(each.source["variable"])
    if not any(len(names) > 1 for judges in per_run.values() for names in judges.values()):
        return list(said)
    return [replace(each, judge=f"{each.judge} {each.source['variable']}" if each.judge else "") for each in said]


def _absent(runs: Mapping[str, str], mine: Mapping[str, Completion]) -> int:
    """Count the passages of a loop's last run that the engine has taken no answer of."""
    last = next((runs[each] for each in reversed(list(mine)) if each in runs), None)
    return sum(run == last and passage not in mine for passage, run in runs.items())


def _of_last_runs(said: Sequence[_Said]) -> list[_Said]:
    """Leave out judges who have not answered in the last run of their panel: it is another panel now."""
    last = {each.run[0]: each.run for each in said if each.run and each.run[-1] and each.source["of"] == "turn"}
    sitting = {(each.run[0], each.judge) for each in said if each.run and each.run == last.get(each.run[0])}
    return [each for each in said if not (each.run and each.run[0] in last) or (each.run[0], each.judge) in sitting]


def _items(said: Sequence[_Said]) -> list[Item]:
    ids = judge_ids(each.judge for each in said if each.judge)
    return [Item(each.part, each.value, each.source, ids.get(each.judge, "")) for each in said]


def _of_turn(done: Completion, value: Value, meta: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: meta[name] for name in _FACTS if _is_fact(meta.get(name))}
    tokens = meta.get("tokens")
    if isinstance(tokens, dict):
        known["tokens"] = {str(name)[:20]: count for name, count in tokens.items() if _is_count(count)}
    if isinstance(files := meta.get("files"), list):
        known["files"] = [each for each in files if isinstance(each, str) and _is_fact(each)][:MOST_FILES]
    place = {"instance": done.instance, "activity": done.activity, "definition": done.definition, "task": done.task}
    if done.activity_instance:
        place["activity_instance"] = done.activity_instance
    return {"of": "turn", "at": _said_at(done.at), "variable": value.name, **place, **known}


def _of_others(value: Value, past: _Past) -> dict[str, Any]:
    """Say who has written a value that is no answer: a person by a form, or somebody by the engine's API."""
    operation, task = past.operations.get(value.operation), past.tasks.get(value.activity_instance)
    source = {"at": _said_at(value.at or _LONG_AGO), "variable": value.name, "instance": value.instance}
    if operation is not None:
        source |= {"user": operation.user}
    # By another operation somebody has set it by hand while the task was open: its form has not said that.
    if task is not None and (operation is None or operation.kind == COMPLETE):
        identity = "unproven" if operation is None else "operation_log"
        return {"of": "person", "task": task.id, "activity": task.activity, "identity": identity, **source}
    return {"of": "variable", "revision": value.id, **source}


def _as_completed(part: Part, instance: str, definition: str, meta: Mapping[str, Any]) -> Completion:
    at = _LONG_AGO
    with suppress(ValueError, TypeError):
        at = datetime.fromisoformat(str(meta.get("at")))
    task, passage = (str(meta.get(name) or "") for name in ("task", "activity_instance"))
    return Completion(task, instance, part.activity.id, passage, definition, at if at.tzinfo else _LONG_AGO)


def _paired(values: Sequence[Value], part: Part) -> list[tuple[Value, Mapping[str, Any]]]:
    """Give each result its meta: that of the same scope, or else the only one where each is the only one left.

    What no answer has the name of is nobody's. Raises BadRecord where one has, and nobody can tell whose it is.
    """
    results = [each for each in values if not each.name.endswith(META_SUFFIX)]
    metas = [each for each in values if each.name.endswith(META_SUFFIX) and _meta(each.value)]
    names = {each.name.removesuffix(META_SUFFIX) for each in metas}
    meta_of = dict[int, Value]()  # by the result as an object: a loop may have thousands
    for by_scope in (True, False):
        theirs = _by_place(metas, by_scope=by_scope)
        mine = _by_place([each for each in results if id(each) not in meta_of], by_scope=by_scope)
        pairs = [(mine[place], theirs[place]) for place in mine if len(mine[place]) == len(theirs[place]) == 1]
        meta_of |= {id(result): meta for [result], [meta] in pairs}
        taken = {id(meta) for _, [meta] in pairs}
        metas = [each for each in metas if id(each) not in taken]
    found = [(each, meta_of[id(each)]) for each in results if id(each) in meta_of]
    known = [(each.name, each.value) for each, _ in found]
    for each in results:
        if each.name in names and not _is_empty(each) and (each.name, each.value) not in known:
            raise BadRecord(_unclear(each, part))
    return [(each, _meta(meta.value)) for each, meta in found]


def _by_place(values: Sequence[Value], *, by_scope: bool) -> dict[tuple[str, str], list[Value]]:
    found = defaultdict[tuple[str, str], list[Value]](list)
    for each in values:
        found[each.name.removesuffix(META_SUFFIX), each.scope if by_scope else ""].append(each)
    return found


def _unclear(value: Value, part: Part) -> str:
    meta = value.name + META_SUFFIX
    return (
        f"whose answer the variable {value.name} is, which {part.activity.label} answers into, cannot be told: the "
        f"process instance {value.instance} has it more than once, and one of them has no {meta} in its scope. Let "
        f"each mapping of it take {meta} along, call what is no answer otherwise, or give the engine history level full"
    )


def _meta(value: Any) -> Mapping[str, Any]:
    """Read a result's meta; nothing for what is none."""
    with suppress(ValueError):
        read = foreign.read(value) if isinstance(value, str) else None
        if isinstance(read, dict):
            return read
    return {}


def _is_empty(value: Value) -> bool:
    """Whether a variable is there and not set, as forms and models leave one that nobody has filled in."""
    if value.type in {"File", "Bytes"}:
        return False
    return value.value is None or (isinstance(value.value, str) and value.value.strip() in {"", "null"})


async def _parsed(text: str | bytes | None, where: str) -> Any:
    try:
        read = None if text is None else await beside_if(len(text) > LARGE, _hashable, text)
    except ValueError as exc:
        raise BadRecord(f"{where} is no JSON: {exc}") from exc
    except BadRecord as exc:
        raise BadRecord(f"{where} is no part: {exc}") from exc
    if not isinstance(read, dict):
        raise BadRecord(f"{where} is no JSON object")
    return read


def _hashable(text: str | bytes) -> Any:
    """Read JSON that has one form to be hashed, which half a character and too large a number have not."""
    read = foreign.read(text)
    hashing.sha256(read)
    return read


def _is_fact(value: Any) -> bool:
    return _is_count(value) or (isinstance(value, str) and 0 < len(value) <= LONGEST_FACT)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER


def _said_at(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
