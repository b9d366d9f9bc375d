"""Whose conversation it is: the instance's, its callers', everybody's with one business key, or the task's alone."""

import pytest

from tests.conformance.questions import about
from tests.flow.command import assistant_worker, environment
from tests.flow.rig import Rig
from tests.models import Model, call, element, line, process, unique
from tests.waiting import wait_until


async def forget(rig: Rig) -> None:
    """Redis loses everything."""
    async with rig.redis() as redis:
        await redis.flushdb()


async def threads(rig: Rig, instance: str, *outputs: str) -> list[str]:
    """The conversations that these results come from."""
    return [(await rig.meta(instance, output))["thread"] for output in outputs]


async def family(rig: Rig) -> Model:
    """Deploy three processes that call each other; every level has a step that shares the root's conversation.

    The lowest also has one that says nothing, and one, `last`, on a topic of its own.
    """
    share = {"service_thread": "root"}
    lowest = process(
        line(
            element(rig.step("deep", **share)),
            element(rig.step("plain")),
            element(rig.step("last", topic=f"{rig.topic}_last", **share)),
        )
    )
    names = ("deep", "plain", "last")
    hand_up = "".join(f'<camunda:out source="{name}_meta" target="{name}_meta"/>' for name in names)
    middle = process(line(element(rig.step("middle", **share)), call("down", lowest, hand_up)))
    hand_up += '<camunda:out source="middle_meta" target="middle_meta"/>'
    top = process(line(element(rig.step("begin", **share)), call("down", middle, hand_up), element(rig.step("close"))))
    await rig.rest.deploy(lowest, middle, top)
    return top


async def test_called_processes_share_the_conversation_of_their_root_where_they_say_so(rig: Rig) -> None:
    top = await family(rig)
    await rig.start_worker(topics=f"{rig.topic},{rig.topic}_last")
    instance = await rig.run(top)

    shared = await threads(rig, instance, "begin", "middle", "deep", "last", "close")
    assert len(set(shared)) == 1, "the root's own conversation is that of its tasks that say nothing"
    [plain] = await threads(rig, instance, "plain")
    assert plain != shared[0]
    assert rig.provider.counts()["turns"] == {shared[0]: 5, plain: 1}
    assert (await rig.rest.variables(instance))["assistant_thread_analyst"] == f"{shared[0]}#1"


async def test_a_called_process_finds_its_roots_conversation_when_redis_forgot_it(rig: Rig) -> None:
    top = await family(rig)
    await rig.start_worker()
    instance = await rig.rest.start(top)
    lowest = instance
    for _ in range(2):
        lowest = await called_by(rig, lowest)
    await rig.until_open(lowest, "last")
    await forget(rig)
    await rig.start_worker(topics=f"{rig.topic}_last")
    await rig.rest.wait_for_end(instance)

    assert (await rig.meta(instance, "last"))["use"] == "adopted"
    assert len(set(await threads(rig, instance, "begin", "middle", "deep", "last", "close"))) == 1
    assert rig.calls("conversations.create") == 2


@pytest.mark.parametrize("is_gone", [False, True])
async def test_a_called_process_that_hands_all_its_variables_back_takes_nothing_from_its_callers_conversation(
    kept: Rig, is_gone: bool
) -> None:
    child = process(line(element(kept.step("child", topic=f"{kept.topic}_child"))))
    parent = process(
        line(
            element(kept.step("one", documentation="Remember seven.")),
            call("ask", child, '<camunda:out variables="all"/>'),
            element(kept.step("two", topic=f"{kept.topic}_two")),
        )
    )
    await kept.rest.deploy(child, parent)
    await kept.start_worker(topics=f"{kept.topic},{kept.topic}_child")
    instance = await kept.rest.start(parent)
    await kept.until_open(instance, "two")
    [own, strange] = await threads(kept, instance, "one", "child")
    assert (await kept.rest.variables(instance))["assistant_thread_analyst"] == f"{strange}#1"
    await recorded(kept)
    await forget(kept)
    if is_gone:
        kept.provider.forget(own)
    await kept.start_worker(topics=f"{kept.topic}_two")
    await kept.rest.wait_for_end(instance)

    meta = await kept.meta(instance, "two")
    assert (meta["use"], meta["seeded"]) == (("recreated", 1) if is_gone else ("adopted", 0))
    assert (meta["thread"] == own) is not is_gone
    assert meta["thread"] != strange


