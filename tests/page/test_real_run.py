"""A real run seen on the page: a worker answers in a real engine, and the page draws what the engine knows."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.engines import open_engine
from tests.flow.command import started
from tests.flow.conftest import rig as flow_rig
from tests.flow.rig import Rig
from tests.flow.test_reading_along import WORDS, is_most, noticed, reader_of
from tests.flow.test_record import arrived
from tests.models import unique
from tests.page.site import DECISION, browsing, site, watch
from tests.page.test_flows import shot
from worker.demo.processes import HOST, free_port

__all__ = ["flow_rig", "rig"]

GROWTH = """() => {
  window.grown = [];
  new MutationObserver(() => {
    const text = document.querySelector(".growing .content")?.textContent;
    if (text && text !== grown.at(-1)) grown.push(text);
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
"""Keeps what a page shows of an answer that grows."""


@pytest.fixture
def rig(flow_rig: Rig, tmp_path: Path) -> Rig:
    """The rig of the flow tests; what its workers record goes to the file that the page reads."""
    flow_rig.settings |= {"api_port": 0, "transcript_url": f"sqlite:///{tmp_path}/record.db"}
    return flow_rig


async def decided(rig: Rig) -> str:
    """The sample decision, run to its end by a worker, and recorded."""
    key = unique("decision")
    xml = DECISION.read_text("utf-8").replace("decision-analysis", rig.topic)
    xml = xml.replace('id="decision"', f'id="{key}"').replace('bpmnElement="decision"', f'bpmnElement="{key}"')
    await rig.rest.deploy(xml)
    instance = await rig.rest.start(key, {"decision": "Which drones?", "budget_usd": 40000}, "order-7")
    await rig.rest.wait_for_end(instance)
    await arrived(rig, instance, 8)
    return instance


async def test_a_run_is_seen_with_its_diagram_states_and_answers(rig: Rig, tmp_path: Path) -> None:
    await rig.start_worker()
    instance = await decided(rig)

    async with (
        open_engine(rig.rest.base_url) as engine,
        site(tmp_path, engine) as served,
        browsing(viewport={"width": 1280, "height": 900}) as context,
    ):
        watched = await watch(context)
        page = watched.page

        await page.goto(f"{served.url}/instances/{instance}")
        await expect(page.get_by_role("article")).to_have_count(8)
        for step in ("Frame the decision", "Find alternatives", "Evaluate alternatives", "Recommend"):
            await expect(page.get_by_role("link", name=f"{step} done, 1 turn")).to_be_visible()
        results = page.get_by_role("region", name="Result")
        await expect(results.get_by_role("heading", level=3)).to_have_text(
            ["recommendation", "evaluation", "alternatives", "decision_frame"]
        )
        await page.get_by_role("link", name="Recommend done, 1 turn").click()
        said = (await rig.rest.variables(instance))["recommendation"]
        await expect(results.locator(".content").first).to_contain_text(re.findall(r"\w{6,}", said)[0])
        content = page.locator("article.agent .content")
        await expect(content).to_have_count(1)
        await expect(content).to_contain_text(re.findall(r"\w{6,}", said)[0])
        assert watched.complaints == []
        assert watched.foreign(served.url) == []
        assert served.errors == []


async def test_a_workers_own_page_shows_an_instance_that_failed_before_its_first_answer(
    rig: Rig, tmp_path: Path
) -> None:
    port = free_port()
    model = await rig.deploy(rig.step("frame", data_output_type="Prose"))
    await rig.start_worker(api_port=port)
    instance = await rig.rest.start(model, business_key="order-7")
    await rig.until_failed(instance)
    url = f"http://{HOST}:{port}"
    async with browsing(viewport={"width": 1280, "height": 900}) as context:
        watched = await watch(context)
        page = watched.page
        await page.goto(f"{url}/instances?state=failed")
        row = page.get_by_role("row").filter(has_text="order-7")
        await expect(row.locator(".tag")).to_have_text("failed")
        await row.get_by_role("link").click()
        now = page.get_by_role("region", name="What goes on now").get_by_role("listitem")
        await expect(now).to_contain_text("Prose")
        await expect(now).to_contain_text("raise the retries of the task in Cockpit")
        await shot(page, tmp_path, "real-failed")

        await rig.rest.delete(f"/process-instance/{instance}")
        await expect(page.locator(".heading .tag").first).to_have_text("ended")
        assert watched.complaints == []
        assert watched.foreign(url) == []


async def test_a_process_is_watched_from_its_start_to_its_end_with_its_answer_as_it_grows(
    rig: Rig, tmp_path: Path
) -> None:
    rig.provider.fault("responses.create", text="Please do one", hold="gate")
    rig.provider.answer("Please do two", WORDS)
    rig.provider.fault("responses.create", text="Please do two", stream={"pause": 0.3})
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    async with (
        reader_of(rig, api_origins=("https://portal.example",)) as reader,
        browsing(viewport={"width": 1280, "height": 900}) as context,
    ):
        watched = await watch(context)
        page = watched.page
        instance = await rig.rest.start(model)
        await page.goto(f"{reader.base}/instances/{instance}")
        await page.evaluate(GROWTH)
        await expect(page.get_by_text("The model is asked.")).to_be_visible()
        rig.provider.release("gate")

        growing = page.locator("article.growing")
        await expect(growing).to_contain_text("cheap")
        await expect(growing.locator("header")).to_have_text("Answer of analystTwois being written")
        await shot(page, tmp_path, "real-growing")
        await expect(page.locator("article:not(.growing)")).to_have_count(4)
        await expect(page.locator("article.agent .content").last).to_have_text(WORDS)
        await expect(growing).to_have_count(0)
        await expect(page.locator(".heading .tag").first).to_have_text("ended")
        grown = await page.evaluate("grown")
        assert len(grown) > 3
        assert all(WORDS.startswith(each) for each in grown)
        assert grown == sorted(grown, key=len)
        assert is_most(grown[-1])
        assert len(watched.sockets) == 1
        assert watched.complaints == []
        assert watched.foreign(reader.base) == []


async def test_an_answer_whose_worker_is_killed_is_said_to_be_lost_and_comes_whole_from_the_next(
    rig: Rig, tmp_path: Path
) -> None:
    rig.provider.answer("Please do one", WORDS)
    rig.provider.fault("responses.create", text="Please do one", stream={"pause": 0.1, "after": 6, "then": "stall"})
    model = await rig.deploy(rig.step("one"))
    async with (
        reader_of(rig, topics="nothing-of-this") as reader,
        browsing(viewport={"width": 1280, "height": 900}) as context,
    ):
        page = (await watch(context)).page
        instance = await rig.rest.start(model)
        await page.goto(f"{reader.base}/instances/{instance}")
        await expect(page.get_by_text("Waits for a worker.")).to_be_visible()
        await noticed(rig)
        growing = page.locator("article.growing")
        async with started(rig) as speaking:
            await expect(growing).to_contain_text("cheap")
            speaking.kill()
        # After 15 seconds without a sign of life.
        await expect(growing).to_contain_text("Nobody goes on writing", timeout=60_000)
        assert WORDS.startswith(await growing.locator(".content").inner_text())
        await shot(page, tmp_path, "real-lost")
        await rig.start_worker()
        await expect(page.locator("article.agent:not(.growing) .content")).to_have_text([WORDS])
        await expect(growing).to_have_count(0)
