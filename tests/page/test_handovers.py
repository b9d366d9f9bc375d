"""People hand to the process what they were answered, by keys alone, and see whether it has come there."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests import axe
from tests.asks import ask
from tests.fakes.receivers import FakeReceivers, Waiting
from tests.page.asked import KEY, site_with_asks
from tests.page.site import Site, browsing, watch
from tests.page.test_flows import shot
from tests.records import exchange
from worker.chat.handing import LEASE
from worker.domain.asks import Ask, State
from worker.domain.conversations import Role, message_id, session_id
from worker.errors import EngineDown

READER, ANN = (f"{name}-0123456789abcdef" for name in ("reader", "ann"))
TOKENS = json.dumps({READER: "viewer", ANN: {"role": "operator", "name": "Ann"}})
HOSTILE = "<img src=x onerror='window.ran = 1'>\u202e"


@dataclass(frozen=True, slots=True)
class Answered:
    """A site with one ask that is answered, and the process that may be handed its answer."""

    site: Site
    receivers: FakeReceivers
    asked: Ask
    late: list[timedelta]
    """How much later than it is the hand-overs' clock goes, last."""

    @property
    def process(self) -> Waiting:
        return self.receivers.instances["instance-a"]


@pytest.fixture
async def answered(tmp_path: Path) -> AsyncIterator[Answered]:
    receivers, late = FakeReceivers(), [timedelta(0)]
    receivers.instances["instance-a"] = Waiting({"execution-1": "approved", "execution-2": "refunded"})
    async with site_with_asks(tmp_path, TOKENS, receivers=receivers, now=lambda: datetime.now(UTC) + late[-1]) as (
        served,
        asks,
    ):
        await asks.accept(ask(about=KEY, text="May it go on?"))
        [held] = await asks.claim(1, timedelta(minutes=1))
        await served.transcript.record(exchange(1, KEY.branch, task_id=held.id, answer="It may."))
        assert await asks.settle(held, State.ANSWERED, answer=message_id("default", held.id, 1, Role.AGENT))
        yield Answered(served, receivers, held, late)


async def opened(page: Page, answered: Answered) -> Locator:
    """Open the conversation that was asked about, and return what stands of the ask there."""
    await page.goto(f"{answered.site.url}/conversations/{session_id(KEY)}")
    return page.get_by_role("region", name="Ask back").get_by_role("listitem")


@asynccontextmanager
async def handing_over_as_ann(answered: Answered) -> AsyncIterator[tuple[Locator, Locator]]:
    """What stands of the ask, and the dialog that Ann has opened there."""
    async with browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{ANN}')")
        page = (await watch(context)).page
        one = await opened(page, answered)
        await one.get_by_role("button", name="Hand over to the process").click()
        yield one, page.get_by_role("dialog")


async def test_an_answer_is_handed_over_by_keys_once_it_is_taken(answered: Answered, tmp_path: Path) -> None:
    async with browsing(viewport={"width": 1280, "height": 900}) as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{ANN}')")
        watched = await watch(context)
        page, process = watched.page, answered.process
        one = await opened(page, answered)
        await one.get_by_role("button", name="Hand over to the process").press("Enter")
        dialog = page.get_by_role("dialog", name="Hand this answer to the process?")
        waits = dialog.get_by_role("combobox", name="Message")
        await expect(waits.get_by_role("option")).to_have_text(["approved", "refunded", "Another one …"])
        await expect(waits).to_have_value("approved")
        await waits.focus()
        await page.keyboard.press("End")
        await page.keyboard.press("Tab")
        await expect(dialog.get_by_role("textbox", name="Name of the message")).to_be_focused()
        await page.keyboard.type("refused")
        await page.keyboard.press("Tab")
        await page.keyboard.type("note")
        for scheme, width in (("light", 1280), ("dark", 390)):
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            await page.set_viewport_size({"width": width, "height": 900})
            assert await axe.findings(page, axe.source()) == []
            await shot(page, tmp_path, f"handover-{scheme}-{width}")
        await page.keyboard.press("Enter")
        await expect(dialog.get_by_role("alert")).to_contain_text(
            "nothing in this process instance waits for the message"
        )
        watched.complaints.clear()  # the browser tells of each status above 400
        await waits.select_option("approved")
        await expect(dialog.get_by_role("textbox", name="Name of the message")).to_have_count(0)
        await dialog.get_by_role("textbox", name="Process variable").press("Enter")
        await expect(one).to_contain_text("handed over as note, by Ann with the message approved")
        await expect(page.locator("#status")).to_have_text("handed over")
        await expect(one.get_by_role("button")).to_have_count(0)
        assert [(what, variables["note"].value) for what, variables in process.received] == [("approved", "It may.")]
        assert await axe.findings(page, axe.source()) == []
        await shot(page, tmp_path, "handed-over-dark-390")
        assert (watched.complaints, watched.dialogs) == ([], [])


