"""Where an instance came from, as engines' histories tell it."""

import json

import pytest

from tests.engines import http, literal, open_engine, own_error
from tests.models import ServiceTask, bpmn
from worker.domain.tasks import Origin
from worker.engine.reads import MOST_RESTARTS

DENIED, FINE = http(403, own_error("AuthorizationException")), http(200, "[]")
GONE = http(404, own_error())
MODEL = bpmn(ServiceTask("step", "topic"))
BEGAN = "2026-05-04T09:00:00.000+0000"


def row(began_with: str = "start", restarted_from: str | None = None) -> bytes:
    """One instance in the history."""
    said = {"startActivityId": began_with, "startTime": BEGAN, "processDefinitionId": f"{MODEL.key}:1:1"}
    return http(200, json.dumps(said | ({"restartedProcessInstanceId": restarted_from} if restarted_from else {})))


XML = http(200, json.dumps({"id": "d", "bpmn20Xml": MODEL.xml}))


@pytest.mark.parametrize(
    ("replies", "origin"),
    [
        ([row()], Origin()),
        ([row("gone_with_an_older_version")], Origin()),
        ([row("step")], Origin(skipped_to="step")),
        ([row("step", "a"), row("step", "b"), row()], Origin(("a", "b"), "step")),
        ([row("start", "a"), GONE], Origin(("a",))),
        ([row("start", str(number)) for number in range(MOST_RESTARTS + 1)], Origin(tuple(map(str, range(10))))),
    ],
)
async def test_an_instance_is_asked_once_where_it_came_from(replies: list[bytes], origin: Origin) -> None:
    async with literal(*replies, XML) as server, open_engine(server.url) as engine:
        assert await engine.origin("new") == origin
        asked = len(server.requests)
        assert asked == len(replies) + 1
        assert await engine.origin("new") == origin
        assert len(server.requests) == asked


@pytest.mark.parametrize(("reply", "began"), [(row(), BEGAN), (GONE, "")])
async def test_when_an_instance_began_is_asked_each_time(reply: bytes, began: str) -> None:
    """Its id may be another instance's by now."""
    async with literal(reply, reply) as server, open_engine(server.url) as engine:
        assert await engine.began_at("new") == await engine.began_at("new") == began
        assert len(server.requests) == 2


async def test_a_history_that_may_not_be_read_does_not_say_when_an_instance_began() -> None:
    async with literal(DENIED, FINE) as server, open_engine(server.url) as engine:
        assert await engine.began_at("new") == ""


@pytest.mark.parametrize("no", [[GONE], [DENIED, FINE], [row("step", "a"), DENIED, FINE]])
async def test_what_the_history_does_not_say_is_asked_again(no: list[bytes]) -> None:
    async with literal(*no, row(), XML) as server, open_engine(server.url) as engine:
        assert await engine.origin("new") is None
        assert await engine.origin("new") == Origin()


async def test_of_a_definition_that_cannot_be_read_nobody_can_tell_what_was_skipped() -> None:
    async with literal(row("step", "a"), row(), GONE) as server, open_engine(server.url) as engine:
        assert await engine.origin("new") == Origin(("a",))
