"""How far each step is, as the page's feed tells it, and what the page does without one."""

import time
from pathlib import Path

from playwright.async_api import expect

from tests.page.site import Deployed, Site, Watched, browsing, site, watch
from tests.page.test_flows import shot
from tests.records import exchange, key
from worker.domain.processes import Step
from worker.domain.watching import TaskSeen, TurnSeen

A = key("instance-a")


def turn(state: str, *, held: bool = True, repair: bool = False) -> TurnSeen:
    return TurnSeen("task-9", state, 1, is_held=held, is_repair=repair)


async def test_each_state_of_a_step_is_told_with_what_it_waits_for(
    served: Site, browser: Watched, processes: Deployed, tmp_path: Path
) -> None:
    processes.tasks = [Step("evaluate", "asking", task_id="task-9")]
    served.tasks.known["instance-a"] = [TaskSeen("task-9", "evaluate", None, None, "")]
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-a")
    now = page.get_by_role("region", name="What goes on now").get_by_role("listitem")
    await expect(now).to_contain_text("it waits until another task, or a person, is answered on its conversation")
    await expect(page.get_by_role("button", name="Evaluate alternatives: waits for its turn")).to_be_visible()
    for seen, told in (
        (turn(""), "looks for its conversation"),
        (turn("intent"), "The model is asked."),
        (turn("intent", repair=True), "asked to put its answer right"),
        (turn("answered", held=False), "which the engine is told"),
    ):
        served.windows.turns[A] = seen
        await expect(now).to_contain_text(told)
    served.trouble["analyst"] = "its <b>quota</b> is used up"
    served.windows.turns[A] = turn("intent", held=False)
    await expect(now).to_contain_text("Its provider cannot be asked now.")
    await expect(now.locator(".reason")).to_have_text("its <b>quota</b> is used up")
    await shot(page, tmp_path, "step-paused")
    served.tasks.known["instance-a"] = [TaskSeen("task-9", "evaluate", None, 0, "the answer has no <i>form</i>")]
    await expect(now.locator(".reason")).to_have_text("the answer has no <i>form</i>")
    await expect(now).to_contain_text("raise the retries of the task in Cockpit")
    await expect(page.locator(".heading .tag").first).to_have_text("failed")


async def test_where_no_feed_is_to_be_had_the_page_goes_on_asking_and_comes_back_ever_more_slowly(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, Deployed(), most_feeds=1) as served, browsing() as context:
        await served.transcript.record(exchange(1, A))
        watched = await watch(context)
        page = watched.page
        began = time.monotonic()
        async with page.expect_websocket() as first:
            await page.goto(f"{served.url}/instances/instance-a")
        refused = await (await first.value).wait_for_event("framereceived")
        assert "refused" in str(refused)
        await expect(page.get_by_role("article")).to_have_count(2)
        await served.transcript.record(exchange(2, A))
        await expect(page.get_by_role("article")).to_have_count(4)
        pauses = 0.75 * (2 ** (len(watched.sockets) - 1) - 1)  # at least, each twice as long as the one before
        assert pauses <= time.monotonic() - began
