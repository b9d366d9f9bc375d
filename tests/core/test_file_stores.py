"""Files at a provider that searches them: made once, found again after any death, and taken away with a receipt."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.core.rig import Core
from tests.core.test_ending_crashes import Dying, Killed, Watched
from tests.fakes.documents import FakeShelf
from tests.fakes.file_vendor import FakeVendor, Store
from worker.domain.documents import AssistantFile
from worker.domain.file_stores import Indexing, Kept, Searchable, cited, set_digest
from worker.domain.providers import ProviderSpec
from worker.ending.files import FileRemoval
from worker.errors import BadDefinition, FilesOnTheWay, ModelDown, ProviderAway, StoreDown
from worker.redis import RedisFileStores
from worker.turn.file_stores import (
    FAILED_SECONDS,
    INDEXING_SECONDS,
    LEASE,
    LONGEST_PAUSE_SECONDS,
    SOON,
    WAIT_SECONDS,
    FileStores,
)


def file(name: str, sign: str) -> AssistantFile:
    return AssistantFile(name, 32 * f"{ord(sign):02x}", Path(name))


HANDBOOK, PRICES = file("handbook.PDF", "a"), file("prices.txt", "b")
BOTH = (HANDBOOK, PRICES)


class Ground:
    """Workers on one provider and one Redis."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.vendor = FakeVendor()
        self.shelf = FakeShelf()
        self.shelf.said = {"handbook.PDF": {}, "prices.txt": {}, "copy.txt": {}, "prices.md": {}}

    def book(self, key: str = "sk-one", engine: str = "default", provider: str = "openai") -> RedisFileStores:
        spec = ProviderSpec(provider, key=key)
        return RedisFileStores(self.core.redis, prefix="aw", engine=engine, spec=lambda: spec)

    def worker(self, key: str = "sk-one", dying: Dying | None = None) -> FileStores:
        vendor: Any = self.vendor if dying is None else Watched(self.vendor, "vendor", dying)
        book: Any = self.book(key) if dying is None else WatchedBook(self.book(key), "book", dying)
        return FileStores("openai", vendor, book, self.shelf)

    def removal(self, key: str = "sk-one", dying: Dying | None = None) -> FileRemoval:
        stores = self.worker(key, dying)
        return FileRemoval("openai", stores.vendor, stores.book)

    async def kept(self) -> Kept:
        return await self.book().everything()


class WatchedBook(Watched):
    """Dies at calls alone; whose account it is costs none."""

    @property
    def account(self) -> str:
        return str(self._port.account)


@pytest.fixture
def ground(core: Core) -> Ground:
    return Ground(core)


def outcomes(lines: Sequence[Any]) -> list[tuple[str, str]]:
    return [(each.what, each.outcome) for each in lines]


async def test_a_set_of_files_is_one_store_whatever_their_order_and_is_asked_for_once(ground: Ground) -> None:
    worker = ground.worker()
    found = await worker.ready(BOTH)
    assert await worker.ready(BOTH[::-1]) == found

    assert (ground.vendor.count("create"), ground.vendor.count("upload")) == (1, 2)
    assert found.names.keys() == {"handbook.PDF", "prices.txt"}
    names = {name for name, _ in ground.vendor.files.values()}
    assert names == set(found.names.values())
    assert all(name.startswith((HANDBOOK.sha256, PRICES.sha256)) for name in names)
    assert cited(BOTH, [found.names["handbook.PDF"]]) == {"handbook.PDF": HANDBOOK.sha256[:12]}
    calls = len(ground.vendor.calls)
    assert await ground.worker().ready(BOTH) == found, "another worker reads it in Redis"
    assert len(ground.vendor.calls) == calls


async def test_a_new_store_is_not_asked_for_files_that_nobody_has_put_there(ground: Ground) -> None:
    """Some servers fail at the question, and take long to."""
    await ground.worker().ready(BOTH)

    calls = ground.vendor.calls
    assert calls.index("status") > [at for at, each in enumerate(calls) if each == "put"][-1]


