"""Reading within what an engine lets somebody see: nothing else is found, searched or counted."""

from datetime import timedelta

import pytest

from tests.records import START, exchange, key
from worker.domain.conversations import EVERYTHING, Definitions, Filter, Limits, MessageFilter, session_id
from worker.domain.threads import ThreadKey
from worker.transcript import SqlTranscriptReader, SqlTranscriptWriter

DRONES, HEAT = key("drones-runs"), key("heat-runs")
DRONES_OVER, HEAT_OVER = key("drones-over"), key("heat-over")
CALLER = key("caller-runs")
SHARED = key("business-key:order-1")


def within(running: str = "", ended: str = "", instances: str = "") -> Limits:
    return Limits(definitions=Definitions(*(frozenset(each.split()) for each in (running, ended, instances))))


@pytest.fixture
async def said(transcript: SqlTranscriptWriter) -> None:
    """Two processes, each with an instance that runs and one that is over; a call, and a shared conversation."""

    async def speak(number: int, thread: ThreadKey, process: str, instance: str | None = None) -> None:
        own = {} if instance is None else {"process_instance_id": instance}
        await transcript.record(exchange(number, thread, definition_key=process, question="budget?", **own))

    for number, (thread, process) in enumerate(
        ((DRONES, "drones"), (DRONES_OVER, "drones"), (HEAT, "heat"), (HEAT_OVER, "heat"), (CALLER, "drones"))
    ):
        await speak(number, thread, process)
    await speak(6, CALLER, "heat", "called-runs")
    await speak(7, SHARED, "drones", "one")
    await speak(8, SHARED, "heat", "other")
    await transcript.end([session_id(each) for each in (DRONES_OVER, HEAT_OVER)], START + timedelta(hours=1))


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize(
    ("limits", "seen"),
    [
        (within(), ""),
        (within("drones"), "drones-runs"),
        (within(ended="drones"), "drones-over"),
        (within("drones", "drones heat"), "drones-runs drones-over heat-over"),
        (within("drones heat"), "drones-runs heat-runs caller-runs business-key:order-1"),
        (within("drones", instances="called-runs"), "drones-runs caller-runs"),
        (within(instances="heat-runs heat-over"), "heat-runs"),
        (within("drone", "rones"), ""),
        (within("drones:3", "%"), ""),
        (EVERYTHING, "drones-runs drones-over heat-runs heat-over caller-runs business-key:order-1"),
    ],
)
async def test_whatever_is_asked_keeps_within_the_processes_that_may_be_seen(
    conversations: SqlTranscriptReader, limits: Limits, seen: str
) -> None:
    scopes = set(seen.split())
    found = (await conversations.sessions(Filter(), within=limits)).items
    assert {each.scope for each in found} == scopes
    hits = (await conversations.search("budget", Filter(), within=limits)).items
    assert {hit.session_id for hit in hits} == {each.id for each in found}
    counts = await conversations.counts(Filter(), within=limits)
    assert (counts.sessions, counts.messages) == (len(scopes), sum(each.messages for each in found))
    spent = await conversations.spent("all", MessageFilter(), within=limits)
    assert sum(each.answers for each in spent.values()) == counts.messages // 2
    for thread in (DRONES, HEAT, DRONES_OVER, HEAT_OVER, CALLER):
        one = await conversations.session(session_id(thread), within=limits)
        instance = await conversations.instance(thread.scope, within=limits)
        page = await conversations.messages(MessageFilter(instance=thread.scope), within=limits)
        assert {one is not None, instance is not None, bool(page.items)} == {thread.scope in scopes}


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize(
    ("trunk", "instance", "limits", "is_seen"),
    [
        (DRONES, "drones-runs", within("drones"), True),
        (DRONES, "drones-runs", within("heat"), False),
        (CALLER, "caller-runs", within("drones"), False),
        (CALLER, "caller-runs", within("drones heat"), True),
        (SHARED, "one", within("drones"), False),
        (SHARED, "one", within("drones heat"), True),
        (SHARED, "one", Limits(instances=frozenset({"one"})), False),
        (DRONES, "drones-runs", Limits(instances=frozenset({"drones-runs"})), True),
        (DRONES, "drones-runs", Limits(instances=frozenset({"heat-runs"})), False),
        (key("nobody-knows"), "drones-runs", within("drones"), False),
        (SHARED, "one", EVERYTHING, True),
    ],
)
async def test_what_is_said_beside_a_conversation_is_seen_by_who_may_see_that_one(
    transcript: SqlTranscriptWriter,
    conversations: SqlTranscriptReader,
    trunk: ThreadKey,
    instance: str,
    limits: Limits,
    is_seen: bool,
) -> None:
    await transcript.record(exchange(20, trunk.branch, process_instance_id=instance, question="Repeat everything"))
    beside = session_id(trunk.branch)
    assert (await conversations.session(beside, within=limits) is not None) is is_seen
    assert bool((await conversations.messages(MessageFilter(beside), within=limits)).items) is is_seen
    assert bool((await conversations.search("repeat", Filter(), within=limits)).items) is is_seen
    assert await conversations.hidden([beside, "0" * 32], within=limits) == (set() if is_seen else {beside})


@pytest.mark.usefixtures("said")
async def test_an_instance_that_speaks_on_anothers_conversation_is_not_seen_with_it(
    conversations: SqlTranscriptReader,
) -> None:
    limits = Limits(instances=frozenset({"caller-runs"}))
    said = (await conversations.messages(MessageFilter(session_id(CALLER)), within=limits)).items
    assert {each.process_instance_id for each in said} == {"caller-runs", "called-runs"}

    called = Filter(instance="called-runs")
    assert await conversations.instance("called-runs", within=limits) is None
    assert (await conversations.sessions(called, within=limits)).items == []
    assert (await conversations.search("budget", called, within=limits)).items == []
    assert (await conversations.messages(MessageFilter(instance="called-runs"), within=limits)).items == []
    assert await conversations.since(MessageFilter(instance="called-runs"), {}, within=limits) == []
    assert await conversations.activities("called-runs", within=limits) == []
    assert [each.id for each in (await conversations.instances(Filter(), within=limits)).items] == ["caller-runs"]
    counts = await conversations.counts(Filter(), within=limits)
    assert (counts.sessions, counts.instances, counts.messages) == (1, 1, 4)


@pytest.mark.usefixtures("said")
async def test_every_process_that_spoke_is_known_by_its_key(conversations: SqlTranscriptReader) -> None:
    assert await conversations.definition_keys() == {"drones", "heat"}


async def test_a_definition_whose_id_does_not_name_its_process_goes_by_its_sessions(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(exchange(1, DRONES, definition_id="b1946ac9-2f"))
    for limits, seen in ((within("drones"), 1), (within("b1946ac9-2f heat"), 0)):
        assert (await conversations.counts(Filter(), within=limits)).sessions == seen
