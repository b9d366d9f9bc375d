"""The page reads well: results first, names, what was asked, marks, links to messages, and back to where one was."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.page.site import Deployed, Site, Watched
from tests.page.test_flows import shot
from tests.records import START, exchange, key
from tests.waiting import wait_until
from worker.domain.conversations import Role, message_id, session_id
from worker.domain.processes import Result


async def test_what_came_out_stands_on_top(served: Site, browser: Watched, processes: Deployed, tmp_path: Path) -> None:
    processes.outcome = [
        Result("recommendation", "## Take **B**\n\nIt costs less.\n\n|a|cost|\n|-|-|\n|B|31000|", START),
        Result("choice", "B <b>bold</b>", START),
        Result("evaluation", "A is dearer, and nobody likes it.\n\n- a\n- b", START),
        Result("report", None, START),
    ]
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-a")
    results = page.get_by_role("region", name="Result")
    await expect(results.locator(".facts")).to_have_text("choiceB <b>bold</b>")
    await expect(results.get_by_text("It costs less.")).to_be_visible()
    await expect(results.get_by_text("A is dearer")).not_to_be_visible()
    align = await results.get_by_role("cell", name="31000").evaluate("(cell) => getComputedStyle(cell).textAlign")
    assert align == "right"
    await results.get_by_text("report").click()
    await expect(results.get_by_text("A file, which the engine keeps.")).to_be_visible()
    top = await results.evaluate("(each) => each.getBoundingClientRect().top")
    diagram = await page.locator(".process").evaluate("(each) => each.getBoundingClientRect().top")
    assert top < diagram
    await shot(page, tmp_path, "result")


async def test_processes_have_names_and_say_what_was_asked(
    served: Site, browser: Watched, processes: Deployed, tmp_path: Path
) -> None:
    processes.titles = {("decision", None): "Decision <i>analysis</i>"}
    question = "# Which drones\n\nshall we buy?"
    await served.transcript.record(exchange(9, key("instance-c"), definition_key="decision", question=question))
    page = browser.page
    for address in ("/instances", "/conversations"):
        await page.goto(served.url + address)
        row = page.get_by_role("row").filter(has_text="Which drones")
        await expect(row).to_contain_text("Decision <i>analysis</i>")
        await expect(row).to_contain_text("decision")
        await shot(page, tmp_path, f"names-{address[1:]}")
    for address in ("/instances/instance-c", f"/conversations/{session_id(key('instance-c'))}"):
        await page.goto(served.url + address)
        await expect(page.get_by_text("Decision <i>analysis</i>").first).to_be_visible()


@pytest.mark.parametrize(
    ("field", "text", "found"),
    [
        ("Process", "ANALYSIS", 2),
        ("Process", "ecisio", 2),
        ("Business key", "DER-A", 1),
        ("Assistant", "naly", 2),
        ("Assistant", "_naly", 0),
    ],
)
async def test_filters_find_what_contains_them(
    served: Site, browser: Watched, processes: Deployed, field: str, text: str, found: int
) -> None:
    processes.titles = {("decision", None): "Decision analysis"}
    page = browser.page
    await page.goto(f"{served.url}/instances")
    await page.get_by_label(field, exact=True).fill(text)
    await page.get_by_role("button", name="Filter").click()
    await expect(page.get_by_role("link", name="Clear")).to_be_visible()
    await expect(page.locator("tbody tr")).to_have_count(found)


@pytest.mark.parametrize("text", ["instance-a", "DER-A"])
async def test_an_instance_is_found_by_its_id_and_by_its_business_key(
    served: Site, browser: Watched, text: str
) -> None:
    page = browser.page
    await page.goto(f"{served.url}/search?q={text}")
    found = page.get_by_role("region", name="Instances").get_by_role("listitem")
    await expect(found).to_have_count(1)
    await found.get_by_role("link").click()
    await expect(page).to_have_url(f"{served.url}/instances/instance-a")


async def test_a_hit_opens_at_the_mark_in_a_long_question(served: Site, browser: Watched, tmp_path: Path) -> None:
    question = "Much to read.\n\n" + "Nothing here.\n" * 400 + "The needle is **here**.\n" + "Nothing here.\n" * 400
    await served.transcript.record(exchange(9, key("instance-c"), question=question))
    page = browser.page
    await page.goto(f"{served.url}/search?q=NEEDLE")
    await page.get_by_role("link", name="Question at Step 9").click()
    mark = page.locator("article.wanted mark")
    await expect(mark).to_have_text("needle")
    await expect(mark).to_be_in_viewport()
    await expect(page.locator("article.wanted")).to_be_focused()
    await shot(page, tmp_path, "mark")


async def test_a_message_has_a_link_and_can_be_copied(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(f"{served.url}/instances/instance-a")
    said = message_id("default", "task-instance-a-analyst-1", 1, Role.AGENT)
    answer = page.locator(f"#m-{said}")
    await answer.get_by_role("link", name="Link to this message").click()
    address = f"{served.url}/instances/instance-a#m-{said}"
    await expect(page).to_have_url(address)
    await expect(answer).to_be_focused()
    await answer.get_by_role("button", name="Copy").click()
    await expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == "## Frame\n\nThe **goal** of instance-a is *clear*.\n\n- range\n- cost"

    await page.goto("about:blank")
    await page.goto(address)
    await expect(answer).to_be_focused()
    await expect(answer).to_be_in_viewport()


async def test_a_message_of_long_ago_is_reached_by_its_link(served: Site, browser: Watched) -> None:
    for number in range(1, 131):
        await served.transcript.record(exchange(number, key("instance-long"), activity_id="frame"))
    said = message_id("default", "task-instance-long-analyst-129", 1, Role.AGENT)
    await browser.page.goto(f"{served.url}/conversations/{session_id(key('instance-long'))}#m-{said}")
    await expect(browser.page.locator(f"#m-{said}")).to_be_focused()
    await expect(browser.page.locator(f"#m-{said}")).to_be_in_viewport()


async def test_the_newest_is_one_step_away(served: Site, browser: Watched) -> None:
    for number in range(1, 61):
        await served.transcript.record(exchange(number, key("instance-long"), activity_id="frame"))
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-long")
    await page.get_by_text("Answer 1.").wait_for()
    await page.get_by_role("link", name="Jump to the newest").click()
    await expect(page.get_by_text("Answer 60.")).to_be_in_viewport()
    await expect(page).to_have_url(f"{served.url}/instances/instance-long?from=newest")
    await page.get_by_role("link", name="From the beginning").click()
    await expect(page.get_by_text("Answer 1.")).to_be_visible()

    await page.goto(f"{served.url}/instances/instance-a")
    await page.get_by_role("link", name="Jump to the newest").click()
    await expect(page.get_by_role("article").last).to_be_focused()
    assert page.url == f"{served.url}/instances/instance-a", "all of it was there"


async def test_back_leads_to_where_one_was(served: Site, browser: Watched) -> None:
    for number in range(1, 131):
        await served.transcript.record(exchange(number, key(f"instance-many-{number:03}"), business_key=f"k-{number}"))
    page = browser.page
    await page.goto(f"{served.url}/instances")
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator("tbody tr")).to_have_count(100)
    link = page.get_by_role("link", name="k-40", exact=False).first
    await link.scroll_into_view_if_needed()
    at = await page.evaluate("scrollY")
    await link.click()
    await expect(page.get_by_role("article")).to_have_count(2)
    assert await page.evaluate("scrollY") < at
    await page.go_back()
    await expect(page.locator("tbody tr")).to_have_count(100)
    await expect(link).to_be_in_viewport()
    assert abs(await page.evaluate("scrollY") - at) < 5


async def test_back_in_a_conversation_leads_to_the_message_that_was_in_sight(served: Site, browser: Watched) -> None:
    for number in range(1, 41):
        answer = f"Answer {number}.\n\n" + "It is long.\n\n" * (number % 7)
        await served.transcript.record(exchange(number, key("instance-long"), answer=answer))
    page = browser.page
    await page.goto(f"{served.url}/conversations/{session_id(key('instance-long'))}")
    seen = page.get_by_text("Answer 30.")
    await seen.scroll_into_view_if_needed()
    top: float = await seen.evaluate("(each) => each.getBoundingClientRect().top")

    async def is_kept() -> bool:
        return bool(await page.evaluate("history.state?.kept?.place?.y === scrollY"))

    await wait_until(is_kept, 10, "the place is kept")
    await page.get_by_role("link", name="Instances").first.evaluate("(each) => each.click()")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Instances")
    await page.go_back()

    async def is_back() -> bool:  # it settles while what is above it gets its height
        return abs(float(await seen.evaluate("(each) => each.getBoundingClientRect().top")) - top) < 40

    await wait_until(is_back, what="the message to stand where it stood")
    await expect(seen).to_be_in_viewport()


async def test_who_spoke_is_told_by_version_and_instructions(served: Site, browser: Watched) -> None:
    spoke = {
        "instructions": "0123456789ab",
        "output_schema": "ba9876543210",
        "worker": "1.2.3",
        "assistant_version": "2.1",
    }
    await served.transcript.record(exchange(9, key("instance-c"), **spoke))
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-c")
    await page.locator(".about > summary").click()
    about = page.locator(".about dl")
    for text in (
        "Assistant's version2.1",
        "Instructions0123456789ab",
        "Schema of the answerba9876543210",
        "Worker1.2.3",
    ):
        await expect(about).to_contain_text(text)


@pytest.mark.parametrize("address", ["/nothing", "/instance/a", "/embed/nothing"])
async def test_an_unknown_address_shows_the_page(served: Site, browser: Watched, address: str) -> None:
    await browser.page.goto(served.url + address)
    await expect(browser.page.get_by_role("heading", level=1)).to_have_text("Not found")
    if "embed" not in address:
        await browser.page.get_by_role("link", name="Instances").first.click()
        await expect(browser.page.get_by_role("heading", level=1)).to_have_text("Instances")
    browser.complaints[:] = [each for each in browser.complaints if "404" not in each]


async def test_numbers_of_a_list_stand_on_the_right(served: Site, browser: Watched) -> None:
    await browser.page.goto(f"{served.url}/instances")
    cell = browser.page.get_by_role("row").nth(1).get_by_role("cell").last
    assert await cell.evaluate("(cell) => getComputedStyle(cell).textAlign") == "right"


async def test_embedded_instances_lead_to_each_other(served: Site, browser: Watched, processes: Deployed) -> None:
    processes.runs = {"instance-a": False, "instance-b": True}
    page = browser.page
    await page.goto(f"{served.url}/embed/instances?definition_key=decision")
    await expect(page.locator("tbody .tag")).to_have_text(["active", "ended"])
    await expect(page.get_by_role("banner")).to_have_count(0)
    await page.get_by_role("link", name="order-a").click()
    await expect(page).to_have_url(f"{served.url}/embed/instances/instance-a?of=decision")
    await expect(page.get_by_role("article")).to_have_count(4)
    await page.get_by_role("link", name="All instances").click()
    await expect(page.locator("tbody .tag")).to_have_count(2)
