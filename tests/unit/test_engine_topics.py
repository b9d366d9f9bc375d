"""Which topics are polled, with which filter, and when discovery looks again."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tests.fakes.clock import Clock
from worker.domain.tasks import Activity, Definition, Task, Topic
from worker.engine import Discovery, FixedTopics, topics
from worker.engine.topics import MOST_SHOWN, Usage, relevant, survey
from worker.engine.wire import Deployed
from worker.errors import BadDefinition, EngineDenied, EngineDown, ReadRefused, TaskLost, WorkerError
from worker.telemetry.logs import Event


def usage(*, ours: str = "", others: str = "") -> Usage:
    return Usage(frozenset(ours.split()), frozenset(others.split()))


def test_only_latest_versions_and_running_ones_count_for_each_tenant() -> None:
    rows = [
        Deployed("a:1", "a", 1, None, 0),
        Deployed("a:10", "a", 10, None, 0),
        Deployed("a:9", "a", 9, None, 3),
        Deployed("a:1@north", "a", 1, "north", 0),
        Deployed("b:1", "b", 1, None, 1),
    ]
    assert relevant(rows) == ["a:10", "a:1@north", "a:9", "b:1"]
    assert relevant(reversed(rows)) == relevant(rows)


def test_topics_are_sorted_and_filtered_only_where_others_are() -> None:
    found = survey({"b": usage(ours="y shared"), "a": usage(ours="shared x"), "c": usage(others="shared own")})
    assert found.topics == (Topic("shared", ("a", "b")), Topic("x"), Topic("y"))
    assert found.not_served == ()
    assert found.definitions == ("a", "b")


def test_a_definition_that_mixes_is_left_out_and_named() -> None:
    found = survey({"mixed": usage(ours="t", others="t"), "pure": usage(ours="t")})
    assert found.topics == (Topic("t", ("pure",)),)
    assert [(each.definition_id, each.topic) for each in found.not_served] == [("mixed", "t")]
    assert found.definitions == ("mixed", "pure")


def test_what_nobody_can_serve_is_no_topic() -> None:
    found = survey({"mixed": usage(ours="t", others="t"), "odd": usage(ours="${t} #{u}")})
    assert found.topics == ()
    assert [each.topic for each in found.not_served] == ["t", "#{u}", "${t}"]


def test_a_record_s_topic_is_ours_and_wants_no_variable_of_the_process() -> None:
    record = Activity("compute", "", "records", properties={"service.type": "decision-record"})
    asked = Activity("frame", "", "t", properties={"service.type": "assistant", "service.name": "analyst"})
    found = survey({"d": Usage.of(Definition("d", {each.id: each for each in (record, asked)}))})
    assert found.topics == (Topic("records", (), ("loopCounter",)), Topic("t"))
    assert found.not_served == ()


def test_an_unreadable_definition_stops_no_other() -> None:
    found = survey({"bad": Usage(unreadable="no XML"), "good": usage(ours="t")})
    assert found.topics == (Topic("t"),)
    assert [(each.definition_id, each.topic, each.reason) for each in found.not_served] == [("bad", "", "no XML")]


def test_a_definition_of_very_many_topics_takes_no_time() -> None:
    names = [f"t{number}" for number in range(20_000)]
    ours = {"service.type": "assistant", "service.name": "analyst", "data.input": "-"}
    definition = Definition("d:1:1", {name: Activity(name, "", name, "", ours) for name in names})
    started = time.thread_time()
    found = survey({"d:1:1": Usage.of(definition)} | {f"e:{n}": usage(ours="t0") for n in range(200)})
    assert (len(found.topics), time.thread_time() - started < 3) == (20_000, True)


class Deployments:
    """What stands in an engine; definitions map topics to whether they are ours, or are the error that they raise."""

    def __init__(self) -> None:
        self.definitions: dict[str, Mapping[str, bool] | Exception] = {}
        self.failure: WorkerError | None = None
        self.looks = 0
        self.read: list[str] = []

    async def deployed(self) -> list[Deployed]:
        self.looks += 1
        if self.failure:
            raise self.failure
        return [Deployed(id_, id_, 1, None, 0) for id_ in self.definitions]

    async def definition(self, definition_id: str) -> Definition:
        self.read.append(definition_id)
        said = self.definitions[definition_id]
        if isinstance(said, Exception):
            raise said
        properties = {True: {"service.type": "assistant"}, False: {"service.type": "mail"}}
        activities = {topic: Activity(topic, "", topic, properties=properties[ours]) for topic, ours in said.items()}
        return Definition(definition_id, activities)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(topics, "monotonic", clock)
    return clock


@pytest.fixture
def deployments() -> Deployments:
    return Deployments()


@pytest.fixture
def discovery(deployments: Deployments, clock: Clock) -> Discovery:
    assert clock
    return Discovery(deployments, timedelta(seconds=10))


def task(topic: str, definition: str = "d") -> Task:
    """A task whose activity is called like its topic, as those of `Deployments` are."""
    return Task("id", topic, topic, "instance", definition, "d", "e", datetime.now(UTC), 0.0)


async def test_it_looks_once_in_an_interval(discovery: Discovery, deployments: Deployments, clock: Clock) -> None:
    deployments.definitions = {"d": {"t": True}}
    for _ in range(5):
        assert await discovery.current() == (Topic("t"),)
    assert deployments.looks == 1

    clock.now += 9.75
    await discovery.current()
    assert deployments.looks == 1
    assert discovery.next_look() == timedelta(seconds=0.25), "a poll must be back by then"

    clock.now += 0.25
    await discovery.current()
    assert (deployments.looks, deployments.read) == (2, ["d"])


async def test_a_strange_task_makes_it_look_again_and_filter_the_topic(
    discovery: Discovery, deployments: Deployments
) -> None:
    """Such as one of a definition that we may not see."""
    deployments.definitions = {"d": {"t": True}}
    assert await discovery.current() == (Topic("t"),)

    assert discovery.serves(task("t"))
    assert not discovery.serves(task("t", "hidden"))
    discovery.suspect()
    assert await discovery.current() == (Topic("t"),)
    assert not discovery.serves(task("t", "hidden"))
    discovery.suspect()

    assert await discovery.current() == (Topic("t", ("d",)),)
    assert deployments.looks == 3


async def test_a_task_of_a_definition_that_nobody_looked_at_is_ours_after_the_look(
    discovery: Discovery, deployments: Deployments
) -> None:
    deployments.definitions = {"d": {"t": True}}
    await discovery.current()
    deployments.definitions["new"] = {"t": True}

    assert not discovery.serves(task("t", "new"))
    discovery.suspect()

    assert await discovery.current() == (Topic("t"),)
    assert discovery.serves(task("t", "new"))


async def test_activities_tell_ours_from_those_of_others_in_one_definition(
    discovery: Discovery, deployments: Deployments
) -> None:
    deployments.definitions = {"d": {"t": True, "u": False}, "bad": BadDefinition("no XML")}
    await discovery.current()

    assert [discovery.serves(each) for each in (task("t"), task("u"), task("t", "bad"))] == [True, False, False]


async def test_an_engine_that_is_away_leaves_the_topics_and_is_asked_again_soon(
    discovery: Discovery, deployments: Deployments, clock: Clock
) -> None:
    deployments.definitions = {"d": {"t": True}}
    await discovery.current()
    deployments.failure = EngineDown("away")
    with capture_logs() as lines:
        for _ in range(3):
            clock.now += 10
            assert await discovery.current() == (Topic("t"),)
            assert await discovery.current() == (Topic("t"),)
        assert deployments.looks == 4
        deployments.failure = None
        clock.now += 2
        await discovery.current()
    assert deployments.looks == 5
    assert [(line["event"], line.get("reason")) for line in lines] == [(Event.DISCOVERY_FAILED, "away")]


async def test_an_engine_that_denies_everything_fails_the_look(
    discovery: Discovery, deployments: Deployments, clock: Clock
) -> None:
    deployments.definitions = {"d": EngineDenied("no right"), "e": {"t": True}}
    assert await discovery.current() == ()
    deployments.definitions["d"] = {"u": True}
    clock.now += 2
    assert await discovery.current() == (Topic("t"), Topic("u"))


async def test_a_definition_that_may_not_be_read_hinders_no_other_and_is_asked_for_again(
    discovery: Discovery, deployments: Deployments, clock: Clock
) -> None:
    deployments.definitions = {"d": ReadRefused("no right"), "e": {"t": True}}
    with capture_logs() as lines:
        assert await discovery.current() == (Topic("t"),)
    assert [line["reason"] for line in lines if line["event"] == Event.TOPIC_NOT_SERVED] == ["no right"]
    deployments.definitions["d"] = {"u": True}
    clock.now += 10
    assert await discovery.current() == (Topic("t"), Topic("u"))


async def test_an_unreadable_definition_is_told_once_and_a_deleted_one_never(
    discovery: Discovery, deployments: Deployments, clock: Clock
) -> None:
    deployments.definitions = {"bad": BadDefinition("no XML"), "gone": TaskLost("gone"), "good": {"t": True}}
    with capture_logs() as lines:
        for _ in range(3):
            assert await discovery.current() == (Topic("t"),)
            clock.now += 10
    assert [line["event"] for line in lines] == [Event.TOPICS, Event.TOPIC_NOT_SERVED]
    assert deployments.read.count("bad") == deployments.read.count("good") == 1


async def test_a_definition_that_is_odd_in_a_way_that_nobody_foresaw_is_not_served_and_named(
    discovery: Discovery, deployments: Deployments
) -> None:
    deployments.definitions = {"odd": RecursionError("quotes the model"), "good": {"t": True}}
    with capture_logs() as lines:
        assert await discovery.current() == (Topic("t"),)
    [said] = [line for line in lines if line["event"] == Event.TOPIC_NOT_SERVED]
    assert said["definition"] == "odd"
    assert said["reason"] == "definition odd cannot be read: an unforeseen RecursionError"
    assert "quotes the model" not in str(lines)


async def test_topics_are_logged_when_they_change(discovery: Discovery, deployments: Deployments, clock: Clock) -> None:
    with capture_logs() as lines:
        for definitions in ({}, {}, {"d": {"t": True}}, {"d": {"t": True}}, {"d": {"t": True}, "e": {"t": False}}):
            deployments.definitions = dict(definitions)
            await discovery.current()
            clock.now += 10
    assert [line["topics"] for line in lines] == [{}, {"t": "all"}, {"t": 1}]


async def test_of_many_topics_some_are_named_and_the_others_counted(
    discovery: Discovery, deployments: Deployments
) -> None:
    deployments.definitions = {f"definition {number}": {f"topic {number}": True} for number in range(200)}
    with capture_logs() as lines:
        await discovery.current()
    [line] = lines
    assert len(line["topics"]) == MOST_SHOWN
    assert (line["definitions"], line["more_topics"]) == (200, 200 - MOST_SHOWN)
    assert len(str(line)) < 1000


async def test_what_is_not_deployed_any_more_is_forgotten(
    discovery: Discovery, deployments: Deployments, clock: Clock
) -> None:
    deployments.definitions = {"d": {"t": True}}
    await discovery.current()
    deployments.definitions = {}
    clock.now += 10
    assert await discovery.current() == ()


async def test_many_definitions_are_each_read_once(
    discovery: Discovery, deployments: Deployments, clock: Clock
) -> None:
    deployments.definitions = {f"d{number}": {f"t{number}": True} for number in range(1000)}
    for _ in range(2):
        assert len(await discovery.current()) == 1000
        clock.now += 10
    assert len(deployments.read) == 1000


async def test_given_topics_are_polled_and_served_whatever_the_model_says(deployments: Deployments) -> None:
    fixed = FixedTopics(["b", "a", "b"], deployments)
    assert await fixed.current() == (Topic("a"), Topic("b"))
    assert fixed.serves(task("a"))
    assert not fixed.serves(task("c"))
    fixed.suspect()
    assert await fixed.current() == (Topic("a"), Topic("b"))


def recorded(*, also: str = "decision-record") -> Usage:
    """A definition with a record's task on topic `r`, and another task."""
    said = {"records": "decision-record", "other": also}
    activities = {name: Activity(name, "", "r", properties={"service.type": kind}) for name, kind in said.items()}
    return Usage.of(Definition("d", activities))


