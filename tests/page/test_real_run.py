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
from tests.models import bpmn, unique
from tests.page.site import DECISION, browsing, site, watch
from tests.page.test_flows import shot
from worker.demo.processes import HOST, free_port
from worker.domain.exchanges import digest

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


async def test_of_an_assistant_that_came_with_its_process_the_page_says_which_one_and_which_version_spoke(
    rig: Rig, tmp_path: Path
) -> None:
    rig.settings["deployed_assistants"] = "openai/gpt-5-mini=1000"
    key, spec = unique("process"), tmp_path / "analyst.md"
    model = bpmn(rig.step("frame", "deployment:analyst.md"), key=key)
    instances = {}
    await rig.start_worker()
    for version in ("1", "2"):
        instructions = f"You weigh offers in version {version}."
        front = f'name: analyst\nversion: "{version}"\nmodel: gpt-5-mini\nmax_output_tokens: 500'
        spec.write_text(f"---\n{front}\n---\n{instructions}\n")
        await rig.rest.deploy(model, spec)
        instances[await rig.run(model)] = (version, digest(instructions))
    for instance in instances:
        await arrived(rig, instance, 2)

    async with (
        open_engine(rig.rest.base_url) as engine,
        site(tmp_path, engine) as served,
        browsing(viewport={"width": 1280, "height": 900}) as context,
    ):
        watched = await watch(context)
        page = watched.page
        for instance, (version, instructions) in instances.items():
            await page.goto(f"{served.url}/instances/{instance}")
            answer = page.locator("article.agent")
            await expect(answer.get_by_role("heading", level=3)).to_contain_text(f"of deployment:{key}:analyst")
            await answer.locator(".about > summary").click()
            about = answer.locator(".about dl")
            await expect(about).to_contain_text(f"Assistant's version{version}")
            await expect(about).to_contain_text(f"Instructions{instructions}")
        await page.get_by_role("list", name="Conversations by assistant").get_by_role("link").first.click()
        await page.get_by_role("heading", level=1).get_by_role("link").click()

        await expect(page).to_have_url(f"{served.url}/assistants/deployment%3A{key}%3Aanalyst")
        facts = page.locator("main dl").first
        await expect(facts).to_contain_text(f"Specanalyst.md, deployed with the process {key}")
        await expect(facts).to_contain_text("Conversations2")
        await expect(page.get_by_role("table", name="Conversations").get_by_role("row")).to_have_count(3)
        await page.goto(f"{served.url}/conversations?assistant={key}:analyst")
        await expect(page.get_by_role("table").get_by_role("row")).to_have_count(3)
        await page.goto(f"{served.url}/assistants/analyst")
        await expect(page.get_by_text("Nothing was said with this assistant")).to_be_visible()
        await expect(page.locator("main dl").first).not_to_contain_text("deployed with")
        assert (watched.complaints, watched.foreign(served.url), served.errors) == ([], [], [])
