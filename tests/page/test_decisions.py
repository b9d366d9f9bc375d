"""People read the record of a decision on the page, try other weights, and find where each score was said."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests import axe
from tests.page.site import Deployed, Site, Watched, browsing, site, watch
from tests.page.test_flows import shot
from tests.page.test_hostile import HOSTILE, check
from tests.unit.decisions.examples import SCORES, near, parts, said, scores, weights
from worker.decisions import chain, record
from worker.decisions.items import Item
from worker.domain.conversations import Role, Subject, message_id
from worker.domain.decisions import DecisionKey
from worker.transcript import SqlDecisions, open_database

KEY = DecisionKey("default", "instance-a")
ANSWER = message_id("default", "task-instance-a-analyst-1", 1, Role.AGENT)
SOURCE = {
    "of": "turn",
    "at": "2026-05-04T09:01:05+00:00",
    "instance": "instance-a",
    "answer": ANSWER,
    "assistant": "analyst",
}
WHY = "Its makers say so."
CELL = {"why": WHY, "evidence": ["The data sheet, page 4"], "low": 70, "high": 95}


def told(**changed: Any) -> list[Item]:
    """Parts with two judges, a stakeholder's weights and an uncertainty.

    An answer gave the first judge's scores and the weights.
    """
    frame = parts()["frame"] | {
        "uncertainties": [
            {
                "id": "demand_risk",
                "name": "How much is asked for",
                "cells": [{"alternative": "Y", "criterion": "Cost", "low": 80, "high": 50}],
            }
        ]
    }
    sets = [weights(), weights(100, 40, 40) | {"id": "thrifty", "kind": "stakeholder", "stakeholder": "finance"}]
    both = {"one": scores(X_Quality=CELL), "two": scores(SCORES)}
    found = said(**{"frame": frame, "weights": {"sets": sets}, "scores": both} | changed)
    of_answer = [each.judge == "one" or each.part == "weights" for each in found]
    found = [replace(each, source={**each.source, "assistant": "analyst"}) if each.judge else each for each in found]
    return [
        Item(each.part, each.value, SOURCE, each.judge) if is_so else each
        for each, is_so in zip(found, of_answer, strict=True)
    ]


async def keep(book: SqlDecisions, key: DecisionKey, items: list[Item], stage: record.Stage = "proposed") -> None:
    """Keep the next revision."""
    before = await book.last(key)
    made = record.build(key.id, items, stage, before=before.record if before else None, samples=200)
    row = chain.row("change", before.rows[-1] if before else None, made, datetime.now(UTC), record.facts(made))
    assert await book.keep(key, made, row, definition_key="decision", business_key="order-a")


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[SqlDecisions]:
    """A record in two revisions."""
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        book = SqlDecisions(database, engine="default")
        await keep(book, KEY, told())
        await keep(book, KEY, told(dissent={"dissent": [{"who": "Sales", "text": "It is too small."}]}))
        yield book


def part(page: Page, title: str) -> Locator:
    """A section of the record."""
    return page.get_by_role("region", name=title, exact=True)


@pytest.mark.usefixtures("book")
async def test_a_decision_is_read_and_other_weights_are_tried_out_by_keyboard(
    served: Site, browser: Watched, tmp_path: Path
) -> None:
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-a")
    await page.get_by_role("link", name="Record").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Which press is bought?")
    await page.get_by_role("navigation", name="Main").get_by_role("link", name="Decisions").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Decisions")
    await expect(page.get_by_role("cell", name="proposed")).to_be_visible()
    await page.get_by_role("link", name="order-a").click()

    ranking = part(page, "Ranking")
    await expect(ranking.locator(".leads")).to_contain_text("The small press leads by 0.05.")
    await expect(ranking.get_by_role("row").nth(1)).to_contain_text("The small press10.640.180.30.16")
    holds = part(page, "How far the order holds")
    await expect(holds.get_by_role("row", name="Quality 50%")).to_contain_text("The large press at 57.1%")
    await expect(part(page, "Judges, stakeholders and other orders")).to_contain_text("Kendall's W is 1.")
    of_judges = part(page, "Judges, stakeholders and other orders")
    await expect(of_judges).to_contain_text("one, two are one assistant, analyst, asked 2 times.")

    quality = page.get_by_label("Quality", exact=True)
    await quality.focus()
    for _ in range(10):
        await page.keyboard.press("ArrowRight")
    tried = part(page, "Weights: what if?")
    await expect(tried).to_contain_text("what if, not kept")
    await expect(tried.locator(".leads")).to_have_text("The large press leads by 0.02.")
    await expect(tried.get_by_role("row").nth(1)).to_contain_text("The large press120.6520.59")
    await expect(ranking.locator(".leads")).to_contain_text("The small press leads by 0.05.")
    await shot(page, tmp_path, "decision-what-if")
    await tried.get_by_role("button", name="Reset").click()
    await expect(tried.locator(".leads")).to_have_text("The small press leads by 0.05.")
    await expect(tried).to_contain_text("as kept")
    await tried.get_by_role("button", name="Weights of Finance").click()
    await expect(tried).to_contain_text("what if, kept")


@pytest.mark.usefixtures("book")
async def test_a_record_is_put_on_hold_with_a_reason_and_released(
    served: Site, browser: Watched, tmp_path: Path
) -> None:
    page = browser.page
    await page.goto(f"{served.url}/decisions/{KEY.id}")
    await page.get_by_role("button", name="Hold …").click()
    question = page.get_by_role("dialog", name="Put this record on legal hold?")
    await question.get_by_role("button", name="Hold").click()
    await expect(question).to_be_visible()  # without a reason nothing is held
    await question.get_by_role("textbox").fill(HOSTILE["image"])
    await shot(page, tmp_path, "decision-hold-question")
    await question.get_by_role("button", name="Hold").click()
    note = page.get_by_role("note").filter(has_text="On legal hold")
    await expect(note).to_contain_text(f"by this machine, over the API: {HOSTILE['image']}")
    rows = part(page, "Changes, signatures and holds").get_by_role("row")
    await expect(rows.last).to_contain_text("hold")
    await expect(rows.last).to_contain_text(HOSTILE["image"])
    await check(page, f"{served.url}/decisions/{KEY.id}")
    assert await axe.findings(page, axe.source()) == []
    await shot(page, tmp_path, "decision-on-hold")

    await page.goto(f"{served.url}/decisions")
    await expect(page.get_by_role("cell", name="on hold")).to_be_visible()
    await page.goto(f"{served.url}/decisions/{KEY.id}")
    await page.get_by_role("button", name="Release …").click()
    await page.get_by_role("dialog").get_by_role("textbox").fill("settled")
    await page.get_by_role("dialog").get_by_role("button", name="Release").click()
    await expect(note).to_have_count(0)
    await expect(page.get_by_role("button", name="Hold …")).to_be_visible()
    await expect(rows.last).to_contain_text("why: settled")


@pytest.mark.usefixtures("book")
async def test_a_record_is_verified_saved_read_at_any_revision_and_leads_to_what_was_said(
    served: Site, browser: Watched
) -> None:
    page = browser.page
    await page.goto(f"{served.url}/decisions/{KEY.id}")
    await page.get_by_role("button", name="Verify").click()
    await expect(page.get_by_text("Revision 2 is what it was.")).to_have_count(2)  # one is for those who hear it
    await expect(page.get_by_text("no anchor outside the database holds this revision")).to_be_visible()
    async with page.expect_download() as saved:
        await page.get_by_role("button", name="Export Web page").click()
    assert (await saved.value).suggested_filename == f"decision-{KEY.id}-2.html"

    await part(page, "Changes, signatures and holds").get_by_role("link", name="show this revision").click()
    await expect(page.get_by_text("This is revision 1, not the last one.")).to_be_visible()
    await expect(page.get_by_text("It is too small.")).to_have_count(0)
    await page.get_by_role("link", name="Show revision 2").click()
    await expect(page.get_by_text("It is too small.")).to_be_visible()

    score = part(page, "Scores").get_by_role("row", name="The large press").get_by_role("button").nth(1)
    await score.focus()
    await page.keyboard.press("Enter")
    cell = part(page, "The large press: Quality")
    await expect(cell.get_by_role("heading")).to_be_focused()
    await expect(cell).to_contain_text("90 points (70 … 95) says one")
    await expect(cell).to_contain_text("The data sheet, page 4")
    await page.keyboard.press("Escape")
    await expect(score).to_be_focused()
    await page.keyboard.press("Enter")
    await cell.get_by_role("link", name="Read it where it was said").click()
    await expect(page.locator(f"#m-{ANSWER}")).to_be_focused()
    await page.go_back()
    weight = part(page, "What it was decided on").get_by_role("row", name="Quality").get_by_role("link")
    await expect(weight).to_have_text("50%, read where the weight was said")
    await weight.click()
    await expect(page.locator(f"#m-{ANSWER}")).to_be_focused()


async def test_weights_that_were_tried_out_are_saved_with_a_name_and_a_reason(
    served: Site, browser: Watched, book: SqlDecisions, tmp_path: Path
) -> None:
    page = browser.page
    await page.goto(f"{served.url}/decisions/{KEY.id}")
    tried = part(page, "Weights: what if?")
    await expect(tried.get_by_label("Save as")).to_have_count(0)
    await page.get_by_label("Quality", exact=True).focus()
    for _ in range(20):
        await page.keyboard.press("ArrowRight")
    await tried.get_by_label("Save as").fill("Bold")
    await tried.get_by_label("Why").fill("If <b>quality</b> were what counts most.")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    kept = tried.get_by_role("row", name="Bold")
    await expect(kept).to_contain_text("The large press > The small press > The old press")
    await expect(kept).to_contain_text("If <b>quality</b> were what counts most.this machine")
    await expect(page.locator("#status")).to_have_text("Kept as Bold")
    await expect(tried).to_contain_text("as kept")
    await expect(part(page, "Ranking").locator(".leads")).to_contain_text("The small press leads by 0.05.")
    rows = part(page, "Changes, signatures and holds").get_by_role("row")
    await expect(rows.nth(3)).to_contain_text("what_if: what_if_1")
    last = await book.last(KEY)
    assert last is not None
    assert last.record["content"]["computed"]["sets"]["what_if_1"]["shares"]["Quality"] == near(0.7)

    await tried.get_by_role("button", name="Weights of Bold").click()
    await expect(tried).to_contain_text("what if, kept")
    await page.get_by_label("Cost", exact=True).focus()
    await page.keyboard.press("ArrowRight")
    await tried.get_by_label("Save as").fill("Bold")
    await tried.get_by_label("Why").fill("Again.")
    await tried.get_by_role("button", name="Save", exact=True).click()
    await expect(tried.get_by_role("alert")).to_have_text(
        "other weights are called 'Bold' already: choose another name."
    )
    await shot(page, tmp_path, "decision-save-as")
    browser.complaints.clear()  # the browser tells of the refusal

    await page.get_by_role("link", name="Compare two revisions").click()
    await expect(part(page, "What-ifs").get_by_role("row", name="Bold · why")).to_contain_text("quality")


async def test_who_may_not_keep_weights_is_offered_nothing(tmp_path: Path, book: SqlDecisions) -> None:
    assert await book.last(KEY)
    token = "reader-0123456789abcdef"
    tokens = json.dumps({token: {"role": "viewer", "name": "Rita"}})
    async with site(tmp_path, Deployed(), tokens=tokens) as served, browsing() as context:
        page = (await watch(context)).page
        await page.goto(f"{served.url}/decisions/{KEY.id}")
        await page.get_by_label("Token").fill(token)
        await page.keyboard.press("Enter")
        await page.get_by_label("Quality", exact=True).focus()
        await page.keyboard.press("ArrowRight")
        await expect(part(page, "Weights: what if?")).to_contain_text("what if, not kept")
        await expect(page.get_by_label("Save as")).to_have_count(0)


async def third(book: SqlDecisions) -> None:
    """Keep a revision in which a judge, the weights and what is recommended are other ones."""
    reason = "It has {sums.X}, and leads by {lead}."
    changed = {
        "scores": {"one": scores(X_Quality=CELL | {"base": 94, "why": "Its makers have shown it."}), "two": scores()},
        "weights": {"sets": [weights(quality=200)]},
        "recommendation": parts()["recommendation"] | {"alternative": "X", "why": reason},
        "dissent": {"dissent": [{"who": "Sales", "text": "It is too small."}]},
    }
    await keep(book, KEY, told(**changed))


async def test_two_revisions_are_compared_by_keyboard_and_what_is_different_is_marked(
    served: Site, browser: Watched, book: SqlDecisions
) -> None:
    await third(book)
    page = browser.page
    await page.goto(f"{served.url}/decisions/{KEY.id}")
    await page.get_by_role("link", name="Compare two revisions").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Compare revisions")
    await expect(page.get_by_label("Before", exact=True)).to_have_value("2")
    before, after = part(page, "Before: revision 2"), part(page, "After: revision 3")
    await expect(before).to_contain_text("The small press, by 0.05")
    await expect(after).to_contain_text("The large press > The small press > The old press")
    await expect(after).to_contain_text("Nobody has signed it.")

    changed = part(page, "Scores").get_by_role("row")
    await expect(changed.nth(1)).to_have_text("one · The large press · Quality · basechanged9094")
    why = changed.nth(2)
    await expect(why.locator("del")).to_have_text("say so.")
    await expect(why.locator("ins")).to_have_text("have shown it.")
    recommended = part(page, "Recommendation")
    await expect(recommended.get_by_role("row").nth(1)).to_contain_text("The small pressThe large press")
    await expect(part(page, "What follows").get_by_role("row", name="The large press · rank")).to_contain_text("21")

    await page.get_by_label("Before", exact=True).focus()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(part(page, "Before: revision 1")).to_be_visible()
    await expect(page.get_by_role("heading", level=2)).to_have_text(
        ["Before: revision 1", "After: revision 2", "Dissent"]
    )
    await page.go_back()
    await expect(after).to_be_visible()

    await book.remove([Subject("default", instance="instance-a")])
    await page.reload()
    await expect(page.get_by_text("texts were erased.")).to_be_visible()
    await expect(recommended.get_by_role("row", name="why")).to_contain_text("erased: nobody can tell")


async def test_hostile_texts_stay_texts_and_erased_ones_say_so(
    served: Site, browser: Watched, book: SqlDecisions
) -> None:
    page, address = browser.page, f"{served.url}/decisions/{KEY.id}"
    hostile = [text[:5000].replace("\0", "") for text in HOSTILE.values()]
    given = parts()
    given["alternatives"]["alternatives"][0] |= {"name": hostile[0], "summary": hostile[3]}
    given["alternatives"]["alternatives"].append({"id": "constructor", "name": hostile[2]})
    given["objectives"]["objectives"][1]["name"] = hostile[1]
    frame = given["frame"] | {"statement": hostile[0], "decider": hostile[9]}
    dissent = {"dissent": [{"who": each[:90], "text": each} for each in hostile]}
    options, objectives = (given[name] for name in ("alternatives", "objectives"))
    told_so = {"one": scores(X_Quality={"why": hostile[0], "evidence": hostile})}
    changed = {"frame": frame, "alternatives": options, "objectives": objectives, "scores": told_so}
    await keep(book, KEY, told(dissent=dissent, **changed))
    await page.goto(f"{address}/compare?from=2&to=3")
    await expect(part(page, "Dissent").get_by_role("row", name="<script>").first).to_be_visible()
    await check(page, f"{address}/compare?from=2&to=3")
    await page.goto(address)
    await part(page, "Scores").get_by_role("button").nth(1).click()
    await expect(page.get_by_role("region", name="<script>").get_by_role("listitem")).to_have_count(1 + len(hostile))
    await expect(page.get_by_role("heading", level=1)).to_have_text(hostile[0])
    await check(page, address)

    await book.remove([Subject("default", instance="instance-a")])
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("erased")
    await expect(part(page, "Ranking").locator(".leads")).to_contain_text("Y [erased] leads by 0.05.")
    await page.get_by_role("button", name="Verify").click()
    await expect(page.get_by_text("texts erased")).to_be_visible()


async def test_an_open_record_shows_what_was_said_so_far(served: Site, browser: Watched, book: SqlDecisions) -> None:
    key = DecisionKey("default", "instance-b", name="second")
    await keep(book, key, said()[:2], "open")
    await browser.page.goto(f"{served.url}/decisions/{key.id}")
    await expect(browser.page.get_by_text("Nothing is computed yet")).to_be_visible()
    await expect(part(browser.page, "What it was decided on")).to_contain_text("120 → 20 k€")


async def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    served: Site, tmp_path: Path, book: SqlDecisions
) -> None:
    await third(book)
    views = {
        "decisions": "/decisions",
        "decision": f"/decisions/{KEY.id}",
        "compare": f"/decisions/{KEY.id}/compare?from=1&to=3",
    }
    program, found = axe.source(), dict[str, list[str]]()
    async with browsing() as context:
        page = (await watch(context)).page
        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 900})
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                for name, path in views.items():
                    await page.goto(served.url + path)
                    await page.get_by_role("heading", level=1).wait_for()
                    if name == "decision":
                        await page.get_by_label("Quality", exact=True).focus()
                        await page.keyboard.press("ArrowRight")
                        await part(page, "Scores").get_by_role("button").nth(1).click()
                        await page.get_by_role("button", name="Verify").click()
                        await page.get_by_text("no anchor").wait_for()
                    await shot(page, tmp_path, f"{name}-{width}-{scheme}")
                    assert await page.evaluate("document.documentElement.scrollWidth") <= width
                    found |= (
                        {f"{name} {width} {scheme}": broken} if (broken := await axe.findings(page, program)) else {}
                    )
    assert found == {}
