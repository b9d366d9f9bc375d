"""What Camunda Modeler is made of, as far as npm has it. `python -m tests.modeler` gets it ready.

bpmn-js with its properties panel, element templates and what shows findings, in one file for a browser; and bpmnlint.
All is locked, and fetched once into the user's cache.
"""

import re
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page, async_playwright

from tests.browser import browser
from tests.packages import install, kept, run
from tests.waiting import wait_until
from worker.demo import npm
from worker.demo.npm import PackageError

HERE: Final = Path(__file__).parent
LOCK: Final = (HERE / "package.json", HERE / "package-lock.json")
SOURCES: Final = (*LOCK, HERE / "page.mjs", HERE / "layout.css")
_BUNDLE: Final = ("--bundle", "--format=iife", "--outfile=page.js", "--loader:.svg=dataurl", "--loader:.woff=dataurl")
_FONTS: Final = ("--loader:.woff2=dataurl", "--loader:.ttf=dataurl", "--loader:.eot=dataurl", "--log-level=error")


def packages() -> Path:
    """Return the folder that has the packages in `node_modules`, fetched if need be. PackageError without them."""
    return kept("modeler", LOCK, lambda folder: install(LOCK, folder))


def page() -> Path:
    """Return the folder with what a browser loads, made if need be. PackageError without it."""
    return kept("modeler-page", SOURCES, _make)


def node() -> Path:
    """Where Node.js is. PackageError without it."""
    found = npm.node()
    if found is None:
        raise PackageError("there is no Node.js")
    return found


def _make(folder: Path) -> None:
    place = packages() / "node_modules"
    for source in SOURCES:
        shutil.copy(source, folder)
    (folder / "node_modules").symlink_to(place)
    run([node(), place / "esbuild" / "bin" / "esbuild", "page.mjs", *_BUNDLE, *_FONTS], folder)


@dataclass(frozen=True, slots=True)
class Modeler:
    """A modeler in a browser's page. What it offers is in `page.mjs`."""

    page: Page

    async def do(self, what: str, *given: Any) -> Any:
        """Call one of its functions."""
        return await self.page.evaluate("([what, given]) => window.modeler[what](...given)", [what, given])

    async def fill(self, id_: str, label: str, value: str) -> None:
        """Fill in a field of the template of an element, as a person does in the panel; by its label's end."""
        await self.do("select", id_)
        entry = self.page.locator('[data-entry-id^="custom-entry-"]')
        await entry.first.wait_for(state="attached")
        await self.do("unfold")
        named = self.page.locator("label").filter(has_text=re.compile(rf"(^|\(){re.escape(label)}\)?$"))
        field = entry.filter(has=named).locator("input, select, textarea")
        if await field.evaluate("(each) => each.tagName") == "SELECT":
            await field.select_option(value)
        else:
            await field.fill(value)
            await field.blur()

    async def shot(self, id_: str, path: str) -> None:
        """Take a picture of the panel of an element, with all fields of its template."""
        await self.do("select", id_)
        await self.do("unfold")
        usual = self.page.viewport_size
        assert usual is not None
        panel = self.page.locator("#panel")
        height = await panel.locator(".bio-properties-panel-scroll-container").evaluate("(each) => each.scrollHeight")
        await self.page.set_viewport_size({"width": usual["width"], "height": max(usual["height"], height + 100)})
        await panel.screenshot(path=path)
        await self.page.set_viewport_size(usual)

    async def shows(self, said: Mapping[str, Sequence[str]]) -> None:
        """Wait until it shows at these elements, and no others, what begins so or has that in it."""

        async def as_said() -> bool:
            shown = await self.do("shown")
            return shown.keys() == said.keys() and all(
                len(shown[id_]) == len(several) and all(each in "".join(shown[id_]) for each in several)
                for id_, several in said.items()
            )

        await wait_until(as_said, what=f"{said}")


@asynccontextmanager
async def modeler(
    scripts: Mapping[str, str] | None = None, *, width: int = 1500, height: int = 1100
) -> AsyncIterator[Modeler]:
    """Open a modeler with an empty diagram, and these scripts in its window before it begins."""
    made = page()
    async with async_playwright() as playwright:
        chrome = await playwright.chromium.launch(
            executable_path=browser(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            tab = await chrome.new_page(viewport={"width": width, "height": height})
            errors: list[str] = []
            tab.on("pageerror", lambda error: errors.append(str(error)))
            await tab.set_content('<div id="canvas"></div><div id="panel"></div>')
            for text in (scripts or {}).values():
                await tab.add_script_tag(content=text)
            await tab.add_style_tag(path=made / "page.css")
            await tab.add_script_tag(path=made / "page.js")
            opened = Modeler(tab)
            await opened.do("begin")
            yield opened
            assert errors == []
        finally:
            await chrome.close()
