"""The tab in a real Cockpit of a real engine: the conversation, to read and to ask back, and a link to the page."""

import os
from pathlib import Path

import pytest
from playwright.async_api import FrameLocator, expect

from tests.engines import open_engine
from tests.page.site import DECISION, browsing, site, watch
from tests.page.test_asks import Board
from tests.records import exchange, key
from tests.rest import connect
from worker.demo.engine import Engine, Kind
from worker.demo.processes import free_port, running

WANTED = os.environ.get("TEST_ENGINE", "operaton")
KINDS = [pytest.param(each, marks=() if each == WANTED else pytest.mark.sweep) for each in ("operaton", "camunda")]


@pytest.mark.parametrize("kind", KINDS)
async def test_cockpit_shows_the_conversation_of_an_instance_in_a_tab(kind: Kind, tmp_path: Path) -> None:
    port = free_port()
    async with (
        running(Engine(kind, conversations=f"http://127.0.0.1:{port}")) as engine,
        connect(engine) as rest,
        open_engine(engine.base_url) as processes,
        site(
            tmp_path,
            processes,
            can_erase=True,
            frames=[f"http://127.0.0.1:{engine.port}"],
            port=port,
            has_asks=True,
            extend=[Board()],
        ) as served,
        browsing(viewport={"width": 1280, "height": 900}) as context,
    ):
        (definition,) = await rest.deploy(DECISION)
        instance = await rest.start("decision", business_key="order-1")
        place = {"activity_id": "frame", "definition_id": definition, "definition_key": "decision"}
        said = exchange(1, key(instance), **place, answer="A **plain** answer.")
        await served.transcript.record(said)
        watched = await watch(context)
        page = watched.page
        failed = list[str]()
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        await page.goto(engine.cockpit_url)
        await page.get_by_placeholder("Username").fill(engine.user)
        await page.get_by_placeholder("Password").fill(engine.password)
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("link", name="Processes").first.wait_for()

        await page.goto(f"{engine.cockpit_url}default/#/process-instance/{instance}/runtime")
        await page.get_by_role("link", name="Conversation", exact=True).click()
        frame = page.frame_locator("iframe[title=Conversation]")
        await frame.get_by_text("A plain answer.").wait_for()

        assert await frame.locator("strong", has_text="plain").count() == 1
        await expect(frame.get_by_role("link", name="Frame the decision waiting, 1 turn")).to_have_count(1)
        assert await frame.get_by_role("button", name="Erase").count() == 0, "nothing is erased there"
        await ask_back(frame)
        if shots := os.environ.get("PAGE_SHOTS"):
            await page.screenshot(path=f"{shots}/cockpit-{kind}.png")
        # The tab goes to the activity that is selected in Cockpit's diagram, and back.
        shape = page.locator(".djs-element[data-element-id=frame] .djs-hit").first
        await shape.click(force=True)  # parts of its own drawing lie above it
        await frame.get_by_role("heading", level=2, name="Frame the decision").wait_for()
        await shape.click(modifiers=["ControlOrMeta"], force=True)
        await frame.get_by_role("heading", level=2, name="Conversation").wait_for()
        async with context.expect_page() as opened:
            await page.get_by_role("link", name="Open the conversation in a page of its own").click()
        full = await opened.value
        await full.get_by_role("heading", name=said.definition_key).wait_for()
        assert full.url == f"{served.url}/instances/{instance}"
        await full.close()

        # A definition has the instances, ended ones too.
        await rest.delete(f"/process-instance/{instance}")
        await page.goto(f"{engine.cockpit_url}default/#/process-definition/{definition}/runtime")
        await page.get_by_role("link", name="Conversations", exact=True).click()
        listed = page.frame_locator("iframe[title=Conversations]")
        await listed.locator("tbody .tag", has_text="ended").wait_for()
        if shots:
            await page.screenshot(path=f"{shots}/cockpit-definition-{kind}.png")
        await listed.get_by_role("link", name="order-1").click()
        await listed.get_by_text("A plain answer.").wait_for()
        await listed.get_by_role("link", name="All instances").click()
        await listed.locator("tbody .tag", has_text="ended").wait_for()
        assert [url for url in failed if url.startswith(served.url)] == []
        assert served.errors == []


async def ask_back(frame: FrameLocator) -> None:
    await frame.get_by_role("textbox", name="Your question").fill("Why not B?")
    await frame.get_by_role("button", name="Ask", exact=True).click()
    await expect(frame.get_by_role("listitem").filter(has_text="Why not B?")).to_contain_text("waits its turn")
