"""Whatever is drawn of a decision stands in figures as well, on the page and in the one that is exported."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests import axe
from tests.benchmarks import decide
from tests.page.site import Site, browsing, watch
from tests.page.test_decisions import KEY, keep, part, told
from tests.page.test_flows import shot
from worker.decisions import chain, record
from worker.decisions.formats import FORMATS
from worker.decisions.items import Item
from worker.transcript import SqlDecisions, open_database

LARGE = [*decide.parts()]
"""Eight alternatives, twelve criteria, five judges."""

PLOTS = """() => [...document.querySelectorAll('.plot')].map((plot) => {
  const texts = (within, which) => [...(within?.querySelectorAll(which) ?? [])].map((each) => each.textContent);
  const below = plot.nextElementSibling;
  return {
    plot: plot.getAttribute('aria-label'),
    drawn: texts(plot, '.of'),
    figures: texts(plot, '.figure'),
    caption: texts(below, 'table caption'),
    rows: texts(below, 'table th[scope=row]'),
    cells: texts(below, 'table td'),
  };
})"""


EXPORTED_PLOTS = """() => [...document.querySelectorAll('.plot')].map((plot) => ({
  plot: plot.getAttribute('aria-label'),
  lines: [...plot.querySelectorAll('.line')].map((line) => [line.firstChild.textContent, line.lastChild.textContent]),
  rows: [...plot.nextElementSibling.querySelectorAll('tbody tr')].map(({ cells: [of, low, high] }) => [
    of.textContent, `${low.textContent} … ${high.textContent}`,
  ]),
}))"""


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[SqlDecisions]:
    """The database of the site that is served."""
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        yield SqlDecisions(database, engine="default")


@pytest.mark.parametrize(("items", "count"), [(told(), 7), (LARGE, 7)], ids=["small", "large"])
async def test_every_plot_of_the_page_has_its_figures_in_a_table_below_it(
    served: Site, book: SqlDecisions, items: list[Item], count: int
) -> None:
    await keep(book, KEY, items)
    async with browsing() as context:
        page = (await watch(context)).page
        await page.goto(f"{served.url}/decisions/{KEY.id}")
        await expect(page.get_by_role("img", name="Ranks over both")).to_be_visible()
        plots: list[dict[str, Any]] = await page.evaluate(PLOTS)

    assert len(plots) == count
    for plot in plots:
        assert plot["plot"].endswith("; the table below has the figures")
        assert len(plot["caption"]) == 1, plot["plot"]
        assert plot["drawn"], plot["plot"]
        assert plot["drawn"] == plot["rows"][: len(plot["drawn"])], plot["plot"]
        shown = {each for figures in plot["figures"] for each in figures.split(" … ")}
        assert shown <= set(plot["cells"]), plot["plot"]


async def test_a_large_record_is_no_wider_than_a_phone_and_axe_finds_nothing(
    served: Site, book: SqlDecisions, tmp_path: Path
) -> None:
    await keep(book, KEY, LARGE)
    async with browsing(viewport={"width": 390, "height": 900}) as context:
        page = (await watch(context)).page
        await page.goto(f"{served.url}/decisions/{KEY.id}")
        await part(page, "Scores").get_by_role("button").nth(1).click()
        await shot(page, tmp_path, "decision-large-390")
        assert await wide(page) <= 390
        assert await axe.findings(page, axe.source()) == []


async def wide(page: Page) -> int:
    width: int = await page.evaluate("document.documentElement.scrollWidth")
    return width


def exported(items: list[Item]) -> bytes:
    """A record as the page that people save."""
    made = record.build(KEY.id, items, "proposed", samples=200)
    row = chain.row("change", None, made, datetime.now(UTC), record.facts(made))
    return FORMATS["html"].write({**made, "rows": [row]})


@pytest.mark.parametrize("items", [told(), LARGE], ids=["small", "large"])
async def test_axe_finds_nothing_on_an_exported_page_and_every_bar_stands_beside_its_figure(
    tmp_path: Path, items: list[Item]
) -> None:
    file, found = tmp_path / "decision.html", dict[str, list[str]]()
    file.write_bytes(exported(items))
    async with browsing() as context:
        watched = await watch(context)
        page = watched.page
        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 900})
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                await page.goto(file.as_uri())
                await shot(page, tmp_path, f"exported-{len(items)}-{width}-{scheme}")
                assert await wide(page) <= width
                if broken := await axe.findings(page, axe.source()):
                    found[f"{width} {scheme}"] = broken
        bars = await page.evaluate(
            """() => [...document.querySelectorAll('td svg')].map((bar) => [
              bar.closest('td')?.textContent, bar.closest('table')?.caption.textContent,
            ])"""
        )
        plots: list[dict[str, Any]] = await page.evaluate(EXPORTED_PLOTS)
        narrowest = await page.evaluate(
            "Math.min(...[...document.querySelectorAll('td:first-child')].map((each) => each.offsetWidth))"
        )
    assert found == {}
    assert bars != []
    assert [each for each in bars if not all(each)] == []
    [plot] = plots
    assert plot["plot"].endswith("; the table below has the figures")
    assert plot["lines"] == plot["rows"][: len(plot["lines"])] != []
    assert narrowest > 40, "names stand in words, not in letters below each other"
    assert watched.complaints == []
