"""People ask back on the page while a worker answers in a real engine: they see each other, wait, and hand over."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from tests.flow.rig import Rig
from tests.flow.test_asks import on, session
from tests.flow.test_handovers import model as waiting_model
from tests.flow.test_reading_along import WORDS, Reader, reader_of
from tests.flow.test_record import arrived
from tests.models import unique
from tests.page.site import Watched, browsing, watch
from tests.page.test_flows import shot
from tests.page.test_real_run import decided, flow_rig, rig
from tests.page.test_visits import NO_LONG_PAUSES
from tests.waiting import wait_until

__all__ = ["flow_rig", "rig"]

ANN, BEN = (f"{name}-0123456789abcdef" for name in ("ann", "ben"))
TOKENS = json.dumps({ANN: {"role": "operator", "name": "Ann"}, BEN: {"role": "operator", "name": "Ben"}})


@asynccontextmanager
async def people(rig: Rig, *tokens: str) -> AsyncIterator[tuple[Reader, list[Watched]]]:
    """A worker, and a page for each of these people, in browsers that know nothing of each other."""
    async with reader_of(rig, tokens[0], api_tokens=TOKENS) as reader, browsing() as context:
        assert context.browser is not None
        yield reader, [await _page(context.browser, token) for token in tokens]


async def _page(chrome: Browser, token: str) -> Watched:
    context: BrowserContext = await chrome.new_context(viewport={"width": 1280, "height": 900})
    await context.add_init_script(f"sessionStorage.setItem('assistant-worker-token', '{token}')")
    return await watch(context)


def answers(page: Page) -> Locator:
    """What stands of answers, whole."""
    return page.locator("article.agent:not(.growing) .content")


def part(page: Page) -> Locator:
    return page.get_by_role("region", name="Ask back")


async def open_at(page: Page, reader: Reader, instance: str) -> None:
    """Open an instance's conversation; a reload would be seen."""
    await page.goto(f"{reader.base}/conversations/{session(instance)}")
    await part(page).wait_for()
    await page.evaluate("window.seen = true")


async def ask(page: Page, text: str) -> None:
    await part(page).get_by_role("textbox", name="Your question").fill(text)
    await part(page).get_by_role("button", name="Ask", exact=True).click()


async def test_a_follow_up_on_the_finished_decision_is_answered_behind_step_one_without_a_reload(
    rig: Rig, tmp_path: Path
) -> None:
    rig.provider.answer("Why this one", WORDS)
    async with people(rig, ANN) as (reader, [ann]):
        instance, page = await decided(rig), ann.page
        await open_at(page, reader, instance)
        await expect(answers(page)).to_have_count(4)
        await ask(page, "Why this one?")
        await expect(answers(page).nth(4)).to_have_text(WORDS)
        question = page.locator("article.user").last
        await expect(question).to_contain_text("Ann")
        await expect(question.locator(".content")).to_have_text("Why this one?")
        await expect(part(page).get_by_role("listitem")).to_contain_text("answered")
        await answers(page).nth(4).scroll_into_view_if_needed()
        await shot(page, tmp_path, "real-follow-up", whole=False)
        assert await page.evaluate("window.seen")
        assert ann.complaints == []
    [said] = on(rig).values()
    assert said[0].startswith("# Frame the decision")
    assert (len(said), said[4]) == (5, "Why this one?")


async def test_two_people_at_one_conversation_see_each_other_and_the_same_in_the_same_order(
    rig: Rig, tmp_path: Path
) -> None:
    rig.provider.answer("Why this one", WORDS)
    rig.provider.fault("responses.create", text="Why this one", stream={"pause": 0.2})
    model = await rig.deploy(rig.step("one"))
    async with people(rig, ANN, BEN) as (reader, [ann, ben]):
        instance = await rig.run(model)
        await arrived(rig, instance, 2)
        for each in (ann, ben):
            await open_at(each.page, reader, instance)
        here = ben.page.locator(".here")
        await expect(here).to_contain_text("Ann")
        await ask(ann.page, "Why this one?")
        growing = ben.page.locator("article.growing")
        await expect(growing).to_contain_text("cheap")
        await expect(part(ben.page).get_by_role("listitem")).to_contain_text("Why this one?")
        await shot(ben.page, tmp_path, "real-two-growing")
        await expect(answers(ben.page).last).to_have_text(WORDS)
        await expect(growing).to_have_count(0)

        await asyncio.gather(ask(ann.page, "What of Ann?"), ask(ben.page, "What of Ben?"))
        both = []
        for each, name in ((ann, "ann"), (ben, "ben")):
            await expect(each.page.get_by_role("article")).to_have_count(8)
            await expect(part(each.page).get_by_text("is being answered")).to_have_count(0)
            both.append(await each.page.locator("article .content").all_inner_texts())
            await shot(each.page, tmp_path, f"real-two-{name}")
            assert await each.page.evaluate("window.seen")
            assert each.complaints == []
        assert both[0] == both[1]
        assert sorted(both[0][4::2]) == ["What of Ann?", "What of Ben?"]


