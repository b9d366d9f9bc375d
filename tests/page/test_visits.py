"""Who has a conversation open is seen beside it, by who has it open as well, until they leave."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests import axe
from tests.page.site import Deployed, Site, browsing, site, watch
from tests.page.test_flows import shot
from tests.records import exchange, key
from worker.domain.conversations import session_id

ANN, BEN = (f"{name}-0123456789abcdef" for name in ("ann", "ben"))
HOSTILE = "<b>Ben</b>"
TOKENS = json.dumps({ANN: {"role": "viewer", "name": "Ann"}, BEN: {"role": "viewer", "name": HOSTILE}})
SESSION = session_id(key("instance-a"))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path, Deployed(), tokens=TOKENS) as served:
        await served.transcript.record(exchange(1, key("instance-a")))
        yield served
        assert served.errors == []


NO_LONG_PAUSES = """
  const later = window.setTimeout;
  window.setTimeout = (work, ms, ...rest) => later(work, ms > 8000 ? 2 ** 30 : ms, ...rest);
"""
"""What a page would do after more than eight seconds it never does."""


async def come(page: Page, served: Site, token: str) -> None:
    await page.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{token}')")
    await page.goto(f"{served.url}/conversations/{SESSION}")


async def test_people_see_each_other_at_a_conversation_until_they_leave(served: Site, tmp_path: Path) -> None:
    async with browsing(viewport={"width": 1280, "height": 900}) as context:
        ann, ben, again = [await watch(context) for _ in range(3)]
        page = ann.page
        here = page.get_by_text("Here now:").locator("..")
        await come(page, served, ANN)
        await expect(here).to_have_text("Here now: you")
        for each in (ben, again):
            await come(each.page, served, BEN)
        await expect(ben.page.get_by_text("Here now:").locator("..")).to_contain_text("Ann")
        await expect(here).to_contain_text(HOSTILE)
        assert ((await here.inner_text()).count("Ben"), await here.locator("b").count()) == (1, 0), "once for two tabs"
        for scheme, width in (("light", 1280), ("dark", 390)):
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            await page.set_viewport_size({"width": width, "height": 900})
            assert await axe.findings(page, axe.source()) == []
            await shot(page, tmp_path, f"here-{scheme}-{width}")
        await ben.page.close()
        await again.page.close()
        await expect(here).to_have_text("Here now: you")
        assert ann.complaints == []


async def test_who_comes_to_a_conversation_whose_process_is_over_is_seen_soon(tmp_path: Path) -> None:
    over = Deployed(runs={"instance-a": False})
    async with site(tmp_path, over, tokens=TOKENS) as served, browsing() as context:
        await served.transcript.record(exchange(1, key("instance-a")))
        ann, ben = [(await watch(context)).page for _ in range(2)]
        await ann.add_init_script(NO_LONG_PAUSES)
        await come(ann, served, ANN)
        await expect(ann.locator(".heading .tag")).to_have_text("ended")
        await come(ben, served, BEN)
        await expect(ann.locator(".here")).to_contain_text(HOSTILE)
        await ben.close()
        await expect(ann.locator(".here")).to_have_text("Here now: you")
