"""Which topics to poll: found in the deployed models, or given by name."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import structlog

from worker.domain.tasks import Definition, Task, Topic, has_expression
from worker.engine.wire import Deployed
from worker.errors import BadDefinition, Conflict, ReadRefused, TaskLost, Unanswered, WorkerError
from worker.runtime.clock import monotonic
from worker.runtime.portions import portions
from worker.telemetry.logs import Event, trace

READS_AT_ONCE = 8
"""Definitions that are read at once: at a first look there may be hundreds, and polls wait behind them."""
AFTER_FAILURE = timedelta(seconds=2)
"""Until a look that failed is repeated."""
FIXED_LOOK = timedelta(seconds=10)
"""Between two looks at what is deployed, where topics are given by name."""
MOST_SHOWN = 10
"""Topics that are named in a line of the log."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NotServed:
    """A task of ours that nobody polls for. `topic` is empty where the whole definition cannot be read."""

    definition_id: str
    topic: str
    reason: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What the deployed models come to. `definitions` are those with tasks of ours, served or not.

    On topics `without_models` there are only tasks that ask none.
    """

    topics: tuple[Topic, ...] = ()
    not_served: tuple[NotServed, ...] = ()
    definitions: tuple[str, ...] = ()
    without_models: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Usage:
    """Who uses which topics in one definition, and which variables our tasks need. `unreadable` says why nobody knows.

    `passing`: the engine did not tell, and is asked again. `activities` are the ids of our tasks. A topic of ours
    that is not in `needs` needs every variable. On topics `without_models` all of ours ask none.
    """

    ours: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    unreadable: str = ""
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    activities: frozenset[str] = frozenset()
    passing: bool = False
    without_models: frozenset[str] = frozenset()

    @classmethod
    def of(cls, definition: Definition) -> "Usage":
        """Sort the definition's topics."""
        activities = definition.activities.values()
        ours = frozenset(each.topic for each in activities if each.is_ours)
        others = frozenset(each.topic for each in activities if not each.is_ours)
        needs = defaultdict[str, list[frozenset[str] | None]](list)
        for each in activities:
            needs[each.topic].append(each.needs)
        needs_some = {topic: names for topic in ours if (names := _joint(needs[topic])) is not None}
        ids = frozenset(each.id for each in activities if each.is_ours)
        asking = {each.topic for each in activities if each.is_for_assistant}
        return cls(ours, others, needs=needs_some, activities=ids, without_models=ours - asking)


