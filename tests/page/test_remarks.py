"""What was said elsewhere is read on the page, with links that lead to the web alone."""

from pathlib import Path

from playwright.async_api import expect

from tests import axe
from tests.contract.transcript.test_transcript_remarks import LINK, remark
from tests.page.site import Deployed, browsing, site_on, watch
from tests.page.test_flows import shot
from tests.records import KEY, exchange
from worker.domain.conversations import Role, session_id
from worker.transcript import SqlRemarks, SqlTranscriptWriter, open_database


async def test_remarks_stand_in_the_instance_and_beside_the_conversation_as_they_are_by_now(
    tmp_path: Path, processes: Deployed
) -> None:
    async with (
        open_database(f"sqlite:///{tmp_path}/record.db") as database,
        site_on(database, processes) as served,
        browsing(viewport={"width": 1280, "height": 900}) as context,
    ):
        await SqlTranscriptWriter(database).record(exchange(1))
        said = remark(attachments=[LINK, f"{LINK}&second"], text="<b>The caller agrees.</b>")
        await SqlRemarks(database).record(said)
        await SqlRemarks(database).record(remark("2", role=Role.USER, text="Yes, I do."))
        watched = await watch(context)
        page = watched.page
        for address in ("/instances/instance-1", f"/conversations/{session_id(KEY.branch)}"):
            await page.goto(served.url + address)
            message = page.locator(f"#m-{said.id}")
            await expect(message.get_by_role("heading")).to_have_text("Agent elsewhere")
            await expect(message).to_contain_text("<b>The caller agrees.</b>")
            await expect(message).to_contain_text("Ada")
            links = message.get_by_role("link").filter(has_text="files.example")
            assert [await each.get_attribute("href") for each in await links.all()][:2] == [LINK, f"{LINK}&second"]
            await expect(page.get_by_role("heading", name="User elsewhere")).to_be_visible()
            await SqlRemarks(database).add(said.id, [f"{LINK}&{len(address)}"], {})
            await expect(links).to_have_count(3 if address.startswith("/inst") else 4)
        for scheme, width in (("light", 1280), ("dark", 390)):
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            await page.set_viewport_size({"width": width, "height": 900})
            assert await axe.findings(page, axe.source()) == []
            await shot(page, tmp_path, f"remarks-{scheme}-{width}")
        assert (watched.foreign(served.url), watched.dialogs, served.errors) == ([], [], [])