async def test_racing_workers_make_one_store(ground: Ground) -> None:
    workers = [ground.worker() for _ in range(8)]
    found = await asyncio.gather(*(each.ready(BOTH) for each in workers for _ in range(2)))
    assert len({each.id for each in found}) == 1
    assert (len(ground.vendor.stores), len(ground.vendor.files)) == (1, 2)


async def test_bytes_are_uploaded_once_for_all_sets_and_names(ground: Ground) -> None:
    worker = ground.worker()
    copy = replace(PRICES, name="copy.txt")
    stores = [await worker.ready(files) for files in ([PRICES], BOTH, [copy, PRICES])]
    assert len({each.id for each in stores}) == 3
    assert ground.vendor.count("upload") == 2
    assert [len(each.files) for each in ground.vendor.stores.values()] == [1, 2, 1]
    assert cited((copy, PRICES), [stores[2].names["copy.txt"]]).keys() == {"copy.txt", "prices.txt"}


async def test_a_changed_file_makes_another_store_and_leaves_the_one_before(ground: Ground) -> None:
    worker = ground.worker()
    before = await worker.ready(BOTH)
    after = await worker.ready([HANDBOOK, replace(PRICES, sha256=32 * "cc")])
    assert before.id != after.id
    assert ground.vendor.count("upload") == 3
    assert ground.vendor.stores.keys() == {before.id, after.id}


async def test_another_key_has_its_own(ground: Ground) -> None:
    one, other = await ground.worker().ready(BOTH), await ground.worker("sk-two").ready(BOTH)
    assert one.id != other.id
    assert len(ground.vendor.files) == 4


async def test_killed_anywhere_the_next_worker_makes_the_same_one(ground: Ground) -> None:
    at, died = 1, 0
    while True:
        ground.vendor = FakeVendor()
        await ground.core.redis.flushall()
        dying = Dying(at)
        worker = ground.worker(dying=dying)
        try:
            await worker._finished(BOTH)
        except Killed:
            died += 1
        else:
            break
        where = f"died at {dying.places[-1]}"
        again = ground.worker()
        found = await coming_again(again)
        assert ground.vendor.stores.keys() == {found.id}, where
        assert len(ground.vendor.files) == len(ground.vendor.stores[found.id].files) == 2, where
        assert ground.vendor.count("create") == 1, where
        kept = await ground.kept()
        assert ([each.ready for each in kept.stores], len(kept.uploads)) == ([True], 2), where
        at += 1
    assert died > 15


async def test_one_that_died_with_the_lock_holds_others_up_for_a_lease(ground: Ground) -> None:
    assert await ground.book().lock("of the dead", LEASE)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await ground.worker()._made(BOTH)
    assert LEASE.total_seconds() <= loop.time() - began < LEASE.total_seconds() + 5


async def test_two_stores_of_one_mark_are_one_and_go_together(ground: Ground) -> None:
    found = await ground.worker().ready(BOTH)
    mark = ground.vendor.stores[found.id].mark
    ground.vendor.stores["vs_twin"] = Store(mark)
    await ground.removal().remove([found.id], ())
    assert ground.vendor.stores == {}


async def test_what_the_provider_has_lost_is_made_anew_once_for_all(ground: Ground) -> None:
    one, other = ground.worker(), ground.worker()
    gone = await one.ready(BOTH)
    assert await other.ready(BOTH) == gone
    ground.vendor.stores.clear()
    await one.gone(BOTH, gone.id)
    anew = await one.ready(BOTH)
    await one.gone(BOTH, gone.id)  # another task of it met the old one
    await other.gone(BOTH, gone.id)
    assert await other.ready(BOTH) == await one.ready(BOTH) == anew
    assert ground.vendor.stores.keys() == {anew.id}
    assert len(ground.vendor.files) == 2, "files that are still there are not uploaded again"


