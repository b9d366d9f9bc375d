"""How users and threads come to be in Zep: only by its own word that they are not there, and once."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.contract.zep.rig import ANN, Rig, memo
from tests.fakes.known_ids import KnownIds
from tests.zep.stand_in import KEY, Fault
from worker.errors import MemoryDown, MemoryRefused
from worker.zep.names import UserName

ANNS = UserName("assistant-worker", ANN)
FIND_USER = {"v2": "GET .*/users/", "v4": "POST .*/users/lookup"}
FIND_THREAD = {"v2": "GET .*/threads/.*lastn=1$", "v4": "GET .*/threads.user_uuid"}
PAGE = "<html>Sign in to continue</html>"
NOT_POSITIVE: list[tuple[int | None, Any]] = [
    (401, {"message": "unauthorized"}),
    (403, {"error": {"code": "forbidden", "message": "no"}}),
    (429, {"message": "slow down"}),
    (500, {"message": "oops"}),
    (503, PAGE),
    (302, PAGE),
    (404, PAGE),
    (404, {"status": "not found"}),
    (404, None),
    (405, PAGE),
    (200, PAGE),
    (200, []),
    (200, {}),
    (None, None),
]


async def test_a_user_comes_before_its_thread_and_that_before_a_message(rig: Rig) -> None:
    await rig.memory.remember(memo())

    assert [(each.user_id, each.metadata) for each in rig.zep.users] == [(str(ANNS), ANNS.metadata)]
    assert [each.split("?")[0] for each in rig.asked("POST") if "lookup" not in each] == [
        "POST /users",
        "POST /threads",
        f"POST /threads/{rig.zep.threads[0].thread_id or rig.zep.threads[0].uuid}/messages",
    ]
    assert rig.zep.contents == ["Which pump does the site want?", f"The site wants the blue pump {'0' * 12}."]
    assert {each.at[:19] for each in rig.zep.messages} == {"2026-03-01T12:00:00"}


async def test_in_v2_a_thread_is_looked_for_among_messages_as_it_has_no_get(rig: Rig) -> None:
    await rig.memory.remember(memo())
    address, key = f"{rig.zep.url}/api/v2/threads/{rig.zep.threads[0].uuid}", {"Authorization": f"Api-Key {KEY}"}
    async with aiohttp.ClientSession(headers=key) as session, session.get(address) as reply:
        assert reply.status == 405

    if rig.dialect == "v2":
        assert f"GET /threads/{ANNS.thread('i-1')}/messages?lastn=1" in rig.asked("GET")
        assert f"GET /threads/{ANNS.thread('i-1')}" not in rig.asked("GET")


async def test_a_second_exchange_makes_nothing_and_asks_for_no_user(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))
    before = len(rig.zep.requests)
    await rig.memory.remember(memo("2" * 12))

    assert [each.split()[0] for each in rig.zep.requests[before:]] == ["GET", "POST"]
    assert (len(rig.zep.users), len(rig.zep.threads), len(rig.zep.messages)) == (1, 1, 4)


async def test_another_worker_finds_what_is_there(rig: Rig) -> None:
    await rig.memory.remember(memo("1" * 12))
    await (await rig.another()).remember(memo("2" * 12))
    await (await rig.another()).remember(memo("3" * 12, instance="i-2"))

    assert (len(rig.zep.users), len(rig.zep.threads), len(rig.zep.messages)) == (1, 2, 6)


@pytest.mark.parametrize("status", [400, 409])
@pytest.mark.parametrize("what", ["users", "threads"])
async def test_a_refusal_to_make_what_somebody_has_just_made_is_no_failure(rig: Rig, what: str, status: int) -> None:
    body = {"message": "it exists", "error": {"code": "exists"}}
    rig.zep.faults.append(Fault(f"POST /api/../{what}$", status, body, lands=True))
    await rig.memory.remember(memo())

    assert (len(rig.zep.users), len(rig.zep.threads), len(rig.zep.messages)) == (1, 1, 2)


@pytest.mark.parametrize(("status", "error"), [(400, MemoryRefused), (409, MemoryDown)])
@pytest.mark.parametrize("what", ["users", "threads"])
async def test_a_refusal_to_make_what_is_not_there_afterwards_either_is_said(
    rig: Rig, what: str, status: int, error: type[Exception]
) -> None:
    rig.zep.faults.append(Fault(f"POST /api/../{what}$", status, {"message": "no", "error": {"code": "no"}}, times=9))
    with pytest.raises(error, match=str(status)):
        await rig.memory.remember(memo())

    assert not rig.zep.messages


@pytest.mark.parametrize("metadata", [{}, {"kept_by": "somebody"}, {**ANNS.metadata, "generation": "1"}])
async def test_a_user_that_is_not_ours_is_neither_written_to_nor_read_nor_deleted(
    rig: Rig, metadata: dict[str, Any]
) -> None:
    rig.zep.add_user(str(ANNS), metadata)
    for attempt in (
        rig.memory.remember(memo()),
        rig.memory.recall(ANN, "Which pump?", 5),
        rig.memory.forget(ANN),
        rig.memory.forget_instance(ANN, "i-1"),
    ):
        with pytest.raises(MemoryRefused, match="does not carry our metadata"):
            await attempt

    assert {each.split()[0] for each in rig.zep.requests if "lookup" not in each} <= {"GET"}
    assert len(rig.zep.users) == 1


@pytest.mark.parametrize("status", [400, 409])
async def test_a_user_of_somebody_elses_that_comes_before_ours_is_not_adopted(rig: Rig, status: int) -> None:
    rig.zep.exists = status

    async def before_us(what: str) -> None:
        if what.endswith("/users"):
            rig.zep.before = None
            rig.zep.add_user(str(ANNS), {"kept_by": "somebody"})

    rig.zep.before = before_us
    with pytest.raises(MemoryRefused, match="does not carry our metadata"):
        await rig.memory.remember(memo())

    assert (len(rig.zep.users), rig.zep.threads) == (1, [])


async def test_a_thread_that_another_user_has_is_not_written_to(rig: Rig) -> None:
    if rig.dialect == "v4":
        pytest.skip("ids of threads are Zep's own there")
    await rig.memory.remember(memo())
    rig.zep.threads[0].user = rig.zep.add_user("somebody", {})
    other = await rig.another()
    for attempt in (other.remember(memo("1" * 12)), other.forget_instance(ANN, "i-1")):
        with pytest.raises(MemoryRefused, match="another user"):
            await attempt

    assert len(rig.zep.messages) == 2


@pytest.mark.parametrize(("status", "body"), NOT_POSITIVE)
@pytest.mark.parametrize("what", ["users", "threads"])
async def test_nothing_is_made_unless_zep_itself_says_that_it_is_not_there(
    rig: Rig, what: str, status: int | None, body: Any
) -> None:
    if what == "threads":
        await rig.memory.remember(memo())
        rig.known.known.clear()
    if (what, body) == ("threads", {}):
        pytest.skip("a thread without messages, or no thread: a positive answer")
    before = len(rig.zep.messages)
    like = (FIND_USER if what == "users" else FIND_THREAD)[rig.dialect]
    # A GET that is cut off is sent once more by the client library.
    rig.zep.faults.append(Fault(like, status, body, times=2 if status is None and like.startswith("GET") else 1))
    with pytest.raises((MemoryDown, MemoryRefused)):
        await (await rig.another()).remember(memo("1" * 12))

    assert len(rig.zep.users) == len(rig.zep.threads) == before / 2
    assert len(rig.zep.messages) == before
    await (await rig.another()).remember(memo("1" * 12))
    assert (len(rig.zep.users), len(rig.zep.threads), len(rig.zep.messages)) == (1, 1, before + 2)


async def test_an_answer_that_does_not_come_in_time_is_none(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.zep.transport._LIMITS", aiohttp.ClientTimeout(total=1))
    hasty = await rig.another()
    rig.zep.before = lambda _: asyncio.sleep(60)
    with pytest.raises(MemoryDown, match="gives no answer"):
        await hasty.remember(memo())

    assert len(rig.zep.requests) == 1


@pytest.mark.parametrize("gone", ["thread", "user"])
async def test_a_thread_that_is_gone_when_it_is_written_to_is_made_once_more(rig: Rig, gone: str) -> None:
    await rig.memory.remember(memo("1" * 12))
    [user], [thread] = rig.zep.users, rig.zep.threads
    if gone == "user":
        rig.zep.store.drop_user(user)
    else:
        rig.zep.store.drop_thread(thread)
    await rig.memory.remember(memo("2" * 12))

    assert (len(rig.zep.users), len(rig.zep.threads), len(rig.zep.messages)) == (1, 1, 2)
    assert thread not in rig.zep.threads


@pytest.mark.parametrize("status", [404, 400])
async def test_a_thread_that_goes_between_look_and_write_is_made_once_more(rig: Rig, status: int) -> None:
    await rig.memory.remember(memo("1" * 12))

    async def drop(what: str) -> None:
        if what.startswith("POST") and what.endswith("/messages"):
            rig.zep.before = None
            rig.zep.store.drop_thread(rig.zep.threads[0])
            if status == 400:
                rig.zep.faults.append(Fault("POST .*/messages", 400, {"message": "x", "error": {"message": "x"}}))

    rig.zep.before = drop
    await rig.memory.remember(memo("2" * 12))

    assert (len(rig.zep.threads), len(rig.zep.messages)) == (1, 2)


async def test_a_thread_that_is_gone_again_and_again_is_left_for_later(rig: Rig) -> None:
    gone = {"message": "thread not found", "error": {"message": "thread not found"}}
    rig.zep.faults.append(Fault("POST .*/messages", 404, gone, times=9))
    with pytest.raises(MemoryDown, match="just made"):
        await rig.memory.remember(memo())

    assert len(rig.asked("/messages HTTP") or [each for each in rig.asked("POST") if "/messages" in each]) == 2


async def test_what_zep_will_never_take_is_refused_and_asked_once(rig: Rig) -> None:
    rig.zep.faults.append(Fault("POST .*/messages", 400, {"message": "bad", "error": {"message": "bad"}}, times=9))
    with pytest.raises(MemoryRefused, match="Zep answered 400") as caught:
        await rig.memory.remember(memo())
    assert "bad" not in str(caught.value), "its words may quote what was said"

    assert len([each for each in rig.asked("POST") if "/messages" in each]) == 1


@pytest.mark.parametrize("ids", ["shared", "apart"])
async def test_twenty_workers_that_come_at_once_make_one_user_and_one_thread(rig: Rig, ids: str) -> None:
    rig.zep.exists = 409 if ids == "shared" else 400
    workers = [await rig.another(rig.known if ids == "shared" else KnownIds()) for _ in range(20)]
    await asyncio.gather(*(each.remember(memo(f"{number:012}")) for number, each in enumerate(workers)))

    assert (len(rig.zep.users), len(rig.zep.threads)) == (1, 1)
    assert sorted({each.metadata["ref"] for each in rig.zep.messages}) == [f"{each:012}" for each in range(20)]
    assert len(rig.zep.messages) == 40


async def test_who_is_about_to_make_the_same_is_waited_for(rig: Rig) -> None:
    rig.zep.slowness = 0.2
    workers = [await rig.another(KnownIds()) for _ in range(4)]
    await asyncio.gather(*(each.remember(memo(f"{number:012}")) for number, each in enumerate(workers)))

    assert (len(rig.zep.users), len(rig.zep.threads), len(rig.zep.messages)) == (1, 1, 8)


async def test_twenty_exchanges_of_one_worker_make_one_user_and_one_thread(rig: Rig) -> None:
    await asyncio.gather(*(rig.memory.remember(memo(f"{each:012}")) for each in range(20)))

    assert (len(rig.zep.users), len(rig.zep.threads), len(rig.zep.messages)) == (1, 1, 40)


async def test_two_owners_in_one_project_share_nothing(rig: Rig) -> None:
    other = await rig.another(KnownIds(), owner="staging")
    await rig.memory.remember(memo("1" * 12))
    await other.remember(memo("2" * 12))

    assert [each.ref for each in await rig.memory.recall(ANN, "pump", 5)] == ["1" * 12]
    assert len(rig.zep.users) == 2


async def test_long_and_short_texts_come_in_order_and_whole(rig: Rig) -> None:
    text = " ".join(f"word{each}" for each in range(20_000))
    await rig.memory.remember(memo(question="?", answer=text))

    assert "".join(rig.zep.contents) == f"user: ?\n{text}"
    assert [each.metadata["part"] for each in rig.zep.messages] == list(range(1, len(rig.zep.messages) + 1))
    assert len([each for each in rig.asked("POST") if "/messages" in each]) == 2, "thirty at once"


async def test_nothing_to_say_asks_zep_nothing(rig: Rig) -> None:
    await rig.memory.remember(memo(question=" ", answer=""))
    assert await rig.memory.recall(ANN, " ", 5) == []
    assert await rig.memory.recall(ANN, "Which pump?", 0) == []

    assert rig.zep.requests == []
