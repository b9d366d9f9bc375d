"""A conversation of a thousand messages stays usable."""

import pytest
from playwright.async_api import expect

from tests.page.site import Site, Watched
from tests.records import exchange, key
from tests.waiting import wait_until

TURNS = 500


async def fill(served: Site) -> None:
    for number in range(1, TURNS + 1):
        said = exchange(
            number, key("instance-long"), activity_id="frame", answer=f"## Answer\n\nNumber **{number}** it is."
        )
        await served.transcript.record(said)


@pytest.mark.sweep
async def test_a_thousand_messages_come_page_by_page_and_end(served: Site, browser: Watched) -> None:
    await fill(served)
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-long")
    articles = page.get_by_role("article")
    await expect(articles).to_have_count(100)
    await expect(page.get_by_text("Number 1 it is.")).to_be_visible()
    await expect(page.get_by_role("link", name="Frame the decision done, 500 turns")).to_be_visible()

    async def at_the_end() -> bool:
        await page.keyboard.press("End")  # more comes when the end is near
        return await articles.count() == 2 * TURNS

    await wait_until(at_the_end, 60, "the last page")
    await page.keyboard.press("End")
    await expect(page.get_by_text("That is all.")).to_be_visible()
    await expect(page.get_by_text(f"Number {TURNS} it is.")).to_be_visible()
    order = await articles.evaluate_all("(all) => all.map((each) => each.id)")
    assert len(set(order)) == 2 * TURNS

    await page.get_by_role("link", name="Jump to the newest").click()
    await expect(articles.last).to_be_focused()
    await page.goto(f"{served.url}/instances/instance-long?from=newest")
    await expect(articles).to_have_count(100)
    await expect(page.get_by_text(f"Number {TURNS} it is.")).to_be_visible()
    await page.get_by_role("button", name="Show earlier messages").click()
    await expect(articles).to_have_count(200)
    await page.reload()
    await expect(page.get_by_text(f"Number {TURNS} it is.")).to_be_visible()

    await page.goto(f"{served.url}/search?q=Number 420 it is")
    await page.get_by_role("link", name="Answer at Step 420").click()
    found = page.locator("article.wanted")
    await expect(found).to_be_focused()
    await expect(found).to_be_in_viewport()
    await expect(found).to_contain_text("Number 420 it is.")
