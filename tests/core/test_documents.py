"""Documents among a task's inputs: what is shown of them, and what becomes of those that cannot be."""

from base64 import b64encode
from hashlib import sha256

import pytest

from tests.core.rig import Core
from tests.fakes.engine import LOCK
from worker.domain.documents import LARGEST_ATTACHED, TOKENS_OF_A_PICTURE, Page
from worker.domain.tasks import Variable
from worker.domain.threads import BYTES_PER_TOKEN

PDF = b"%PDF-1.7 of the offer"
PAPER = Variable(None, "File", {"filename": "offer\n# x.pdf", "mimeType": "application/pdf", "encoding": "latin-1"})


def declare(core: Core, names: str) -> None:
    """Have tasks be shown these variables."""
    core.world.activity(properties={**core.world.activity().properties, "data.input": names})


async def incident_of(core: Core, content: bytes | None, paper: Variable = PAPER) -> str:
    """Say why a task with this document is an incident; nothing is asked for it."""
    declare(core, "offer")
    async with core.working():
        job = core.world.start(variables={"offer": paper})
        if content is not None:
            core.world.contents[job.task.execution_id, "offer"] = content
        await core.until(lambda: job.has_incident)
    assert core.provider.asked == []
    return job.message


async def test_a_document_is_shown_page_by_page_with_what_names_it(core: Core) -> None:
    declare(core, "offer, note")
    core.documents.pages[PDF] = (Page("page 1 of 2", "Twelve\n# chargers"), Page("page 2 of 2", ""))
    async with core.working():
        job = core.world.start(variables={"offer": PAPER, "note": Variable("n", "String")})
        core.world.contents[job.task.execution_id, "offer"] = PDF
        await core.until_over([job])

    named = f"offer # x.pdf, application/pdf, sha256 {sha256(PDF).hexdigest()}"
    pages = "#### page 1 of 2\n\n    Twelve\n    # chargers\n\n#### page 2 of 2\n\n    (no text can be read here)"
    assert f"### offer (File)\n\n{named}\n\n{pages}\n\n### note" in core.provider.asked[0][1].text
    assert core.documents.read_as == [("pdf", BYTES_PER_TOKEN * core.rules(strict=True).input_tokens, "latin-1")]


async def test_a_document_that_nobody_has_named_is_not_read(core: Core) -> None:
    async with core.working():
        job = core.world.start(variables={"offer": PAPER})
        await core.until_over([job])

    assert "(file offer\n    # x.pdf: content not included)" in core.provider.asked[0][1].text
    assert core.documents.read_as == []


async def test_bytes_in_which_there_is_a_document_are_read_as_one(core: Core) -> None:
    declare(core, "offer")
    core.documents.pages[PDF] = (Page("", "Twelve"),)
    async with core.working():
        job = core.world.start(variables={"offer": Variable(b64encode(PDF).decode(), "Bytes")})
        await core.until_over([job])

    assert f"### offer (Bytes)\n\nsha256 {sha256(PDF).hexdigest()}\n\n    Twelve" in core.provider.asked[0][1].text


@pytest.mark.parametrize(
    ("content", "pages", "said"),
    [
        (PDF, None, "the text of the document in input 'offer' comes to at least"),
        (PDF, (Page("page 1 of 1", " \n"),), "(offer # x.pdf) has no text that can be read, as a scan has none"),
        (b"%PDF-1.7 damaged", (), "(offer # x.pdf) cannot be read and may be damaged"),
        (b"\xd0\xcf\x11\xe0", (), "(offer # x.pdf) is of an older Office or has a password"),
        (None, (), "(offer # x.pdf) has more than 20,000,000 bytes: hand over the part that is needed"),
        (PDF, (Page("p", "x" * 100), Page("q", "y\n" * 20_000)), "input 'offer' comes to at least"),
    ],
)
async def test_a_document_that_cannot_be_shown_whole_is_an_incident(
    core: Core, content: bytes | None, pages: tuple[Page, ...] | None, said: str
) -> None:
    core.documents.pages[PDF] = pages
    message = await incident_of(core, content)

    assert said in message
    assert "Correct the variable, then set the retries again." in message


