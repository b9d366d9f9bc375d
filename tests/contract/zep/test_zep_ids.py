"""Ids that Zep gives, in v4: kept, lost, and of what was deleted behind our back."""

import pytest

from tests.contract.zep.rig import ANN, BEN, Rig, memo
from tests.fakes.known_ids import KnownIds
from tests.zep.stand_in import Fault
from worker.errors import MemoryDown
from worker.zep import Dialect
from worker.zep.names import UserName


@pytest.fixture
def dialect() -> Dialect:
    return "v4"


async def test_ids_that_were_lost_are_learned_from_what_stands_on_the_threads_once(rig: Rig) -> None:
    for each in range(12):
        await rig.memory.remember(memo(f"{each:012}", instance=f"i-{each}"))
    rig.zep.forget_keys()
    known = KnownIds()
    later = await rig.another(known)
    await later.remember(memo("a" * 12, instance="i-3"))
    assert len(rig.zep.threads) == 12
    before = len(rig.zep.requests)
    await later.remember(memo("b" * 12, instance="i-7"))

    assert len(rig.zep.threads) == 12
    assert len(rig.zep.requests) - before == 3, "its thread, its messages, one more"
    assert {each.metadata["instance"] for each in rig.zep.threads[3].messages} == {"i-3"}


@pytest.mark.parametrize("status", [400, 409])
async def test_after_a_refusal_to_make_a_thread_what_is_there_is_read_again(rig: Rig, status: int) -> None:
    await rig.memory.remember(memo("1" * 12))
    other, late = await rig.another(KnownIds()), await rig.another(KnownIds())
    await late.remember(memo("1" * 12))
    body = {"error": {"code": "conflict", "message": "not now"}}
    rig.zep.faults.append(Fault("POST .*/threads$", status, body))

    async def faster(what: str) -> None:
        if what.endswith("POST /api/v4/threads"):
            rig.zep.before = None
            rig.zep.faults[0].times = 0
            await other.remember(memo("2" * 12, instance="i-2"))
            rig.zep.faults[0].times = 1
            rig.zep.forget_keys()

    rig.zep.before = faster
    await late.remember(memo("3" * 12, instance="i-2"))

    assert len(rig.zep.threads) == 2
    assert [each.metadata["ref"][0] for each in rig.zep.threads[1].messages] == ["2", "2", "3", "3"]


async def test_a_new_instance_of_a_known_subject_looks_through_no_threads(rig: Rig) -> None:
    for each in range(12):
        await rig.memory.remember(memo(f"{each:012}", instance=f"i-{each}"))
    before = len(rig.zep.requests)
    await rig.memory.remember(memo("a" * 12, instance="i-new"))

    assert [each.split("?")[0].rpartition("/")[2] for each in rig.zep.requests[before:]] == [
        "threads",
        "messages",
        "messages",
    ]


async def test_more_threads_than_a_page_has_are_all_looked_at(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.zep.v4.PAGE", 2)
    for each in range(5):
        await rig.memory.remember(memo(f"{each:012}", instance=f"i-{each}"))
    other = await rig.another(KnownIds())
    await other.remember(memo("a" * 12, instance="i-4"))
    assert len(rig.zep.threads) == 5
    monkeypatch.setattr("worker.zep.v4.MOST_PAGES", 2)
    with pytest.raises(MemoryDown, match="more than"):
        await (await rig.another(KnownIds())).remember(memo("b" * 12))


@pytest.mark.parametrize("ids", ["kept", "lost"])
async def test_a_user_that_somebody_deleted_is_made_anew_though_zep_knows_the_request(rig: Rig, ids: str) -> None:
    await rig.memory.remember(memo("1" * 12))
    rig.zep.store.drop_user(rig.zep.users[0])
    later = await rig.another(rig.known if ids == "kept" else KnownIds())
    await later.remember(memo("2" * 12))

    assert (len(rig.zep.users), len(rig.zep.threads), len(rig.zep.messages)) == (1, 1, 2)
    assert len(await later.recall(ANN, "Which pump?", 5)) == 1


async def test_an_id_that_leads_to_somebody_elses_thread_is_not_followed(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12, BEN))
    [bens] = rig.zep.threads
    await rig.known.put(UserName("assistant-worker", ANN).thread("i-1"), bens.uuid)
    await rig.memory.remember(memo("2" * 12, ANN))

    assert {each.metadata["ref"] for each in bens.messages} == {"1" * 12}
    await rig.known.put(UserName("assistant-worker", ANN).thread("i-1"), bens.uuid)
    assert not (await rig.memory.forget_instance(ANN, "i-1")).open
    assert rig.zep.threads == [bens]
    assert len(rig.zep.users[0].episodes) == 2


async def test_a_thread_on_which_nothing_shows_yet_is_forgotten_by_its_id(rig: Rig) -> None:
    rig.zep.store.slow = rig.zep.store.blind = True
    await rig.memory.remember(memo("1" * 12))
    forgotten = await (await rig.another()).forget_instance(ANN, "i-1")

    assert (forgotten.removed, rig.zep.threads) == (1, [])


async def test_writes_and_deletions_carry_a_key_and_the_same_write_the_same_one(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))
    first = set(rig.zep._answered)
    rig.zep.store.users, rig.zep.store.threads = [], []
    rig.known.known.clear()
    rig.zep.forget_keys()
    await (await rig.another()).remember(memo("1" * 12))

    assert len(first & set(rig.zep._answered)) == 1, "that of the user: thread and messages have other ids before them"
