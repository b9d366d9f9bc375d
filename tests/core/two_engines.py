"""Two engines with the same ids on one Redis, one record and one provider, and whose everything there is."""

import json
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tests.core.closing import Closing
from tests.core.rig import Core
from tests.core.test_keeping_decisions import decide
from tests.fakes.clock import now
from tests.unit.test_hostile import Maker
from worker.domain import meta
from worker.domain.conversations import EVERYTHING, MessageFilter
from worker.domain.threads import BRANCH_SCOPE, OPENAI, SHARED_SCOPE, Decision, Entered, ThreadKey
from worker.ending import Holds
from worker.ending.holds import HeldAlready, NotHeld
from worker.errors import ModelDown
from worker.redis import RedisOutbox
from worker.redis.keys import read_name
from worker.transcript import Database
from worker.turn.recorder import Carrier

ENGINES = ("default", "south")
INSTANCES = ("1", "2", "12")
BUSINESS_KEYS = (None, "7", "1", "7:analyst")
TENANTS = (None, "a")
PASSING = {"hold", "watched", "refused"}
"""Kinds of keys that say nothing of what was said."""

Token = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Thing:
    """Something in a store. `home` is with whose end it ends, `others` are who may have it erased as well."""

    content: str
    home: Token
    others: frozenset[Token] = frozenset()

    @property
    def whose(self) -> frozenset[Token]:
        """All of them."""
        return self.others | {self.home}


@dataclass(slots=True)
class Side:
    """One engine: what ends conversations there, its records of decisions, and turns that are under way."""

    closing: Closing
    holds: Holds
    turns: list[Entered] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.closing.engine


