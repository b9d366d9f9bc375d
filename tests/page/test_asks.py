"""People ask back on the page, once however often they press, and see what comes of it."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from playwright.async_api import expect

from tests import axe
from tests.asks import ask
from tests.page.asked import site_with_asks
from tests.page.site import Deployed, Site, browsing, site, watch
from tests.page.test_flows import shot
from tests.page.test_hostile import HOSTILE
from tests.page.test_visits import NO_LONG_PAUSES
from tests.records import exchange, key
from worker.domain.asks import State
from worker.domain.conversations import message_id, session_id
from worker.web.api import MayAsk, MayRead
from worker.web.api.asks import Asked, Asks
from worker.web.api.handovers import Handed

SESSION, BRANCH = session_id(key("instance-a")), session_id(key("instance-b"))
ANSWER = message_id("default", exchange(1, key("instance-b")).task_id, 1, exchange(1).answer.role)
LINK = "https://files.example/plan.pdf"
READER, ANN = (f"{name}-0123456789abcdef" for name in ("reader", "ann"))
TOKENS = json.dumps({READER: "viewer", ANN: {"role": "operator", "name": "Ann"}})


class Board:
    """The routes of asks as the page knows them; `away` refuses what comes, after it was taken."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.kept: dict[str, Asked] = {}
        self.away = False

    def __call__(self, application: FastAPI) -> None:
        @application.post("/api/sessions/{session}/asks", status_code=202)
        async def ask(_: MayAsk, session: str, body: dict[str, Any]) -> Asked:
            self.asked.append(body)
            name = body["id"]
            if name not in self.kept:
                said = (name, session, BRANCH, name, "Ann", body["text"], body["on_thread"])
                self.kept[name] = Asked(
                    *said, State.QUEUED, datetime.now(UTC), None, None, "", body["attachments"], is_yours=True
                )
            if self.away:
                raise HTTPException(503, "The transcript is away.")
            return self.kept[name]

        @application.get("/api/sessions/{session}/asks")
        async def asks(_: MayRead, session: str) -> Asks:
            return Asks(None, [each for each in reversed(self.kept.values()) if each.session_id == session])

        @application.get("/api/sessions/{_session}/handovers")
        async def handovers(_: MayRead, _session: str) -> list[Handed]:
            return []

        @application.delete("/api/asks/{name}")
        async def withdraw(_: MayAsk, name: str) -> Asked:
            self.become(state=State.WITHDRAWN)
            return self.kept[name]

    def become(self, **changes: Any) -> None:
        """Let all of them go on."""
        self.kept = {name: replace(each, **changes) for name, each in self.kept.items()}


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
async def asking(tmp_path: Path, board: Board) -> AsyncIterator[Site]:
    async with site(tmp_path, Deployed(), tokens=TOKENS, has_asks=True, extend=[board]) as served:
        await served.transcript.record(exchange(1, key("instance-a")), exchange(1, key("instance-b")))
        yield served
        assert served.errors == []


async def test_a_question_is_asked_once_and_its_answer_is_where_it_leads_to(
    asking: Site, board: Board, tmp_path: Path
) -> None:
    async with browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{ANN}')")
        watched = await watch(context)
        page = watched.page
        await page.goto(f"{asking.url}/conversations/{SESSION}")
        part = page.get_by_role("region", name="Ask back")
        board.away = True
        question = part.get_by_role("textbox", name="Your question")
        await question.fill("Why not B?")
        await part.get_by_text("Attach links").press("Enter")
        links = part.get_by_role("textbox", name="Links for those who read this")
        await links.fill("javascript:alert(1)")
        await part.get_by_role("button", name="Ask").click()
        await expect(part.get_by_role("alert")).to_have_text("This is no link to the web: javascript:alert(1)")
        await links.fill(f"{LINK}\n{LINK}?two")
        await part.get_by_role("button", name="Ask").click()
        await expect(part.get_by_role("alert")).to_have_text("The transcript is away.")
        watched.complaints.clear()  # the browser tells of each status above 400
        board.away = False
        await part.get_by_role("button", name="Ask").click()
        await expect(part.get_by_role("listitem")).to_have_count(1)
        await expect(part.get_by_role("listitem")).to_contain_text("waits its turn")
        found = part.get_by_role("listitem").get_by_role("link")
        assert [await each.get_attribute("href") for each in await found.all()] == [LINK, f"{LINK}?two"]
        assert [asked["text"] for asked in board.asked] == ["Why not B?"] * 2
        assert board.asked[0]["id"] == board.asked[1]["id"]
        await expect(question).to_have_value("")
        await part.get_by_text("Attach links").press("Enter")
        assert await axe.findings(page, axe.source()) == []
        for scheme, width in (("light", 1280), ("dark", 390)):
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            await page.set_viewport_size({"width": width, "height": 900})
            assert await axe.findings(page, axe.source()) == []
            await shot(page, tmp_path, f"asks-{scheme}-{width}")

        board.become(state=State.ANSWERED, answer=ANSWER)
        await part.get_by_role("link", name="Answer, beside the process").click()
        await expect(page.locator(f"#m-{ANSWER}")).to_be_in_viewport()
        assert watched.complaints == []


