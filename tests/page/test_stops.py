"""What operators have stopped stands above every view, and those who may lift it can."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.api.client import OPERATOR, TOKENS, VIEWER
from tests.page.site import Deployed, Site, Watched, browsing, site, watch
from tests.page.test_flows import shot
from worker.domain.stops import Stop

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
ANALYST = Stop("assistant", "<b>analyst</b>", "ann on host-1", AT, "answers <i>nonsense</i>", now=True)
ALL = Stop("all", "", "bob", AT)


@pytest.mark.parametrize(
    "address",
    ["/instances", "/instances/instance-a", "/conversations", "/search", "/embed/instances/instance-a"],
)
async def test_what_is_stopped_stands_above_every_view(
    served: Site, browser: Watched, tmp_path: Path, address: str
) -> None:
    served.board.stops = [ALL, ANALYST]
    page = browser.page
    await page.goto(served.url + address)
    said = page.get_by_role("region", name="Stopped by operators").get_by_role("listitem")
    await expect(said).to_have_count(2)
    await expect(said.first).to_contain_text("Everything stopped by bob since")
    await expect(said.last).to_contain_text("Assistant <b>analyst</b> stopped by ann on host-1 since")
    await expect(said.last).to_contain_text("calls that ran were broken off: answers <i>nonsense</i>")
    await expect(page.get_by_role("heading", level=1)).to_have_count(1)
    await shot(page, tmp_path, f"stops{address.replace('/', '-')}")


async def test_it_stands_above_a_view_that_fails_too(tmp_path: Path) -> None:
    async with site(tmp_path, Deployed()) as served, browsing() as context:
        served.board.stops = [ALL]
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/unknown")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not Found")
        await expect(page.get_by_role("region", name="Stopped by operators")).to_be_visible()


async def test_without_stops_there_is_nothing_above(served: Site, browser: Watched) -> None:
    async with browser.page.expect_response("**/api/stops"):
        await browser.page.goto(served.url)
    await expect(browser.page.get_by_role("heading", level=1)).to_have_text("Instances")
    await expect(browser.page.get_by_role("region", name="Stopped by operators")).to_have_count(0)


async def test_a_new_view_brings_what_has_changed(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(served.url)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Instances")
    served.board.stops = [ALL]
    await page.get_by_role("link", name="Conversations").last.click()
    await expect(page.get_by_role("region", name="Stopped by operators")).to_be_visible()
    served.board.stops = []
    await page.get_by_role("link", name="Instances").click()
    await expect(page.get_by_role("region", name="Stopped by operators")).to_have_count(0)


async def test_an_operator_lifts_one_after_a_question(served: Site, browser: Watched, tmp_path: Path) -> None:
    served.board.stops = [ALL, ANALYST]
    page = browser.page
    await page.goto(served.url)
    button = page.get_by_role("button", name="Lift: assistant")
    await button.click()
    dialog = page.get_by_role("dialog", name="Lift this stop?")
    await shot(page, tmp_path, "stops-dialog")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_have_count(0)
    assert len(served.board.stops) == 2
    await button.click()
    await dialog.get_by_role("button", name="Lift for all workers").click()
    await expect(page.get_by_role("region", name="Stopped by operators").get_by_role("listitem")).to_have_count(1)
    assert served.board.stops == [ALL]


async def signed_in(page: Page, url: str, token: str) -> None:
    await page.goto(url)
    await page.get_by_label("Token of this worker").fill(token)
    await page.keyboard.press("Enter")


async def test_a_stop_that_cannot_be_lifted_now_says_why(tmp_path: Path) -> None:
    async with site(tmp_path, Deployed(), tokens=TOKENS) as served, browsing() as context:
        served.board.stops, served.board.away = [ALL], True
        page = (await watch(context)).page
        await signed_in(page, served.url, OPERATOR)
        await page.get_by_role("button", name="Lift: everything").click()
        await page.get_by_role("button", name="Lift for all workers").click()
        await expect(page.get_by_role("alert")).to_have_text("Nothing was lifted: Redis is away")
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Forget token").click()
        await expect(page.get_by_role("region", name="Stopped by operators")).to_have_count(0)


async def test_a_viewer_sees_what_concerns_it_and_no_button(tmp_path: Path) -> None:
    async with site(tmp_path, Deployed(), tokens=TOKENS) as served, browsing() as context:
        served.board.stops = [ALL, Stop("tenant", "north", "ann", AT)]
        page = (await watch(context)).page
        await signed_in(page, served.url, VIEWER)
        said = page.get_by_role("region", name="Stopped by operators").get_by_role("listitem")
        await expect(said).to_have_count(1)
        await expect(said).to_contain_text("Tenant north stopped by ann")
        await expect(page.get_by_role("button", name="Lift")).to_have_count(0)
