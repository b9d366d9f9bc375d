"""What answers cost, one by one and summed, the same on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from tests.contract.transcript.conftest import Place
from tests.records import KEY, START, exchange, key
from worker.domain.conversations import EVERYTHING, By, Limits, MessageFilter, Spent, session_id
from worker.domain.exchanges import Exchange
from worker.domain.money import Money
from worker.transcript import SqlTranscriptReader, SqlTranscriptWriter

ALL = MessageFilter()


def priced(number: int, thread: Any = KEY, amount: str = "0.1", currency: str = "USD", **others: Any) -> Exchange:
    return exchange(number, thread, cost=Money(amount, currency), **others)


@pytest.fixture
async def told(transcript: SqlTranscriptWriter) -> None:
    """Five answers: three of one instance, one of them without a price, and two that another one has on a thread."""
    other = key("instance-2", assistant="critic")
    called = {"process_instance_id": "instance-3", "definition_id": "review:1:5", "model": None}
    for said in (
        priced(1, cached_tokens=60, cache_write_tokens=10, reasoning_tokens=5),
        priced(2, amount="0.2", model="gpt-5-mini"),
        exchange(3, input_tokens=None, output_tokens=None),
        priced(2000, other, amount="0.000000001"),
        priced(2001, other, amount="7", currency="EUR", **called),
    ):
        await transcript.record(said)


async def test_an_answer_keeps_its_tokens_and_its_cost(
    transcript: SqlTranscriptWriter, conversations: SqlTranscriptReader
) -> None:
    cost = Money("2147483647.999999999", "EUR")
    await transcript.record(exchange(1, cached_tokens=60, cache_write_tokens=10, reasoning_tokens=5, cost=cost))
    await transcript.record(exchange(2))

    question, answer, _, unpriced = (await conversations.messages(ALL, within=EVERYTHING)).items

    assert (answer.cached_tokens, answer.cache_write_tokens, answer.reasoning_tokens) == (60, 10, 5)
    assert answer.cost == cost
    assert (question.cached_tokens, question.cost) == (None, None)
    assert (unpriced.cached_tokens, unpriced.cost) == (None, None), "unknown, not 0"


@pytest.mark.usefixtures("told")
async def test_sums_are_exact_by_currency_and_say_how_many_answers_have_no_price(
    conversations: SqlTranscriptReader,
) -> None:
    assert await conversations.spent("all", ALL, within=EVERYTHING) == {
        "": Spent(5, 1, 400, 60, 10, 80, 5, (Money("7", "EUR"), Money("0.300000001", "USD")))
    }
    of_session = MessageFilter(session_id(KEY))
    assert await conversations.spent("all", of_session, within=EVERYTHING) == {
        "": Spent(3, 1, 200, 60, 10, 40, 5, (Money("0.3", "USD"),))
    }
    assert await conversations.spent("all", MessageFilter("nobody's"), within=EVERYTHING) == {}


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("by", "answers"),
    [
        ("instance", {"instance-3": 1, "instance-1": 3, "instance-2": 1}),
        ("definition", {"review": 1, "drones": 4}),
        ("day", {"2026-05-04": 3, "2026-05-05": 2}),
        ("assistant", {"critic": 2, "analyst": 3}),
        ("model", {"": 1, "gpt-5-mini": 1, "gpt-5": 3}),
    ],
)
async def test_answers_are_summed_by_what_they_have_in_common_the_costliest_first(
    conversations: SqlTranscriptReader, by: By, answers: dict[str, int]
) -> None:
    found = await conversations.spent(by, ALL, within=EVERYTHING)

    assert [(name, spent.answers) for name, spent in found.items()] == [*answers.items()]


@pytest.mark.usefixtures("told")
async def test_sums_keep_to_the_time_and_to_what_may_be_seen(conversations: SqlTranscriptReader) -> None:
    late = MessageFilter(since=START + timedelta(minutes=2001))
    seen = Limits(instances=frozenset(["instance-1"]))

    assert (await conversations.spent("all", late, within=EVERYTHING))[""].answers == 1
    assert [*await conversations.spent("instance", ALL, within=seen)] == ["instance-1"]
    assert await conversations.spent("day", late, within=seen) == {}


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("by", ["all", "instance", "definition", "day", "assistant"])
async def test_sums_are_read_from_an_index_and_not_past_what_was_said(
    place: Place, conversations: SqlTranscriptReader, monkeypatch: pytest.MonkeyPatch, by: By
) -> None:
    if not place.is_sqlite:
        return  # PostgreSQL chooses by the size of the tables, and keeps long texts apart
    asked: list[str] = []
    rows = conversations._rows

    async def noted(query: Any) -> Any:
        asked.append(str(query.compile(compile_kwargs={"literal_binds": True})))
        return await rows(query)

    monkeypatch.setattr(conversations, "_rows", noted)
    await conversations.spent(by, MessageFilter(engine="default"), within=EVERYTHING)

    assert "USING COVERING INDEX messages_answers" in place.sql(f"EXPLAIN QUERY PLAN {asked[0]}")
