"""What was said elsewhere is read on the page, with links that lead to the web alone."""

from pathlib import Path

from playwright.async_api import expect

from tests.contract.transcript.test_transcript_remarks import LINK, remark
from tests.page.site import Deployed, browsing, site_on, watch
from tests.page.test_flows import shot
from tests.records import KEY, exchange
from worker.domain.conversations import Role, session_id
from worker.transcript import SqlRemarks, SqlTranscriptWriter, open_database


async def test_remarks_stand_in_the_instance_and_beside_the_conversation(tmp_path: Path, processes: Deployed) -> None:
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
            assert [await each.get_attribute("href") for each in await links.all()] == [LINK, f"{LINK}&second"]
            await expect(page.get_by_role("heading", name="User elsewhere")).to_be_visible()
        await shot(page, tmp_path, "remarks")
        assert (watched.foreign(served.url), watched.dialogs, served.errors) == ([], [], [])
