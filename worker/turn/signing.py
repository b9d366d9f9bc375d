"""What persons did with what was proposed: who completed which task, what their form said, and what they were shown."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from worker.decisions.record import Act
from worker.domain.decisions import HASH_SUFFIX, Decision
from worker.domain.evidence import COMPLETE, Operation, PersonsTask, Value
from worker.modelling.properties import RecordProperties
from worker.ports.decisions import DecisionSources
from worker.turn.gathering import Gathered

LONGEST_ANSWER: Final = 1000

_Shown: TypeAlias = tuple[Value, bool]
"""A value of the record's hash, and whether it is ours."""


@dataclass(frozen=True, slots=True)
class Signed:
    """One person's task. `source` says who did it, and how far that is proven, as sources of items do."""

    act: Act
    source: Mapping[str, Any]


class Signing:
    """Reads what persons did. `service_accounts` are users of the engine who complete tasks for others."""

    def __init__(self, sources: DecisionSources, service_accounts: Collection[str]) -> None:
        self._sources = sources
        self._service_accounts = frozenset(service_accounts)

    async def read(self, wanted: RecordProperties, gathered: Gathered, last: Decision) -> list[Signed]:
        """Return what was done since the last proposal, in the order of time."""
        proposals = [(output, each) for stage, output, each in gathered.records if stage == "propose"]
        since = proposals[-1][1].at if proposals and gathered.has_past else _kept_at(last)
        name, place = (proposals[-1][0] + HASH_SUFFIX, proposals[-1][1].instance) if proposals else ("", "")
        proposed = await self._shown(gathered, place, name) if proposals else ()
        signed = list[tuple[datetime, Signed]]()
        for instance in gathered.instances:
            tasks = [
                each
                for each in await self._sources.persons_tasks(instance)
                if each.at >= since and (not wanted.signed or each.activity in wanted.signed)
            ]
            if not tasks:
                continue
            operations = (await self._sources.operations(instance)).values()
            accepted = await self._sources.values(instance, wanted.accepted)
            answers = await self._sources.values(instance, wanted.answer) if wanted.answer else ()
            own = await self._shown(gathered, instance, name, proposed) if proposals and instance != place else ()
            # One value without a time, for all who signed: it is the last one's, and nobody can tell whose that is.
            is_shared = len(tasks) > 1 and any(each.name == wanted.accepted and each.at is None for each in accepted)
            for task in tasks:
                shown = _last(own, task.at) or _last(proposed, task.at)
                completed = of_completion(operations, task)
                said = _said(accepted, wanted.accepted, task, completed)
                answer = _said(answers, wanted.answer, task, completed)
                sharing = len(tasks) if is_shared else 1
                signed.append((task.at, self._signed(wanted, task, completed, said, answer, shown, sharing)))
        return [each for _, each in sorted(signed, key=lambda pair: pair[0])]

    async def _shown(
        self, gathered: Gathered, instance: str, name: str, proposed: Sequence[_Shown] = ()
    ) -> Sequence[_Shown]:
        """Find what was to be seen as the record's hash, and for each whether it came with a completion of its task.

        So did the same value written once more, by a mapping of variables or a person's client, and what another
        instance was given of that in which it was `proposed`.
        """
        passages = {each.activity_instance for _, _, each in gathered.records}
        found = list[_Shown]()
        for each in await self._sources.values(instance, name):
            if each.name == name:
                before = (*found[-1:], *filter(None, [_last(proposed, each.at)]))
                again = any(ours and other.value == each.value for other, ours in before)
                found.append((each, not gathered.has_past or each.activity_instance in passages or again))
        return found

    def _signed(
        self,
        wanted: RecordProperties,
        task: PersonsTask,
        completed: Operation | None,
        said: Value | None,
        answer: Value | None,
        shown: _Shown | None,
        sharing: int,
    ) -> Signed:
        """Say what a task's completion is worth. `sharing`: for how many tasks `said` is the one value that is kept."""
        is_for_others = completed is not None and completed.user in self._service_accounts
        sha256, is_ours = (str(shown[0].value), shown[1]) if shown else ("", True)
        where = task.activity  # its name is the engine's to evaluate, and may hold a person's
        doubt = ""
        if not is_ours:
            doubt = f"the hash that {where} showed was changed by hand"
        elif said is None:
            doubt = past_form(task, wanted.accepted)
        elif sharing > 1:
            doubt = (
                f"the engine keeps one value of {wanted.accepted} for {sharing} persons' tasks: to tell what each of "
                "them said takes history level full"
            )
        elif completed is not None and not is_for_others and was_given_to_another(task, completed):
            doubt = given_to_another(task)
        act = Act(
            accepted=said is not None and _is_yes(said),
            answer="" if answer is None or answer.value is None else str(answer.value)[:LONGEST_ANSWER],
            shown_sha256=sha256,
            doubt=doubt,
        )
        source: dict[str, Any] = {
            "of": "person",
            "at": task.at.astimezone(UTC).isoformat(),
            "instance": task.instance,
            "activity": task.activity,
            "task": task.id,
            "identity": "operation_log" if completed is not None and not is_for_others else "unproven",
        }
        if completed is not None:
            # Who completes tasks for others proves nothing of who did it.
            source["through" if is_for_others else "user"] = completed.user
        return Signed(act, source)


def _last(shown: Sequence[_Shown], at: datetime | None) -> _Shown | None:
    """Find what was to be seen at a time, or now."""
    return next((each for each in reversed(shown) if at is None or each[0].at is None or each[0].at <= at), None)


def _kept_at(last: Decision) -> datetime:
    """Say when the last proposal was kept: by our clock, where the engine has no history of its tasks."""
    proposed = [row for row in last.rows if row["kind"] == "change" and row["facts"].get("status") == "proposed"]
    return datetime.fromisoformat(proposed[-1]["at"])


def of_completion(operations: Iterable[Operation], task: PersonsTask) -> Operation | None:
    """Find the operation that completed a person's task; None where the engine notes none, or does not show it."""
    return next((each for each in operations if each.task == task.id and each.kind == COMPLETE), None)


def was_given_to_another(task: PersonsTask, completed: Operation) -> bool:
    """Whether a task was completed by somebody else than the person whom it was given to."""
    return task.assignee not in {"", completed.user}


def given_to_another(task: PersonsTask) -> str:
    """Say so. Activities have no names here: those are the engine's to evaluate, and may hold a person's."""
    return f"{task.activity} was completed by somebody else than who it was given to"


def past_form(task: PersonsTask, name: str) -> str:
    """Say that a form's variable did not come with the completion of its task."""
    return f"{task.activity} was completed past its form: it does not say {name}"


def said_yes(values: Sequence[Value], name: str, task: PersonsTask, completed: Operation) -> bool | None:
    """Say whether what came with this completion is a yes; None where nothing of this name came with it."""
    said = _said([each for each in values if each.at is not None], name, task, completed)
    return None if said is None else _is_yes(said)


def _is_yes(said: Value) -> bool:
    # Some clients hand a form's Boolean on as a text.
    return said.value is True or str(said.value).strip().lower() == "true"


def _said(values: Sequence[Value], name: str, task: PersonsTask, completed: Operation | None) -> Value | None:
    """Find what came with the completion of a task; without its operation, what was written last while it was open."""
    found = None
    for each in values:
        if each.name != name or (each.at is not None and each.at > task.at):
            continue
        if each.at is None or (
            each.operation == completed.id if completed else each.activity_instance == task.activity_instance
        ):
            found = each
    return found
