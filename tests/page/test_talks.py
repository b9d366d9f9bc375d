"""People talk with an assistant beside all processes: begun, gone on with and ended on the page, by keys alone."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import expect

from tests import axe
from tests.page.asked import site_with_asks
from tests.page.site import Site, browsing, watch
from tests.page.test_flows import shot
from tests.records import exchange, key
from worker.chat.desk import Desk
from worker.domain.asks import State
from worker.domain.conversations import Role, Subject, message_id, session_id
from worker.domain.endings import Receipt
from worker.transcript import Database, SqlAsks, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import erasing, talking

ANN, BEN, READER = (f"{name}-0123456789abcdef" for name in ("ann", "ben", "reader"))
TOKENS = json.dumps(
    {ANN: {"role": "operator", "name": "Ann"}, BEN: {"role": "operator", "name": "Ben"}, READER: "viewer"}
)


class Eraser:
    """Erases in the record alone."""

    def __init__(self, transcript: SqlTranscriptWriter) -> None:
        self._transcript = transcript

    async def erase(self, subject: Subject, **_: Any) -> Receipt:
        await self._transcript.remove([subject])
        now = datetime.now(UTC)
        return Receipt("4711", "default", None, None, now, completed_at=now, person=subject.person, chat=subject.chat)


@pytest.fixture
async def talks(tmp_path: Path) -> AsyncIterator[tuple[Site, SqlAsks]]:
    def more(desk: Desk, database: Database) -> list[Any]:
        eraser: Any = Eraser(SqlTranscriptWriter(database))
        return [talking(desk), erasing(eraser, SqlTranscriptReader(database), "default")]

    async with site_with_asks(tmp_path, TOKENS, assistants=["analyst", "critic"], more=more) as served:
        yield served


async def test_a_person_begins_goes_on_and_ends_by_keys_and_nobody_else_sees_it(
    talks: tuple[Site, SqlAsks], tmp_path: Path
) -> None:
    served, asks = talks
    async with browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{ANN}')")
        watched = await watch(context)
        page = watched.page
        await page.goto(f"{served.url}/conversations")
        begin = page.get_by_role("form", name="New conversation")
        await begin.get_by_role("combobox", name="Talk with an assistant").focus()
        await page.keyboard.type("critic")
        assert await axe.findings(page, axe.source()) == []
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("critic")
        await expect(page.get_by_role("heading", level=1)).to_be_focused()
        address = page.url
        part = page.get_by_role("region", name="Go on")
        await part.get_by_role("textbox", name="Your message").focus()
        await page.keyboard.type("Is it far?")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(part.get_by_role("listitem")).to_contain_text("waits its turn")
        assert await axe.findings(page, axe.source()) == []
        await shot(page, tmp_path, "talk")

        await answer(served, asks)
        await expect(page.get_by_text("It is near.")).to_be_visible()
        await expect(part.get_by_role("listitem")).to_have_count(0)
        await page.emulate_media(color_scheme="dark")
        await page.set_viewport_size({"width": 390, "height": 900})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert await axe.findings(page, axe.source()) == []
        await shot(page, tmp_path, "talk-dark-390")
        await page.get_by_role("link", name="Conversations", exact=True).last.click()
        row = page.get_by_role("row", name="critic")
        await expect(row).to_contain_text("none, yours alone")
        await shot(page, tmp_path, "talks-dark-390")
        await row.get_by_role("link").click()
        await page.get_by_role("button", name="End …").press("Enter")
        await expect(page.get_by_role("dialog", name="End this conversation?")).to_be_visible()
        assert await axe.findings(page, axe.source()) == []
        await page.get_by_role("button", name="Erase it for good").press("Enter")
        await expect(page.get_by_role("row", name="critic")).to_have_count(0)
        await expect(page.get_by_role("row", name="analyst")).to_have_count(1)
        assert watched.complaints == []
        await page.goto(address)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not Found")


async def answer(served: Site, asks: SqlAsks) -> None:
    """Have what was asked answered, as a worker does."""
    [ask] = await asks.claim(1, timedelta(minutes=1))
    said = exchange(
        1,
        ask.target,
        task_id=ask.id,
        question=ask.text,
        answer="It is near.",
        user="Ann",
        process_instance_id="",
        activity_id="",
        activity_name="",
        definition_id="",
        definition_key="",
        definition_version=None,
        business_key=None,
    )
    await served.transcript.record(said)
    assert await asks.settle(ask, State.ANSWERED, answer=message_id("default", ask.id, 1, Role.AGENT))


@pytest.mark.parametrize("token", [BEN, READER])
async def test_others_see_nothing_of_it_and_who_may_not_ask_begins_none(
    talks: tuple[Site, SqlAsks], token: str
) -> None:
    served, asks = talks
    ann = await begun(served, ANN)
    async with browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{token}')")
        page = (await watch(context)).page
        await page.goto(f"{served.url}/conversations")
        await expect(page.get_by_role("row", name="analyst")).to_have_count(1)
        begin = page.get_by_role("form", name="New conversation")
        await expect(begin).to_have_count(1 if token == BEN else 0)
        await page.goto(f"{served.url}/conversations/{ann}")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not Found")
    assert session_id(key("instance-a")) != ann
    assert await asks.of_session(ann) == []


async def begun(served: Site, token: str) -> str:
    """Begin a conversation over the API."""
    headers = {"Authorization": f"Bearer {token}"}
    address = f"{served.url}/api/assistants/critic/conversations"
    async with aiohttp.ClientSession(headers=headers) as http, http.post(address, json={"id": "1"}) as reply:
        return str((await reply.json())["id"])


async def test_an_assistants_page_follows_what_is_said_with_it(talks: tuple[Site, SqlAsks], tmp_path: Path) -> None:
    served, _ = talks
    async with browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{ANN}')")
        watched = await watch(context)
        page = watched.page
        await page.goto(f"{served.url}/conversations/{session_id(key('instance-a'))}")
        await page.get_by_role("heading", level=1).get_by_role("link", name="analyst").press("Enter")
        await expect(page).to_have_url(f"{served.url}/assistants/analyst")
        await expect(page.get_by_role("heading", level=1)).to_have_text("analyst")
        rows = page.get_by_role("table", name="Conversations").get_by_role("row")
        await expect(rows).to_have_count(2)
        assert await axe.findings(page, axe.source()) == []
        await shot(page, tmp_path, "assistant")
        await served.transcript.record(
            exchange(2, key("instance-b")), exchange(3, key("instance-c", assistant="critic"))
        )
        await expect(rows).to_have_count(3)
        await expect(page.get_by_text("Messages", exact=True).first.locator("..")).to_contain_text("4")
        begin = page.get_by_role("form", name="New conversation")
        await expect(begin.get_by_role("option")).to_have_text(["analyst"])
        await page.goto(f"{served.url}/assistants/nobody")
        await expect(page.get_by_role("note")).to_contain_text("Nothing was said with this assistant")
        await expect(begin).to_have_count(0)
        assert watched.complaints == []
