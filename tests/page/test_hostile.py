"""Answers that try to run, load or lead somewhere: they are text."""

import json
import re
from pathlib import Path
from random import Random

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


DRAWN = """async (names) => {
  const { name } = await import("/static/parts.js");
  const { render } = await import("/static/lib/preact.js");
  const paper = document.createElement("div");
  document.body.append(paper);
  return names.map((each) => {
    render(name(each), paper);
    const [text] = paper.firstChild.childNodes;
    const left = (index) => {
      const range = document.createRange();
      range.setStart(text, index);
      range.setEnd(text, index + 1);
      return range.getBoundingClientRect().left;
    };
    return [paper.textContent, [...text.data].map((_, index) => left(index))];
  });
}"""
"""What is seen of names, and where each letter of them begins."""


async def test_a_name_is_read_in_the_order_of_its_letters_and_what_turns_it_is_seen(
    served: Site, browser: Watched
) -> None:
    random = Random(0)  # noqa: S311 - no secret
    turning = [chr(each) for each in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x1B, 0x9B, 0xFEFF, 0x2028)]
    names = ["".join(random.choices([*"abcdefgh", *turning], k=random.randint(1, 20))) for _ in range(300)]
    await browser.page.goto(f"{served.url}/instances")
    drawn = await browser.page.evaluate(DRAWN, names)
    for name, (shown, lefts) in zip(names, drawn, strict=True):
        assert shown == "".join("\ufffd" if letter in turning else letter for letter in name)
        assert lefts == sorted(lefts), repr(name)


async def test_letters_of_every_direction_and_their_marks_stay_in_names(served: Site, browser: Watched) -> None:
    names = ["שלום", "مرحبا\u200f", "e\u0301", "👩\u200d👩\u200d👧", "भारत", "a\tb"]
    await browser.page.goto(f"{served.url}/instances")
    assert [shown for shown, _ in await browser.page.evaluate(DRAWN, names)] == names


@pytest.mark.parametrize(
    "text",
    ["[\u202eevil.example](https://evil.example/)", "\u202eSee [my bank](https://evil.example/)"],
    ids=["in the link", "before it"],
)
async def test_whose_page_a_link_leads_to_is_not_turned_either(served: Site, browser: Watched, text: str) -> None:
    await say(served, 20, "instance-x", text)
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-x")
    host = page.locator("article.agent .content bdi")
    await expect(host).to_have_text(" (evil.example)")
    assert await host.evaluate("(each) => getComputedStyle(each).unicodeBidi") == "isolate"
    link = page.locator("article.agent .content a")
    assert await link.evaluate("(each) => getComputedStyle(each).unicodeBidi") == "isolate"


async def test_a_huge_line_is_broken_and_not_scrolled(served: Site, tmp_path: Path) -> None:
    await served.transcript.record(exchange(20, key("instance-x"), answer=HOSTILE["line"], question=HOSTILE["line"]))
    async with browsing(viewport={"width": 360, "height": 740}) as context:
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/instance-x")
        await page.locator("article.agent pre").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await shot(page, tmp_path, "hostile-line-phone", whole=False)


