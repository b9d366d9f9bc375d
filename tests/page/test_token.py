"""Tokens and erasing on the page."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from playwright.async_api import expect

from tests import axe
from tests.api.client import OPERATOR, TOKENS, VIEWER
from tests.page.site import Deployed, browsing, site, watch
from tests.page.test_flows import shot
from tests.records import START, exchange, key
from worker.domain.endings import Receipt, Step, Store
from worker.web.api import MayErase


class Erasing:
    """The route that erases, as the page knows it; refuses the first time."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.kept: Receipt | None = None

    def __call__(self, application: FastAPI) -> None:
        @application.post("/api/erase")
        async def erase(_: MayErase, body: dict[str, Any], *, results: bool = False) -> Receipt:
            self.asked.append(body | {"results": results})
            if len(self.asked) == 1:
                raise HTTPException(409, "The instance still runs.")
            steps = (
                Step(Store.REDIS, "<b>keys</b>").removed(3, START),
                Step(Store.ENGINE, "variables").kept("the engine is away"),
            )
            self.kept = Receipt("order-1", "default", body["instance"], None, START, steps=steps)
            return self.kept

        @application.get("/api/erasures/{order}")
        async def erasure(_: MayErase, order: str) -> Receipt:
            assert self.kept is not None
            assert self.kept.id == order
            return self.kept


async def test_a_token_is_asked_for_and_kept_for_the_tab_alone(tmp_path: Path) -> None:
    async with site(tmp_path, Deployed(), tokens=TOKENS) as served, browsing() as context:
        await served.transcript.record(exchange(1, key("instance-a")))
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/instance-a")
        field = page.get_by_label("Token of this worker")
        await expect(field).to_be_focused()
        await field.fill("something-wrong-0123456789")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("This token is not known here.")
        await field.fill(OPERATOR)
        await page.keyboard.press("Enter")

        await expect(page.get_by_role("article")).to_have_count(2)
        await page.reload()
        await expect(page.get_by_role("article")).to_have_count(2)
        async with page.expect_download():
            await page.get_by_role("button", name="Export JSON").click()
        kept = await page.evaluate("[JSON.stringify(localStorage), document.cookie, location.href]")
        assert kept == ["{}", "", f"{served.url}/instances/instance-a"]
        other = (await watch(context)).page
        await other.goto(served.url)
        await expect(other.get_by_label("Token of this worker")).to_be_visible()
        await page.get_by_role("button", name="Forget token").click()
        await expect(field).to_be_visible()
        assert served.errors == []


async def test_an_operator_erases_after_a_question(tmp_path: Path) -> None:
    erasing = Erasing()
    async with (
        site(tmp_path, Deployed(), tokens=TOKENS, can_erase=True, extend=[erasing]) as served,
        browsing() as context,
    ):
        await served.transcript.record(exchange(1, key("instance-a", tenant="north")))
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{OPERATOR}')")
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/instance-a")
        start = page.get_by_role("button", name="Erase …")
        await start.click()
        dialog = page.get_by_role("dialog", name="Erase what assistants said here?")
        await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(start).to_be_focused()

        await start.click()
        await dialog.get_by_role("button", name="Erase for good").click()
        assert erasing.asked == [], "nobody said that they are sure"
        await dialog.get_by_label("Yes. I know that nobody can bring it back.").check()
        await dialog.get_by_role("button", name="Erase for good").click()
        await expect(dialog.get_by_role("alert")).to_have_text("The instance still runs.")
        await dialog.get_by_label("Also the answers that the process keeps as its results.").check()
        await dialog.get_by_role("button", name="Erase for good").click()

        heading = page.get_by_role("heading", level=1)
        await expect(heading).to_have_text("Not all is erased yet")
        await expect(heading).to_be_focused()
        await expect(page).to_have_url(f"{served.url}/erasures/order-1")
        assert await axe.findings(page, axe.source()) == []
        await shot(page, tmp_path, "receipt")
        await expect(page.get_by_role("row", name="redis <b>keys</b> removed 3")).to_be_visible()
        await expect(page.get_by_role("row", name="engine variables open 0 — the engine is away")).to_be_visible()
        assert erasing.kept is not None
        erasing.kept = replace(erasing.kept, steps=(), completed_at=START)
        await expect(heading).to_have_text("Erased")
        assert await axe.findings(page, axe.source()) == []
        await page.reload()
        await expect(heading).to_have_text("Erased")
        assert erasing.asked == [{"instance": "instance-a", "results": chosen} for chosen in (False, True)]
        assert served.errors == []


async def test_a_viewer_is_offered_no_erasing(tmp_path: Path) -> None:
    async with site(tmp_path, Deployed(), tokens=TOKENS, can_erase=True) as served, browsing() as context:
        await served.transcript.record(exchange(1, key("instance-a", tenant="north")))
        await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{VIEWER}')")
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/instance-a")
        await expect(page.get_by_role("article")).to_have_count(2)
        await expect(page.get_by_role("button", name="Erase")).to_have_count(0)
