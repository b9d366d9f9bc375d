"""What people do on the page, in a real browser."""

import asyncio
import json
import os
import re
from pathlib import Path

import pytest
from playwright.async_api import Download, Page, expect

from tests.page.site import Deployed, Site, Watched, browsing, site, watch
from tests.records import BETWEEN, START, exchange, key
from worker.domain.conversations import session_id
from worker.domain.exchanges import Utterance
from worker.domain.money import Money
from worker.domain.threads import Cut
from worker.export import FORMATS


async def shot(page: Page, folder: Path, name: str, *, whole: bool = True) -> None:
    """Take a picture, which PAGE_SHOTS keeps for people. Of a long page what is out of sight may not be drawn in it."""
    target = Path(os.environ.get("PAGE_SHOTS") or folder) / f"{name}.png"
    await page.screenshot(path=target, full_page=whole)
    assert target.stat().st_size > 5000


async def test_from_the_list_to_an_answer(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(served.url)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Instances")
    await page.get_by_role("link", name="order-a").click()

    await expect(page).to_have_url(f"{served.url}/instances/instance-a")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await expect(page.get_by_role("article")).to_have_count(4)
    await expect(page.locator(".badge")).to_have_count(4)
    badge = page.get_by_role("button", name="Find alternatives: failed, 1 turn")
    await badge.click()

    await expect(page).to_have_url(f"{served.url}/instances/instance-a/activities/alternatives")
    await expect(page.get_by_role("heading", level=2, name="Find alternatives")).to_be_focused()
    await expect(page.get_by_role("article")).to_have_count(2)
    answer = page.get_by_role("article", name="Answer of analyst")
    await expect(answer.get_by_role("row", name="cost 31000.50")).to_be_visible()
    await expect(answer.get_by_role("columnheader")).to_have_text(["name", "fits"])
    await answer.get_by_text("gpt-5 · 120 tokens · 5.0 s").click()
    await expect(answer.locator(".about dl")).to_contain_text("Threadconv_1")
    await expect(answer.locator(".about dl")).to_contain_text("100 read, 20 written")
    await expect(answer.locator(".about dl")).to_contain_text("Attempt2")

    await page.go_back()
    await expect(page.get_by_role("article")).to_have_count(4)
    await expect(page.locator(".content strong", has_text="goal")).to_have_count(1)


async def test_an_answer_says_how_much_of_what_was_said_it_did_not_know_word_for_word(
    served: Site, browser: Watched
) -> None:
    await served.transcript.record(exchange(30, key("instance-c"), untold=1200))
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-c")
    await page.get_by_text("gpt-5 · 120 tokens · 5.0 s").click()

    await expect(page.locator(".about dl")).to_contain_text("Earlier turns not told word for word1,200")


async def test_an_answer_without_a_memory_says_so_and_a_rewound_one_from_when_on_it_knows_nothing(
    served: Site, browser: Watched
) -> None:
    cut = Cut(int(START.timestamp() * 1_000_000), 2)
    said = exchange(30, key("instance-c"), memory="empty", cuts=(cut,), generation=2)
    await served.transcript.record(said)
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-c")
    answer = page.get_by_role("article", name="Answer")

    await expect(answer.locator(".outcome")).to_contain_text("The instance was started behind its beginning")
    await answer.get_by_text("gpt-5 · 120 tokens · 5.0 s").click()
    time = answer.locator("div", has_text="Rewound: told nothing of what was said from").last.locator("time")
    await expect(time).to_have_attribute("datetime", "2026-05-04T09:00:00.000Z")


async def test_what_the_worker_does_not_serve_stands_above_the_instances(tmp_path: Path) -> None:
    said = "tasks of <b>order</b>:1:7 on topic offers are left out: the engine does not take our poll"
    async with site(tmp_path, Deployed(), left_out=[said]) as served, browsing() as context:
        watched = await watch(context)
        await watched.page.goto(served.url)
        notice = watched.page.get_by_role("note").filter(has_text="Not served by this worker")
        await expect(notice.get_by_role("listitem")).to_have_text([said])
        assert watched.complaints == []


async def test_a_shape_of_the_diagram_leads_to_what_was_said_there(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-a")
    shape = page.locator("[data-element-id=frame]").first
    await shape.click()

    await expect(page.get_by_role("heading", level=2, name="Frame the decision")).to_be_focused()
    await expect(page.locator("[data-element-id=frame].chosen")).to_have_count(1)
    await expect(page.locator("[data-element-id=frame].state-done")).to_have_count(1)
    await expect(page.locator("[data-element-id=evaluate].state-running")).to_have_count(1)
    await expect(page.locator("[data-element-id=recommend].state-not-reached")).to_have_count(1)
    mark = page.locator("a.bjs-powered-by")
    await expect(mark).to_be_visible()


async def test_an_activity_without_turns_says_so(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-a")
    await page.get_by_role("link", name="Recommend not reached").click()
    await expect(page.get_by_text("Nothing was said here.")).to_be_visible()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("/instances/instance-b", "The goal of instance-b is clear."),
        ("/instances/instance-b/activities/alternatives", "31000.50"),
        ("/search?q=goal", "instance-b"),
        ("/instances?business_key=order-b", "order-b"),
        ("/conversations", "analyst"),
        ("/embed/instances/instance-a", "The goal of instance-a is clear."),
    ],
)
async def test_an_address_survives_a_reload(served: Site, browser: Watched, address: str, text: str) -> None:
    page = browser.page
    await page.goto(served.url + address)
    await expect(page.locator("main").get_by_text(text).first).to_be_visible()
    await page.reload()
    await expect(page.locator("main").get_by_text(text).first).to_be_visible()
    assert page.url == served.url + address


async def test_search_leads_to_the_message(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(served.url)
    await page.get_by_label("Search all messages").fill("goal instance-b")
    await page.keyboard.press("Enter")
    await expect(page.locator("mark")).to_have_text(["goal", "instance", "b"])
    await page.get_by_role("link", name="Answer at Frame the decision").click()

    found = page.locator("article.wanted")
    await expect(found).to_be_focused()
    await expect(found).to_contain_text("The goal of instance-b is clear.")
    await expect(found.locator("mark")).to_have_text(["goal", "instance", "b"])


async def test_what_stands_between_question_and_answer_is_shown_as_what_it_is(served: Site, browser: Watched) -> None:
    step = Utterance("**Looked** into it.\n" * 100, "assistant")
    said = exchange(
        30, key("instance-c"), user="paul", between=(step, *BETWEEN[1:]), activity_id="frame", activity_name="Frame"
    )
    await served.transcript.record(said)
    page = browser.page

    await page.goto(f"{served.url}/instances/instance-c")
    titles = page.get_by_role("article").get_by_role("heading")
    await expect(titles).to_have_text(["Question", "Step", "Message", "System", "Step", "Answer of analyst"])
    await expect(page.get_by_role("article", name="Question")).to_contain_text("paul")
    await expect(page.get_by_role("article", name="Message")).to_contain_text("maria")
    await expect(page.locator(".about")).to_have_count(1)
    first = page.get_by_role("article", name="Step").first
    await expect(first.locator(".content strong")).to_have_count(0)
    await expect(first.get_by_text("(2,000 characters)")).to_be_visible()
    await expect(page.get_by_role("button", name="1 turn")).to_have_count(1)

    await page.goto(f"{served.url}/search?q=archive")
    await page.get_by_role("link", name="Step at Frame").click()
    await expect(page.locator("article.wanted")).to_contain_text("Looked into the archive.")


async def test_filters_narrow_the_list_and_stand_in_the_address(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(f"{served.url}/instances")
    await page.get_by_label("Business key").fill("order-b")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    assert page.url == f"{served.url}/instances?business_key=order-b"

    await page.get_by_label("From", exact=True).fill("2030-01-01T00:00")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.get_by_text("Nothing found")).to_be_visible()
    await page.get_by_role("link", name="Clear").click()
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.get_by_label("State").select_option("ended")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.get_by_text("Nothing found")).to_be_visible()


async def test_an_instance_that_is_over_is_shown_so_before_the_record_has_heard_of_it(
    served: Site, browser: Watched, processes: Deployed, tmp_path: Path
) -> None:
    page = browser.page
    processes.runs = {"instance-a": False, "instance-b": True}
    for address, states in (("/instances", ["active", "ended"]), ("/conversations", ["active", "ended"])):
        await page.goto(served.url + address)
        await expect(page.locator("tbody .tag")).to_have_text(states)
    for address in ("/instances/instance-a", "/conversations/" + session_id(key("instance-a"))):
        await page.goto(served.url + address)
        await expect(page.locator(".heading .tag").first).to_have_text("ended")
    await shot(page, tmp_path, "ended")


async def test_without_the_engine_the_recorded_state_is_shown_and_said(
    served: Site, browser: Watched, processes: Deployed, tmp_path: Path
) -> None:
    page = browser.page
    processes.runs = None
    for address in ("/instances", "/conversations", "/instances/instance-a"):
        await page.goto(served.url + address)
        await expect(page.locator("main .tag").first).to_have_text("active")
        await expect(page.get_by_text(re.compile("as last recorded", re.IGNORECASE))).to_be_visible()
    await page.goto(f"{served.url}/instances")
    await expect(page.locator("tbody .tag").first).to_have_text("active")
    await shot(page, tmp_path, "recorded")


async def test_a_conversation_is_read_whole_and_saved(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(f"{served.url}/conversations")
    await page.get_by_role("link", name="order-a").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("analyst")
    await expect(page.get_by_role("article")).to_have_count(4)
    buttons = await page.get_by_role("button", name="Export").all_text_contents()
    assert buttons == [f"Export {each.label}" for each in FORMATS.values()]
    async with page.expect_download() as saved:
        await page.get_by_role("button", name="Export JSON").click()
    told = json.loads(await read(await saved.value))
    assert [message["role"] for message in told[0]["messages"]] == ["user", "agent"] * 2
    async with page.expect_download() as saved:
        await page.get_by_role("button", name="Export Markdown").click()
    assert "\nThe **goal** of instance-a" in await read(await saved.value)


async def read(download: Download) -> str:
    """What was saved."""
    return await asyncio.to_thread(Path(await download.path()).read_text, "utf-8")


async def test_everything_but_the_diagram_works_without_an_engine(
    served: Site, browser: Watched, processes: Deployed
) -> None:
    processes.model = processes.states = None
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-a")
    await expect(page.get_by_text("The engine does not have this process definition any more.")).to_be_visible()
    await expect(page.get_by_text("The engine cannot be asked now.")).to_be_visible()
    await page.get_by_role("link", name="Find alternatives 1 turn").click()
    await expect(page.get_by_role("article")).to_have_count(2)
    browser.complaints[:] = [each for each in browser.complaints if "Failed to load resource" not in each]


async def test_a_model_without_a_diagram_still_lists_its_activities(
    served: Site, browser: Watched, processes: Deployed
) -> None:
    assert processes.model
    processes.model = processes.model[: processes.model.index("<bpmndi:")] + "</bpmn:definitions>"
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-a")
    await expect(page.get_by_text("This model was deployed without a diagram.")).to_be_visible()
    await expect(page.get_by_role("link", name="Recommend not reached")).to_be_visible()


async def test_all_can_be_done_by_keyboard(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(f"{served.url}/instances")
    await page.get_by_role("link", name="order-a").wait_for()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await tab_to(page, "order-a")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await page.locator(".badge").first.wait_for()
    await tab_to(page, "Frame the decision: done, 1 turn")
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "what has the focus is to be seen"
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=2, name="Frame the decision")).to_be_focused()
    await tab_to(page, "gpt-5 · 120 tokens · 5.0 s")
    await page.keyboard.press("Enter")
    await expect(page.locator(".about dl")).to_be_visible()


async def tab_to(page: Page, name: str, most: int = 60) -> None:
    """Press Tab until what has the focus has this text."""
    for _ in range(most):
        await page.keyboard.press("Tab")
        text = await page.evaluate("document.activeElement.textContent")
        if name in text:
            return
    raise AssertionError(f"{name!r} cannot be reached by Tab")


async def test_the_diagram_is_moved_and_zoomed_by_keys(served: Site, browser: Watched) -> None:
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-a")
    await page.locator(".badge").first.wait_for()
    await expect(page.get_by_role("button", name="Show all").locator("svg")).to_be_visible()
    viewport = page.locator(".canvas svg .viewport")
    before = await viewport.get_attribute("transform")
    await page.locator(".canvas svg").first.focus()
    await page.keyboard.press("+")
    zoomed = await viewport.get_attribute("transform")
    await page.keyboard.press("ArrowLeft")
    moved = await viewport.get_attribute("transform")
    await page.keyboard.press("0")
    assert len({before, zoomed, moved}) == 3
    # Within a pixel: how wide a label is, and so the diagram, is measured again, and not all browsers find the same.
    assert numbers(await viewport.get_attribute("transform")) == pytest.approx(numbers(before), abs=1)


def numbers(transform: str | None) -> list[float]:
    return [float(number) for number in re.findall(r"-?[\d.]+", transform or "")]


@pytest.mark.parametrize("address", ["/instances", "/instances/instance-a", "/search?q=goal", "/conversations"])
async def test_every_view_has_landmarks_headings_and_names(served: Site, browser: Watched, address: str) -> None:
    page = browser.page
    await page.goto(served.url + address)
    await page.get_by_role("heading", level=1).wait_for()
    if "instance-a" in address:
        await page.locator(".badge").first.wait_for()
    assert await page.get_by_role("banner").count() == 1
    assert await page.get_by_role("main").count() == 1
    assert await page.get_by_role("navigation", name="Main").count() == 1
    assert await page.get_by_role("heading", level=1).count() == 1
    assert await page.evaluate(UNNAMED) == []
    assert await page.evaluate(LEVELS_SKIPPED) == []
    assert await page.evaluate(DOUBLE_IDS) == []
    await expect(page.get_by_role("status").first).not_to_be_empty()


UNNAMED = """() => [...document.querySelectorAll("main a[href], button, input, select")].filter((element) => {
  const label = element.labels?.length || element.getAttribute("aria-label") || element.textContent.trim();
  return !label && !element.hidden && !element.closest(".bjs-powered-by");
}).map((element) => element.outerHTML)"""
LEVELS_SKIPPED = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter((heading, index, all) =>
  index && Number(heading.tagName[1]) > Number(all[index - 1].tagName[1]) + 1).map((each) => each.outerHTML)"""
DOUBLE_IDS = """() => [...document.querySelectorAll("main [id], header [id]")].map((each) => each.id)
  .filter((id, index, all) => !id.startsWith("djs") && all.indexOf(id) !== index)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_phone_and_both_schemes(served: Site, tmp_path: Path, scheme: str) -> None:
    long = "Donaudampfschifffahrtsgesellschaftskapitän" * 8
    said = exchange(
        9,
        key("instance-c"),
        answer=f"| {long} | b |\n|-|-|\n| x | {long} |\n\n{long}\n\n`{long}`",
        business_key=long[:200],
    )
    await served.transcript.record(said)
    async with browsing(viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True) as context:
        watched = await watch(context)
        page = watched.page
        for name, address in {
            "list": "/instances",
            "instance": "/instances/instance-a",
            "long": "/instances/instance-c",
            "search": "/search?q=goal",
        }.items():
            await page.goto(served.url + address)
            await page.locator("main h1").wait_for()
            await shot(page, tmp_path, f"phone-{name}-{scheme}")
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360, name
        ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (ground == "rgb(16, 21, 26)") is (scheme == "dark")
        assert watched.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_ground(served: Site, scheme: str) -> None:
    async with browsing(viewport={"width": 1280, "height": 900}, color_scheme=scheme) as context:
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/instance-a")
        await page.locator(".badge").first.wait_for()
        assert await page.evaluate(PALE) == []


PALE = """() => {
  const luminance = (rgb) => {
    const linear = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(each).backgroundColor);
      if (a > 0.9) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const pale = [];
  for (const element of document.querySelectorAll("main *, header *")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!text || element.closest("svg, .hidden, style") || !element.checkVisibility()) continue;
    const ink = luminance(parse(getComputedStyle(element).color).slice(0, 3));
    const [light, dark] = [ink, luminance(ground(element))].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) pale.push(`${element.textContent.trim().slice(0, 30)}: ${contrast.toFixed(1)}`);
  }
  return pale;
}"""


async def test_what_answers_cost_is_told_one_by_one_and_as_a_sum_with_what_is_not_known(
    served: Site, browser: Watched
) -> None:
    page, facts = browser.page, browser.page.locator(".facts")
    took = {"cached_tokens": 60, "reasoning_tokens": 5, "cost": Money("0.0123", "USD")}
    await served.transcript.record(exchange(9, key("instance-a"), **took))
    await page.goto(f"{served.url}/instances/instance-a")

    await expect(facts.first).to_contain_text("Tokens300 read (60 cached), 60 written (5 reasoning)")
    await expect(facts.first).to_contain_text("Cost0.0123 USD + 2 answers of unknown cost")
    await page.get_by_text("gpt-5 · 120 tokens · 5.0 s · 0.0123 USD").click()
    await expect(page.get_by_role("article").last).to_contain_text("Cost0.0123 USD")

    await page.get_by_role("link", name="analyst").first.click()
    await expect(facts.first).to_contain_text("Cost0.0123 USD + 2 answers of unknown cost")