async def test_all_that_is_open_is_listed_and_can_be_withdrawn_and_the_rest_is_a_key_away(
    asking: Site, board: Board, tmp_path: Path
) -> None:
    for number in range(10):
        said = (f"{number}", SESSION, BRANCH, f"{number}", "Ann", f"Why {number}?", False)
        state = State.QUEUED if number in (0, 2, 9) else State.ANSWERED
        answer = ANSWER if state is State.ANSWERED else None
        board.kept[f"{number}"] = Asked(*said, state, datetime.now(UTC), None, answer, "", is_yours=True)
    async with browsing(viewport={"width": 1280, "height": 900}) as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{ANN}')")
        page = (await watch(context)).page
        await page.goto(f"{asking.url}/conversations/{SESSION}")
        part = page.get_by_role("region", name="Ask back")
        questions = part.locator("li .excerpt")
        await expect(questions).to_have_text([f"Why {number}?" for number in (0, 2, 5, 6, 7, 8, 9)])
        assert await axe.findings(page, axe.source()) == []
        await shot(page, tmp_path, "asks-many")
        await part.get_by_role("button", name="Show 3 earlier questions").press("Enter")
        await expect(questions).to_have_text([f"Why {number}?" for number in range(10)])
        await expect(part.get_by_role("button", name="Show")).to_have_count(0)
        await expect(part.get_by_role("heading")).to_be_focused()
        await part.get_by_role("button", name="Withdraw").first.click()
        await expect(part.get_by_role("listitem").first).to_contain_text("withdrawn")


async def test_what_another_person_asks_beside_the_process_is_seen_when_the_feed_tells_of_it(tmp_path: Path) -> None:
    async with site_with_asks(tmp_path, TOKENS) as (asking, asks), browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{READER}')")
        await context.add_init_script(NO_LONG_PAUSES)
        watched = await watch(context)
        page = watched.page
        await page.goto(f"{asking.url}/conversations/{SESSION}")
        await expect(page.get_by_role("article")).to_have_count(2)
        one = page.get_by_role("region", name="Ask back").get_by_role("listitem")
        await asks.accept(ask(about=key("instance-a"), text="Why not B?"))
        await expect(one).to_contain_text("Why not B?")
        await expect(one).to_contain_text("waits its turn")
        [claimed] = await asks.claim(1, timedelta(minutes=1))
        await expect(one).to_contain_text("is being answered")
        await asks.settle(claimed, State.ANSWERED, answer=ANSWER)
        await expect(one.get_by_role("link", name="Answer, beside the process")).to_be_visible()
        assert watched.complaints == []


async def test_what_waits_is_withdrawn_and_what_fails_says_why(asking: Site, board: Board) -> None:
    async with browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{ANN}')")
        page = (await watch(context)).page
        await page.goto(f"{asking.url}/conversations/{SESSION}")
        part = page.get_by_role("region", name="Ask back")
        for text in HOSTILE.values():
            await part.get_by_role("textbox").fill(text.replace("\0", "")[:900] or "x")
            await part.get_by_role("button", name="Ask").click()
            await expect(part.get_by_role("textbox")).to_have_value("")
        await part.get_by_role("button", name="Withdraw").last.click()
        await expect(part.get_by_role("listitem").last).to_contain_text("withdrawn")
        board.become(state=State.FAILED, failure="three workers ended over it")
        await expect(part.get_by_role("listitem").last).to_contain_text("three workers ended over it")


async def test_who_may_only_read_sees_what_was_asked_and_cannot_ask(asking: Site, board: Board) -> None:
    board.kept["1"] = Asked(
        "1", SESSION, BRANCH, "1", "Ann", "Why?", False, State.RUNNING, datetime.now(UTC), None, None, ""
    )
    async with browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{READER}')")
        page = (await watch(context)).page
        await page.goto(f"{asking.url}/conversations/{SESSION}")
        part = page.get_by_role("region", name="Ask back")
        await expect(part.get_by_role("listitem")).to_contain_text("is being answered")
        await expect(part.get_by_role("textbox")).to_have_count(0)
        await page.goto(f"{asking.url}/conversations/{BRANCH}")
        await expect(page.get_by_role("article")).to_have_count(2)
        await expect(part).to_have_count(0)
