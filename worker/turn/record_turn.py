"""One task that makes a decision's record: what was said → computed, kept, and closed. Asks no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from worker.decisions import as_markdown, chain, hashing, record, schemas
from worker.decisions.chain import Kind
from worker.decisions.keys import SigningKey
from worker.decisions.record import Record, Stage
from worker.domain.decisions import HASH_SUFFIX, ID_SUFFIX, TEXT_SUFFIX, Decision, DecisionKey
from worker.domain.stops import Work
from worker.domain.tasks import Activity, Definition, Task, Variable
from worker.errors import BadDefinition, BadRecord, Permanent, ReadRefused, TranscriptDown
from worker.modelling import properties, result
from worker.modelling.properties import RecordProperties
from worker.ports.decisions import DecisionBook, DecisionSources
from worker.ports.engine import Engine
from worker.runtime.beside import beside
from worker.runtime.clock import CLOCKS_APART
from worker.turn import by_code, verdict
from worker.turn.facts import TurnFacts
from worker.turn.gathering import Gathered, Gathering
from worker.turn.signing import Signed, Signing
from worker.turn.stops import Stopped

TRIES: Final = 5
"""To keep a row, while others keep theirs."""

_COMPUTED: Final = ("leader", "lead", "first_share", "agreement", "mismatches")
"""What gateways read of it; never null."""


class _Overtaken(Exception):
    """Somebody else has kept a row meanwhile."""


@dataclass(frozen=True, slots=True)
class _Owner:
    """The process whose record it is."""

    definition_key: str
    business_key: str | None
    tenant: str | None


class RecordTurn:
    """Makes the record that a task asks for. Without a `book` there is none."""

    def __init__(
        self,
        engine: Engine,
        sources: DecisionSources,
        book: DecisionBook | None,
        stopped: Stopped,
        engine_name: str,
        service_accounts: Sequence[str] = (),
        key: SigningKey | None = None,
    ) -> None:
        self._engine = engine
        self._book = book
        self._stopped = stopped
        self._sources = sources
        self._engine_name = engine_name
        self._gathering = Gathering(engine, sources)
        self._signing = Signing(sources, service_accounts)
        self._key = key

    async def take(self, task: Task, activity: Activity, definition: Definition, facts: TurnFacts) -> verdict.Complete:
        """Gather, compute, keep, and return what the engine is to be told. Raises what says why that cannot be.

        A task that comes again, after a crash behind the keeping, keeps nothing anew.
        """
        facts.assistant = ""
        wanted = properties.read_record(task, activity, definition)
        facts.retries, facts.retry_delay = wanted.retries, wanted.retry_delay
        if self._book is None:
            raise Permanent("decision records are kept in the transcript's database, which is off: set TRANSCRIPT_URL")
        self._stopped.check(Work(task.topic, task.tenant_id, "", ""))
        with facts.phase("gather"):
            gathered = await self._gathering.gather(task, wanted)
        _check_parts(wanted, gathered)
        owner = await self._owner(task, gathered.instances[0])
        key = DecisionKey(self._engine_name, gathered.instances[0], wanted.name, owner.tenant)
        where = {"instance": task.process_instance_id, "variable": wanted.output + HASH_SUFFIX}
        made = await self._made(_Making(self._book, key, owner, facts, where, self._key), wanted, gathered)
        return await self._complete(wanted, made, gathered.absent)

    async def _owner(self, task: Task, scope: str) -> "_Owner":
        """Say whose the record of an instance is, which may have called the task's."""
        if scope == task.process_instance_id:
            return _Owner(task.process_definition_key, task.business_key, task.tenant_id)
        process = await self._sources.instance(scope)
        if process is None:
            raise ReadRefused(
                f"the process instance {scope} at the top of the callers, whose record this is, cannot be read: grant "
                "READ_INSTANCE on its definition"
            )
        return _Owner(process.definition_key, process.business_key, process.tenant)

    async def _made(self, making: "_Making", wanted: RecordProperties, gathered: Gathered) -> Record:
        for _ in range(TRIES):
            try:
                last = await making.book.last(making.key)
                if last is not None:
                    await self._check_instance(last)
                if wanted.stage != "close":
                    return await making.made(last, gathered, properties.STATUS[wanted.stage])
                return await self._closed(making, wanted, gathered, last)
            except _Overtaken:
                continue
        raise TranscriptDown("others write to this decision's record again and again")

    async def _check_instance(self, last: Decision) -> None:
        """Raise BadRecord where the record is of an earlier instance, whose id the engine has given out again.

        Records tell when they began by our clock. Where ids are no mere numbers they are never given out again.
        """
        instance = last.key.instance
        began_at = await self._engine.began_at(instance) if instance.isdecimal() else ""
        if began_at and last.began_at + CLOCKS_APART < datetime.fromisoformat(began_at):
            raise BadRecord(
                f"the record of instance {instance} was begun before this instance was: the engine has given out its "
                "id again, as its database was lost or restored. Give its workers another ENGINE_NAME (docs/backup.md, "
                "engines that count their ids)"
            )

    async def _closed(
        self, making: "_Making", wanted: RecordProperties, gathered: Gathered, last: Decision | None
    ) -> Record:
        if last is None or last.record["status"] not in {"proposed", "closed"}:
            raise BadRecord(
                "property record.stage is close, and nothing was proposed: let a task with record.stage=propose come "
                "before, and what is to be signed behind that"
            )
        signed = await self._signing.read(wanted, gathered, last)
        for each in signed:
            last = await making.signed(last, each)
        # What was changed since, in a form for one, makes another revision than the one that was signed.
        now = await making.built(last, gathered, "proposed")
        if now["content_sha256"] != last.record["content_sha256"]:
            last = await making.changed(last, now)
        # Without a full history nobody can tell whether there was no signature, or none is shown.
        unsigned = record.UNSIGNED if gathered.has_past else record.UNSEEN
        closed = await beside(record.close, now, [each.act for each in signed], unsigned)
        if closed != last.record:
            await making.changed(last, closed)
        return closed

    async def _complete(self, wanted: RecordProperties, made: Record, absent: int) -> verdict.Complete:
        computed = made["content"]["computed"]
        told = {
            "id": made["id"],
            "revision": made["revision"],
            "status": made["status"],
            **{name: computed[name] for name in _COMPUTED},
            "judges": len(made["content"]["scores"]),
            "absent": absent,
            **made.get("decision", {}),
        }
        form = result.Form(wanted.output, "Json", fields=wanted.fields)
        beside_it = {
            wanted.output + HASH_SUFFIX: Variable(made["content_sha256"], "String"),
            wanted.output + ID_SUFFIX: Variable(made["id"], "String"),
        }
        words = await beside(as_markdown.words, made) if wanted.has_text else None
        spin = await self._engine.has_spin()

        def also(wide: bool) -> Mapping[str, Variable]:
            return beside_it | _text(wanted.output + TEXT_SUFFIX, words, spin=spin, wide=wide)

        return by_code.completed(told, form, spin=spin, lacks="what the record does not tell here", beside=also)


