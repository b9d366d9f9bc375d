"""Logging in at an issuer, in a page of its own and in a frame."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from playwright.async_api import expect

from tests.api.client import OPERATOR, TOKENS
from tests.issuers import AUDIENCE, CLIENT, Issuer, issuing
from tests.listening import listening
from tests.page.site import Deployed, Site, browsing, site, watch
from tests.records import exchange, key
from tests.waiting import wait_until
from worker.oidc import OidcIssuer
from worker.web.api import Client, Persons, roles


@asynccontextmanager
async def served(folder: Path, frames: list[str] | None = None) -> AsyncIterator[tuple[Site, Issuer]]:
    """The page of one conversation, and an issuer that vouches for a reader."""
    async with issuing() as issuer, OidcIssuer.open(issuer.url, AUDIENCE) as known:
        persons = Persons(known, roles('{"writers": "viewer"}'), "roles")
        client = Client(known, issuer.url, CLIENT, "openid profile")
        async with site(folder, Deployed(), tokens=TOKENS, persons=persons, client=client, frames=frames or ()) as page:
            await page.transcript.record(exchange(1, key("instance-a")))
            yield page, issuer


async def test_a_person_logs_in_and_is_back_where_they_were(tmp_path: Path) -> None:
    async with served(tmp_path) as (shown, issuer), browsing() as context:
        watched = await watch(context)
        page = watched.page
        await page.goto(f"{shown.url}/instances/instance-a?x=1")
        await page.get_by_role("button", name="Log in").click()

        await expect(page.get_by_role("article")).to_have_count(2)
        assert page.url == f"{shown.url}/instances/instance-a?x=1"
        assert issuer.asked.count("/token") == 1
        await page.reload()
        await expect(page.get_by_role("article")).to_have_count(2)
        assert await page.evaluate("Object.keys(sessionStorage)") == ["assistant-worker-token"]
        assert shown.errors == []


async def test_who_has_a_token_of_the_worker_needs_no_issuer(tmp_path: Path) -> None:
    async with served(tmp_path) as (shown, issuer), browsing() as context:
        page = (await watch(context)).page
        issuer.away = True
        await page.goto(f"{shown.url}/instances/instance-a")
        await page.get_by_label("Token of this worker").fill(OPERATOR)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("article")).to_have_count(2)


async def test_a_code_that_nobody_here_asked_for_logs_nobody_in(tmp_path: Path) -> None:
    async with served(tmp_path) as (shown, issuer), browsing() as context:
        page = (await watch(context)).page
        await page.goto(f"{shown.url}/?code=stolen&state=guessed")
        await expect(page.get_by_label("Token of this worker")).to_be_visible()
        assert page.url == f"{shown.url}/"
        assert "/token" not in issuer.asked


async def test_a_log_in_that_the_issuer_refuses_is_asked_for_again(tmp_path: Path) -> None:
    async with served(tmp_path) as (shown, issuer), browsing() as context:
        page = (await watch(context)).page
        await page.goto(f"{shown.url}/instances/instance-a")
        button = page.get_by_role("button", name="Log in")
        await expect(button).to_be_visible()
        issuer.refuses = True
        await button.click()
        await wait_until(lambda: "/token" in issuer.asked, what="the refusal")
        await expect(page).to_have_url(f"{shown.url}/instances/instance-a")
        await expect(button).to_be_visible()


async def test_in_a_frame_a_window_logs_the_person_in(tmp_path: Path) -> None:
    async def framing(_: web.Request) -> web.Response:
        frame = f"<iframe src='{address}/embed/instances/instance-a' width=900 height=600></iframe>"
        return web.Response(text=frame, content_type="text/html")

    around = web.Application()
    around.router.add_get("/", framing)
    async with listening(around) as outside, served(tmp_path, [outside]) as (shown, _), browsing() as context:
        address = shown.url
        page = (await watch(context)).page
        await page.goto(outside)
        frame = page.frame_locator("iframe")
        async with context.expect_page() as opened:
            await frame.get_by_role("button", name="Log in").click()
        await expect(frame.get_by_role("article")).to_have_count(2)
        if not (window := await opened.value).is_closed():
            await window.wait_for_event("close")
        assert shown.errors == []
