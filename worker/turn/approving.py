"""One task by which is approved, or refused, what is proposed to be remembered, as forms said. Asks no model."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from worker.domain.evidence import Operation, PersonsTask, Value
from worker.domain.exchanges import TRANSCRIPT
from worker.domain.memory import Proposal
from worker.domain.stops import Work
from worker.domain.tasks import Activity, Definition, Task
from worker.errors import NotProposed, Permanent
from worker.modelling import properties, result
from worker.modelling.properties import ApprovalProperties
from worker.ports.decisions import DecisionSources
from worker.ports.engine import Engine
from worker.ports.memory import FactBook
from worker.ports.sinks import Outbox
from worker.turn import by_code, verdict
from worker.turn.facts import TurnFacts
from worker.turn.signing import given_to_another, of_completion, past_form, said_yes, was_given_to_another
from worker.turn.stops import Stopped

NO_HISTORY: Final = "the engine's history does not tell which answers were there: that takes history level full"


@dataclass(frozen=True, slots=True)
class _Word:
    """What persons have said of what was there at `since`. `why` says why it counts for nothing, empty if it counts."""

    accepted: bool = False
    by: str = ""
    since: datetime | None = None
    why: str = ""


class ApprovalTurn:
    """Approves what the task's own instance has proposed. Without `facts` nothing is remembered.

    `others` are users of the engine who complete tasks for others: what they complete is nobody's word.
    """

    def __init__(
        self,
        engine: Engine,
        sources: DecisionSources,
        facts: FactBook | None,
        outbox: Outbox,
        stopped: Stopped,
        others: Collection[str] = (),
    ) -> None:
        self._engine = engine
        self._sources = sources
        self._facts = facts
        self._outbox = outbox
        self._stopped = stopped
        self._others = frozenset(others)

    async def take(self, task: Task, activity: Activity, definition: Definition, facts: TurnFacts) -> verdict.Complete:
        """Look at what persons did, approve or refuse, and return what the engine is to be told.

        A task that comes again, after a crash behind the approving, approves nothing anew, and says the same.
        """
        facts.assistant = ""
        wanted = properties.read_approval(task, activity, definition)
        facts.retries, facts.retry_delay = wanted.retries, wanted.retry_delay
        if self._facts is None:
            raise Permanent("what is remembered is kept in the transcript's database, which is off: set TRANSCRIPT_URL")
        self._stopped.check(Work(task.topic, task.tenant_id, "", ""))
        with facts.phase("gather"):
            word = await self._word(task, wanted)
            found = [] if word.why else await self._proposed(self._facts, task, word)
        with facts.phase("keep"):
            changed = [each for each in found if await self._done(self._facts, each, word)]
        told = {
            "accepted": word.accepted,
            "approved": len(changed) if word.accepted else 0,
            "refused": 0 if word.accepted else len(changed),
            "why": word.why,
        }
        form = result.Form(wanted.output, "Json", fields=wanted.fields)
        return by_code.completed(told, form, spin=await self._engine.has_spin(), lacks="what an approval does not tell")

    async def _word(self, task: Task, wanted: ApprovalProperties) -> _Word:
        """Say what the persons' tasks came to: each of them as it was completed last."""
        instance = task.process_instance_id
        if not await self._sources.remembers(task.id):
            return _Word(why=NO_HISTORY)
        tasks = {each.activity: each for each in await self._sources.persons_tasks(instance)}
        if missing := [each for each in wanted.signed if each not in tasks]:
            return _Word(why=f"nobody has completed {missing[0]}, which property memory.signed names")
        operations = list((await self._sources.operations(instance)).values())
        values = await self._sources.values(instance, wanted.accepted)
        said = [self._said(tasks[name], wanted.accepted, operations, values) for name in wanted.signed]
        if doubts := [each.why for each in said if each.why]:
            return _Word(why=doubts[0])
        names = dict.fromkeys(each.by for each in said)
        began = [each.since for each in said if each.since is not None]
        return _Word(all(each.accepted for each in said), ", ".join(names), min(began))

    def _said(self, task: PersonsTask, name: str, operations: Collection[Operation], values: Sequence[Value]) -> _Word:
        """Say what came of one person's task."""
        completed = of_completion(operations, task)
        if completed is None or completed.user in self._others:
            return _Word(why=f"the engine does not tell which person has completed {task.activity}")
        if was_given_to_another(task, completed):
            return _Word(why=given_to_another(task))
        # A value that came otherwise than with the form is anybody's: processes' variables are data.
        yes = said_yes(values, name, task, completed)
        if yes is None:
            return _Word(why=past_form(task, name))
        return _Word(yes, completed.user, task.began) if task.began else _Word(why=NO_HISTORY)

    async def _proposed(self, facts: FactBook, task: Task, word: _Word) -> list[Proposal]:
        """Return what of the instance was proposed when the first of these persons' tasks came to be."""
        answered = {
            each.task
            for each in await self._sources.completions(task.process_instance_id)
            if word.since is not None and each.at <= word.since
        }
        # Asked first: what leaves it in between is found among the proposals.
        is_late = await self._outbox.has_any(TRANSCRIPT, answered)
        found = [each for each in await facts.proposals(task.process_instance_id) if each.task in answered]
        if is_late or any(each.fact is None for each in found):
            raise NotProposed("what was answered in this instance has yet to be proposed to be remembered")
        return found

    async def _done(self, facts: FactBook, proposal: Proposal, word: _Word) -> bool:
        if proposal.fact is None or (proposal.approved and not word.accepted):
            return False
        if not word.accepted:
            return await facts.drop_fact(proposal.fact, proposal.subject, only_proposed=True)
        return proposal.approved or await facts.approve(proposal.fact, proposal.subject, word.by)