class _Making:
    """Makes the revisions of one record, each with its row; `where` the engine gets its hash."""

    def __init__(
        self,
        book: DecisionBook,
        key: DecisionKey,
        owner: _Owner,
        facts: TurnFacts,
        where: Mapping[str, str],
        signs: SigningKey | None,
    ) -> None:
        self.book = book
        self.key = key
        self._owner = owner
        self._where = where
        self._signs = signs
        self._facts = facts

    async def made(self, last: Decision | None, gathered: Gathered, status: Stage) -> Record:
        made = await self.built(last, gathered, status)
        if last is None or made != last.record:
            await self.changed(last, made)
        return made

    async def changed(self, last: Decision | None, made: Record) -> Decision:
        """Keep a change; its row says also which variable the engine gets the hash in."""
        facts = await beside(record.facts, made)
        return await self.kept(last, made, "change", {**facts, **self._where})

    async def built(self, last: Decision | None, gathered: Gathered, status: Stage) -> Record:
        before = last.record if last else None
        with self._facts.phase("compute"):
            try:
                made = await beside(record.build, self.key.id, gathered.items, status, before=before)
            except BadRecord as exc:
                raise BadRecord(f"{exc}. {_whose(str(exc), gathered)}") from exc
        return made if last is None else made | {"texts": {**_signers(last), **made["texts"]}}

    async def signed(self, last: Decision, signed: Signed) -> Decision:
        """Keep a signature, unless it is there: on the revision that stood, whatever has become of it.

        It comes again where it is doubted otherwise, as with others that a task lets sign.
        """
        known = [row["facts"] for row in last.rows if row["kind"] == "signature"]
        mark = signed.source["task"], signed.act.doubt
        if any((each.get("task"), each.get("doubt")) == mark for each in known):
            return last
        sealing = hashing.Sealing(last.record["texts"])
        source = sealing.source(signed.source)
        act = {"accepted": signed.act.accepted, "shown_sha256": signed.act.shown_sha256, "doubt": signed.act.doubt}
        return await self.kept(
            last, {**last.record, "texts": {**last.record["texts"], **sealing.used}}, "signature", source | act
        )

    async def kept(self, last: Decision | None, made: Record, kind: Kind, facts: Mapping[str, Any]) -> Decision:
        now = datetime.now(UTC)
        row = chain.row(kind, last.rows[-1] if last else None, made, now, facts, self._signs)
        definition, business = self._owner.definition_key, self._owner.business_key
        with self._facts.phase("keep"):
            if not await self.book.keep(self.key, made, row, definition_key=definition, business_key=business):
                raise _Overtaken
        if last is None:
            return Decision(self.key, definition, business, made, (row,), now, now)
        return replace(last, record=made, rows=(*last.rows, row), changed_at=now)


