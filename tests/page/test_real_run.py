"""A real run seen on the page: a worker answers in a real engine, and the page draws what the engine knows."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.engines import open_engine
from tests.flow.conftest import rig as flow_rig
from tests.flow.rig import Rig
from tests.models import unique
from tests.page.site import DECISION, browsing, site, watch
from tests.page.test_flows import shot
from tests.waiting import wait_until
from worker.demo.processes import HOST, free_port

__all__ = ["flow_rig", "rig"]


@pytest.fixture
def rig(flow_rig: Rig, tmp_path: Path) -> Rig:
    """The rig of the flow tests; what its workers record goes to the file that the page reads."""
    flow_rig.settings |= {"api_port": 0, "transcript_url": f"sqlite:///{tmp_path}/record.db"}
    return flow_rig


async def test_a_run_is_seen_with_its_diagram_states_and_answers(rig: Rig, tmp_path: Path) -> None:
    key = unique("decision")
    xml = DECISION.read_text("utf-8").replace("decision-analysis", rig.topic)
    xml = xml.replace('id="decision"', f'id="{key}"').replace('bpmnElement="decision"', f'bpmnElement="{key}"')
    await rig.rest.deploy(xml)
    await rig.start_worker()
    instance = await rig.rest.start(key, {"decision": "Which drones?", "budget_usd": 40000}, "order-7")
    await rig.rest.wait_for_end(instance)

    async with (
        open_engine(rig.rest.base_url) as engine,
        site(tmp_path, engine) as served,
        browsing(viewport={"width": 1280, "height": 900}) as context,
    ):
        watched = await watch(context)
        page = watched.page

        async def recorded() -> bool:
            await page.goto(f"{served.url}/instances/{instance}")
            await page.locator("h1").wait_for()
            return await page.get_by_role("article").count() == 8

        await wait_until(recorded, 20, "four turns in the transcript")
        watched.complaints.clear()  # before the first turn was in the transcript, the instance was not found
        await page.reload()
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
