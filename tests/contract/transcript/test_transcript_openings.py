"""How conversations begin, and how they are found by a part of what they are called; the same on both databases."""

import pytest

from tests.records import BETWEEN, exchange, key
from worker.domain.conversations import EVERYTHING, Filter, Limits, session_id
from worker.transcript import SqlTranscriptReader, SqlTranscriptWriter


async def test_the_beginning_of_what_was_asked_first_is_one_line(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(
        exchange(2, key("a"), question="Later?"),
        exchange(1, key("a"), question="\n# Which   drones\n\nshall we buy?", between=BETWEEN),
        exchange(3, key("b"), question="x" * 200),
    )
    by_instance = await conversations.openings(["a", "b", "nobody"], of="instance", within=EVERYTHING)
    sessions = {name: session_id(key(name)) for name in "ab"}
    by_session = await conversations.openings(list(sessions.values()), of="session", within=EVERYTHING)

    assert by_instance == {"a": "Which drones", "b": "x" * 160 + " …"}
    assert by_session == {sessions[name]: text for name, text in by_instance.items()}
    assert await conversations.openings([], of="instance", within=EVERYTHING) == {}


async def test_a_beginning_is_told_within_limits_only(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    await transcript.record(
        exchange(1, key("a", tenant="south"), question="Secret?"),
        exchange(2, key("a", tenant="north"), question="Open?"),
    )
    north = Limits(tenants=frozenset(["north"]))
    assert await conversations.openings(["a"], of="instance", within=north) == {"a": "Open?"}
    assert await conversations.openings([session_id(key("a", tenant="south"))], of="session", within=north) == {}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(business_key="Order_1%"), ["a"]),
        (Filter(business_key="rder_1"), []),
        (Filter(business_key="rder_1", parts=True), ["a"]),
        (Filter(business_key="ORDER", parts=True), ["b", "a"]),
        (Filter(business_key="%", parts=True), ["a"]),
        (Filter(assistant="ANA", parts=True), ["b", "a"]),
        (Filter(definition_key="rone", parts=True), ["b"]),
        (Filter(definition_key="rone"), []),
        (Filter(definition_key="4711", parts=True), []),
        (Filter(definition_key=":", parts=True), []),
        (Filter(definition_key="_", parts=True), []),
        (Filter(definition_key="/", parts=True), []),
        (Filter(definition_key="OffERS", parts=True), ["a"]),
        (Filter(definition_key="nothing", parts=True, or_definitions=frozenset(["offers"])), ["a"]),
        (Filter(definition_key="drones", or_definitions=frozenset(["offers"])), ["b", "a"]),
    ],
)
async def test_conversations_are_found_by_parts(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader, wanted: Filter, found: list[str]
) -> None:
    # A definition whose id is only a number does not name its key.
    await transcript.record(exchange(1, key("a"), business_key="Order_1%", definition_key="offers", definition_id="47"))
    await transcript.record(exchange(2, key("b"), business_key="order-2"))
    instances = (await conversations.instances(wanted, within=EVERYTHING)).items
    sessions = (await conversations.sessions(wanted, within=EVERYTHING)).items
    assert [each.id for each in instances] == found
    assert [each.process_instance_id for each in sessions] == found
