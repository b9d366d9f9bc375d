"""What an assistant's files say to a question: shown with it, and with it alone."""

from pathlib import Path

import pytest

from tests.core.chatting import Chatting, key
from tests.core.rig import Core
from tests.core.test_asks import meta
from worker.domain.documents import AssistantFile
from worker.domain.tasks import Variable
from worker.domain.threads import Answer, Assistant

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
