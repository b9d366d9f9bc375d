"""Anchors in the transcript's database, the same on both."""

from datetime import UTC, datetime

from worker.domain.threads import Anchor
from worker.transcript import Database, SqlAnchors

AT = datetime(2026, 5, 4, 9, tzinfo=UTC)
ONE, TWO = Anchor("conv_1", AT), Anchor("conv_2", AT)


async def test_anchors_are_known_once_and_what_is_left_stays_left(database: Database) -> None:
    book = SqlAnchors(database, engine="default", provider="openai")
    assert await book.anchors() == {}

    await book.note([ONE, TWO])
    await book.note([Anchor("conv_1", AT, left=True)])
    await book.note([ONE, TWO])

    assert await book.anchors() == {"conv_1": Anchor("conv_1", AT, left=True), "conv_2": TWO}


async def test_each_engine_and_each_provider_has_its_own(database: Database) -> None:
    for engine, provider in (("default", "openai"), ("other", "openai"), ("default", "azure")):
        await SqlAnchors(database, engine=engine, provider=provider).note([Anchor(f"{engine}-{provider}", AT), ONE])

    found = await SqlAnchors(database, engine="other", provider="openai").anchors()
    assert found.keys() == {"other-openai", "conv_1"}
