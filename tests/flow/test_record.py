"""Every turn in the transcript, once and in order, whatever happens to the store meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.conversations import EVERYTHING, Filter, Message, MessageFilter
from worker.transcript import SqlConversations, open_database


@asynccontextmanager
async def transcript(rig: Rig) -> AsyncIterator[SqlConversations]:
    async with open_database(str(rig.settings["transcript_url"])) as database:
        yield SqlConversations(database)


async def messages(rig: Rig, instance: str, count: int) -> list[Message]:
    """The messages of an instance once there are so many."""
    async with transcript(rig) as kept:

        async def arrived() -> list[Message]:
            page = await kept.messages(MessageFilter(instance=instance), within=EVERYTHING)
            return list(page.items) if len(page.items) >= count else []

        return await wait_until(arrived, what=f"{count} messages")


@pytest.fixture
def kept(rig: Rig, tmp_path: Path) -> Rig:
    rig.settings["transcript_url"] = f"sqlite:///{tmp_path}/transcript.db"
    return rig


async def test_every_turn_is_in_the_transcript_with_its_place_in_the_process(kept: Rig) -> None:
    model = await kept.deploy(kept.step("frame", data_input="goal"), kept.step("decide", data_input="-"))
    await kept.start_worker()
    instance = await kept.run(model, {"goal": "Fly"}, business_key="order-7")

    found = await messages(kept, instance, 4)
    variables = await kept.rest.variables(instance)
    assert [(each.role, each.activity_id, each.activity_name) for each in found] == [
        ("user", "frame", "Frame"),
        ("agent", "frame", "Frame"),
        ("user", "decide", "Decide"),
        ("agent", "decide", "Decide"),
    ]
    assert "Fly" in found[0].content
    assert "(ref " not in found[0].content
    assert [found[1].content, found[3].content] == [variables["frame"], variables["decide"]]
    assert found[3].processing_seconds is not None
    async with transcript(kept) as read:
        [session] = (await read.sessions(Filter(instance=instance), within=EVERYTHING)).items
    assert (session.assistant, session.business_key, session.definition_key, session.definition_version) == (
        "analyst",
        "order-7",
        model.key,
        1,
    )
    assert session.thread_id == variables["assistant_thread_analyst"].partition("#")[0]


async def test_the_outbox_is_empty_when_all_is_recorded(kept: Rig) -> None:
    model = await kept.deploy(kept.step("frame"))
    await kept.start_worker()
    instance = await kept.run(model)
    await messages(kept, instance, 2)

    async with kept.redis() as redis:

        async def settled() -> bool:
            return int(await redis.zcard("assistant-worker:default:unrecorded")) == 0

        await wait_until(settled, what="the outbox to be empty")
        [turn] = [key async for key in redis.scan_iter("*:turn:*")]
        assert not [name for name in await redis.hkeys(turn) if name.startswith(("exchange:", "unrecorded"))]


async def test_a_bad_answer_and_its_repair_are_both_there(kept: Rig) -> None:
    kept.provider.answer("Correction", '{"a": 1}')
    kept.provider.answer(".", "No JSON.")
    model = await kept.deploy(kept.step("frame", data_output_type="Json"))
    await kept.start_worker()
    instance = await kept.run(model)

    found = await messages(kept, instance, 4)
    assert [(each.attempt, each.role) for each in found] == [(1, "user"), (1, "agent"), (2, "user"), (2, "agent")]
    assert [found[1].content, found[3].content] == ["No JSON.", '{"a": 1}']
    assert found[3].metadata["repaired"] is True


async def test_a_store_that_is_down_delays_no_task_and_gets_everything_later(kept: Rig, tmp_path: Path) -> None:
    (tmp_path / "away").write_text("a file where the store wants a folder")
    kept.settings["transcript_url"] = f"sqlite:///{tmp_path}/away/transcript.db"
    model = await kept.deploy(*(kept.step(f"step{number}") for number in range(5)))
    await kept.start_worker()
    instance = await kept.run(model)
    (tmp_path / "away").unlink()

    found = await messages(kept, instance, 10)
    assert [each.activity_id for each in found] == [f"step{number}" for number in range(5) for _ in range(2)]


async def test_another_worker_records_what_one_left(kept: Rig, tmp_path: Path) -> None:
    (tmp_path / "away").write_text("")
    nowhere = f"sqlite:///{tmp_path}/away/transcript.db"
    model = await kept.deploy(kept.step("frame"))
    first = await kept.start_worker(transcript_url=nowhere)
    instance = await kept.run(model)
    await first.kill()
    async with kept.redis() as redis:  # due again only when the first one's claim is over
        name = "assistant-worker:default:unrecorded"
        await redis.zadd(name, dict.fromkeys(await redis.zrange(name, 0, -1), 0))
    await kept.start_worker()

    assert len(await messages(kept, instance, 2)) == 2
