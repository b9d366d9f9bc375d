"""No view has what axe-core knows to keep people out, in both schemes, on a desk and on a phone."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests import axe
from tests.page.site import Deployed, Site, browsing, watch
from tests.page.test_flows import shot
from tests.records import BETWEEN, START, exchange, key
from worker.demo.npm import PackageError
from worker.domain.conversations import session_id
from worker.domain.processes import Incident, Result, Step
from worker.domain.stops import Stop

ANSWER = (
    "## Found\n\n1. a\n2. b\n\n> so\n\n| what | cost |\n|-|-|\n| B | 31,000 |\n\n[source](https://example.org/x) `code`"
)
VIEWS = {
    "instances": "/instances",
    "failed": "/instances?state=failed",
    "nothing": "/instances?business_key=nobody",
    "instance": "/instances/instance-c",
    "activity": "/instances/instance-c/activities/frame",
    "waiting": "/instances/instance-new",
    "conversations": "/conversations",
    "conversation": f"/conversations/{session_id(key('instance-c'))}",
    "assistant": "/assistants/analyst",
    "search": "/search?q=found",
    "nowhere": "/nowhere",
    "embedded-list": "/embed/instances?definition_key=decision",
    "embedded": "/embed/instances/instance-c?of=decision",
}


@pytest.fixture(scope="module")
def program() -> str:
    try:
        return axe.source()
    except PackageError as exc:
        raise pytest.fail.Exception(str(exc), pytrace=False) from None


async def fill(served: Site, processes: Deployed) -> None:
    said = exchange(
        9,
        key("instance-c"),
        activity_id="frame",
        activity_name="Frame the decision",
        definition_key="decision",
        answer=ANSWER,
        between=BETWEEN,
        question="Long. " * 400,
        attempt=2,
        user="paul",
    )
    await served.transcript.record(said)
    processes.titles = {("decision", None): "Decision analysis"}
    processes.tasks = [Step("alternatives", "failed", "the key is refused"), Step("evaluate", "asking")]
    processes.outcome = [Result("choice", "B", START), Result("recommendation", ANSWER, START)]
    processes.wrong = [Incident("instance-c", "alternatives", "the key is refused")]
    processes.runs = {"instance-c": True, "instance-new": True, "instance-a": False}
    served.board.stops = [Stop("all", "", "bob", START, "maintenance")]


async def ready(page: Page, address: str) -> None:
    await page.goto(address)
    await page.get_by_role("heading", level=1).wait_for(state="attached")
    await expect(page.locator("#stops section")).to_have_count(1)
    if "/embed" not in address and "/instances/" in address:
        await page.locator(".badge").first.wait_for()
    for each in await page.locator("details").all():
        await each.evaluate("(each) => { each.open = true; }")


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        pytest.param(1280, "light", marks=pytest.mark.sweep),
        pytest.param(1280, "dark", marks=pytest.mark.sweep),
        pytest.param(390, "light", marks=pytest.mark.sweep),
        (390, "dark"),
    ],
)
async def test_axe_finds_nothing_in_any_view(
    served: Site, processes: Deployed, program: str, tmp_path: Path, scheme: str, width: int
) -> None:
    await fill(served, processes)
    async with browsing(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        page = (await watch(context)).page
        found = dict[str, list[str]]()
        for name, address in VIEWS.items():
            await ready(page, served.url + address)
            await shot(page, tmp_path, f"{name}-{width}-{scheme}")
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, name
            found |= {name: said} if (said := await axe.findings(page, program)) else {}
        await page.goto(f"{served.url}/instances/instance-a")
        await page.get_by_role("button", name="Erase …").click()
        await shot(page, tmp_path, f"dialog-{width}-{scheme}")
        found |= {"dialog": said} if (said := await axe.findings(page, program)) else {}
    assert found == {}