class TwoEngines:
    """What happens there, in whatever order."""

    def __init__(self, core: Core, database: Database, make: Maker) -> None:
        self.make = make
        self.provider = core.provider
        self.database = database
        self.sides = [self._side(core, database, name) for name in ENGINES]
        self.keys: dict[str, ThreadKey] = {}
        self.spoke: dict[str, Token] = {}
        self.bound: dict[ThreadKey, str] = {}

    @staticmethod
    def _side(core: Core, database: Database, engine: str) -> Side:
        closing = Closing(core, database, engine)
        return Side(closing, Holds(closing.decisions, now=now))

    # What happens

    def begin(self, side: Side) -> str:
        """Have an instance run, or find one."""
        name = self.make.choice(INSTANCES)
        if name not in side.closing.instances.processes:
            side.closing.begin(name, business_key=self.make.choice(BUSINESS_KEYS), tenant=self.make.choice(TENANTS))
        return name

    async def speak(self, side: Side) -> None:
        """Have a turn of an instance that runs, on its own thread, on one that it shares, or on a branch."""
        name = self.begin(side)
        process = side.closing.instances.processes[name]
        if not process.runs:
            return
        scopes = [name, name, BRANCH_SCOPE + name, f"task:{side.name}-{name}"]
        scopes += [SHARED_SCOPE + process.business_key] * 2 if process.business_key else []
        scope, assistant = self.make.choice(scopes), self.make.choice(["analyst", "critic"])
        key = ThreadKey(side.name, scope, assistant, process.tenant)
        if any(each.hold.key == key for each in side.turns):
            return
        await self._leave_now_and_then(side, key, name)
        known = set(self.provider.responses)
        thread = await side.closing.speak(
            name,
            scope=scope,
            assistant=assistant,
            stored=self.make.random() < 0.5,
            recorded=self.make.random() < 0.9,
            noted=self.make.random() < 0.9,
        )
        self.keys[thread.id] = key
        self.bound.setdefault(key, name)
        for response in self.provider.responses.keys() - known:
            self.spoke[response] = ("instance", side.name, name)

    async def _leave_now_and_then(self, side: Side, key: ThreadKey, instance: str) -> None:
        """Carry out an order to leave the thread, which is still there, for another one."""
        thread = await side.closing.index.thread(key)
        if thread is None or self.make.random() < 0.8:
            return
        why = Decision("back", "ann", before=self.make.choice([None, 40]))
        assert await side.closing.index.replace(key, thread, why)
        await side.closing.rest()
        entry = await side.closing.core.threads.enter(key, "leaves")
        assert isinstance(entry, Entered)
        another = await side.closing.threads.create_thread(key, thread.generation + 1)
        cuts = why.cut(another.generation)
        threads = side.closing.core.threads
        assert await threads.bind(entry.hold, another, thread.generation, instance, former=thread, why=why, cuts=cuts)
        await threads.leave(entry.hold, asked=False, trouble=False)
        self.keys[another.id] = key

    async def turn(self, side: Side) -> None:
        """Have a turn begin that holds its thread, or one end without an answer."""
        if side.turns and self.make.random() < 0.6:
            await side.closing.core.threads.leave(side.turns.pop().hold, asked=False, trouble=False)
            return
        name = self.begin(side)
        process = side.closing.instances.processes[name]
        key = ThreadKey(side.name, name, "analyst", process.tenant)
        await side.closing.rest()
        entry = await side.closing.core.threads.enter(key, f"under way {self.make.randint(1, 3)}")
        side.turns += [entry] if isinstance(entry, Entered) else []

    async def decide(self, side: Side) -> None:
        """Keep a record of a decision that cites anybody's answer, and hold it, or release it."""
        name = self.begin(side)
        key = await decide(side.closing, name, cited=f"task-{self.make.randint(1, 9)}")
        side.decisions.append(key.id)
        act = self.make.choice([side.holds.hold, side.holds.release])
        with suppress(HeldAlready, NotHeld):
            await act(key.id, "Ann", "claim", within=EVERYTHING)

    async def forge(self, side: Side) -> None:
        """Have somebody write what looks like ours, and names anything at the provider, or nothing."""
        name = self.begin(side)
        ids = [*self.keys, *self.provider.responses, *self.provider.anchors, self.make.text()]
        thread, response = self.make.choice(ids), self.make.choice(ids)
        facts = {"assistant": "analyst", "version": "1.0", "thread": thread, "response": response}
        facts |= {"provider": self.make.choice([OPENAI, self.make.text()])} if self.make.random() < 0.3 else {}
        whole = json.dumps(facts)
        said = self.make.choice([whole, whole, self.make.changed(whole), whole + " " * meta.LONGEST, "[" * 3999])
        text = self.make.choice([f"{thread}#1", f"{thread}#{self.make.text()}", said])
        ours = {
            "x_meta": said,
            "frame_meta": said,
            "assistant_thread_analyst": text,
            f"assistant_thread_{thread}": text,
        }
        written = self.make.choice([*ours])
        side.closing.begin(name).variables[written] = ours[written]

    async def record(self, side: Side) -> None:
        """Have what is on its way to the transcript come there."""
        await Carrier(RedisOutbox(side.closing.redis, prefix="aw", engine=side.name), side.closing.transcript).drain()

    async def finish(self, side: Side) -> None:
        side.closing.finish(self.begin(side))

    async def call_activity(self, side: Side) -> None:
        """Have variables be copied from one instance to another, as call activities do."""
        one, other = self.begin(side), self.begin(side)
        side.closing.begin(other).variables |= side.closing.begin(one).variables

    async def trouble(self, side: Side) -> None:  # noqa: ARG002 - as all that happens
        """Have the provider be away for a call, of whichever engine's it is."""
        method = self.make.choice(["erase_thread", "metadata", "conversation_of", "erase_response"])
        self.provider.script.next(method, ModelDown("busy"))

    async def calm(self) -> None:
        """End all trouble, all legal holds and turns, and whatever runs."""
        self.provider.script = type(self.provider.script)()
        for side in self.sides:
            await self.record(side)
            while side.turns:
                await side.closing.core.threads.leave(side.turns.pop().hold, asked=False, trouble=False)
            for name in side.decisions:
                with suppress(NotHeld):
                    await side.holds.release(name, "Ben", "settled", within=EVERYTHING)
            side.closing.finish(*side.closing.instances.processes)

    # Whose it is

    def who(self, engine: str, instance: str) -> frozenset[Token]:
        """Who may have erased what an instance has said: itself, or its business key."""
        [side] = [each for each in self.sides if each.name == engine]
        process = side.closing.instances.processes[instance]
        key = process.business_key
        shared = [] if key is None else [("key", engine, key, str(process.tenant))]
        return frozenset([("instance", engine, instance), *shared])

    def under(self, content: str, key: ThreadKey) -> Thing:
        """What is of a thread."""
        if key.scope.startswith(SHARED_SCOPE):
            return Thing(content, ("key", key.engine, key.scope.removeprefix(SHARED_SCOPE), str(key.tenant)))
        instance = key.scope if key.scope in INSTANCES else self.bound[key]
        return Thing(content, ("instance", key.engine, instance), self.who(key.engine, instance))

    async def things(self) -> dict[Token, Thing]:
        """All that there is of what anybody has said, by store and name."""
        found: dict[Token, Thing] = {}
        for name, conversation in self.provider.conversations.items():
            found["conversation", name] = self.under(str(conversation.items), self.keys[name])
        for name, given_on in self.provider.responses.items():
            thing, spoke = self.under("", self.keys[str(given_on)]), self.spoke[name]
            found["response", name] = replace(thing, others=thing.others | self.who(spoke[1], spoke[2]))
        for side in self.sides:
            found |= await self._of(side)
        return found

    async def _of(self, side: Side) -> dict[Token, Thing]:
        """What one engine's keys, variables and messages are."""
        found: dict[Token, Thing] = {}
        for name in await side.closing.keys():
            read = read_name(name, "aw", side.name)
            if read is not None and read.kind not in PASSING and read.key.scope:
                kept = await side.closing.redis.hgetall(name)
                found["key", name] = self.under(str({**kept, "anchor": ""}), read.key)
        for instance, process in side.closing.instances.processes.items():
            for name, value in process.variables.items():
                found["variable", side.name, instance, name] = Thing(
                    value, ("instance", side.name, instance), self.who(side.name, instance)
                )
        reader = side.closing.conversations
        sessions = {each.id: each for each in await side.closing.sessions() if each.engine == side.name}
        for session in sessions.values():
            page = await reader.messages(MessageFilter(session.id), within=EVERYTHING, limit=200)
            for each in page.items:
                thing, spoke = self.under(each.content, session.key), self.who(side.name, each.process_instance_id)
                found["message", each.id] = replace(thing, others=thing.others | spoke)
        return found
