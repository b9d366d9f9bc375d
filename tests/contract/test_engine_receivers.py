"""What a real engine does with what is handed to it: with its marker or not at all, never elsewhere, never a start."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.asks import ADA
from tests.engines import open_engine
from tests.models import Model, expression, line, process, unique
from tests.rest import EngineRest
from worker.demo.engine import Engine
from worker.domain.handovers import Absent, Marker, marker_name, text_hash
from worker.domain.tasks import Variable
from worker.engine import RestEngine, RestReceivers
from worker.errors import EngineDown, Refused

NAME = marker_name("0" * 32)
MARKER = Marker(ADA, "note", text_hash("Yes."))
VARIABLES = {"note": Variable("Yes.", "String"), NAME: Variable(MARKER.text, "String")}


@dataclass(slots=True)
class Process:
    """A process that waits for a message and then has a user task, beside one that the same message starts."""

    rest: EngineRest
    message: str
    model: Model
    started: Model

    async def count(self) -> int:
        """How many instances the message has started."""
        found = await self.rest.get("process-instance/count", processDefinitionKey=self.started.key)
        return int(found["count"])


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[RestEngine]:
    async with open_engine(engine.base_url) as client:
        yield client


@pytest.fixture
def receivers(client: RestEngine) -> RestReceivers:
    return client.receivers


def named(model: Model, message: str) -> Model:
    """The same with a message declared."""
    return Model(
        model.key, model.xml.replace("<bpmn:process", f'<bpmn:message id="m" name="{message}"/><bpmn:process', 1)
    )


RECEIVES = '<bpmn:messageEventDefinition id="d" messageRef="m"/>'
CATCH = f'<bpmn:intermediateCatchEvent id="wait">{RECEIVES}</bpmn:intermediateCatchEvent>'
TASK = '<bpmn:userTask id="sign" {}/>'


@pytest.fixture
async def waiting(engine_rest: EngineRest) -> Process:
    message = f"{unique('Approved by')} Ä & Co."
    xml = message.replace("&", "&amp;")
    model = named(
        process(line(CATCH, TASK.format('camunda:candidateUsers="ada" camunda:candidateGroups="clerks"'))), xml
    )
    begin = f'<bpmn:startEvent id="start">{RECEIVES}</bpmn:startEvent>'
    other = process(line(TASK.format("")))
    other = named(Model(other.key, other.xml.replace('<bpmn:startEvent id="start"/>', begin)), xml)
    await engine_rest.deploy(model, other)
    return Process(engine_rest, message, model, other)


async def test_a_message_comes_with_its_variables_to_the_instance_that_waits(
    receivers: RestReceivers, waiting: Process
) -> None:
    instance, other = await waiting.rest.start(waiting.model), await waiting.rest.start(waiting.model)
    assert await receivers.look(instance, NAME) is Absent.RUNS
    [execution] = await receivers.waiting(instance, waiting.message)
    await receivers.correlate(execution, waiting.message, VARIABLES)

    assert await receivers.look(instance, NAME) == MARKER
    assert await receivers.look(other, NAME) is Absent.RUNS
    assert (await waiting.rest.variables(instance))["note"] == "Yes."
    assert await receivers.waiting(instance, waiting.message) == []


async def test_what_an_instance_waits_for_is_told_by_its_names(receivers: RestReceivers, waiting: Process) -> None:
    instance, other = await waiting.rest.start(waiting.model), await waiting.rest.start(waiting.model)
    assert (await receivers.messages(instance), await receivers.tasks(instance)) == ([waiting.message], [])
    [execution] = await receivers.waiting(instance, waiting.message)
    await receivers.correlate(execution, waiting.message, {})
    assert await receivers.messages(instance) == []
    [task] = await receivers.tasks(instance)
    assert task == await receivers.task(task.id)
    assert (task.process_instance_id, task.name, task.users) == (instance, "sign", frozenset({"ada"}))
    assert await receivers.messages(other) == [waiting.message]
    await receivers.complete(task.id, {})
    assert (await receivers.messages(instance), await receivers.tasks(instance)) == ([], [])


async def test_a_message_that_is_not_waited_for_any_more_starts_nothing_and_leaves_nothing(
    receivers: RestReceivers, waiting: Process
) -> None:
    instance = await waiting.rest.start(waiting.model)
    [execution] = await receivers.waiting(instance, waiting.message)
    await receivers.correlate(execution, waiting.message, {})
    with pytest.raises(Refused):
        await receivers.correlate(execution, waiting.message, VARIABLES)
    with pytest.raises(Refused):
        await receivers.correlate("nobody's", waiting.message, VARIABLES)

    assert await waiting.count() == 0
    assert await receivers.look(instance, NAME) is Absent.RUNS
    # What the engine's own correlation would have done, for all that it names the instance:
    body = {"messageName": waiting.message, "processInstanceId": instance}
    status, _ = await waiting.rest.request("POST", "message", body)
    assert (status, await waiting.count()) == (204, 1)


async def test_a_suspended_instance_waits_for_nothing(receivers: RestReceivers, waiting: Process) -> None:
    instance = await waiting.rest.start(waiting.model)
    await waiting.rest.put(f"process-instance/{instance}/suspended", {"suspended": True})
    assert await receivers.waiting(instance, waiting.message) == []


async def test_a_user_task_is_told_with_whose_it_is_and_completed_with_its_variables(
    receivers: RestReceivers, waiting: Process
) -> None:
    instance = await waiting.rest.start(waiting.model)
    [execution] = await receivers.waiting(instance, waiting.message)
    await receivers.correlate(execution, waiting.message, {})
    [row] = await waiting.rest.get("task", processInstanceId=instance, maxResults=5)
    task = await receivers.task(row["id"])
    assert task is not None
    assert (task.process_instance_id, task.assignee, task.is_suspended, task.is_delegated) == (
        instance,
        None,
        False,
        False,
    )
    assert (task.users, task.groups) == (frozenset({"ada"}), frozenset({"clerks"}))
    await waiting.rest.post(f"task/{task.id}/claim", {"userId": "ada"})
    claimed = await receivers.task(task.id)
    assert claimed is not None
    assert claimed.assignee == "ada"
    await receivers.complete(task.id, VARIABLES)

    assert await receivers.look(instance, NAME) == MARKER, "in the history, as the instance is over"
    assert await receivers.look(instance, marker_name("1" * 32)) is Absent.OVER
    assert await receivers.task(task.id) is None
    with pytest.raises(Refused):
        await receivers.complete(task.id, VARIABLES)


async def test_what_fails_behind_a_task_takes_the_variables_along(
    receivers: RestReceivers, engine_rest: EngineRest
) -> None:
    model = process(line(TASK.format(""), expression("broken", "${nobody.knows}", "x")))
    await engine_rest.deploy(model)
    instance = await engine_rest.start(model)
    [row] = await engine_rest.get("task", processInstanceId=instance, maxResults=5)
    with pytest.raises(Refused):
        await receivers.complete(row["id"], VARIABLES)
    assert await receivers.look(instance, NAME) is Absent.RUNS
    assert await engine_rest.variables(instance) == {}


async def test_where_nothing_is_known_of_an_instance_nobody_can_tell(receivers: RestReceivers) -> None:
    assert await receivers.look("nobody's", NAME) is Absent.HIDDEN


async def test_what_somebody_has_made_of_a_marker_is_not_taken_for_none(
    receivers: RestReceivers, waiting: Process
) -> None:
    instance = await waiting.rest.start(waiting.model, {NAME: "x"})
    assert await receivers.look(instance, NAME) is Absent.HIDDEN


async def test_an_order_to_erase_finds_the_marker_and_with_results_the_text(
    client: RestEngine, waiting: Process
) -> None:
    instance = await waiting.rest.start(waiting.model, {"note": "before", "other": "x"})
    [execution] = await client.receivers.waiting(instance, waiting.message)
    await client.receivers.correlate(execution, waiting.message, VARIABLES)
    found = await client.instances.traces(instance)
    assert {(each.name, each.past) for each in found} == {(NAME, True), (NAME, False)}
    with_results = await client.instances.traces(instance, results=True)
    assert {each.name for each in with_results} == {NAME, "note"}


async def test_an_order_to_erase_finds_the_words_of_a_record_by_the_hash_beside_them(
    client: RestEngine, waiting: Process
) -> None:
    own = {"decision_sha256": "0f" * 32, "decision_text": "# Which press?", "note_sha256": "none", "note_text": "x"}
    instance = await waiting.rest.start(waiting.model, own)
    assert await client.instances.traces(instance) == []
    found = await client.instances.traces(instance, results=True)
    assert {(each.name, each.past, each.value) for each in found} == {
        ("decision_text", True, ""),
        ("decision_text", False, ""),
    }


async def test_groups_of_a_user(receivers: RestReceivers) -> None:
    assert await receivers.groups("nobody") == frozenset()


async def test_an_engine_that_is_away_is_no_absence() -> None:
    async with open_engine("http://127.0.0.1:9/engine-rest") as client:
        with pytest.raises(EngineDown):
            await client.receivers.look("1", NAME)