def _text(name: str, words: str | None, *, spin: bool, wide: bool) -> dict[str, Variable]:
    return {} if words is None else {name: result.as_variable(words, name, spin=spin, wide=wide)}


def _signers(last: Decision) -> dict[str, Any]:
    """Return the texts that signatures name; no part of the content does."""
    named = {digest for row in last.rows if row["kind"] == "signature" for digest in hashing.digests(row["facts"])}
    return {digest: text for digest, text in last.record["texts"].items() if digest in named}


def _check_parts(wanted: RecordProperties, gathered: Gathered) -> None:
    said = {each.part for each in gathered.items}
    for part in schemas.REQUIRED[properties.STATUS[wanted.stage]]:
        if part in said:
            continue
        tasks, given = gathered.tasks.get(part), wanted.given.get(part)
        needs = f"property record.stage is {wanted.stage}, which needs the part {part}"
        if given:
            raise BadRecord(f"{needs}: the variable {given}, which record.given names, is not set; set it")
        if not tasks:
            of = f" and record.id={wanted.name}" if wanted.name else ""
            raise BadDefinition(f"{needs}: no task has the property record.part={part}{of}; add one before this task")
        if part in gathered.completed:
            raise BadRecord(
                f"{needs}: the engine has taken an answer of {', '.join(tasks)} (record.part={part}) and does not show "
                "it: grant READ_HISTORY_VARIABLE and READ_INSTANCE_VARIABLE on process definitions to the worker's user"
            )
        if not gathered.has_past:
            raise BadRecord(
                f"{needs}: no answer of {', '.join(tasks)} (record.part={part}) is to be seen. See that it is answered "
                "before this task is reached; one of a called process that is over takes history level audit and the "
                "right READ_HISTORY on its definition, or a mapping that hands up the result with its meta"
            )
        raise BadRecord(
            f"{needs}: the engine has taken no answer of {', '.join(tasks)} (record.part={part}) yet; see that it is "
            "answered before this task is reached"
        )


def _whose(said: str, gathered: Gathered) -> str:
    """Name the tasks that the parts came from which an error is about."""
    tasks = {name: ids for name, ids in gathered.tasks.items() if f"part {name}" in said}
    named = "; ".join(f"{', '.join(ids)} (record.part={name})" for name, ids in (tasks or gathered.tasks).items())
    return f"The parts are of {named}"
