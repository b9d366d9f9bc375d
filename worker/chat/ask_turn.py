"""One ask: what it is about → a request → an answer → what becomes of it. `turn/thread_turn.py` comes next."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from worker.chat.outcomes import BUSY, After, Later, Settled, on_answer, on_error
from worker.chat.ports import ChatPorts, is_shared
from worker.domain.asks import DEADLY, Ask, State
from worker.domain.budgets import Counter, Scope
from worker.domain.conversations import Role, message_id
from worker.domain.deployed import is_deployed
from worker.domain.refs import defused
from worker.domain.stops import Work
from worker.domain.threads import Answer, Answered, Assistant, Busy, Entered, size
from worker.errors import (
    BadDefinition,
    FilesGone,
    HistoryUnread,
    ProviderAway,
    ProviderPaused,
    StoreDown,
    TaskLost,
    UnknownAssistant,
    WorkerError,
)
from worker.ports.engine import Engine
from worker.ports.providers import Assistants
from worker.turn.answering import Answering
from worker.turn.charging import Bill
from worker.turn.facts import TurnFacts
from worker.turn.fallback import Fallback
from worker.turn.limits import Elsewhere, Seat
from worker.turn.request import Ground, Place, Request
from worker.turn.thread_variable import RecordedThread

MOST_CALLS = 3
"""Calls that may be paid for one ask."""


class AskTurn:
    """Asks the assistant that a person has asked. `longest` bounds the call: no step waits longer for its thread."""

    def __init__(
        self,
        ports: ChatPorts,
        engine: Engine,
        answering: Answering,
        assistants: Assistants,
        ground: Ground,
        longest: timedelta,
    ) -> None:
        self._ports = ports
        self._engine = engine
        self._answering = answering
        self._assistants = assistants
        self._ground = ground
        self._longest = longest

    async def take(self, ask: Ask, facts: TurnFacts) -> After:
        """Take the turn. What nobody foresaw is raised: for the ask it is as if its worker had died."""
        try:
            if ask.deaths >= DEADLY:
                return await self._given_up(ask, facts)
            with self._answering.limits.seat(ask.id, ask.instance or ask.target.scope) as seat:
                return await self._in_turn(ask, await self._assistant(ask, facts), seat, facts)
        except WorkerError as exc:
            facts.error = exc
            if isinstance(exc, StoreDown):
                self._ground.store_down(exc)
            if isinstance(exc, ProviderAway | ProviderPaused):
                self._ground.provider_down(exc, facts.provider or "")
            after = on_error(exc, facts.trouble_for, self._ground.rules.trouble_limit)
            return replace(after, begun=False) if isinstance(after, Later) and ask.deaths >= DEADLY else after

    async def _given_up(self, ask: Ask, facts: TurnFacts) -> After:
        """Have nobody begin with it any more; what one who had it has brought counts all the same."""
        facts.key, facts.assistant = ask.target, ask.about.assistant
        match await self._ground.threads.enter(ask.target, ask.id, stands_back=True):
            case Busy():
                return BUSY
            case Answered() as entry:
                return await self._journalled(ask, entry, await self._counters(ask, ask.about.assistant), facts)
            case Entered() as entry:
                await self._leave(entry)
        return Settled(State.FAILED, f"{ask.deaths} workers in a row ended without a word while they had it")

    async def close(self, ask: Ask) -> None:
        """Let go of the journal entry of an ask that is settled; without Redis it runs out by itself."""
        with suppress(StoreDown):
            await self._ground.threads.close(ask.target, ask.id)

    async def _assistant(self, ask: Ask, facts: TurnFacts) -> Assistant:
        """Find the newest spec, or the one that came with the process; a person is answered in words, and waits."""
        name = ask.about.assistant
        facts.key, facts.assistant = ask.target, name
        try:
            if is_deployed(name):
                found = await self._assistants.deployed(name, await self._definition(ask), ask.about.tenant)
            else:
                found = self._assistants.find(name, None)
        except UnknownAssistant as exc:
            raise await self._ground.fleet.judge(exc, name, None) from None
        facts.version, facts.provider = found.version, found.provider
        return replace(found, timeout=min(found.timeout, self._longest), output_schema=None, background=False)

    async def _definition(self, ask: Ask) -> str:
        """Name the definition that the assistant came with."""
        found = ask.definition_id or await self._ports.definition(ask.session_id)
        if not found:
            raise BadDefinition(
                f"{ask.about.assistant} came with a process, and the record does not say with which version of it: ask "
                "again once it has answered a step"
            )
        return found

    async def _in_turn(self, ask: Ask, assistant: Assistant, seat: Seat, facts: TurnFacts) -> After:
        fallback = Fallback(self._ground, self._answering.providers)
        provider, counters = fallback.first(assistant), await self._counters(ask, assistant.name)
        while True:
            with facts.phase("enter"):
                await seat.take(provider, assistant, size(ask.text))
                entry = await self._ground.threads.enter(ask.target, ask.id, stands_back=True)
            match entry:
                case Busy():
                    return BUSY
                case Answered():
                    return await self._journalled(ask, entry, counters, facts)
                case Entered():
                    facts.attempt, facts.calls, facts.trouble_for = entry.attempt, entry.calls, entry.trouble_for
                    facts.use, facts.recovered, facts.heard = "reused", None, entry.heard
                    try:
                        if (refusal := await self._refusal(ask, entry)) is not None:
                            return refusal
                        chosen = await self._chosen(ask, assistant, entry, seat, fallback, facts)
                        answer = await self._answer(ask, chosen, counters, seat, entry, facts)
                    except Elsewhere as exc:
                        provider = exc.provider
                        continue
                    except (FilesGone, ProviderAway, ProviderPaused) as exc:
                        provider = await fallback.after(assistant, facts.provider or "", exc)
                        continue
            if answer is None:
                return BUSY
            return self._over(ask, entry.attempt, answer, facts)

    async def _journalled(self, ask: Ask, entry: Answered, counters: tuple[Counter, ...], facts: TurnFacts) -> Settled:
        facts.attempt, facts.calls, facts.recovered = entry.attempt, entry.calls, "journal"
        await Bill(self._ground.charging, counters, self._ground.prices).correct(entry.call, entry.answer)
        return self._over(ask, entry.attempt, entry.answer, facts)

    def _over(self, ask: Ask, attempt: int, answer: Answer, facts: TurnFacts) -> Settled:
        facts.answer = answer
        return on_answer(answer, message_id(ask.about.engine, ask.id, attempt, Role.AGENT))

    async def _refusal(self, ask: Ask, entry: Entered) -> Settled | None:
        """Look under the hold whether it may be answered still; lets go of the hold if not, or if nobody can tell."""
        try:
            refusal = await self._reason(ask, entry)
        except BaseException:
            await self._leave(entry)
            raise
        if refusal is not None:
            await self._leave(entry)
        return refusal

    async def _reason(self, ask: Ask, entry: Entered) -> Settled | None:
        if await self._ports.is_erased(await self._ports.session(ask.session_id)):
            return Settled(State.GONE, "what it was about has been erased")
        if entry.asked is not None:
            return None  # it was allowed, and its answer may be there
        if ask.as_of is not None and entry.answers > ask.as_of:
            return Settled(State.FAILED, "there are newer answers than the person knew of")
        # An instance that was over when it was asked stays so; of several that share a thread another may have begun.
        may_hear = is_shared(ask.about) and not (ask.target.is_branch or ask.on_thread)
        if not may_hear or not await self._ports.runs(ask.about, ask.instance):
            return None
        return Settled(State.FAILED, "another process goes on with this conversation by now; ask again")

    async def _chosen(
        self, ask: Ask, assistant: Assistant, entry: Entered, seat: Seat, fallback: Fallback, facts: TurnFacts
    ) -> Assistant:
        """Say who answers; lets go of the hold if nobody can."""
        try:
            self._ground.stopped.check(_work(ask, ""))
            chosen = fallback.choose(assistant, entry)
            seat.check(chosen.provider)
            facts.provider = chosen.provider
            self._answering.pauses.check(chosen, ask.id)
        except BaseException as exc:
            await self._leave(entry, trouble=isinstance(exc, WorkerError) and exc.is_trouble)
            raise
        return chosen

    async def _leave(self, entry: Entered, *, trouble: bool = False) -> None:
        # Nothing was asked here, but of an earlier call nothing is known either: its intent stays.
        with suppress(StoreDown):
            await self._ground.threads.leave(entry.hold, asked=True, trouble=trouble)

    async def _answer(
        self,
        ask: Ask,
        assistant: Assistant,
        counters: tuple[Counter, ...],
        seat: Seat,
        entry: Entered,
        facts: TurnFacts,
    ) -> Answer | None:
        history = self._ground.history
        if history is None:
            raise HistoryUnread("without a transcript nobody talks about what is in it")
        place = Place(
            process_instance_id=ask.instance,
            activity_id="",
            activity_name="",
            definition_id=ask.definition_id,
            definition_key=ask.definition_key,
            definition_version=ask.definition_version,
            business_key=ask.business_key,
        )
        request = Request(
            ask.id,
            ask.target,
            defused(ask.text),
            assistant,
            place,
            MOST_CALLS,
            counters=counters,
            person=ask.person.name,
            words=lambda: ask.text,
        )
        # On a process's own thread nothing is begun by a person.
        may_be_new = ask.target.is_branch or ask.target.person is not None
        keepsake = RecordedThread(ask.target, history, may_be_new)
        work = _work(ask, assistant.provider)
        return await self._answering.answer(request, keepsake, work, seat, entry, facts)

    async def _counters(self, ask: Ask, assistant: str) -> tuple[Counter, ...]:
        """Say which budgets its calls count for."""
        charging = self._ground.charging
        if charging is None:
            return ()
        # A conversation beside all processes counts as an instance of its own.
        instance = root = ask.instance or ask.target.scope
        if charging.wants_root and ask.instance:
            with suppress(TaskLost):  # it is over, and nobody asks for its callers any more
                root = await self._engine.root_instance(ask.instance)
        names: dict[Scope, str] = {
            "assistant": assistant,
            "tenant": ask.about.tenant or "",
            "root": root,
            "instance": instance,
            "task": ask.id,
        }
        return await charging.counters(names)


def _work(ask: Ask, provider: str) -> Work:
    """Say what its call is of: of no topic."""
    return Work("", ask.about.tenant, ask.about.assistant, provider)