ARABIC = "اشترِ الطائرة الرخيصة، لأنها لا تقل جودة عن الغالية. "
ODD = {
    "word": f"The word is {'Donaudampfschifffahrtsgesellschaft' * 60}, and behind it goes the sentence on.",
    "wide-table": "\n".join(
        [
            f"| {' | '.join(f'Criterion {n}' for n in range(40))} |",
            f"|{'-|' * 40}",
            *(f"| {' | '.join(f'{row * n / 7:.2f}' for n in range(40))} |" for row in range(120)),
        ]
    ),
    "long-cells": f"| What | Why |\n|-|-|\n| {'x' * 300} | {'because it is so, ' * 40} |\n| 1 | 2 |",
    "deep-list": "\n".join(
        f"{'  ' * depth}- level {depth}, on which something is said at some length" for depth in range(9)
    ),
    "deeper-list": "\n".join(f"{'  ' * depth}- level {depth}" for depth in range(40)),
    "deep-data": json.dumps({"at": [{"a": {"b": [{"c": {"d": [{"e": "deep"}]}}]}}]}),
    "right-to-left": f"## {ARABIC}\n\n{ARABIC * 3}\n\n- {ARABIC}\n- {ARABIC}\n\n> {ARABIC}\n\n"
    f"| {ARABIC[:20]} | {ARABIC[20:30]} |\n|-|-|\n| {ARABIC[:12]} | 12.50 |\n\n1. {ARABIC}\n2. Take B.\n",
    "both-directions": f"Take B.\n\n{ARABIC}\n\n- {ARABIC}\n- It costs 12.50 €.\n",
    "megabyte": json.dumps([{"id": n, "name": f"Option {n}", "why": "because " * 6} for n in range(12_500)]),
    "data": json.dumps([{"id": n, "name": f"Option {n}", "cost": n * 1.5, "why": "because " * 6} for n in range(300)]),
    "stars": "*" * 9000 + " and " + "[" * 5000 + "](" * 2000 + "`" * 999,
    "quotes": "\n".join(f"{'>' * depth} said {depth} times" for depth in range(1, 19)),
    "headings": "\n\n".join(f"{'#' * (1 + n % 6)} Heading {n} {'long ' * (n % 9)}" for n in range(60)),
    "code": f"```python\n{'x = ' + 'f(' * 300}\n{'y' * 900}\n```\n\nand `{'inline' * 80}` goes on",
    "rules": "Words\n\n---\n\n" * 60,
    "blank": "\n" * 3000 + "at last" + "\n" * 3000,
}


BEYOND = """(all) => all.filter((each) => !each.closest(".scroll")
    && each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.outerHTML.slice(0, 80))"""
"""What of an answer goes beyond the window, and not within something that scrolls."""


async def test_odd_answers_are_no_wider_than_the_window_and_scroll_within_themselves(
    served: Site, browser: Watched, tmp_path: Path
) -> None:
    page, beyond = browser.page, dict[str, list[str]]()
    for number, (kind, text) in enumerate(ODD.items(), 20):
        instance = f"instance-{kind}"
        await served.transcript.record(exchange(number, key(instance), answer=text, question="What is it?"))
        await page.goto(f"{served.url}/instances/{instance}")
        await page.locator("article.agent .content > *").first.wait_for(state="attached")
        for width in (
            1280,
            360,
        ):  # as a window that somebody makes narrower: to load all again would be too many requests
            await page.set_viewport_size({"width": width, "height": 800})
            await page.locator("article.agent").scroll_into_view_if_needed()
            await shot(page, tmp_path, f"odd-{kind}-{width}", whole=False)
            wide = await page.locator("article.agent .content *").evaluate_all(BEYOND)
            if wide or await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                beyond[f"{kind} {width}"] = wide
    assert beyond == {}


@pytest.mark.parametrize("width", [1280, 360])
async def test_a_long_word_in_a_cell_leaves_the_others_room_to_be_read(
    served: Site, width: int, tmp_path: Path
) -> None:
    await served.transcript.record(exchange(20, key("instance-x"), answer=ODD["long-cells"]))
    async with browsing(viewport={"width": width, "height": 800}) as context:
        page = (await watch(context)).page
        await page.goto(f"{served.url}/instances/instance-x")
        cells = page.locator("article.agent td")
        await cells.first.wait_for()
        word, reason = [await each.evaluate("(each) => each.offsetWidth") for each in (await cells.all())[:2]]
        await shot(page, tmp_path, f"odd-cells-{width}", whole=False)
    assert 100 < word <= 0.7 * width + 1
    assert reason > 150, "some words stand beside each other"


async def test_lists_quotes_and_tables_begin_on_the_side_of_their_script(served: Site, browser: Watched) -> None:
    await served.transcript.record(exchange(20, key("instance-x"), answer=ODD["right-to-left"]))
    page = browser.page
    await page.goto(f"{served.url}/instances/instance-x")
    content = page.locator("article.agent .content")
    styles = """(each) => { const own = getComputedStyle(each); return [own.direction, own.textAlign,
        own.paddingLeft, own.paddingRight, own.borderLeftWidth, own.borderRightWidth]; }"""
    direction, _, left, right, *_ = await content.locator("ul").evaluate(styles)
    assert (direction, left) == ("rtl", "0px")
    assert float(right.removesuffix("px")) > 10
    *_, line_left, line_right = await content.locator("blockquote").evaluate(styles)
    assert (line_left, line_right) == ("0px", "3px")
    assert (await content.locator("td").first.evaluate(styles))[1] == "start"
