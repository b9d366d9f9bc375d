"""The page follows: what happens at the engine and in the record is seen without a reload."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.page.site import Deployed, Site, Watched, process
from tests.page.test_flows import shot
from tests.records import exchange, key
from worker.domain.processes import Incident, Result, Step

REFUSED = "the provider refuses the key: <b>renew</b> it in providers.yaml"


async def test_a_process_is_watched_from_its_start_to_its_end_without_a_reload(
    served: Site, browser: Watched, processes: Deployed, tmp_path: Path
) -> None:
    processes.states = {"frame": "running"}
    processes.tasks = [Step("frame", "waiting")]
    processes.started = [process("instance-new")]
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-new")
    await page.evaluate("window.seen = true")
    now = page.get_by_role("region", name="What goes on now").get_by_role("listitem")
    await expect(now).to_have_text(["Frame the decision Waits for a worker."])
    await expect(page.get_by_text("Nothing was said here.")).to_be_visible()
    await expect(page.get_by_role("button", name="Frame the decision: waiting")).to_be_visible()
    await shot(page, tmp_path, "live-waiting")

    processes.tasks = [Step("frame", "asking")]
    await expect(now).to_have_text(["Frame the decision A worker has it: it asks the model, or waits for its turn."])

    processes.tasks = [Step("frame", "again", REFUSED, retries=2)]
    await expect(now).to_contain_text("2 tries left.")

    processes.states, processes.tasks = (
        {"frame": "failed"},
        [Step("frame", "failed", REFUSED, kind="failedExternalTask")],
    )
    await expect(now.get_by_text(REFUSED)).to_be_visible()
    await expect(now).to_contain_text("raise the retries of the task in Cockpit")
    await expect(page.locator(".heading .tag").first).to_have_text("failed")
    await shot(page, tmp_path, "live-failed")

    await served.transcript.record(exchange(1, key("instance-new"), activity_id="frame", answer="**Framed** it."))
    processes.states, processes.tasks = {"frame": "done", "recommend": "running"}, [Step("recommend", "asking")]
    await expect(page.get_by_role("article")).to_have_count(2)
    await expect(page.locator("article strong", has_text="Framed")).to_have_count(1)
    await expect(page.get_by_role("button", name="Frame the decision: done, 1 turn")).to_be_visible()

    processes.runs, processes.tasks, processes.states = {"instance-new": False}, [], {"frame": "done"}
    processes.outcome = [Result("recommendation", "Take B.", None)]
    await expect(page.locator(".heading .tag").first).to_have_text("ended")
    await expect(page.get_by_role("region", name="Result")).to_contain_text("Take B.")
    await expect(page.get_by_role("region", name="What goes on now")).to_have_count(0)
    assert await page.evaluate("window.seen"), "it was one and the same page"


async def test_what_is_new_is_told_of_and_does_not_move_what_is_read(served: Site, browser: Watched) -> None:
    for number in range(1, 21):
        await served.transcript.record(exchange(number, key("instance-long"), answer="It is long.\n\n" * 9))
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-long")
    await expect(page.get_by_role("article")).to_have_count(40)
    at = await page.evaluate("scrollY")
    await served.transcript.record(exchange(30, key("instance-long"), answer="The newest."))
    await expect(page.get_by_role("article")).to_have_count(42)
    assert await page.evaluate("scrollY") == at
    await page.get_by_role("button", name="2 new messages").click()
    await expect(page.get_by_text("The newest.")).to_be_in_viewport()
    await expect(page.get_by_role("button", name="2 new messages")).to_have_count(0)


async def test_what_is_recorded_late_stands_where_it_was_said(served: Site, browser: Watched) -> None:
    for number in (1, 3):
        await served.transcript.record(exchange(number, key("instance-late")))
    page = browser.page
    await page.goto(f"{served.url}/conversations")
    await page.get_by_role("link", name="order-1").first.click()
    await expect(page.get_by_role("article")).to_have_count(4)
    await served.transcript.record(exchange(2, key("instance-late")))
    said = page.locator("article .content")
    await expect(said).to_have_text([text for n in (1, 2, 3) for text in (f"Question {n}?", f"Answer {n}.")])


async def test_lists_move_by_themselves(served: Site, browser: Watched, processes: Deployed, tmp_path: Path) -> None:
    processes.runs = {"instance-a": True, "instance-b": True, "instance-new": True}
    page = browser.page
    await page.goto(f"{served.url}/instances?state=active")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(2)
    processes.started = [process("instance-new", business_key="<i>newest</i>")]
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("<i>newest</i>")
    await expect(rows.first).to_contain_text("none yet")
    await shot(page, tmp_path, "live-list")
    processes.runs = {"instance-a": False, "instance-b": True, "instance-new": True}
    await expect(rows).to_have_count(2)
    await expect(page.get_by_text("order-a")).to_have_count(0)
    await served.transcript.record(exchange(9, key("instance-new"), definition_key="decision"))
    await expect(rows.first).to_contain_text("Question 9?")
    await expect(rows).to_have_count(2)


@pytest.mark.parametrize("state", ["any", "failed"])
async def test_what_failed_is_seen_in_the_list_and_can_be_filtered(
    served: Site, browser: Watched, processes: Deployed, tmp_path: Path, state: str
) -> None:
    processes.runs = {"instance-a": True, "instance-b": True, "instance-new": True}
    processes.started = [process("instance-new"), process("instance-a")]
    processes.wrong = [Incident("instance-a", "frame", REFUSED), Incident("instance-new", "frame", "no model")]
    page = browser.page
    await page.goto(f"{served.url}/instances")
    await page.get_by_label("State").select_option(state)
    await page.get_by_role("button", name="Filter").click()
    failed = page.get_by_role("row").filter(has=page.locator(".tag.failed"))
    await expect(failed).to_have_count(2)
    await expect(page.locator("tbody tr")).to_have_count(2 if state == "failed" else 3)
    await expect(failed.filter(has_text="order-w")).to_contain_text("no model")
    await expect(failed.filter(has_text="order-w")).to_contain_text("none yet")
    await expect(failed.filter(has_text="order-a")).not_to_contain_text("none yet")
    if state == "failed":
        await expect(failed.filter(has_text="order-a")).to_contain_text(REFUSED)
    await shot(page, tmp_path, f"failed-{state}")


async def test_nothing_is_asked_while_nobody_looks(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-a")
    await expect(page.get_by_role("article")).to_have_count(4)  # what a view begins with has been asked for
    async with page.expect_response("**/now"):
        pass
    await page.evaluate(HIDE)
    asked = [each for each in browser.requests if "/api/" in each]
    await page.wait_for_timeout(4000)  # longer than the pace
    assert [each for each in browser.requests if "/api/" in each] == asked
    async with page.expect_response("**/now"):
        await page.evaluate("window.hide(false)")


HIDE = """() => {
  let hidden = true;
  Object.defineProperty(document, "hidden", { get: () => hidden });
  window.hide = (value) => { hidden = value; document.dispatchEvent(new Event("visibilitychange")); };
  window.hide(true);
}"""


async def test_a_worker_that_cannot_be_reached_for_a_while_is_asked_again(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-a")
    await expect(page.get_by_role("article")).to_have_count(4)  # a view that cannot be made asks for nothing again
    await page.route("**/now", lambda route: route.abort())
    async with page.expect_event("requestfailed"):
        pass
    await page.unroute("**/now")
    async with page.expect_response("**/now"):
        pass
    await expect(page.get_by_role("article")).to_have_count(4)
    browser.complaints[:] = [each for each in browser.complaints if "Failed to load" not in each]