PNG = b"\x89PNG\r\n\x1a\n of the site"
PLAN = Variable(None, "File", {"filename": "plan.png", "mimeType": "application/octet-stream"})


async def test_a_picture_goes_along_as_it_is_where_the_provider_takes_it(core: Core) -> None:
    core.takes = frozenset({"images"})
    declare(core, "offer")
    async with core.working():
        job = core.world.start(variables={"offer": PLAN})
        core.world.contents[job.task.execution_id, "offer"] = PNG
        await core.until_over([job])

    [(_, question)] = core.provider.asked
    named = f"plan.png, application/octet-stream, sha256 {sha256(PNG).hexdigest()}"
    assert f"### offer (File)\n\n{named}\n\n(attached to this question as it is)" in question.text
    assert [(each.name, each.type, each.content) for each in question.attached] == [("plan.png", "image/png", PNG)]
    assert "of the site" not in repr(question)


async def test_a_picture_is_an_incident_where_nobody_has_said_that_the_provider_takes_it(core: Core) -> None:
    core.takes = frozenset({"pdf"})
    message = await incident_of(core, PNG, PLAN)

    assert "the document in input 'offer' (plan.png) is a picture, and nobody has said" in message
    assert "say so in PROVIDERS_FILE, takes: [images]" in message


async def test_a_pdf_goes_along_as_it_is_where_the_provider_takes_it_and_is_no_text_then(core: Core) -> None:
    core.takes, core.several = frozenset({"pdf"}), True
    core.assistants.add("analyst", provider="local")
    declare(core, "offer")
    core.documents.pages[PDF] = tuple(Page(f"page {number} of 3", "") for number in (1, 2, 3))
    async with core.working():
        job = core.world.start(variables={"offer": PAPER})
        core.world.contents[job.task.execution_id, "offer"] = PDF
        await core.until_over([job])

    [[attached]] = core.model.attached
    assert (attached.type, attached.content, attached.tokens) == ("application/pdf", PDF, 3 * TOKENS_OF_A_PICTURE)
    assert [form for form, _, _ in core.documents.read_as] == ["pages"]
    assert "(attached to this question as it is)" in core.model.told[0][1]
    assert "page 1 of 3" not in core.model.told[0][1]


async def test_a_later_question_is_told_what_went_along_and_not_shown_it_again(core: Core) -> None:
    core.takes, core.several = frozenset({"images"}), True
    core.assistants.add("analyst", provider="local")
    declare(core, "offer")
    async with core.working():
        first = core.world.start(variables={"offer": PLAN}, instance="i")
        core.world.contents[first.task.execution_id, "offer"] = PNG
        await core.until_over([first])
        core.world.activity("again", properties={**core.world.activity("again").properties, "data.input": "-"})
        await core.until_over([core.world.start("again", instance="i")])

    assert [len(each) for each in core.model.attached] == [1, 0]
    assert "(attached to this question as it is)" in core.model.told[1][0][0].text


async def test_pages_of_a_pdf_that_goes_along_count_for_the_room_of_inputs(core: Core) -> None:
    core.takes = frozenset({"pdf"})
    core.documents.pages[PDF] = (Page("page", ""),) * 11

    assert "input 'offer' comes to at least 88," in await incident_of(core, PDF)


async def test_pictures_that_come_to_more_than_goes_along_are_an_incident(core: Core) -> None:
    core.takes = frozenset({"images"})

    assert "have 5,000,001 bytes, and 5,000,000 go along with a question" in await incident_of(
        core, PNG.ljust(LARGEST_ATTACHED + 1), PLAN
    )


async def test_whoever_has_a_document_read_for_long_keeps_the_thread(core: Core) -> None:
    declare(core, "offer")
    core.documents.pages[PDF], core.documents.seconds = (Page("", "Twelve"),), 4 * LOCK.total_seconds()
    async with core.working():
        first = core.world.start(variables={"offer": PAPER}, instance="i")
        core.world.contents[first.task.execution_id, "offer"] = PDF
        await core.until(lambda: core.documents.read_as)
        core.world.activity("after", properties={**core.world.activity("after").properties, "data.input": "-"})
        second = core.world.start("after", instance="i")
        await core.until_over([first, second])

    assert ["Twelve" in question.text for _, question in core.provider.asked] == [True, False]
