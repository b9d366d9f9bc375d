"""People see what is remembered of a subject, where it is from, approve it, and have it forgotten."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

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
BEN = "ben-0123456789abcdef"
TOKENS = json.dumps({ANN: {"role": "operator", "name": "Ann"}, BEN: {"role": "viewer", "instances": ["instance-1"]}})
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
    async with looking_at(served, ANN) as watched:
        yield watched


@asynccontextmanager
async def looking_at(served: Site, token: str) -> AsyncIterator[Watched]:
    async with browsing(viewport={"width": 1280, "height": 900}) as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{token}')")
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


@pytest.fixture
async def became(tmp_path: Path) -> AsyncIterator[tuple[Site, SqlMemos]]:
    """Answers of one instance, of which each became something else."""
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        memos, facts = SqlMemos(database, engine="default"), SqlFacts(database, database.hurried(), engine="default")
        for number, answer in enumerate(("Kept.", "Proposed.", "Refused.", "Forgotten.", "Late.", "Away."), 1):
            wish = ToRemember(f"{number:032}", KIND, "Settle it.", approve=answer in {"Proposed.", "Refused."})
            await SqlTranscriptWriter(database).record(exchange(number, remember=wish, answer=answer))
        for each in await memos.claim(10):
            if each.answer == "Late.":
                await memos.postpone(each, timedelta(hours=1), late=True, why=f"the pattern {HOSTILE} takes too long")
            elif each.answer != "Away.":
                await memos.settle(each, each.question, each.answer)
        for number in (3, 4):
            [fact] = await facts.facts(f"{number:032}")
            await facts.drop_fact(fact.id, fact.subject)
        await memos.delay("zep gives no answer")
        wish = ToRemember(ADA, KIND, "Settle it.")
        await SqlTranscriptWriter(database).record(exchange(7, remember=wish, answer="Soon."), exchange(8))
        route = memorising(Memorising(facts, Recorded(), "default", "default", forgets_one=True))  # type: ignore[arg-type]  # one method of an eraser
        async with site_on(database, Deployed(), tokens=TOKENS, has_memory=True, extend=[route]) as served:
            yield served, memos
            assert served.errors == []


async def test_what_became_of_an_answer_stands_beside_it_and_changes_while_it_is_read(
    became: tuple[Site, SqlMemos], tmp_path: Path
) -> None:
    served, memos = became
    async with looking_at(served, ANN) as browser:
        await look_at_what_became(served, browser.page, tmp_path)
        for each in await memos.claim(10):
            await memos.settle(each, each.question, each.answer)
        soon = browser.page.get_by_role("article", name="Answer").filter(has_text="Soon.").locator(".remembered")
        await expect(soon).to_have_text("Remembered · Subject")
        await soon.get_by_role("link", name="Subject").click()
        await expect(browser.page).to_have_url(f"{served.url}/memory/{ADA}")
        await expect(browser.page.get_by_role("heading", level=1)).to_have_text("Subject")


async def look_at_what_became(served: Site, page: Page, folder: Path) -> None:
    await page.goto(served.url + "/instances/instance-1")
    told = {
        "Kept.": "Remembered",
        "Proposed.": "Waits for a person to approve that it is remembered",
        "Refused.": "Not remembered: a person refused it",
        "Forgotten.": "Not remembered any more: it was forgotten",
        "Away.": "Waits to be remembered (zep gives no answer)",
        "Soon.": "Waits to be remembered",
    }
    answers = page.get_by_role("article", name="Answer")
    for text, state in told.items():
        await expect(answers.filter(has_text=text).locator(".remembered")).to_have_text(f"{state} · Subject")
    late = answers.filter(has_text="Late.").locator(".remembered")
    await expect(late).to_contain_text("Waits to be remembered, and is tried every hour (the pattern")
    await expect(page.locator(".remembered")).to_have_count(7)
    assert await page.evaluate("window.ran") is None
    for name, width, scheme in (("light", 1280, "light"), ("phone", 390, "dark")):
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its words
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await axe.findings(page, axe.source()) == []
        await late.scroll_into_view_if_needed()
        assert await late.evaluate("each => each.scrollWidth <= each.clientWidth")
        await shot(page, folder, f"memory-became-{name}", whole=False)


async def test_who_may_read_the_conversation_alone_sees_what_became_of_it_and_no_link(
    became: tuple[Site, SqlMemos],
) -> None:
    served, _ = became
    async with looking_at(served, BEN) as browser:
        await browser.page.goto(served.url + "/instances/instance-1")
        kept = browser.page.get_by_role("article", name="Answer").filter(has_text="Kept.").locator(".remembered")
        await expect(kept).to_have_text("Remembered")


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