async def test_files_that_the_provider_has_lost_are_uploaded_again(ground: Ground) -> None:
    worker = ground.worker()
    gone = await worker.ready(BOTH)
    ground.vendor.stores.clear()
    ground.vendor.files.clear()
    await worker.gone(BOTH, gone.id)
    await worker.ready(BOTH)
    assert len(ground.vendor.files) == 2


async def test_a_store_that_went_while_it_was_made_is_made_anew(ground: Ground) -> None:
    ground.vendor.endless = True
    with pytest.raises(ModelDown, match="still being indexed"):
        await coming_again(ground.worker())
    ground.vendor.stores.clear()
    ground.vendor.endless = False
    assert (await ground.worker().ready(BOTH)).id in ground.vendor.stores


async def test_indexing_goes_on_beside_a_task_that_waits_for_some_seconds_and_comes_again(ground: Ground) -> None:
    ground.vendor.endless = True
    worker, loop = ground.worker(), asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(FilesOnTheWay) as raised:
        await worker.ready(BOTH)
    assert loop.time() - began == pytest.approx(WAIT_SECONDS, abs=1)
    assert raised.value.retry_after == SOON
    await asyncio.sleep(SOON.total_seconds())
    [store] = ground.vendor.stores.values()
    store.files = dict.fromkeys(store.files, Indexing("completed"))
    await worker.ready(BOTH)
    assert (ground.vendor.count("create"), ground.vendor.count("upload")) == (1, 2)


async def test_indexing_that_takes_too_long_is_told_to_a_task_that_comes_again(ground: Ground) -> None:
    ground.vendor.endless = True
    worker, loop = ground.worker(), asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(ModelDown, match="still being indexed") as raised:
        await coming_again(worker)
    assert INDEXING_SECONDS < loop.time() - began < INDEXING_SECONDS + 60
    assert raised.value.is_trouble
    [store] = ground.vendor.stores.values()
    store.files = dict.fromkeys(store.files, Indexing("completed"))
    await asyncio.sleep(FAILED_SECONDS + 1)
    await worker.ready(BOTH)
    assert (ground.vendor.count("create"), ground.vendor.count("upload")) == (1, 2)


async def test_a_file_that_is_not_taken_is_an_incident_and_not_tried_at_once_again(ground: Ground) -> None:
    ground.vendor.untaken = {"pdf"}
    worker = ground.worker()
    for _ in range(3):
        with pytest.raises(BadDefinition, match=r"openai does not take the file 'handbook.PDF'"):
            await worker.ready(BOTH)
    assert ground.vendor.count("upload") == 1
    ground.vendor.untaken.clear()
    await asyncio.sleep(FAILED_SECONDS + 1)
    await worker.ready(BOTH)


async def test_a_file_that_cannot_be_indexed_is_an_incident_and_another_try_indexes_it_again(ground: Ground) -> None:
    ground.vendor.failing = {"txt": "unsupported_file"}
    with pytest.raises(BadDefinition, match="unsupported_file"):
        await ground.worker().ready(BOTH)
    ground.vendor.failing = {"txt": "server_error"}
    with pytest.raises(ModelDown, match="server_error"):
        await ground.worker().ready(BOTH)
    ground.vendor.failing.clear()
    await ground.worker().ready(BOTH)
    assert ground.vendor.count("create") == 1


@pytest.mark.parametrize("refused", ["untaken", "unput", "failing"])
async def test_the_same_bytes_may_be_taken_by_another_name(ground: Ground, refused: str) -> None:
    table, text = replace(PRICES, name="prices.md"), PRICES
    setattr(ground.vendor, refused, {"md": "unsupported_file"})
    with pytest.raises(BadDefinition, match=r"prices\.md"):
        await ground.worker().ready([table])
    await ground.worker().ready([text])
    [(name, _)] = ground.vendor.files.values()
    assert name.endswith(".txt")
    found = await ground.worker().ready([table])
    assert found.names == {"prices.md": name}, "which stands there under another name by now"


