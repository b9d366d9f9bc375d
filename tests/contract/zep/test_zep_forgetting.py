"""What goes from Zep, what stays there, and when it is said to be gone."""

from dataclasses import replace

import pytest

from tests.contract.zep.rig import ANN, BEN, Rig, memo
from tests.fakes.known_ids import KnownIds
from tests.zep.stand_in import Fault
from worker.domain.memory import Forgotten
from worker.errors import MemoryDown, MemoryRefused

STAYS = "derived facts"


async def two_of_ann_and_one_of_ben(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))
    await rig.memory.remember(memo("2" * 12, instance="i-2"))
    await rig.memory.remember(memo("3" * 12, BEN, "i-3"))


async def test_a_subject_goes_with_everything_and_others_stay(rig: Rig) -> None:
    await two_of_ann_and_one_of_ben(rig)

    assert await rig.memory.forget(ANN) == Forgotten(1)
    assert {each.metadata["ref"] for each in rig.zep.messages} == {"3" * 12}
    assert await rig.memory.recall(ANN, "Which pump?", 5) == []
    assert len(await rig.memory.recall(BEN, "Which pump?", 5)) == 1
    assert await rig.memory.forget(ANN) == Forgotten(0)


async def test_a_subject_goes_with_its_earlier_generations_and_comes_again_as_another(rig: Rig) -> None:
    later = replace(ANN, generation=1)
    await rig.memory.remember(memo("1" * 12))
    await rig.memory.remember(memo("2" * 12, later))
    assert [each.ref for each in await rig.memory.recall(later, "Which pump?", 5)] == ["2" * 12]
    assert await rig.memory.forget(ANN) == Forgotten(1)
    assert [each.metadata["ref"] for each in rig.zep.messages] == ["2" * 12] * 2
    await rig.memory.remember(memo("3" * 12))

    assert await rig.memory.forget(later) == Forgotten(2)
    assert rig.zep.users == []


async def test_a_subject_is_not_gone_before_zep_says_so(rig: Rig) -> None:
    await two_of_ann_and_one_of_ben(rig)
    rig.zep.later = True

    assert await rig.memory.forget(ANN) == Forgotten(1, open=True)
    assert (await rig.memory.forget(ANN)).open
    rig.zep.finish()
    assert await rig.memory.forget(ANN) == Forgotten(0)
    assert len(rig.zep.users) == 1


async def test_an_instance_goes_with_its_episodes_and_its_thread_and_what_was_derived_is_said_to_stay(rig: Rig) -> None:
    await two_of_ann_and_one_of_ben(rig)

    assert await rig.memory.forget_instance(ANN, "i-1") == Forgotten(3, STAYS)
    assert [each.ref for each in await rig.memory.recall(ANN, "Which pump?", 5)] == ["2" * 12]
    assert {each.metadata["instance"] for each in rig.zep.messages} == {"i-2", "i-3"}
    [anns] = [each for each in rig.zep.users if str(each.user_id).startswith(f"assistant-worker-{ANN.digest}")]
    assert len(anns.summaries) == 4, "as vendors write summaries, and delete them with the user alone"
    assert await rig.memory.forget_instance(ANN, "i-1") == Forgotten(0, STAYS)
    await rig.memory.forget(ANN)
    assert await rig.memory.forget_instance(ANN, "i-1") == Forgotten(0)


async def test_a_fact_of_two_instances_is_no_more_told_of_the_one_that_was_forgotten(rig: Rig) -> None:
    await two_of_ann_and_one_of_ben(rig)
    await rig.memory.recall(ANN, "Which pump?", 5)
    [first, second] = [each for each in rig.zep.users[0].episodes if each.facts]
    await rig.memory.forget_instance(ANN, "i-1")
    shared = {"uuid": "f1", "fact": "The site wants blue.", "episodes": [first.message.uuid, second.message.uuid]}
    found = {"edges": [shared], "items": [{**shared, "episode_uuids": shared["episodes"]}]}
    rig.zep.faults.append(Fault("graph/search$|search/edges", 200, found))

    assert {each.instance for each in await rig.memory.recall(ANN, "Which pump?", 5)} == {"i-2"}
    rig.zep.faults.append(Fault("graph/search$|search/edges", 200, found))
    nothing: dict[str, list[object]] = {"episodes": [], "items": []}
    rig.zep.faults.append(Fault("graph/search$|search/episodes", 200, nothing))
    [fact] = await (await rig.another()).recall(ANN, "Which pump?", 5)
    assert (fact.text, fact.instance) == ("The site wants blue.", "i-2")