@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("transcript", ["on", "off"])
async def test_an_instance_that_is_restarted_from_a_later_activity_knows_what_was_said_before_it(
    kept: Rig, transcript: str, initial: bool
) -> None:
    if transcript == "off":
        kept.settings["transcript_url"] = "off"
    model = await kept.deploy(*(kept.step(name, data_input="-") for name in ("one", "two", "three", "four")))
    await kept.start_worker()
    first = await kept.run(model)
    await recorded(kept)
    instance = await kept.restarted(model, first, "three", initial=initial)
    await recorded(kept)
    again = await kept.restarted(model, instance, "four", initial=initial)

    thread, meta = (await kept.meta(first, "one"))["thread"], await kept.meta(instance, "three")
    assert meta["thread"] != thread
    assert (meta["use"], meta["memory"], meta["seeded"]) == (
        ("created", "whole", 2) if transcript == "on" else ("created", "unknown", 0)
    )
    last = await kept.meta(again, "four")
    assert (last["memory"], last["seeded"]) == (("whole", 3) if transcript == "on" else ("unknown", 0))
    if transcript == "on":
        items = kept.provider.conversations()[last["thread"]]["items"]
        asked = ["".join(part["text"] for part in each["content"]) for each in items if each.get("role") == "user"]
        assert [text.splitlines()[0] for text in asked] == ["# One", "# Two", "# Three", "# Four"]


async def test_an_instance_that_is_moved_back_knows_what_was_said_before_that_step_once_it_is_rewound(
    kept: Rig,
) -> None:
    steps = [kept.step(name, data_input="-") for name in ("one", "two", "three")]
    model = await kept.deploy(*steps, kept.step("wait", topic=f"{kept.topic}_wait"))
    await kept.start_worker()
    instance = await kept.rest.start(model)
    await kept.until_open(instance, "wait")
    await recorded(kept)
    rewind = ("threads", "rewind", instance, "--before", "two", "--reason", "a wrong turn", "--json")
    wrong, done, again = [
        await assistant_worker(environment(kept), *arguments)
        for arguments in ((*rewind[:3], "--before", "wait"), rewind, rewind)
    ]
    assert (wrong.code, "there were one, two, three" in " ".join(wrong.err.split())) == (2, True)
    assert (done.code, [each["why"] for each in done.json]) == (0, [""])
    assert again.json == done.json
    order = [{"type": "cancel", "activityId": "wait"}, {"type": "startBeforeActivity", "activityId": "two"}]
    await kept.rest.post(f"process-instance/{instance}/modification", {"instructions": order})
    await kept.start_worker(topics=f"{kept.topic},{kept.topic}_wait")
    await kept.rest.wait_for_end(instance)

    two, last = await kept.meta(instance, "two"), await kept.meta(instance, "wait")
    assert (two["generation"], two["seeded"], two["memory"]) == (2, 1, "whole")
    assert last["thread"] == two["thread"]
    assert [text.splitlines()[0] for text in kept.questions(two["thread"])] == ["# Two", "# Three", "# Wait"]
    await recorded(kept)
    shown = await assistant_worker(environment(kept), "threads", "show", instance, "--json")
    assert sum(len(each["messages"]) for each in shown.json) == 2 * 6, "nothing that was said is lost"


