"""What people see of an instance that was moved, and how they have its conversations rewound."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.async_api import expect

from tests import axe
from tests.page.site import DECISION, Deployed, Site, browsing, site, watch
from tests.page.test_flows import shot
from tests.records import START, exchange, key
from worker.domain.processes import Moved
from worker.web.api.grants import MaySway

OPERATOR, VIEWER = "operator-0123456789abcdef", "viewer-0123456789abcdef"
TOKENS = json.dumps({OPERATOR: {"role": "operator"}, VIEWER: {"role": "viewer"}})
COMMAND = "assistant-worker threads rewind instance-a --before ACTIVITY"


class Orders:
    """The route, which notes what is ordered."""

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []

    def __call__(self, application: FastAPI) -> None:
        @application.post("/api/instances/{instance}/rewind")
        async def rewind(_: MaySway, instance: str, body: dict[str, Any]) -> list[dict[str, str]]:
            self.given.append({"instance": instance, **body})
            return [
                {"assistant": "analyst", "scope": instance, "thread": "conv_1", "why": ""},
                {
                    "assistant": "<b>buyer</b>",
                    "scope": instance,
                    "thread": "conv_2",
                    "why": "nothing was said on it since",
                },
            ]


@pytest.fixture
def orders() -> Orders:
    return Orders()


@pytest.fixture
def processes() -> Deployed:
    return Deployed(DECISION.read_text("utf-8"), {"frame": "done", "alternatives": "running"}, last_move=Moved(START))


@pytest.fixture
async def served(tmp_path: Path, processes: Deployed, orders: Orders) -> AsyncIterator[Site]:
    async with site(tmp_path, processes, tokens=TOKENS, extend=[orders]) as served:
        for number, activity in enumerate(("frame", "alternatives"), 1):
            said = exchange(number, key("instance-a"), activity_id=activity, activity_name=activity.title())
            await served.transcript.record(said)
        yield served
        assert served.errors == []


@pytest.mark.parametrize("width", [1280, 390])
async def test_an_operator_rewinds_an_instance_that_was_moved(
    served: Site, orders: Orders, tmp_path: Path, width: int
) -> None:
    async with browsing(viewport={"width": width, "height": 900}) as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{OPERATOR}')")
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/instance-a")
        note = page.get_by_role("note").filter(has_text="Moved by a modification")
        await expect(note).to_contain_text(COMMAND)
        start = page.get_by_role("button", name="Rewind …")
        await shot(page, tmp_path, f"moved-{width}")
        await start.click()
        dialog = page.get_by_role("dialog", name="Rewind its conversations?")
        await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        await shot(page, tmp_path, f"question-{width}")
        assert await axe.findings(page, axe.source()) == []
        await page.keyboard.press("Escape")
        await expect(start).to_be_focused()
        assert orders.given == []

        await start.click()
        await dialog.get_by_label("Before this step").select_option("alternatives")
        await dialog.get_by_label("Why, for whoever looks later").fill("moved back")
        await dialog.get_by_role("button", name="Rewind", exact=True).click()
        done = page.get_by_role("status").filter(has_text="Rewound to before alternatives")
        await expect(done).to_contain_text("analyst: its next task begins a new conversation")
        await expect(done).to_contain_text("<b>buyer</b>: nothing was said on it since")
        await shot(page, tmp_path, f"rewound-{width}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await axe.findings(page, axe.source()) == []
    assert orders.given == [{"instance": "instance-a", "before": "alternatives", "reason": "moved back"}]


async def test_who_may_not_is_told_of_the_command_alone(served: Site) -> None:
    async with browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{VIEWER}')")
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/instance-a")
        await expect(page.get_by_role("note").filter(has_text=COMMAND)).to_be_visible()
        await expect(page.get_by_role("button", name="Rewind")).to_have_count(0)


async def test_of_a_batch_it_is_said_that_the_engine_does_not_tell_whom_it_moved(
    served: Site, processes: Deployed
) -> None:
    processes.last_move = Moved(START, by_batch=True)
    async with browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{OPERATOR}')")
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/instance-a")
        note = page.get_by_role("note").filter(has_text="Perhaps moved by a batch")
        await expect(note).to_contain_text("with instances of this process, of which the engine does not tell. If")


async def test_of_an_instance_that_nobody_moved_nothing_is_said(served: Site, processes: Deployed) -> None:
    processes.last_move = None
    async with browsing() as context:
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{OPERATOR}')")
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/instance-a")
        await expect(page.get_by_role("button", name="Rewind …")).to_be_visible()
        await expect(page.get_by_text("Moved by a modification")).to_have_count(0)