@pytest.mark.parametrize("refused", ["unput", "failing"])
async def test_a_file_that_another_store_is_searched_with_stays_though_it_is_refused_there(
    ground: Ground, refused: str
) -> None:
    searched = await ground.worker().ready(BOTH)
    setattr(ground.vendor, refused, {"txt": "invalid_file"})
    with pytest.raises(BadDefinition, match=r"prices\.txt"):
        await ground.worker().ready([PRICES])
    assert len(ground.vendor.stores[searched.id].files) == len(ground.vendor.files) == 2
    assert await ground.removal().broken() == {}


async def test_a_file_that_is_taken_away_while_it_is_indexed_is_not_waited_for(ground: Ground) -> None:
    ground.vendor.slow = {"txt"}
    worker = ground.worker()
    with pytest.raises(FilesOnTheWay):
        await worker.ready([PRICES])
    ground.vendor.files.clear()
    [store] = ground.vendor.stores.values()
    store.files.clear()
    await asyncio.sleep(6 * LONGEST_PAUSE_SECONDS)
    with pytest.raises(ModelDown, match="was taken away while it was indexed"):
        await worker.ready([PRICES])
    await asyncio.sleep(FAILED_SECONDS)
    ground.vendor.slow = set()
    await worker.ready([PRICES])


async def test_who_ends_in_the_middle_lets_go_of_the_lock(ground: Ground) -> None:
    worker = ground.worker()
    making = asyncio.create_task(worker.ready(BOTH))
    while not ground.vendor.count("upload"):  # noqa: ASYNC110 - the fake makes a turn of the loop for each call
        await asyncio.sleep(0)
    await worker.close()
    await asyncio.wait({making})
    await asyncio.sleep(1)
    assert await ground.book().lock("another", LEASE)


