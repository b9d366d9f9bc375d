"""Answers that try to run, load or lead somewhere: they are text."""

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.page.site import Deployed, Site, Watched, browsing, process, watch
from tests.page.test_flows import shot
from tests.records import exchange, key
from worker.domain.exchanges import Utterance
from worker.domain.processes import Incident, Result, Step

HOSTILE = {
    "script": "<script>window.ran = 1; alert(1)</script><script src='https://evil.example/x.js'></script>",
    "image": "<img src=x onerror='window.ran = 1'><img src='https://evil.example/x.png'>",
    "markdown image": "![pixel](https://evil.example/x.png)\n\n![x](data:image/svg+xml,<svg onload=alert(1)>)",
    "link": "[click](javascript:window.ran=1) [go](https://evil.example/) <https://evil.example> https://evil.example",
    "reference": "[click][1] ![x][1]\n\n[1]: https://evil.example 'title'",
    "frame": "<iframe src='https://evil.example'></iframe><iframe srcdoc='<script>parent.ran = 1</script>'></iframe>",
    "svg": "<svg onload='window.ran = 1'><use href='https://evil.example/x.svg#a'/></svg>",
    "style": "<style>@import url(https://evil.example/x.css); body { display: none }</style>",
    "page": "<meta http-equiv=refresh content='0;url=https://evil.example'><base href='https://evil.example/'><form action='https://evil.example'><button>x",
    "escape": "</div></main><script>window.ran = 1</script>\n\n```\n</code></pre><script>window.ran = 1</script>\n```",
    "fence": '```"><script>window.ran=1</script>\nx\n```',
    "table": "| <img src=x onerror=window.ran=1> | [a](javascript:window.ran=1) |\n|-|-|\n"
    "| `<script>window.ran=1</script>` | ![a](https://evil.example/b.png) |",
    "data": json.dumps(
        {
            "<img src=x onerror=window.ran=1>": ["<script>window.ran=1</script>"],
            "__proto__": {"tag": "script"},
            "constructor": 1,
        }
    ),
    "tree": json.dumps([{"tag": "script", "children": ["window.ran = 1"]}]),
    "zalgo": "Z̸̡͔͎̼͔̺̦̙̺" * 200 + "\u0000\u0007\ufeff",
    "line": "x" * 400_000,
    "bidi": "\u202egnp.exe \u2066 the end\u2069 \u202e",
}


async def say(served: Site, number: int, instance: str, text: str) -> None:
    """Record a turn in which everything that comes from outside is hostile."""
    name = text[:100].replace("\x00", "")
    await served.transcript.record(
        exchange(
            number,
            key(instance, assistant=name),
            question=text,
            between=[Utterance(text, "assistant", name)],
            answer=text,
            user=name,
            activity_id="frame",
            activity_name=name,
            business_key=name,
            detail=name,
        )
    )


async def check(page: Page, address: str) -> None:
    """See that nothing has run, that nothing could load, and that links lead to the web alone, and tell it nothing."""
    assert await page.evaluate("window.ran") is None
    assert await page.locator("main :is(img, iframe, script, object, embed, form[action], style, video)").count() == 0
    links = "main a:not([href^='/'], .bjs-powered-by)"
    safe = ":is([href^='https://'], [href^='http://'])[target=_blank][rel='noopener noreferrer nofollow']"
    assert await page.locator(f"{links}:not(.content {safe})").count() == 0
    assert await page.locator(":is(.content, bdi, .excerpt) :is([src], [style], svg, [href]:not(a))").count() == 0
    assert page.url == address


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_answer_neither_runs_nor_loads_nor_leads_anywhere_by_itself(
    served: Site, browser: Watched, kind: str, tmp_path: Path
) -> None:
    await say(served, 20, "instance-x", HOSTILE[kind])
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-x")
    await expect(page.locator("article.agent .content")).not_to_be_empty()
    await page.locator(".badge").first.wait_for()
    await check(page, f"{served.url}/instances/instance-x")
    await shot(page, tmp_path, f"hostile-{kind}", whole=False)
    assert browser.foreign(served.url) == []


async def test_a_link_shows_whose_page_it_leads_to(served: Site, browser: Watched) -> None:
    text = "[my bank](https://evil.example/login) <https://plain.example/a> [x](https://bank.example@evil.example)"
    await say(served, 20, "instance-x", text)
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-x")
    content = page.locator("article.agent .content")
    await expect(content.get_by_role("link")).to_have_text(["my bank", "https://plain.example/a"])
    await expect(content).to_have_text(
        "my bank (evil.example) https://plain.example/a [x](https://bank.example@evil.example)"
    )


@pytest.mark.parametrize(
    "path", ["/instances", "/conversations", "/search?q=script", "/search?q=evil", "/embed/instances/instance-3"]
)
async def test_lists_of_hostile_texts_do_not_either(served: Site, browser: Watched, path: str, tmp_path: Path) -> None:
    for number, text in enumerate(HOSTILE.values()):
        await say(served, 20 + number, f"instance-{number}", text)
    page = browser.page
    await page.goto(served.url + path)
    await expect(page.locator("main bdi").nth(3)).to_be_attached()
    await check(page, served.url + path)
    await shot(page, tmp_path, f"hostile-list{re.sub(r'[^a-z]+', '-', path)}", whole=False)


@pytest.mark.parametrize("kind", ["script", "image", "link", "escape", "data", "tree", "bidi"])
async def test_what_comes_from_the_engine_does_not_either(
    served: Site, browser: Watched, processes: Deployed, kind: str, tmp_path: Path
) -> None:
    text = HOSTILE[kind]
    name = text[:100]
    processes.titles = {("decision", None): name}
    processes.tasks = [Step(name, "failed", text, kind=name), Step("frame", "again", text)]
    processes.outcome = [Result(name, text, None), Result(f"{name} again", name, None)]
    processes.started = [process("instance-new", business_key=name)]
    processes.wrong = [Incident("instance-new", name, text)]
    page = browser.page
    for address in ("/instances/instance-a", "/instances/instance-new", "/instances?state=failed"):
        await page.goto(served.url + address)
        await expect(page.locator("main bdi").first).to_be_attached()
        await check(page, served.url + address)
    await shot(page, tmp_path, f"hostile-engine-{kind}", whole=False)


async def test_a_text_that_turns_the_direction_turns_nothing_beside_it(served: Site, browser: Watched) -> None:
    turning = "\u202eabc"
    await served.transcript.record(
        exchange(20, key("instance-x", assistant=turning), business_key=turning, activity_name=turning)
    )
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-x")
    head = page.locator("article.agent header")
    await expect(head).to_be_visible()
    order = await head.evaluate("(head) => [...head.children].map((each) => each.getBoundingClientRect().left)")
    assert order == sorted(order)
    isolated = await page.locator("main bdi").first.evaluate("(each) => getComputedStyle(each).unicodeBidi")
    assert isolated == "isolate"


async def test_a_huge_line_is_broken_and_not_scrolled(served: Site, tmp_path: Path) -> None:
    await served.transcript.record(exchange(20, key("instance-x"), answer=HOSTILE["line"], question=HOSTILE["line"]))
    async with browsing(viewport={"width": 360, "height": 740}) as context:
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/instance-x")
        await page.locator("article.agent pre").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await shot(page, tmp_path, "hostile-line-phone", whole=False)
