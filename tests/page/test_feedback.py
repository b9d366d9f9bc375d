"""People call answers right or wrong on the page, and see there what others say of them."""

import json
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.page.site import Deployed, Site, Watched, browsing, site, watch
from tests.page.test_flows import shot
from tests.page.test_hostile import HOSTILE, check
from tests.records import exchange, key
from worker.domain.conversations import session_id

ANN, BEN, NOBODY, HOSTILE_ONE = (f"{name}-0123456789abcdef" for name in ("ann", "ben", "nobody", "hostile"))
TOKENS = json.dumps(
    {
        ANN: {"role": "viewer", "name": "Ann"},
        BEN: {"role": "viewer", "name": "Ben"},
        HOSTILE_ONE: {"role": "viewer", "name": "<img src=x onerror='window.ran = 1'>"},
        NOBODY: "operator",
    }
)
INSTANCE, CONVERSATION = "/instances/instance-a", f"/conversations/{session_id(key('instance-a'))}"


def feedback(page: Page) -> Locator:
    """What stands below the first answer."""
    return page.get_by_role("group", name="Feedback").first


async def test_an_answer_is_marked_with_a_note_turned_round_and_taken_back(
    served: Site, browser: Watched, tmp_path: Path
) -> None:
    page = browser.page
    await page.goto(served.url + INSTANCE)
    right, wrong = (feedback(page).get_by_role("button", name=name) for name in ("Right", "Wrong"))
    words, note = feedback(page).get_by_role("listitem"), feedback(page).get_by_label("Why")
    await expect(wrong).to_have_attribute("aria-pressed", "false")
    await expect(note).to_be_hidden()

    await wrong.focus()
    await page.keyboard.press("Enter")
    await expect(words).to_have_count(1)
    await expect(words).to_contain_text("Wrong says this machine")
    await expect(wrong).to_have_attribute("aria-pressed", "true")
    await expect(wrong).to_be_focused()
    await expect(page.locator("#status")).to_have_text("Marked as wrong")
    await note.fill("The price is of last year.")
    await feedback(page).get_by_role("button", name="Save note").click()
    await expect(words).to_contain_text("The price is of last year.")
    await shot(page, tmp_path, "feedback")

    await page.reload()
    await expect(note).to_have_value("The price is of last year.")
    await right.click()
    await expect(words).to_contain_text("Right says this machine")
    await expect(words).to_contain_text("The price is of last year.")
    await right.click()
    await expect(words).to_have_count(0)
    await expect(note).to_be_hidden()
    await expect(right).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(
    "address",
    [INSTANCE, *(pytest.param(each, marks=pytest.mark.sweep) for each in (CONVERSATION, f"/embed{INSTANCE}"))],
)
async def test_everybody_sees_what_others_say_and_those_with_a_name_add_their_own(tmp_path: Path, address: str) -> None:
    async with site(tmp_path, Deployed(), tokens=TOKENS) as served:
        await served.transcript.record(exchange(1, key("instance-a")))
        said = {ANN: 1, BEN: 2, NOBODY: 2}
        for token, words in said.items():
            async with browsing() as context:
                await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{token}')")
                page = (await watch(context)).page
                await page.goto(served.url + address)
                if token == NOBODY:
                    await expect(feedback(page)).to_be_visible()
                    await expect(feedback(page).get_by_role("button")).to_have_count(0)
                else:
                    await feedback(page).get_by_role("button", name="Wrong").click()
                await expect(feedback(page).get_by_role("listitem")).to_have_count(words)
                await expect(feedback(page).get_by_role("listitem").first).to_contain_text("Wrong says Ann")
        assert served.errors == []


async def test_what_is_refused_is_said_and_changes_nothing(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(served.url + INSTANCE)
    await page.route("**/feedback", lambda route: route.fulfill(status=503, json={"title": "Away", "detail": "Later."}))
    await feedback(page).get_by_role("button", name="Right").click()
    await expect(feedback(page).get_by_role("alert")).to_have_text("Later.")
    await expect(feedback(page).get_by_role("button", name="Right")).to_have_attribute("aria-pressed", "false")
    browser.complaints.clear()  # the browser tells of each status above 400
    await page.unroute("**/feedback")
    await feedback(page).get_by_role("button", name="Right").click()
    await expect(feedback(page).get_by_role("listitem")).to_have_count(1)
    await expect(feedback(page).get_by_role("alert")).to_have_text("")


async def test_hostile_notes_and_names_neither_run_nor_load_nor_lead_anywhere(
    tmp_path: Path, processes: Deployed
) -> None:
    async with site(tmp_path, processes, tokens=TOKENS) as served, browsing() as context:
        await served.transcript.record(exchange(1, key("instance-a")))
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{HOSTILE_ONE}')")
        watched = await watch(context)
        page = watched.page
        await page.goto(served.url + INSTANCE)
        await feedback(page).get_by_role("button", name="Wrong").click()
        for text in HOSTILE.values():
            note = text[:900].replace("\0", "")
            await feedback(page).get_by_label("Why").fill(note)
            await feedback(page).get_by_role("button", name="Save note").click()
            await expect(feedback(page).get_by_role("listitem")).to_contain_text(note)
        await page.reload()
        await expect(feedback(page).get_by_role("listitem")).to_have_count(1)
        await check(page, served.url + INSTANCE)
        assert (watched.foreign(served.url), watched.complaints, watched.dialogs) == ([], [], [])