@pytest.mark.parametrize("required", [False, True])
async def test_an_instance_that_is_started_in_its_middle_says_that_it_knows_nothing(rig: Rig, required: bool) -> None:
    needed = {"service_thread_required": "true"} if required else {}
    model = await rig.deploy(rig.step("one"), rig.step("two", **needed))
    await rig.start_worker()
    order = {"startInstructions": [{"type": "startBeforeActivity", "activityId": "two"}]}
    instance = str((await rig.rest.post(f"process-definition/key/{model.key}/start", order))["id"])

    if required:
        [incident] = await wait_until(lambda: rig.rest.incidents(instance), what="the incident")
        assert "the instance was started at two" in incident["incidentMessage"]
        assert rig.calls("conversations.create") == 0
    else:
        await rig.rest.wait_for_end(instance)
        assert (await rig.meta(instance, "two"))["memory"] == "empty"
    usual = await rig.run(await rig.deploy(rig.step("only", **needed)))
    assert (await rig.meta(usual, "only"))["memory"] == "whole"


async def recorded(rig: Rig) -> None:
    """The transcript has all that was said."""
    async with rig.redis() as redis:

        async def is_empty() -> bool:
            return not await redis.zcard("assistant-worker:default:unrecorded")

        await wait_until(is_empty, 60, "the outbox to be empty")  # whoever had claimed it may have gone


async def called_by(rig: Rig, instance: str) -> str:
    """The instance that this one has called, once it is there."""

    async def found() -> str | None:
        rows = await rig.rest.get("process-instance", superProcessInstance=instance)
        return rows[0]["id"] if rows else None

    return str(await wait_until(found, what="the called instance"))


async def test_instances_with_one_business_key_share_a_conversation_whatever_their_process(rig: Rig) -> None:
    order = await rig.deploy(rig.step("order", service_thread="business-key"), rig.step("own"))
    complaint = await rig.deploy(rig.step("complain", service_thread="business-key"))
    await rig.start_worker()
    key = unique("order")
    first = await rig.run(order, business_key=key)
    second = await rig.run(complaint, business_key=key)
    third = await rig.run(complaint, business_key=unique("order"))

    [bought, own] = await threads(rig, first, "order", "own")
    assert await threads(rig, second, "complain") == [bought]
    assert len({bought, own, *await threads(rig, third, "complain")}) == 3
    assert "1 earlier turn" in (await rig.rest.variables(second))["complain"]


async def test_a_business_keys_conversation_is_adopted_when_redis_forgot_it(rig: Rig) -> None:
    model = await rig.deploy(
        rig.step("one", service_thread="business-key"),
        rig.step("two", service_thread="business-key", topic=f"{rig.topic}_two"),
    )
    await rig.start_worker()
    instance = await rig.rest.start(model, business_key=unique("order"))
    await rig.until_open(instance, "two")
    await forget(rig)
    await rig.start_worker(topics=f"{rig.topic}_two")
    await rig.rest.wait_for_end(instance)

    assert (await rig.meta(instance, "two"))["use"] == "adopted"
    assert rig.calls("conversations.create") == 1


async def test_a_business_key_cannot_pass_for_an_instance(rig: Rig) -> None:
    plain = await rig.deploy(rig.step("plain"))
    keyed = await rig.deploy(rig.step("keyed", service_thread="business-key"))
    await rig.start_worker()
    victim = await rig.run(plain)
    thief = await rig.run(keyed, business_key=victim)

    assert await threads(rig, thief, "keyed") != await threads(rig, victim, "plain")


async def test_a_task_without_memory_knows_nothing_and_leaves_nothing_behind(rig: Rig) -> None:
    alone = {"service_thread": "activity"}
    model = await rig.deploy(rig.step("one", **alone), rig.step("two", **alone), rig.step("three"))
    await rig.start_worker()
    instance = await rig.run(model)

    assert len(set(await threads(rig, instance, "one", "two", "three"))) == 3
    variables = await rig.rest.variables(instance)
    for name in ("one", "two", "three"):
        assert "0 earlier turns" in variables[name]
    assert variables["assistant_thread_analyst"].startswith((await threads(rig, instance, "three"))[0])
    [two], [three] = about(rig, "Two"), about(rig, "Three")
    assert "### one" in two, "what no conversation of its own tells is shown as an input"
    assert "### two" in three
