"""People see what is remembered of a subject, where it is from, approve it, and have it forgotten."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests import axe
from tests.api.test_erasing import Recorded
from tests.page.site import Deployed, Site, Watched, browsing, site_on, watch
from tests.page.test_flows import shot
from tests.records import exchange, key
from worker.domain.memory import Recalled, ToRemember
from worker.modelling.subjects import named
from worker.transcript import SqlFacts, SqlMemos, SqlTranscriptWriter, open_database
from worker.web.api import Memorising, memorising

KIND = "variable:customer"
ADA = named(KIND, "ada", None, "default").digest
ANN = "ann-0123456789abcdef"
TOKENS = json.dumps({ANN: {"role": "operator", "name": "Ann"}})
HOSTILE = "<img src=x onerror='window.ran = 1'> [x](javascript:alert(1)) \u202e" + "W" * 300


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Site]:
    """Ada has a fact, a hostile one and a proposal; a question of a third instance was shown the first."""
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        memos, facts = SqlMemos(database, engine="default"), SqlFacts(database, database.hurried(), engine="default")
        for number, answer in ((1, "The small crane."), (2, HOSTILE), (3, "Pays late.")):
            wish = ToRemember(ADA, KIND, "Settle it.", approve=number == 3)
            shown = Recalled(ADA, ("f",)) if number == 3 else Recalled(why="the variable customer is empty")
            said = exchange(number, key(f"instance-{number}"), remember=wish, answer=answer, recalled=shown)
            await SqlTranscriptWriter(database).record(said)
            for each in await memos.claim(5):
                await memos.settle(each, each.question, each.answer)
        route = memorising(Memorising(facts, Recorded(), "default", "default", forgets_one=True))  # type: ignore[arg-type]  # one method of an eraser
        async with site_on(database, Deployed(), tokens=TOKENS, has_memory=True, extend=[route]) as served:
            yield served
            assert served.errors == []


@pytest.fixture
async def browser(served: Site) -> AsyncIterator[Watched]:
    async with browsing(viewport={"width": 1280, "height": 900}) as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{ANN}')")
        watched = await watch(context)
        yield watched
        assert watched.foreign(served.url) == []
        assert watched.dialogs == []


async def test_a_subject_is_found_and_its_facts_lead_to_where_they_are_from(
    served: Site, browser: Watched, tmp_path: Path
) -> None:
    page = browser.page
    await page.goto(served.url + "/memory")
    await page.get_by_label("As memory.subject says it").fill(KIND)
    await page.get_by_label("Whose value is").fill("ada")
    await page.get_by_role("button", name="Find").click()
    await page.get_by_role("link", name=ADA[:12]).click()
    await expect(page.get_by_role("listitem").filter(has_text="Answered:")).to_have_count(3)
    assert await page.evaluate("window.ran") is None
    await shot(page, tmp_path, "memory-subject")
    await page.get_by_label("Facts with these words").fill("crane")
    await page.get_by_role("button", name="Search", exact=True).click()
    await expect(page.get_by_role("listitem").filter(has_text="Answered:")).to_have_count(1)
    await page.get_by_role("link", name="Where it is from").click()
    await expect(page).to_have_url(re.compile("/instances/instance-1"))
    await expect(page.get_by_text("Recalled: nothing")).to_be_visible()


async def test_what_a_turn_recalled_stands_beside_its_question(served: Site, browser: Watched) -> None:
    await browser.page.goto(served.url + "/instances/instance-3")
    await browser.page.get_by_text("Recalled:").get_by_role("link", name="1 fact").click()
    await expect(browser.page.get_by_role("heading", level=1)).to_have_text("Subject")


async def test_a_proposal_is_approved_and_a_fact_is_forgotten(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(f"{served.url}/memory/{ADA}")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("#status")).to_have_text("It is recalled from now on")
    await expect(page.get_by_text("approved by Ann")).to_be_visible()
    crane = page.get_by_role("listitem").filter(has_text="crane")
    await crane.get_by_role("button", name="Forget").click()
    await page.get_by_role("button", name="Forget for good").click()
    await expect(crane).to_have_count(0)


async def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    served: Site, browser: Watched, tmp_path: Path
) -> None:
    page, program, found = browser.page, axe.source(), dict[str, list[str]]()
    for width in (1280, 390):
        await page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            for path in ("/memory", f"/memory/{ADA}"):
                await page.goto(served.url + path)
                await page.get_by_role("heading", level=1).wait_for()
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, (width, path)
                if broken := await axe.findings(page, program):
                    found[f"{path} {width} {scheme}"] = broken
                await shot(page, tmp_path, f"memory-{'list' if path == '/memory' else 'facts'}-{scheme}-{width}")
    assert found == {}