async def test_what_nobody_can_tell_is_shown_and_decided_by_a_person(answered: Answered, tmp_path: Path) -> None:
    process, script = answered.process, answered.receivers.script
    process.task("check", "instance-a", name="Check it", assignee="Ben")
    process.task("sign", "instance-a", name=f"Sign {HOSTILE}")
    async with browsing(viewport={"width": 1280, "height": 900}) as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{ANN}')")
        page = (await watch(context)).page
        one = await opened(page, answered)
        await one.get_by_role("button", name="Hand over to the process").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("combobox", name="How").select_option(label="With a user task")
        offered = dialog.get_by_role("combobox", name="User task")
        await expect(offered.get_by_role("option")).to_have_text(
            ["Check it (for somebody else, or not to be completed now)", "Sign " + HOSTILE.replace("\u202e", "\ufffd")]
        )
        await expect(offered).to_have_value("sign")
        await expect(dialog.get_by_role("textbox", name="Id of the user task")).to_have_count(0)
        assert await axe.findings(page, axe.source()) == []
        await shot(page, tmp_path, "handover-task-light-1280")
        await page.set_viewport_size({"width": 390, "height": 900})
        await shot(page, tmp_path, "handover-task-light-390")
        await dialog.get_by_role("textbox", name="Process variable").fill("note")
        await dialog.get_by_role("textbox", name="Text, if").fill(HOSTILE)
        script.next("completed", EngineDown("no answer in time"))
        script.next("look", None)
        script.next("look", EngineDown("no answer in time"))
        await dialog.get_by_role("button", name="Hand over").click()
        await expect(one).to_contain_text(
            "nobody knows yet whether it was handed over as note, by Ann with the user task sign"
        )

        process.runs = process.has_history = False
        answered.late.append(LEASE)
        await one.get_by_role("button", name="Look again").click()
        await expect(offered).to_have_value("sign")  # though it is not open any more
        await expect(dialog.get_by_role("textbox", name="Process variable")).to_have_value("note")
        await dialog.get_by_role("textbox", name="Text, if").fill(HOSTILE)
        await dialog.get_by_role("button", name="Hand over").click()
        await expect(one).to_contain_text("may have been handed over")
        assert await axe.findings(page, axe.source()) == []
        await shot(page, tmp_path, "handover-unknown-light-1280")
        await one.get_by_role("button", name="It was", exact=True).press("Enter")
        await expect(one).to_contain_text("So says Ann")
        await expect(one.get_by_role("button")).to_have_count(0)
        assert await page.evaluate("window.ran") is None
        assert len(script.named("complete")) == 1


async def test_who_may_only_read_sees_how_it_stands_and_hands_nothing_over(answered: Answered) -> None:
    async with browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{READER}')")
        page = (await watch(context)).page
        one = await opened(page, answered)
        await expect(one).to_contain_text("answered")
        await expect(one.get_by_role("button")).to_have_count(0)


async def test_where_the_engine_does_not_tell_what_waits_it_is_said_and_typed(answered: Answered) -> None:
    answered.receivers.script.always("tasks", EngineDown("no answer in time"))
    async with handing_over_as_ann(answered) as (one, dialog):
        await expect(dialog).to_contain_text("The engine cannot be asked now")
        await dialog.get_by_role("textbox", name="Process variable").fill("note")
        await dialog.get_by_role("textbox", name="Name of the message").fill("approved")
        await dialog.get_by_role("button", name="Hand over").click()
        await expect(one).to_contain_text("handed over as note")


async def test_where_nothing_waits_that_is_said_and_no_task_can_be_typed(answered: Answered) -> None:
    answered.process.messages.clear()
    async with handing_over_as_ann(answered) as (_, dialog):
        await expect(dialog).to_contain_text("This process instance waits for no message now.")
        await expect(dialog.get_by_role("textbox", name="Name of the message")).to_be_visible()
        await dialog.get_by_role("combobox", name="How").select_option(label="With a user task")
        await expect(dialog).to_contain_text("No user task of this process instance is open now.")
        await dialog.get_by_role("textbox", name="Process variable").fill("note")
        await dialog.get_by_role("button", name="Hand over").click()
        await expect(dialog.get_by_role("alert")).to_have_text("There is nothing that takes it: choose another way.")
