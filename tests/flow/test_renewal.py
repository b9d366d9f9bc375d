"""`threads renew`, and threads that their provider refuses for good, in whole processes."""

import asyncio
import json

import pytest

from tests.fakes.watcher import FakeWatchers
from tests.flow import command
from tests.flow.command import Ran, environment
from tests.flow.rig import Rig

ORPHAN = {
    "status": 400,
    "message": "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
    "param": "input",
}


async def renew(rig: Rig, *arguments: str) -> Ran:
    return await command.assistant_worker(environment(rig), "threads", "renew", *arguments)


async def waiting(rig: Rig) -> tuple[str, str]:
    """An instance whose worker lives and that waits at its second step, and its thread."""
    rig.provider.answer("Please do one", "The cheap one is a pelican.")
    model = await rig.deploy(rig.step("one"), rig.step("two", topic=f"{rig.topic}_later"))
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.until_open(instance, "two")
    [thread] = rig.provider.conversations()
    return instance, thread


async def told(rig: Rig, instance: str) -> tuple[str, str]:
    """The thread of the second step, and what its question saw."""
    meta = await rig.meta(instance, "two")
    assert (meta["use"], meta["generation"], meta["seeded"]) == ("recreated", 2, 1)
    thread = meta["thread"]
    return thread, json.dumps(rig.provider.conversations()[thread]["items"])


async def test_a_thread_is_replaced_at_its_next_turn_and_erased_with_the_new_one(kept: Rig) -> None:
    instance, old = await waiting(kept)
    ordered = await renew(kept, old, "--reason", "its provider refuses it", "--json")
    assert (ordered.code, ordered.json["thread"], ordered.json["scope"]) == (0, old, instance)
    assert len(kept.provider.conversations()) == 1, "nothing happens before the next turn"
    await kept.start_worker(topics=f"{kept.topic}_later")
    await kept.rest.wait_for_end(instance)

    new, said = await told(kept, instance)
    assert new != old
    assert "pelican" in said
    assert len(kept.provider.requests("responses.create")) == 2
    again = await renew(kept, old)
    assert again.code == 2, "it is nobody's thread any more"
    erased = await command.assistant_worker(environment(kept), "threads", "erase", instance, "--yes")
    assert {name for name, each in kept.provider.conversations().items() if each["deleted"]} == {old, new}, erased.out


async def test_an_order_is_told_in_words_and_one_for_nothing_is_none(rig: Rig) -> None:
    _, thread = await waiting(rig)
    ordered, unknown = await asyncio.gather(renew(rig, thread), renew(rig, "conv_nobody"))

    assert ordered.code == 0
    assert "replaced at its next turn" in ordered.out
    assert "will know nothing of what was said" in ordered.out, "TRANSCRIPT_URL=off here"
    assert unknown.code == 2
    assert "threads list" in unknown.err


@pytest.mark.parametrize("watched", [False, True])
async def test_a_thread_whose_provider_cannot_go_on_with_it_is_replaced_without_an_incident(
    kept: Rig, *, watched: bool
) -> None:
    kept.watchers = FakeWatchers() if watched else None
    instance, old = await waiting(kept)
    kept.provider.fault("responses.create", conversation=old, times=None, reply=ORPHAN)
    await kept.start_worker(topics=f"{kept.topic}_later")
    await kept.rest.wait_for_end(instance)

    new, said = await told(kept, instance)
    assert new != old
    assert "pelican" in said
    assert [request["conversation"] for request in kept.provider.requests("responses.create")] == [old, old, new]