async def test_an_instance_is_open_until_each_of_its_parts_is_gone(rig: Rig) -> None:
    await two_of_ann_and_one_of_ben(rig)
    rig.zep.later = True

    first = await rig.memory.forget_instance(ANN, "i-1")
    assert (first.removed, first.open) == (2, True)
    assert (await rig.memory.forget_instance(ANN, "i-1")).open
    assert len(rig.zep.threads) == 3, "the thread is what names the episodes"
    rig.zep.finish()
    assert await rig.memory.forget_instance(ANN, "i-1") == Forgotten(1, STAYS, open=True)
    rig.zep.finish()
    assert await rig.memory.forget_instance(ANN, "i-1") == Forgotten(0, STAYS)
    assert len(rig.zep.threads) == 2


async def test_what_zep_has_yet_to_take_into_its_graph_is_waited_for(rig: Rig) -> None:
    rig.zep.store.slow = True
    await rig.memory.remember(memo("1" * 12))
    early = await rig.memory.forget_instance(ANN, "i-1")
    rig.zep.ingest()

    assert (early, len(rig.zep.threads)) == (Forgotten(0, STAYS, open=True), 1)
    assert await rig.memory.forget_instance(ANN, "i-1") == Forgotten(3, STAYS)
    assert rig.zep.users[0].episodes == []


async def test_of_a_subject_or_instance_that_zep_never_saw_nothing_goes_or_stays(rig: Rig) -> None:
    assert await rig.memory.forget(ANN) == Forgotten(0)
    assert await rig.memory.forget_instance(ANN, "i-1") == Forgotten(0)


@pytest.mark.parametrize("status", [401, 403, 500, 429])
async def test_what_cannot_be_told_is_not_said_to_be_gone(rig: Rig, status: int) -> None:
    await two_of_ann_and_one_of_ben(rig)
    for like in ("GET|lookup", "DELETE"):
        rig.zep.faults = [Fault(like, status, {"message": "no"})]
        with pytest.raises((MemoryDown, MemoryRefused)):
            await rig.memory.forget(ANN)
        await rig.memory.check()
        rig.zep.faults = [Fault(like, status, {"message": "no"})]
        with pytest.raises((MemoryDown, MemoryRefused)):
            await rig.memory.forget_instance(ANN, "i-1")
        await rig.memory.check()

    assert len(rig.zep.users) == 2


async def test_threads_whose_ids_were_lost_are_found_by_what_stands_on_them(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))
    if rig.dialect == "v4":
        rig.zep.forget_keys()
        [lost] = [name for name in rig.known.known if rig.known.known[name] == rig.zep.threads[0].uuid]
        del rig.known.known[lost]
        await (await rig.another()).remember(memo("1" * 12))
        assert len(rig.zep.threads) == 2
    forgetful = await rig.another(KnownIds())

    assert not (await forgetful.forget_instance(ANN, "i-1")).open
    assert rig.zep.threads == []
    assert rig.zep.users[0].episodes == []


async def test_a_thread_whose_user_is_gone_goes_with_its_instance(rig: Rig) -> None:
    await two_of_ann_and_one_of_ben(rig)
    rig.zep.store.users = [each for each in rig.zep.users if ANN.digest not in str(each.user_id)]
    another = await rig.another()

    assert await another.forget_instance(ANN, "i-1") == Forgotten(1)
    assert {each.metadata["instance"] for each in rig.zep.messages} == {"i-2", "i-3"}
    assert await another.forget_instance(ANN, "i-1") == Forgotten(0)
    rig.zep.later = True
    assert await another.forget_instance(ANN, "i-2") == Forgotten(1, open=True)
    rig.zep.finish()
    assert await another.forget_instance(ANN, "i-2") == Forgotten(0)
    assert {each.metadata["instance"] for each in rig.zep.messages} == {"i-3"}


async def test_a_thread_whose_user_is_gone_and_that_is_somebody_elses_stays(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))
    [thread], [other] = rig.zep.threads, [rig.zep.add_user("other", {})]
    rig.zep.store.users = [other]
    thread.user = other
    for each in thread.messages:
        each.metadata = {"instance": "of another program"}
    if rig.dialect == "v2":
        with pytest.raises(MemoryRefused, match="another user"):
            await rig.memory.forget_instance(ANN, "i-1")
    else:
        for each in thread.messages:
            each.metadata |= {"ref": "0" * 12}
        assert await rig.memory.forget_instance(ANN, "i-1") == Forgotten(0)
    assert rig.zep.threads == [thread]


async def test_whoever_comes_again_after_their_user_has_gone_is_made_anew_with_our_metadata(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))
    rig.zep.store.users = []
    assert await rig.memory.recall(ANN, "Which pump?", 5) == []
    await rig.memory.remember(memo("2" * 12))

    [user] = rig.zep.users
    assert (user.metadata["kept_by"], user.metadata["subject"]) == ("assistant-worker", ANN.digest)
    refs = [each.metadata["ref"] for each in rig.zep.messages]
    assert refs == ["1" * 12] * 2 + ["2" * 12] * 2
    if rig.dialect == "v4":
        assert {each.user.uuid for each in rig.zep.threads if each.messages[0].metadata["ref"] == "2" * 12} == {
            user.uuid
        }
