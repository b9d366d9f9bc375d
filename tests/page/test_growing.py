"""The page shows an answer while it is written, as its one feed tells it, and then the whole of it."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Locator, Page, WebSocket, expect

from tests import axe
from tests.api.client import OPERATOR, TOKENS
from tests.contract.redis_wire import wire
from tests.page.site import Deployed, Site, Watched, browsing, site, watch
from tests.page.test_flows import shot
from tests.page.test_hostile import HOSTILE, check
from tests.records import exchange, key
from tests.waiting import wait_until
from worker.domain.conversations import session_id
from worker.domain.watching import TaskSeen, TurnSeen

A = key("instance-a")
WHOLE = "Take **the cheap** 😀 one, because the dear one is no better."
PARTS = ("Take **the ch", "eap** 😀 one, bec", "ause the dear one")
TOP = "(selector) => document.querySelector(selector).getBoundingClientRect().top"


def growing(page: Page) -> Locator:
    return page.locator("article.growing")


def begin(served: Site) -> None:
    """Have the model asked for the task at an activity."""
    served.tasks.known["instance-a"] = [TaskSeen("task-9", "evaluate", None, None, "")]
    served.windows.turns[A] = TurnSeen("task-9", "intent", 1, is_held=True, is_repair=False)


async def record(served: Site, answer: str = WHOLE, thread: Any = A) -> None:
    """Have the whole answer in the record."""
    said = exchange(9, thread, task_id="task-9", activity_id="evaluate", activity_name="Evaluate", answer=answer)
    await served.transcript.record(said)


async def test_an_answer_is_seen_while_it_is_written_and_then_whole_where_it_stands(
    served: Site, browser: Watched, tmp_path: Path
) -> None:
    begin(served)
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-a")
    await page.evaluate("window.seen = true")
    now = page.get_by_role("region", name="What goes on now").get_by_role("listitem")
    await expect(now).to_have_text(["Evaluate alternatives The model is asked."])
    text = ""
    for part in PARTS:
        served.windows.tell(A, part, task="task-9")
        text += part
        await expect(growing(page).locator(".content")).to_have_text(text)
    await expect(growing(page).locator("header")).to_have_text("Answer of analystEvaluate alternativesis being written")
    await expect(page.get_by_role("status")).to_have_text("An answer is being written")
    await expect(page.locator(".thread > article").last).to_have_class("message agent growing")
    await page.get_by_role("link", name="Frame the decision").click()
    await expect(page.get_by_role("article")).to_have_count(2)
    await expect(growing(page)).to_have_count(0)
    await page.get_by_role("link", name="Evaluate alternatives").click()
    await expect(page.get_by_role("article")).to_have_count(1)
    await page.get_by_role("link", name="Whole conversation").click()
    await expect(page.get_by_role("article")).to_have_count(5)
    await growing(page).scroll_into_view_if_needed()
    await shot(page, tmp_path, "growing")

    stood: float = await page.evaluate(TOP, ".growing")
    await record(served)
    await expect(growing(page)).to_have_count(0)
    await expect(page.get_by_role("article")).to_have_count(6)
    await expect(page.locator("article.agent").last.locator("strong")).to_have_text("the cheap")
    await expect(page.get_by_role("status")).to_have_text("2 new messages")

    async def has_not_moved() -> bool:
        at: float = await page.evaluate(TOP, "article.agent:last-of-type")
        return abs(at - stood) < 2

    await wait_until(has_not_moved, what="the answer to stand where it stood")
    assert await page.evaluate("window.seen"), "it was one and the same page"
    assert len(browser.sockets) == 1


async def test_what_is_written_anew_begins_anew_and_what_is_lost_is_said_to_be_on_a_phone_in_the_dark(
    served: Site, tmp_path: Path
) -> None:
    async with browsing(viewport={"width": 390, "height": 800}, color_scheme="dark") as context:
        page = (await watch(context)).page
        said = growing(page)
        await page.goto(f"{served.url}/conversations/{session_id(A)}")
        await expect(page.get_by_role("article")).to_have_count(4)
        served.windows.tell(A, "Take none.", task="task-9")
        await expect(said.locator(".content")).to_have_text("Take none.")
        served.windows.tell(A, PARTS[0], task="task-9", run=2)
        await expect(said.locator(".content")).to_have_text(PARTS[0])
        await expect(said).to_contain_text("is written anew")
        assert await said.get_attribute("aria-busy") == "true"
        found = await axe.findings(page, axe.source())

        served.windows.told_at[A] -= 60
        await expect(said).to_contain_text("Nobody goes on writing")
        await expect(said.locator(".content")).to_have_text(PARTS[0])
        await expect(page.get_by_role("status")).to_contain_text("Nobody goes on writing")
        assert await said.get_attribute("aria-busy") == "false"
        assert found + await axe.findings(page, axe.source()) == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        await shot(page, tmp_path, "growing-lost-phone")
        await record(served)
        await expect(said).to_have_count(0)
        await expect(page.get_by_role("article")).to_have_count(6)
        await expect(page.locator("article.agent").last).to_contain_text("because the dear one is no better.")


async def test_a_socket_that_is_cut_in_the_middle_goes_on_without_loss_or_repetition(served: Site) -> None:
    begin(served)
    asked: list[str] = []
    heard: list[Any] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framesent", lambda text: asked.append(json.loads(text)["after"]))
        socket.on("framereceived", lambda text: heard.append(json.loads(text)))

    async with wire(urlsplit(served.url).port or 0) as between, browsing() as context:
        watched = await watch(context)
        page = watched.page
        page.on("websocket", listen)
        await page.goto(f"http://127.0.0.1:{between.port}/instances/instance-a")
        served.windows.tell(A, PARTS[0], task="task-9")
        await expect(growing(page).locator(".content")).to_have_text(PARTS[0])
        await between.close()
        await expect(growing(page)).to_contain_text("The connection is cut.")
        served.windows.tell(A, PARTS[1], task="task-9")
        await expect(growing(page).locator(".content")).to_have_text(PARTS[0] + PARTS[1])
        await expect(growing(page)).to_contain_text("is being written")
        await record(served)
        await expect(page.get_by_role("article")).to_have_count(6)
        assert watched.open_sockets == 1
    deltas = [each["data"] for each in heard if each["type"] == "delta"]
    assert [(each["offset"], each["text"]) for each in deltas] == [(0, PARTS[0]), (len(PARTS[0]), PARTS[1])]
    ids = [each["data"]["id"] for each in heard if each["type"] == "message"]
    assert len(ids) == len(set(ids)) == 2
    assert asked[0] == "now"
    assert asked[1] in {each.get("id") for each in heard}


async def test_where_no_socket_can_be_had_server_sent_events_tell_the_same_and_hostile_words_are_text(
    tmp_path: Path,
) -> None:
    hostile = key("instance-a", assistant="<img src=x onerror='window.ran = 1'>")
    parts = ["\n".join(HOSTILE.values()), "<script>window.ran = 1</script>\n\ndata: x"]
    async with site(tmp_path, Deployed(), with_sockets=False) as served, browsing() as context:
        await served.transcript.record(exchange(1, hostile))
        watched = await watch(context)
        page = watched.page
        address = f"{served.url}/instances/instance-a"
        async with page.expect_response(lambda answer: "/feed?after=now" in answer.url) as feed:
            await page.goto(address)
        assert (await feed.value).status == 200
        for part in parts:
            served.windows.tell(hostile, part, task="task-9")
        said = growing(page).locator(".content p")
        await expect(said).to_contain_text("data: x")
        assert await said.evaluate("(each) => each.textContent") == "".join(parts)
        assert await said.evaluate("(each) => each.children.length") == 0
        await check(page, address)
        assert watched.foreign(served.url) == []
        await record(served, thread=hostile)
        await expect(page.get_by_role("article")).to_have_count(4)
        await page.get_by_role("link", name="Search").first.click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Search")
        assert served.errors == []


async def test_a_tab_has_one_feed_by_a_ticket_of_its_token_and_it_ends_with_its_view(tmp_path: Path) -> None:
    async with site(tmp_path, Deployed(), tokens=TOKENS) as served, browsing() as context:
        await served.transcript.record(exchange(1, A))
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{OPERATOR}')")
        watched = await watch(context)
        page = watched.page
        await page.goto(f"{served.url}/embed/instances/instance-a")
        served.windows.tell(A, PARTS[0], task="task-9")
        await expect(growing(page)).to_be_visible()
        watched.sockets.clear()
        await page.goto(f"{served.url}/instances/instance-a")
        await expect(growing(page)).to_be_visible()
        assert watched.open_sockets == 1
        await page.get_by_role("link", name="analyst").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("analyst")
        await expect(growing(page)).to_be_visible()
        await wait_until(lambda: watched.open_sockets == 1)
        await page.get_by_role("link", name="Search").first.click()
        await wait_until(lambda: watched.open_sockets == 0)
        assert [each.url for each in watched.sockets] == [f"{served.url.replace('http', 'ws')}/api/feeds"] * 2
        assert served.errors == []