def _joint(needs: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    """Join the names of variables; None, which is all of them, wins."""
    joint = set[str]()
    for names in needs:
        if names is None:
            return None
        joint |= names
    return frozenset(joint)


class Definitions(Protocol):
    """What discovery asks of the engine."""

    async def deployed(self) -> list[Deployed]:
        """Return every version of every definition."""
        ...

    async def definition(self, definition_id: str) -> Definition:
        """Return its external tasks. Raises BadDefinition, TaskLost, and what `Reads` raises."""
        ...


class Discovery:
    """Implements `ports.engine.Topics` by the deployed models: latest versions, and older ones with running instances.

    Each definition is read once as long as it counts. A failed look changes nothing and is repeated soon. Not for
    several callers at once.
    """

    def __init__(self, engine: Definitions, interval: timedelta) -> None:
        self._engine = engine
        self._interval_seconds = interval.total_seconds()
        self._next_look = 0.0
        self._usages: dict[str, Usage] = {}
        self._shared: set[str] = set()
        self._strangers: set[str] = set()
        self._topics: tuple[Topic, ...] | None = None
        self._without_models: frozenset[str] = frozenset()
        self._told: frozenset[NotServed] = frozenset()
        self._failure = ""

    async def current(self) -> tuple[Topic, ...]:
        """See `ports.engine.Topics.current`."""
        if monotonic() >= self._next_look:
            started = monotonic()
            try:
                self._tell(await self.look())
                self._failure = ""
                self._next_look = started + self._interval_seconds
            except WorkerError as exc:
                # Soon: tasks of what was deployed meanwhile wait for it. Until then what was found before counts.
                self._next_look = started + min(self._interval_seconds, AFTER_FAILURE.total_seconds())
                self._tell_failure(str(exc))
        return self._topics or ()

    def next_look(self) -> timedelta:
        """See `ports.engine.Topics.next_look`."""
        return timedelta(seconds=max(0.0, self._next_look - monotonic()))

    def serves(self, task: Task) -> bool:
        """See `ports.engine.Topics.serves`. A topic on which a strange task came is polled by definitions from then on.

        Nothing else would end this where we may fetch the tasks of a definition that we may not see. Of a definition
        so new that nobody looked at it yet nobody knows whose its tasks are, or which variables they need: such a
        task comes again after the look.
        """
        usage = self._usages.get(task.process_definition_id)
        if usage is not None and task.activity_id in usage.activities:
            return True
        if usage is not None or task.process_definition_id in self._strangers:  # and a look since has not shown it
            self._shared.add(task.topic)
        self._strangers.add(task.process_definition_id)
        return False

    def suspect(self) -> None:
        """See `ports.engine.Topics.suspect`."""
        self._next_look = 0.0

    async def definitions(self, topic: str) -> tuple[str, ...]:
        """See `ports.engine.Topics.definitions`."""
        return tuple(sorted(id_ for id_, usage in self._usages.items() if topic in usage.ours))

    async def without_models(self) -> frozenset[str]:
        """See `ports.engine.Topics.without_models`."""
        return self._without_models

    async def look(self) -> Survey:
        """Find the topics now. Raises EngineDown."""
        ids = relevant(await self._engine.deployed())
        # A deployed version never changes, so that each is read once. What nobody refers to any more is forgotten.
        known = {id_: self._usages[id_] for id_ in ids if id_ in self._usages and not self._usages[id_].passing}
        self._usages = known | await self._read([id_ for id_ in ids if id_ not in known])
        return survey(self._usages, self._shared)

    async def _read(self, ids: list[str]) -> dict[str, Usage]:
        """Read definitions, a few at a time; one that is deleted meanwhile is left out."""
        found: dict[str, Usage] = {}
        for some in portions(ids, READS_AT_ONCE):
            usages = await asyncio.gather(*map(self._usage, some))
            found |= {id_: usage for id_, usage in zip(some, usages, strict=True) if usage is not None}
        return found

    async def _usage(self, definition_id: str) -> Usage | None:
        try:
            return Usage.of(await self._engine.definition(definition_id))
        except BadDefinition as exc:
            return Usage(unreadable=str(exc))
        except (ReadRefused, Unanswered, Conflict) as exc:
            return Usage(unreadable=str(exc), passing=True)
        except TaskLost:
            return None
        except WorkerError:
            raise
        except Exception as exc:  # noqa: BLE001 - what is odd about one definition ends no discovery
            reason = f"definition {definition_id} cannot be read: an unforeseen {type(exc).__name__}"
            log.error(Event.DISCOVERY_FAILED, reason=reason, trace=trace(exc))
            return Usage(unreadable=reason)

    def _tell(self, result: Survey) -> None:
        """Log what is new."""
        self._without_models = result.without_models
        if result.topics != self._topics:
            self._topics = result.topics
            log.info(Event.TOPICS, **_shown(result))
        for each in result.not_served:
            if each not in self._told:
                log.warning(Event.TOPIC_NOT_SERVED, definition=each.definition_id, topic=each.topic, reason=each.reason)
        self._told = frozenset(result.not_served)

    def _tell_failure(self, reason: str) -> None:
        if reason != self._failure:
            self._failure = reason
            log.warning(Event.DISCOVERY_FAILED, reason=reason)


class FixedTopics:
    """Implements `ports.engine.Topics` by names that a person chose: whatever comes on them is ours."""

    def __init__(self, names: Iterable[str], engine: Definitions) -> None:
        self._topics = tuple(Topic(name) for name in sorted(set(names)))
        self._engine = engine
        self._deployed = Discovery(engine, FIXED_LOOK)
        self._definitions: tuple[str, ...] = ()
        self._next_look = 0.0
        self._without_models: frozenset[str] = frozenset()
        self._next_reading = 0.0

    async def current(self) -> tuple[Topic, ...]:
        """Return the given topics."""
        return self._topics

    def next_look(self) -> timedelta:
        """Never: the topics are given."""
        return timedelta.max

    def serves(self, task: Task) -> bool:
        """Return True: a task without the properties of ours becomes an incident that says what is missing."""
        return any(task.topic == topic.name for topic in self._topics)

    def suspect(self) -> None:
        """Do nothing: there is nothing to look for."""

    async def definitions(self, topic: str) -> tuple[str, ...]:  # noqa: ARG002 - any of them may use any topic
        """See `ports.engine.Topics.definitions`: all that count, looked up a few times a minute at most."""
        if monotonic() >= self._next_look:
            self._next_look = monotonic() + FIXED_LOOK.total_seconds()
            with suppress(WorkerError):  # what is known is good enough until the next look
                self._definitions = tuple(relevant(await self._engine.deployed()))
        return self._definitions

    async def without_models(self) -> frozenset[str]:
        """See `ports.engine.Topics.without_models`: only for this the deployed models are read."""
        if monotonic() >= self._next_reading:
            self._next_reading = monotonic() + FIXED_LOOK.total_seconds()
            with suppress(WorkerError):
                self._without_models = (await self._deployed.look()).without_models
        return self._without_models


class HandlerTopics(FixedTopics):
    """The topics of functions, which ask no model."""

    async def without_models(self) -> frozenset[str]:
        """See `ports.engine.Topics.without_models`."""
        return frozenset(topic.name for topic in self._topics)


def _shown(found: Survey) -> dict[str, Any]:
    """Say in a few words what is polled: of how many definitions each topic is; more than some are only counted."""
    topics = {topic.name: len(topic.definitions) or "all" for topic in found.topics[:MOST_SHOWN]}
    more = len(found.topics) - len(topics)
    return {"topics": topics, "definitions": len(found.definitions)} | ({"more_topics": more} if more else {})


def relevant(deployed: Iterable[Deployed]) -> list[str]:
    """Pick each tenant's latest version of each key, and every version with running instances."""
    latest: dict[tuple[str, str | None], Deployed] = {}
    running: set[str] = set()
    for each in deployed:
        name = each.key, each.tenant_id
        if name not in latest or latest[name].version < each.version:
            latest[name] = each
        if each.instances:
            running.add(each.id)
    return sorted(running | {each.id for each in latest.values()})


def survey(usages: Mapping[str, Usage], shared: Iterable[str] = ()) -> Survey:
    """Decide per topic: no filter where only we use it, otherwise the definitions that leave it to us.

    `shared` names topics that others are known to use, in whatever definition. A filter separates definitions, never
    the tasks inside of one, so a definition that mixes cannot be served.
    """
    users: defaultdict[str, list[str]] = defaultdict(list)
    not_served = [NotServed(id_, "", usage.unreadable) for id_, usage in usages.items() if usage.unreadable]
    for id_, usage in usages.items():
        for topic in usage.ours:
            reason = hindrance(topic, usage)
            if reason:
                not_served.append(NotServed(id_, topic, reason))
            else:
                users[topic].append(id_)
    # Named only where others use the topic too: else a new version's first task comes at once, and has it looked at.
    strange = frozenset(shared).union(*(usage.others for usage in usages.values()))
    return Survey(
        topics=tuple(
            Topic(
                name,
                tuple(sorted(users[name])) if name in strange else (),
                _variables(name, [usages[id_] for id_ in users[name]]),
            )
            for name in sorted(users)
        ),
        not_served=tuple(sorted(not_served, key=lambda each: (each.definition_id, each.topic))),
        definitions=tuple(sorted(id_ for id_, usage in usages.items() if usage.ours)),
        without_models=frozenset(users).difference(*(usage.ours - usage.without_models for usage in usages.values())),
    )


def _variables(topic: str, usages: Iterable[Usage]) -> tuple[str, ...] | None:
    """Name what the tasks of a topic need in these definitions; None for every variable."""
    names = _joint(usage.needs.get(topic) for usage in usages)
    return None if names is None else tuple(sorted(names))


def hindrance(topic: str, usage: Usage) -> str:
    """Say why tasks of ours on this topic of a definition cannot be served; empty where they can."""
    if has_expression(topic):
        return "its topic is an expression, which only the engine can evaluate; give it a fixed name"
    if topic in usage.others:
        return "tasks of the same definition and topic are not for assistants; give ours a topic of their own"
    return ""
