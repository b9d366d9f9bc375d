"""What an assistant's files say to a question: shown with it, and with it alone."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.core.chatting import Chatting, key
from tests.core.rig import Core
from tests.core.test_asks import meta
from tests.fakes.file_vendor import FakeVendor
from worker.domain.asks import State
from worker.domain.documents import AssistantFile
from worker.domain.tasks import Variable
from worker.domain.threads import Answer, Assistant
from worker.errors import FilesGone, ModelDown, ModelUnknown, ProviderAway, StoreDown
from worker.turn.remembering import summariser

HANDBOOK = AssistantFile("handbook.pdf", "ab" * 32, Path("handbook.pdf"))


def told(core: Core) -> list[str]:
    """What each call was told before all that is said."""
    calls = [args[2] for args in core.provider.script.named("ask")]
    assert all(isinstance(each, Assistant) for each in calls)
    return [each.told for each in calls]


@pytest.fixture
def files(core: Core) -> Core:
    """The analyst has a handbook, which speaks of chargers."""
    core.assistants.add("analyst", files=(HANDBOOK,))
    core.shelf.said["handbook.pdf"] = {"chargers": "A charger\n# costs 9."}
    return core


async def test_what_a_file_says_stands_behind_the_instructions_of_the_one_call(files: Core) -> None:
    files.world.activity(documentation="Compare the chargers.")
    async with files.working():
        first = files.world.start()
        await files.until_over([first])
        files.world.activity(documentation="Say goodbye.")
        second = files.world.start()
        await files.until_over([second])

    shown, plain = told(files)
    assert shown.startswith("Be brief.\n\n## From your files\n\n")
    assert shown.endswith("### handbook.pdf, page 1 of 1\n\n    A charger\n    # costs 9.")
    assert plain == "Be brief."
    assert "costs 9" not in "".join(text for each in files.provider.conversations.values() for _, text in each.items)
    assert meta(first, "frame")["files"] == ["handbook.pdf abababababab"]
    assert "files" not in meta(second, "frame")


async def test_inputs_count_as_what_is_asked(files: Core) -> None:
    files.world.activity(properties={**files.world.activity().properties, "data.input": "wanted"})
    async with files.working():
        job = files.world.start(variables={"wanted": Variable("two chargers", "String")})
        await files.until_over([job])

    assert "costs 9" in told(files)[0]


async def test_a_repaired_answer_is_asked_for_with_the_same_files_once(files: Core) -> None:
    files.world.activity(
        documentation="Compare the chargers.",
        properties={**files.world.activity().properties, "data.output.type": "Json"},
    )
    answers = iter(["no JSON", "{}"])
    files.provider.answer = lambda _: Answer(next(answers))
    async with files.working():
        job = files.world.start()
        await files.until_over([job])

    assert [each.count("costs 9") for each in told(files)] == [1, 1]
    [asked] = set(files.shelf.asked)
    assert asked.endswith("Compare the chargers."), "nothing of what the worker itself adds is looked for"


async def test_a_file_that_cannot_be_read_is_an_incident_before_anything_is_paid(files: Core) -> None:
    files.shelf.said.clear()
    async with files.working():
        job = files.world.start()
        await files.until(lambda: job.has_incident)

    assert "the file 'handbook.pdf' cannot be read" in job.message
    assert files.provider.asked == []


async def test_an_answer_that_is_there_is_delivered_although_the_files_have_become_bad(files: Core) -> None:
    def land_and_die() -> None:
        files.provider._land(*files.provider.asked[-1])
        files.shelf.said.clear()
        raise ModelUnknown("the reply was cut")

    files.provider.script.next("ask", land_and_die)
    async with files.working():
        job = files.world.start()
        await files.until_over([job])

    assert (job.has_incident, len(files.provider.asked)) == (False, 1)
    assert job.results["frame"].value == f"answer to {files.provider.asked[0][1].ref}"
    assert meta(job, "frame")["recovered"] == "thread"
    assert len(files.shelf.asked) == 1


async def test_what_may_have_been_asked_and_was_not_is_never_asked_without_the_files(chatting: Chatting) -> None:
    chatting.core.assistants.add("analyst", files=(HANDBOOK,))
    shelf = chatting.core.shelf
    shelf.said["handbook.pdf"] = {}
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")

        def die() -> None:
            shelf.said.clear()
            raise ModelUnknown("the reply was cut")

        chatting.provider.script.next("ask", die)
        asked = len(chatting.provider.asked)
        over = await chatting.over(await chatting.ask("a", "What do chargers cost?"))

    assert over.state is State.FAILED
    assert "the file 'handbook.pdf' cannot be read" in over.failure
    assert len(chatting.provider.asked) == asked + 1


async def test_assistants_without_files_look_nothing_up(core: Core) -> None:
    async with core.working():
        await core.until_over([core.world.start()])

    assert core.shelf.asked == []


async def test_persons_are_answered_out_of_the_files_too(chatting: Chatting) -> None:
    chatting.core.assistants.add("analyst", files=(HANDBOOK,))
    chatting.core.shelf.said["handbook.pdf"] = {"chargers": "A charger costs 9."}
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        await chatting.answered("a", "What do chargers cost?")

    assert chatting.core.shelf.asked[-1] == "What do chargers cost?"
    assert "costs 9" in told(chatting.core)[-1]
    branch = await chatting.conversation(key("a").branch)
    assert all("costs 9" not in text for text in chatting.texts(branch))


@pytest.fixture
def searched(files: Core) -> Core:
    """The provider searches files itself, and goes by all that it finds."""
    files.searches = vendor = FakeVendor()
    files.provider.answer = lambda question: Answer(
        f"answer to {question.ref}", cited=tuple(name for name, _ in vendor.files.values())
    )
    return files


def vendor_of(core: Core) -> FakeVendor:
    assert core.searches is not None
    return core.searches


def stores(core: Core) -> list[str]:
    """The store that each call was to search."""
    return [args[2].file_store for args in core.provider.script.named("ask")]


def loses(core: Core, times: int = 1) -> None:
    """Have the store gone when the next calls come."""

    def gone() -> None:
        [store] = set(vendor_of(core).stores)
        vendor_of(core).stores.clear()
        raise FilesGone("responses.create: the vector store does not exist any more", store=store)

    steps: list[Callable[[], None]] = [gone] * times
    core.provider.script.next("ask", *steps)


async def test_a_provider_that_searches_is_told_where_and_shown_nothing(searched: Core) -> None:
    searched.world.activity(documentation="Compare the chargers.")
    async with searched.working():
        first, second = searched.world.start(), searched.world.start()
        await searched.until_over([first, second])

    [store] = vendor_of(searched).stores
    assert stores(searched) == [store, store]
    assert searched.shelf.asked == []
    assert all("costs 9" not in each for each in told(searched))
    [name] = [name for name, _ in vendor_of(searched).files.values()]
    assert told(searched)[0].endswith(f"- {name}: handbook.pdf")
    assert meta(first, "frame")["files"] == ["handbook.pdf abababababab"]


async def test_what_an_answer_does_not_cite_is_not_said_to_be_used(searched: Core) -> None:
    searched.provider.answer = lambda _: Answer("by heart", cited=("another.pdf",))
    async with searched.working():
        job = searched.world.start()
        await searched.until_over([job])

    assert "files" not in meta(job, "frame")


async def test_assistants_with_the_same_files_share_a_store(searched: Core) -> None:
    searched.assistants.add("critic", files=(HANDBOOK,))
    async with searched.working():
        first = searched.world.start()
        searched.world.activity(properties={**searched.world.activity().properties, "service.name": "critic"})
        second = searched.world.start()
        await searched.until_over([first, second])

    assert len(set(stores(searched))) == 1
    assert vendor_of(searched).count("create") == 1


async def test_a_store_that_is_gone_is_made_anew_and_the_task_asked_once_more(searched: Core) -> None:
    loses(searched)
    async with searched.working():
        job = searched.world.start()
        await searched.until_over([job])

    before, after = stores(searched)
    assert before != after
    assert vendor_of(searched).stores.keys() == {after}
    assert (vendor_of(searched).count("create"), vendor_of(searched).count("upload")) == (2, 1)
    assert job.message == ""


async def test_a_store_that_is_gone_each_time_is_trouble_like_any(searched: Core) -> None:
    loses(searched, times=2)
    async with searched.working():
        job = searched.world.start()
        await searched.until_over([job])

    assert len(stores(searched)) == 3
    assert len(set(stores(searched))) == 3


@pytest.mark.parametrize("is_gone", [True, False])
async def test_where_a_search_finds_nothing_at_all_a_store_that_is_gone_is_made_anew_for_the_next_task(
    searched: Core, *, is_gone: bool
) -> None:
    """As on a server that searches what it does not have, and finds nothing."""

    def answer(_: object) -> Answer:
        if is_gone:
            vendor_of(searched).stores.clear()
        return Answer("My files do not say.", found_nothing=True)

    searched.provider.answer = answer
    async with searched.working():
        jobs = []
        for _ in range(2):
            jobs.append(searched.world.start(instance="a"))
            await searched.until_over(jobs)
            await searched.until(lambda: len(jobs) <= vendor_of(searched).count("contents"))

    assert len(set(stores(searched))) == 1 + is_gone
    assert vendor_of(searched).count("create") == 1 + is_gone
    assert [job.message for job in jobs] == ["", ""]


@pytest.mark.parametrize("error", [ModelDown("away"), StoreDown("away")])
async def test_what_nobody_can_tell_of_a_store_takes_it_from_nobody(searched: Core, error: Exception) -> None:
    def answer(_: object) -> Answer:
        vendor_of(searched).trouble = error
        return Answer("My files do not say.", found_nothing=True)

    searched.provider.answer = answer
    async with searched.working():
        await searched.until_over([searched.world.start()])
        await searched.until(lambda: vendor_of(searched).count("contents"))
        vendor_of(searched).trouble = None
        await searched.until_over([searched.world.start()])

    assert len(set(stores(searched))) == 1


async def test_a_person_is_answered_by_a_store_that_is_made_anew(chatting: Chatting, searched: Core) -> None:
    async with chatting.answering(tasks=True):
        await chatting.step("one", "a")
        loses(searched)
        await chatting.answered("a", "What do chargers cost?")

    assert len(set(stores(searched))) == 2


async def test_a_fallback_that_searches_none_is_shown_the_workers_own_passages(searched: Core) -> None:
    searched.several = True
    searched.assistants.add("analyst", files=(HANDBOOK,), fallback=(("local", "m"),))
    searched.world.activity(documentation="Compare the chargers.")
    searched.provider.script.always("ask", ProviderAway("nobody there"))
    async with searched.working():
        job = searched.world.start()
        await searched.until_over([job])

    [assistant] = [args[2] for args in searched.model.script.named("ask")]
    assert assistant.file_store == ""
    assert "costs 9" in assistant.told
    assert meta(job, "frame")["files"] == ["handbook.pdf abababababab"]


async def test_a_provider_that_is_away_while_files_are_stored_is_fallen_back_from(searched: Core) -> None:
    searched.several = True
    searched.assistants.add("analyst", files=(HANDBOOK,), fallback=(("local", "m"),))
    vendor_of(searched).trouble = ProviderAway("nobody there")
    async with searched.working():
        await searched.until_over([searched.world.start()])

    assert len(searched.model.told) == 1
    assert searched.provider.asked == []


async def test_files_that_cannot_be_stored_now_put_the_task_off_and_spend_no_retry(searched: Core) -> None:
    vendor_of(searched).trouble = ModelDown("files.create: too many requests")
    async with searched.working():
        job = searched.world.start()
        await searched.until(lambda: len(vendor_of(searched).calls) > 1)
        assert not job.has_incident
        vendor_of(searched).trouble = None
        await searched.until_over([job])

    assert len(searched.provider.asked) == 1


async def test_a_changed_file_is_searched_in_a_store_of_its_own(searched: Core) -> None:
    async with searched.working():
        await searched.until_over([searched.world.start()])
        searched.assistants.add("analyst", files=(AssistantFile("handbook.pdf", "cd" * 32, Path("handbook.pdf")),))
        await searched.until_over([searched.world.start()])

    before, after = stores(searched)
    assert vendor_of(searched).stores.keys() == {before, after}


async def test_a_summary_of_a_long_history_searches_nothing() -> None:
    assistant = Assistant("a", "1", "m", "p", "Be brief.", timedelta(seconds=1), file_store="vs_1", looked_up="x")
    assert summariser(assistant).file_store == ""