async def test_what_somebody_else_asks_beside_the_process_is_seen_at_once_on_the_page_of_its_conversation(
    rig: Rig, tmp_path: Path
) -> None:
    later = f"{rig.topic}_later"
    rig.provider.fault("responses.create", text="Why so", hold="gate")
    model = await rig.deploy(rig.step("one"), rig.step("two", topic=later))
    async with people(rig, ANN, BEN) as (reader, [ann, ben]):
        instance = await rig.rest.start(model)
        await rig.until_open(instance, "two")
        await arrived(rig, instance, 2)
        await ben.page.add_init_script(NO_LONG_PAUSES)
        for each in (ann, ben):
            await open_at(each.page, reader, instance)
        await ask(ann.page, "Why so?")
        one = part(ben.page).get_by_role("listitem")
        await expect(one).to_contain_text("Why so?")
        await expect(one).to_contain_text("Ann")
        await expect(one.locator("strong")).to_have_text("is being answered")
        await shot(ben.page, tmp_path, "real-asked-beside")
        rig.provider.release("gate")
        await expect(one.locator("strong")).to_have_text("answered")
        await expect(one.get_by_role("link", name="Answer, beside the process")).to_be_visible()
        assert ben.complaints == []


async def test_a_question_waits_on_the_page_until_the_step_that_runs_has_spoken(rig: Rig, tmp_path: Path) -> None:
    rig.provider.fault("responses.create", text="Please do two", hold="gate")
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    async with people(rig, ANN) as (reader, [ann]):
        instance, page = await rig.rest.start(model), ann.page
        await rig.until_open(instance, "two")
        await arrived(rig, instance, 2)
        await open_at(page, reader, instance)
        await expect(answers(page)).to_have_count(1)
        await wait_until(lambda: rig.provider.counts()["running"], what="step two to be asked")
        await part(page).get_by_role("checkbox", name="Say it on the process's own conversation").check()
        await ask(page, "Why so?")
        await expect(part(page).get_by_role("listitem")).to_contain_text("waits its turn")
        await shot(page, tmp_path, "real-question-waits")
        rig.provider.release("gate")
        await expect(answers(page)).to_have_count(3)
        await expect(answers(page).nth(1)).to_contain_text("You ask: “Two”")
        await expect(answers(page).nth(2)).to_contain_text("You ask: “Why so?”")
        await expect(part(page).get_by_role("listitem")).to_contain_text("answered")
        await shot(page, tmp_path, "real-question-waited")
        assert await page.evaluate("window.seen")
        assert ann.complaints == []


async def test_a_step_waits_on_the_page_until_the_question_before_it_is_answered(rig: Rig, tmp_path: Path) -> None:
    later = f"{rig.topic}_later"
    rig.provider.fault("responses.create", text="Why so", hold="gate")
    model = await rig.deploy(rig.step("one"), rig.step("two", topic=later))
    async with people(rig, ANN) as (reader, [ann]):
        instance, page = await rig.rest.start(model), ann.page
        await rig.until_open(instance, "two")
        await arrived(rig, instance, 2)
        await open_at(page, reader, instance)
        await part(page).get_by_role("checkbox", name="Say it on the process's own conversation").check()
        await ask(page, "Why so?")
        await expect(part(page).get_by_role("listitem")).to_contain_text("is being answered")
        await rig.start_worker(topics=later, api_port=0)
        await page.goto(f"{reader.base}/instances/{instance}")
        now = page.get_by_role("region", name="What goes on now").get_by_role("listitem")
        await expect(now.filter(has_text="Two")).to_contain_text(
            "it waits until another task, or a person, is answered"
        )
        await shot(page, tmp_path, "real-step-waits")
        rig.provider.release("gate")
        await expect(answers(page).nth(1)).to_contain_text("You ask: “Why so?”")
        await expect(answers(page).nth(2)).to_contain_text("You ask: “Two”")
        await expect(page.locator(".heading .tag").first).to_have_text("ended")
        assert ann.complaints == []
    assert (await rig.meta(instance, "two"))["heard"] == {"messages": 1, "of": ["Ann"]}


async def test_what_is_handed_over_on_the_page_is_seen_in_the_engines_history(rig: Rig, tmp_path: Path) -> None:
    message = unique("approved")
    model = waiting_model(rig, message)
    await rig.rest.deploy(model)
    rig.provider.answer("May it go on", "It may.")
    async with people(rig, ANN) as (reader, [ann]):
        instance, page = await rig.rest.start(model), ann.page
        await arrived(rig, instance, 2)
        await open_at(page, reader, instance)
        await ask(page, "May it go on?")
        one = part(page).get_by_role("listitem")
        await one.get_by_role("button", name="Hand over to the process").click()
        dialog = page.get_by_role("dialog", name="Hand this answer to the process?")
        await expect(dialog.get_by_role("combobox", name="Message")).to_have_value(message)
        await dialog.get_by_role("textbox", name="Process variable").fill("note")
        await dialog.get_by_role("button", name="Hand over").click()
        await expect(one).to_contain_text("handed over as note, by Ann with the message")
        await shot(page, tmp_path, "real-handed-over")
        assert ann.complaints == []
    kept = await rig.rest.get("history/variable-instance", processInstanceId=instance, maxResults=100)
    values = {each["name"]: each["value"] for each in kept}
    assert values["note"] == "It may."
    [marker] = [json.loads(value) for name, value in values.items() if name.startswith("handover_")]
    assert marker["person"] == "Ann"
    done = await rig.rest.get("history/activity-instance", processInstanceId=instance, activityId="wait", maxResults=5)
    assert [each["endTime"] is not None for each in done] == [True]