async def test_a_set_that_is_indexed_for_long_keeps_no_other_waiting(ground: Ground) -> None:
    ground.vendor.slow = {"pdf"}
    slow = asyncio.create_task(coming_again(ground.worker(), [HANDBOOK]))
    await asyncio.sleep(1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await ground.worker().ready([PRICES])
    assert loop.time() - began < WAIT_SECONDS
    assert not slow.done()
    ground.vendor.indexed()
    await slow
    assert [each.ready for each in (await ground.kept()).stores] == [True, True]


async def test_files_that_are_taken_away_while_they_are_indexed_are_made_anew(ground: Ground) -> None:
    ground.vendor.slow = {"pdf"}
    coming = asyncio.create_task(coming_again(ground.worker(), [HANDBOOK]))
    await asyncio.sleep(1)
    [entry] = (await ground.kept()).stores
    await ground.removal().remove([entry.id], ())
    ground.vendor.slow = set()
    found = await coming
    assert found.id != entry.id
    assert ground.vendor.stores.keys() == {found.id}


async def test_who_gives_up_waiting_ends_nothing(ground: Ground) -> None:
    worker = ground.worker()
    waiting = asyncio.create_task(worker.ready(BOTH))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await worker.ready(BOTH)
    assert ground.vendor.count("create") == 1


async def coming_again(worker: FileStores, files: Sequence[AssistantFile] = BOTH, patience: int = 40) -> Searchable:
    """Come as a task does that is told to come again."""
    for _ in range(patience):
        try:
            return await worker.ready(files)
        except ModelDown as exc:
            if "still being indexed" in str(exc):
                raise
            await asyncio.sleep(SOON.total_seconds())
    raise AssertionError("they are never ready")


@pytest.mark.parametrize("error", [ProviderAway("nobody there"), StoreDown("redis is away")])
async def test_what_is_down_is_not_said_to_be_once_it_is_up(ground: Ground, error: Exception) -> None:
    ground.vendor.trouble = error
    worker = ground.worker()
    with pytest.raises(type(error)):
        await worker.ready(BOTH)
    ground.vendor.trouble = None
    assert (await worker.ready(BOTH)).id in ground.vendor.stores


async def test_an_upload_whose_reply_was_lost_leaves_no_second_one(ground: Ground) -> None:
    worker = ground.worker()
    ground.vendor.unheard = 1
    with pytest.raises(ModelDown, match="reply"):
        await worker.ready(BOTH)
    [said] = ground.vendor.files.values()
    ground.vendor.files["file_0"] = said  # the request came twice
    await ground.worker().ready(BOTH)
    assert len(ground.vendor.files) == 2

    late = dict(ground.vendor.files)
    name = next(name for name, _ in late.values())
    ground.vendor.files["file_late"] = (name, b"")
    [entry] = (await ground.kept()).stores
    assert outcomes(await ground.removal().remove([entry.id], ())) == [("store", "removed"), *[("file", "removed")] * 2]
    assert ground.vendor.files == {}


async def test_what_is_uploaded_anew_takes_the_place_of_all_before(ground: Ground) -> None:
    worker = ground.worker()
    gone = await worker.ready([PRICES])
    [(file, said)] = ground.vendor.files.items()
    ground.vendor.files = {"file_late": said}
    ground.vendor.stores.clear()
    await worker.gone([PRICES], gone.id)
    await worker.ready([PRICES])
    assert len(ground.vendor.files) == 1
    assert not {file, "file_late"} & ground.vendor.files.keys()


async def test_without_redis_nothing_is_made(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*_: object) -> None:
        raise StoreDown("redis is away")

    monkeypatch.setattr(RedisFileStores, "store", down)
    with pytest.raises(StoreDown):
        await ground.worker().ready(BOTH)
    assert ground.vendor.calls == []


async def test_what_nobody_can_have_written_counts_as_absent(ground: Ground) -> None:
    book = ground.book()
    await ground.core.redis.hset("aw:default:files:openai", f"store:{book.account}:{set_digest(BOTH)}", "no JSON")
    assert (await ground.kept()).stores == ()
    assert (await ground.worker().ready(BOTH)).id in ground.vendor.stores


async def test_removed_with_a_receipt_but_for_files_that_another_store_has(ground: Ground) -> None:
    worker = ground.worker()
    both, alone = await worker.ready(BOTH), await worker.ready([PRICES])
    ground.vendor.stores["vs_of_others"] = Store("theirs")
    ground.vendor.files["file_of_others"] = (PRICES.sha256, b"")

    lines = await ground.removal().remove([both.id], ())
    assert outcomes(lines) == [("store", "removed"), ("file", "removed")]
    assert lines[0].id == both.id
    assert ground.vendor.stores.keys() == {alone.id, "vs_of_others"}
    assert [name[:64] for name, _ in ground.vendor.files.values()] == [PRICES.sha256, PRICES.sha256]
    assert await ground.removal().remove([both.id], ()) == []

    ground.vendor.stores.pop(alone.id)
    assert outcomes(await ground.removal().remove([alone.id], ())) == [("store", "gone"), ("file", "removed")]
    assert ground.vendor.stores.keys() == {"vs_of_others"}
    assert ground.vendor.files.keys() == {"file_of_others"}
    assert await ground.kept() == Kept()


async def test_unused_is_what_no_spec_names_and_files_in_no_store(ground: Ground) -> None:
    worker = ground.worker()
    old, new = await worker.ready([HANDBOOK]), await worker.ready([PRICES])
    stray = file("copy.txt", "z")
    await worker._uploaded(stray)
    lines = await ground.removal().remove(None, {set_digest([PRICES])})
    assert outcomes(lines) == [("store", "removed"), ("file", "removed"), ("file", "removed")]
    assert lines[0].id == old.id
    assert ground.vendor.stores.keys() == {new.id}
    assert len(ground.vendor.files) == 1


async def test_what_another_key_has_made_is_removed_only_where_this_one_sees_it(ground: Ground) -> None:
    made = await ground.worker("sk-old").ready(BOTH)
    hidden, ground.vendor.stores = ground.vendor.stores, {}
    [line] = await ground.removal("sk-new").remove([made.id], ())
    assert (line.outcome, line.reason[:29]) == ("unseen", "it was made with another key,")
    assert len((await ground.kept()).stores) == 1
    ground.vendor.stores = hidden
    lines = await ground.removal("sk-new").remove([made.id], ())
    assert outcomes(lines) == [("store", "removed"), ("file", "removed"), ("file", "removed")]
    assert (await ground.kept(), ground.vendor.stores, ground.vendor.files) == (Kept(), {}, {})


async def test_a_third_key_is_not_told_that_it_is_gone_as_the_second_one_removes_it(ground: Ground) -> None:
    made = await ground.worker("sk-old").ready(BOTH)
    at = 1
    while not any(each.leaving for each in (await ground.kept()).stores):
        with pytest.raises(Killed):
            await ground.removal("sk-new", Dying(at)).remove([made.id], ())
        at += 1
    hidden, ground.vendor.stores = ground.vendor.stores, {}
    assert outcomes(await ground.removal("sk-third").remove([made.id], ())) == [("store", "unseen")]
    ground.vendor.stores = hidden
    assert outcomes(await ground.removal("sk-new").remove([made.id], ()))[0] == ("store", "removed")
    assert await ground.kept() == Kept()


async def test_a_file_in_no_store_goes_by_any_key_that_sees_it(ground: Ground) -> None:
    await ground.worker("sk-old")._uploaded(PRICES)
    hidden, ground.vendor.files = ground.vendor.files, {}
    assert outcomes(await ground.removal("sk-new").remove(None, ())) == [("file", "unseen")]
    ground.vendor.files = hidden
    assert outcomes(await ground.removal("sk-new").remove(None, ())) == [("file", "removed")]
    assert (ground.vendor.files, await ground.kept()) == ({}, Kept())


async def test_what_another_provider_of_the_same_account_has_noted_is_known(ground: Ground) -> None:
    made = await ground.worker().ready(BOTH)
    removal = ground.removal()
    other = FileRemoval("second", removal.vendor, ground.book(provider="second"), [removal.book])
    assert (await other.unknown(), await other.remove_unknown([made.id])) == ([], [])
    assert ground.vendor.stores.keys() == {made.id}


async def test_killed_anywhere_what_another_key_has_made_goes_all_the_same(ground: Ground) -> None:
    at, died = 1, 0
    while True:
        ground.vendor = FakeVendor()
        await ground.core.redis.flushall()
        made = await ground.worker("sk-old").ready(BOTH)
        try:
            await ground.removal("sk-new", Dying(at)).remove([made.id], ())
        except Killed:
            died += 1
        else:
            break
        await ground.removal("sk-new").remove([made.id], ())
        assert (await ground.kept(), ground.vendor.stores, ground.vendor.files) == (Kept(), {}, {}), f"died at {at}"
        at += 1
    assert died > 8


async def test_what_redis_has_forgotten_is_found_by_its_metadata_and_removed_by_its_id_alone(ground: Ground) -> None:
    worker = ground.worker()
    lost, shares = await worker.ready(BOTH), await worker.ready([PRICES])
    await ground.core.redis.flushall()
    known = await ground.worker().ready([HANDBOOK])
    ground.vendor.stores["vs_of_others"] = Store("theirs")
    ground.vendor.files["file_of_others"] = ("handbook.pdf", b"")
    ground.vendor.stores[lost.id].files["file_of_others"] = Indexing("completed")
    removal = ground.removal()
    assert await removal.unknown() == sorted([lost.id, shares.id])
    assert await removal.remove([lost.id], ()) == []
    assert await removal.remove_unknown([known.id, "vs_of_others"]) == []

    assert outcomes(await removal.remove_unknown([lost.id])) == [("file", "removed"), ("store", "removed")]
    assert ground.vendor.stores.keys() == {shares.id, known.id, "vs_of_others"}
    assert "file_of_others" in ground.vendor.files, "in our store, and not of our name"
    assert [len(each.files) for each in ground.vendor.stores.values()] == [1, 1, 0]


async def test_what_a_key_of_before_has_made_is_unused(ground: Ground) -> None:
    before, now = await ground.worker("sk-old").ready(BOTH), await ground.worker("sk-new").ready(BOTH)
    await ground.removal("sk-new").remove(None, {set_digest(BOTH)})
    assert ground.vendor.stores.keys() == {now.id} != {before.id}
    assert len(ground.vendor.files) == 2


async def test_what_cannot_be_removed_now_is_told_with_what_was_and_stays_known(ground: Ground) -> None:
    made = await ground.worker().ready(BOTH)
    ground.vendor.trouble = ProviderAway("nobody there")
    [line] = await ground.removal().remove([made.id], ())
    assert (line.outcome, line.reason) == ("failed", "nobody there")
    ground.vendor.trouble = None
    assert outcomes(await ground.removal().remove([made.id], ()))[0] == ("store", "removed")


async def test_what_is_away_at_the_provider_is_told_although_its_note_is_left(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise StoreDown("redis is away")

    made = await ground.worker().ready([PRICES])
    with monkeypatch.context() as patch:
        patch.setattr(RedisFileStores, "forget", down)
        lines = await ground.removal().remove([made.id], ())
    assert outcomes(lines) == [("store", "removed"), ("file", "removed")]
    assert "its note here is left" in lines[1].reason
    assert outcomes(await ground.removal().remove(None, ())) == [("store", "gone"), ("file", "gone")]
    assert await ground.kept() == Kept()


async def test_a_store_that_is_gone_or_lacks_a_file_is_told(ground: Ground) -> None:
    worker = ground.worker()
    whole, lacking, gone = [await worker.ready(each) for each in ([HANDBOOK], BOTH, [PRICES])]
    ground.vendor.stores[lacking.id].files.popitem()
    del ground.vendor.stores[gone.id]
    assert await ground.removal().broken() == {lacking.id: "lacks a file", gone.id: "gone"}
    assert whole.id in ground.vendor.stores


async def test_killed_anywhere_removing_goes_on_to_the_same_end(ground: Ground) -> None:
    at, died = 1, 0
    while True:
        ground.vendor = FakeVendor()
        await ground.core.redis.flushall()
        worker = ground.worker()
        doomed, stays = await worker.ready(BOTH), await worker.ready([PRICES])
        dying = Dying(at)
        try:
            await ground.removal(dying=dying).remove([doomed.id], ())
        except Killed:
            died += 1
        else:
            break
        where = f"died at {dying.places[-1]}"
        await ground.removal().remove([doomed.id], ())
        assert ground.vendor.stores.keys() == {stays.id}, where
        assert len(ground.vendor.files) == 1, where
        kept = await ground.kept()
        assert ([each.id for each in kept.stores], len(kept.uploads)) == ([stays.id], 1), where
        at += 1
    assert died > 8


async def test_one_that_was_never_finished_is_removed_by_its_mark(ground: Ground) -> None:
    dying = Dying(6)
    with pytest.raises(Killed):
        await ground.worker(dying=dying)._finished(BOTH)
    [entry] = (await ground.kept()).stores
    await ground.removal().remove([entry.id or entry.mark], ())
    assert ground.vendor.stores == {}
    assert (await ground.kept()).stores == ()


async def test_another_engines_is_another_book(ground: Ground) -> None:
    await ground.worker().ready(BOTH)
    assert await ground.book(engine="other").everything() == Kept()
