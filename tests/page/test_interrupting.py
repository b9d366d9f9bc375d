"""Who has a question waiting may ask another one in its place, by keys alone, and hears where that comes too late."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests import axe
from tests.fakes.instances import FakeInstances, Process
from tests.page.asked import KEY, site_with_asks
from tests.page.site import Site, browsing, watch
from tests.page.test_flows import shot
from tests.records import exchange
from worker.domain.asks import State
from worker.domain.conversations import Role, message_id, session_id
from worker.transcript import SqlAsks

ANN, BEN, NOBODY = (f"{name}-0123456789abcdef" for name in ("ann", "ben", "nobody"))
TOKENS = json.dumps(
    {ANN: {"role": "operator", "name": "Ann"}, BEN: {"rights": ["read", "ask"], "name": "Ben"}, NOBODY: "operator"}
)


class Ground:
    """A site whose asks nobody answers, unless a test claims one."""

    def __init__(self, site: Site, asks: SqlAsks) -> None:
        self.site = site
        self.asks = asks

    async def states(self) -> list[tuple[str, str]]:
        found = await self.asks.of_session(session_id(KEY))
        return [(each.text, each.state.value) for each in reversed(found)]

    async def show(self, page: Page, path: str, token: str = ANN) -> None:
        await page.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{token}')")
        await page.goto(f"{self.site.url}/{path}")

    async def opened(self, page: Page, token: str = ANN) -> Locator:
        await self.show(page, f"conversations/{session_id(KEY)}", token)
        return page.get_by_role("region", name="Ask back")


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    instances = FakeInstances()
    instances.processes["instance-a"] = Process()
    async with site_with_asks(tmp_path, TOKENS, instances=instances) as (served, asks):
        yield Ground(served, asks)


async def ask(part: Locator, text: str) -> None:
    question = part.get_by_role("textbox", name="Your question")
    await question.fill(text)
    await part.get_by_role("button", name="Ask").press("Enter")
    await expect(question).to_have_value("")
    await expect(part.get_by_role("button", name="Ask")).to_be_enabled()


async def test_a_question_takes_the_place_of_what_the_same_person_has_waiting(ground: Ground, tmp_path: Path) -> None:
    async with browsing(viewport={"width": 1280, "height": 900}) as context:
        ann, ben = await watch(context), await watch(context)
        theirs = await ground.opened(ben.page, BEN)
        await ask(theirs, "And of mine?")
        page = ann.page
        part = await ground.opened(page)
        instead = part.get_by_role("checkbox", name="and ask this in")
        await expect(part.get_by_role("listitem")).to_have_count(1)
        await expect(instead).to_have_count(0)  # nothing of hers waits
        await ask(part, "Why not B?")
        await expect(
            part.get_by_role("checkbox", name="Withdraw my question that waits, and ask this in its place")
        ).to_be_visible()
        await ask(part, "Why not C?")
        await expect(part.get_by_role("listitem")).to_have_count(3)
        await part.get_by_role("textbox", name="Your question").fill("Why not D?")
        await part.get_by_role("textbox", name="Your question").focus()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await expect(
            part.get_by_role("checkbox", name="Withdraw my 2 questions that wait, and ask this in their place")
        ).to_be_focused()
        await page.keyboard.press("Space")
        for scheme, width in (("light", 1280), ("dark", 390)):
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            await page.set_viewport_size({"width": width, "height": 900})
            assert await axe.findings(page, axe.source()) == []
            await shot(page, tmp_path, f"interrupt-{scheme}-{width}")
        await part.get_by_role("button", name="Ask").press("Enter")
        await expect(page.locator("#status")).to_have_text("Asked in place of what waited")
        await expect(part.get_by_role("listitem").filter(has_text="withdrawn")).to_have_count(2)
        await expect(instead).not_to_be_checked()
        assert await ground.states() == [
            ("And of mine?", "queued"),
            ("Why not B?", "withdrawn"),
            ("Why not C?", "withdrawn"),
            ("Why not D?", "queued"),
        ]
        assert ann.complaints == []


async def test_where_an_answer_has_begun_it_is_said_and_nothing_is_lost(ground: Ground) -> None:
    async with browsing() as context:
        page = (await watch(context)).page
        part = await ground.opened(page)
        await ask(part, "Why not B?")
        await ask(part, "Why not C?")
        await ground.asks.claim(1, timedelta(minutes=5))
        question = part.get_by_role("textbox", name="Your question")
        await question.fill("Why not D?")
        await part.get_by_role("checkbox", name="and ask this in").check()
        await part.get_by_role("button", name="Ask").click()
        await expect(part.get_by_role("alert")).to_contain_text("a question of yours is being answered")
        await expect(question).to_have_value("Why not D?")
        await part.get_by_role("checkbox", name="and ask this in").uncheck()
        await part.get_by_role("button", name="Ask").click()
        await expect(question).to_have_value("")
        assert await ground.states() == [("Why not B?", "running"), ("Why not C?", "queued"), ("Why not D?", "queued")]


async def test_who_has_no_name_withdraws_their_own_question_and_sees_who_hears_it(ground: Ground) -> None:
    async with browsing() as context:
        page = (await watch(context)).page
        part = await ground.opened(page, NOBODY)
        await ask(part, "Why not B?")
        question = part.get_by_role("textbox", name="Your question")
        await expect(question).to_have_accessible_description(
            "Answered beside the process: its steps hear nothing of it."
        )
        await part.get_by_role("checkbox", name="Say it on the process's own conversation").check()
        await expect(question).to_have_accessible_description(re.compile("its later steps hear it"))
        await part.get_by_role("button", name="Withdraw").click()
        await expect(part.get_by_role("listitem")).to_contain_text("withdrawn")
        assert await ground.states() == [("Why not B?", "withdrawn")]


async def test_in_cockpits_tab_people_ask_the_assistant_that_they_choose(ground: Ground, tmp_path: Path) -> None:
    await ground.site.transcript.record(exchange(2, replace(KEY, assistant="critic")))
    async with browsing(viewport={"width": 900, "height": 700}) as context:
        page = (await watch(context)).page
        await ground.show(page, "embed/instances/instance-a")
        part = page.get_by_role("region", name="Ask back")
        await page.get_by_role("combobox", name="Assistant to ask").select_option("analyst")
        await ask(part, "Why not B?")
        await expect(part.get_by_role("listitem")).to_contain_text("waits its turn")
        assert await axe.findings(page, axe.source()) == []
        await shot(page, tmp_path, "embedded-asks")
        assert await ground.states() == [("Why not B?", "queued")]
        [claimed] = await ground.asks.claim(1, timedelta(minutes=5))
        answer = message_id("default", exchange(1, KEY).task_id, 1, Role.AGENT)
        await ground.asks.settle(claimed, State.ANSWERED, answer=answer)
        await part.get_by_role("link", name="Answer, beside the process").click()
        await expect(page.locator(f"#m-{answer}")).to_be_in_viewport()
        await expect(page).to_have_url(f"{ground.site.url}/embed/instances/instance-a#m-{answer}")


async def test_in_cockpits_tab_an_answer_of_another_assistant_takes_nothing_from_who_writes(ground: Ground) -> None:
    await ground.site.transcript.record(exchange(2, replace(KEY, assistant="critic")))
    async with browsing(viewport={"width": 900, "height": 700}) as context:
        page = (await watch(context)).page
        await ground.show(page, "embed/instances/instance-a")
        asked = page.get_by_role("combobox", name="Assistant to ask")
        question = page.get_by_role("textbox", name="Your question")
        await question.fill("Why not B?")
        chosen = await asked.input_value()
        await ground.site.transcript.record(exchange(3, replace(KEY, assistant="judge")))  # the newest now
        await page.get_by_role("link", name="Step 3").wait_for()

        await expect(asked).to_have_value(chosen)
        await expect(question).to_have_value("Why not B?")


async def test_in_cockpits_tab_an_answer_is_shown_where_an_activity_is_chosen(ground: Ground) -> None:
    await ground.site.transcript.record(exchange(2, KEY))
    async with browsing(viewport={"width": 900, "height": 700}) as context:
        page = (await watch(context)).page
        await ground.show(page, "embed/instances/instance-a?of=drones")
        await page.get_by_role("link", name="Step 2").click()
        await expect(page).to_have_url(f"{ground.site.url}/embed/instances/instance-a/activities/step_2?of=drones")
        await ask(page.get_by_role("region", name="Ask back"), "Why not B?")
        [claimed] = await ground.asks.claim(1, timedelta(minutes=5))
        answer = message_id("default", exchange(1, KEY).task_id, 1, Role.AGENT)
        await ground.asks.settle(claimed, State.ANSWERED, answer=answer)
        await page.get_by_role("link", name="Answer, beside the process").click()
        await expect(page.locator(f"#m-{answer}")).to_be_in_viewport()
        await expect(page).to_have_url(f"{ground.site.url}/embed/instances/instance-a?of=drones#m-{answer}")