def test_a_topic_asks_no_model_where_all_tasks_of_ours_on_it_are_records() -> None:
    assert survey({"a": recorded(), "b": usage(ours="t")}).without_models == {"r"}
    assert survey({"a": recorded(also="assistant")}).without_models == set()
    assert survey({"a": recorded(), "b": recorded(also="assistant")}).without_models == set()


class Recording(Deployments):
    """One definition with a record's task on topic `r`, and one of an assistant on topic `t`."""

    async def definition(self, definition_id: str) -> Definition:
        kinds = {"r": "decision-record", "t": "assistant"}
        activities = {name: Activity(name, "", name, properties={"service.type": kind}) for name, kind in kinds.items()}
        return Definition(definition_id, activities)


@pytest.fixture
def recording(clock: Clock) -> Recording:
    assert clock
    recording = Recording()
    recording.definitions = {"d": {}}
    return recording


async def test_discovery_tells_the_topics_that_ask_no_model(recording: Recording) -> None:
    discovery = Discovery(recording, timedelta(seconds=10))
    assert await discovery.without_models() == set()
    await discovery.current()
    assert await discovery.without_models() == {"r"}


async def test_of_given_topics_the_models_are_read_only_when_somebody_asks_which_ask_no_model(
    recording: Recording, clock: Clock
) -> None:
    fixed = FixedTopics(["r", "t"], recording)
    await fixed.current()
    assert recording.looks == 0
    recording.failure = EngineDown("away")
    assert await fixed.without_models() == set()
    recording.failure = None
    clock.now += 10
    assert await fixed.without_models() == {"r"}
    assert await fixed.without_models() == {"r"}
    assert recording.looks == 2
