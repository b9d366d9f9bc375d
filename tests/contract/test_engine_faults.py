"""What the adapter makes of an engine, or something in its place, that answers wrongly, late or not at all."""

import json
import ssl
import threading
import traceback
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.engines import http, literal, open_engine, own_error
from worker.demo.engine import Engine
from worker.domain.tasks import Topic, Variable
from worker.engine import Basic, Bearer, RestEngine, client, failures, transport
from worker.engine.quoting import unquoted
from worker.errors import (
    Conflict,
    EngineDenied,
    EngineDown,
    EngineUnreached,
    Forbidden,
    Permanent,
    ReadRefused,
    Refused,
    TaskGone,
    TaskLost,
    TaskSuspended,
    TooLong,
    TooMuch,
    Unanswered,
    WorkerError,
)

Call = Callable[[RestEngine], Awaitable[object]]

POLL: Call = lambda engine: engine.fetch([Topic("topic")], 1)  # noqa: E731 - a table of calls
COMPLETE: Call = lambda engine: engine.complete("task", {"x": Variable(1)}, {})  # noqa: E731 - as above
EXTEND: Call = lambda engine: engine.extend("task")  # noqa: E731 - as above
EVERY_CALL: dict[str, Call] = {
    "fetch": POLL,
    "complete": COMPLETE,
    "extend": EXTEND,
    "fail": lambda engine: engine.fail("task", "message", "details", 1, timedelta(0)),
    "bpmn_error": lambda engine: engine.bpmn_error("task", "code", "message", {}),
    "unlock": lambda engine: engine.unlock("task"),
    "state": lambda engine: engine.state("task"),
    "was_completed": lambda engine: engine.was_completed("task"),
    "definition": lambda engine: engine.definition("key:1:1"),
    "variable": lambda engine: engine.variable("instance", "name"),
    "set_variable": lambda engine: engine.set_variable("instance", "name", Variable(1)),
    "has_spin": lambda engine: engine.has_spin(),
    "deployed": lambda engine: engine.deployed(),
    "ping": lambda engine: engine.ping(),
    "info": lambda engine: engine.info(),
}
PAGE = "<html><body>Sign in to continue</body></html>"
NO_ANSWER_OF_AN_ENGINE = {
    "page with 200": http(200, PAGE, "text/html"),
    "page with 404": http(404, PAGE, "text/html"),
    "page with 500": http(500, PAGE, "text/html"),
    "page with 503": http(503, PAGE, "text/html"),
    "problem details": http(404, '{"type":"about:blank","title":"Not Found","status":404}', "application/problem+json"),
    "a gateway's own JSON": http(404, '{"type":"error","message":"no route","code":0}'),
    "Spring Boot's 404": http(404, '{"timestamp":"2026","status":404,"error":"Not Found","path":"/"}'),
    "a path the engine has not": http(404, own_error("NotFoundException", None, "HTTP 404 Not Found")),
    "empty 500": http(500),
    "engine's words through a gateway": http(502, own_error()),
    "too many requests": http(429, "{}", Retry_After="7"),
    "text that says it is JSON": http(200, "[{"),
    "JSON of another shape": http(200, '"ok"'),
    "cut body": http(200, "[]" + " " * 100)[:-50],
    "cut head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "redirect": http(302, Location="https://login.example.org/engine-rest"),
}


async def outcomes(engine: RestEngine) -> dict[str, object]:
    """What each call raises or returns."""

    async def outcome(call: Call) -> object:
        try:
            return await call(engine)
        except WorkerError as exc:
            return type(exc)

    return {name: await outcome(call) for name, call in EVERY_CALL.items()}


@pytest.mark.parametrize("answer", NO_ANSWER_OF_AN_ENGINE.values(), ids=NO_ANSWER_OF_AN_ENGINE)
async def test_what_no_engine_says_is_an_engine_that_is_down(answer: bytes) -> None:
    async with literal(answer) as server, open_engine(server.url) as engine:
        assert await outcomes(engine) == dict.fromkeys(EVERY_CALL, EngineDown)


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_and_rights_are_said_as_such(status: int) -> None:
    async with literal(http(status, own_error("AuthorizationException"))) as server, open_engine(server.url) as engine:
        assert await outcomes(engine) == {**dict.fromkeys(EVERY_CALL, EngineDenied), "has_spin": False}


async def test_an_engine_that_is_not_there_is_down() -> None:
    async with literal(None) as server:
        url = server.url
    async with open_engine(url) as engine:
        assert await outcomes(engine) == dict.fromkeys(EVERY_CALL, EngineUnreached), "nothing was sent"
        with pytest.raises(EngineDown, match=r"127\.0\.0\.1:\d+"):
            await POLL(engine)


async def test_a_wish_to_wait_is_handed_on() -> None:
    async with literal(NO_ANSWER_OF_AN_ENGINE["too many requests"]) as server, open_engine(server.url) as engine:
        with pytest.raises(EngineDown) as caught:
            await POLL(engine)
    assert caught.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("wish", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "soon"])
async def test_a_wish_that_is_no_number_of_seconds_is_none(wish: str) -> None:
    async with literal(http(503, Retry_After=wish)) as server, open_engine(server.url) as engine:
        with pytest.raises(EngineDown) as caught:
            await POLL(engine)
    assert caught.value.retry_after is None


async def test_a_server_that_never_answers_is_given_up_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "POLL_MARGIN_SECONDS", 0.2)
    async with literal(None) as server, open_engine(server.url, poll=timedelta(milliseconds=100)) as engine:
        for _ in range(2):
            with pytest.raises(EngineDown, match="no answer in time"):
                await POLL(engine)
        assert len(server.requests) == 2  # each on a connection of its own


@pytest.mark.parametrize("status", [400, 500])
async def test_a_poll_that_the_engine_itself_says_no_to_is_refused(status: int) -> None:
    """Such as one that would bring what it cannot write down, or one too many in its queue."""
    no = http(status, own_error("InvalidRequestException", None))
    async with literal(no) as server, open_engine(server.url) as engine:
        with pytest.raises(Refused):
            await POLL(engine)
        with pytest.raises(EngineDown):
            await engine.ping()


async def test_a_collision_of_polls_is_no_word_on_any_task() -> None:
    async with literal(http(500, own_error(code=10000))) as server, open_engine(server.url) as engine:
        with pytest.raises(EngineDown):
            await POLL(engine)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (500, 1, Conflict),
        (500, 10000, Conflict),
        (500, 10001, Conflict),
        (500, 10002, TooLong),
        (404, 0, TaskGone),
        (404, None, TaskGone),
    ],
)
async def test_a_command_is_judged_by_status_and_code(
    status: int, code: int | None, expected: type[WorkerError]
) -> None:
    answer = http(status, own_error("SomethingNewException", code, "in whatever words"))
    async with literal(answer) as server, open_engine(server.url) as engine:
        for name in ("complete", "fail", "bpmn_error"):
            with pytest.raises(expected) as caught:
                await EVERY_CALL[name](engine)
            assert type(caught.value) is expected
        assert len(server.requests) == 3  # nothing more was asked


async def test_what_an_error_repeats_of_a_large_result_is_looked_for_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, looked = "a word or two of it " * 1500, list[threading.Thread]()

    def noting(message: str, sent: Any) -> str:
        looked.append(threading.current_thread())
        return unquoted(message, sent)

    monkeypatch.setattr(failures, "unquoted", noting)
    answer = http(500, own_error(code=failures.COLUMN_TOO_SMALL, message=f"cannot take {result[:900]}"))
    async with literal(answer) as server, open_engine(server.url) as engine:
        with pytest.raises(TooLong) as caught:
            await engine.complete("task", {"x": Variable(result)}, {})

    assert "cannot take […]" in str(caught.value)
    assert len(looked) == 1
    assert looked[0] is not threading.main_thread()


async def test_more_than_a_gateway_lets_through_is_too_long() -> None:
    async with literal(http(413, PAGE, "text/html")) as server, open_engine(server.url) as engine:
        with pytest.raises(TooLong):
            await COMPLETE(engine)


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (http(200, '{"workerId":"ours","suspended":false}'), Refused),
        (http(200, '{"workerId":"ours","suspended":true}'), TaskSuspended),
        (http(200, '{"workerId":"somebody","suspended":false}'), TaskLost),
        (http(200, '{"workerId":null,"suspended":false}'), TaskLost),
        (http(404, own_error()), TaskGone),
        (http(500, own_error()), EngineDown),
    ],
)
async def test_a_refused_completion_means_what_the_tasks_state_says(
    status: int, state: bytes, expected: type[WorkerError]
) -> None:
    async with (
        literal(http(status, own_error()), state) as server,
        open_engine(server.url, worker_id="ours") as engine,
    ):
        with pytest.raises(expected) as caught:
            await COMPLETE(engine)
    assert type(caught.value) is expected
    probes = ["POST"] if expected is EngineDown else []
    assert [request.split()[0] for request in server.requests] == ["POST", "GET", *probes]


async def test_an_extension_is_refused_for_good_only_by_a_second_no() -> None:
    no, ours = http(400, own_error()), http(200, '{"workerId":null,"suspended":false}')
    for last, expected in ((http(204), None), (no, TaskLost)):
        async with literal(no, ours, last) as server, open_engine(server.url) as engine:
            if expected is None:
                await EXTEND(engine)
            else:
                with pytest.raises(expected):
                    await EXTEND(engine)
        assert len(server.requests) == 3


async def test_a_collision_while_extending_is_no_word_on_the_task() -> None:
    async with literal(http(500, own_error(code=1))) as server, open_engine(server.url) as engine:
        with pytest.raises(Conflict):
            await EXTEND(engine)


async def test_numbers_that_are_none_are_no_shape_of_an_engine() -> None:
    rows = '[{"definition": {"id": "a", "key": "k", "version": 1e999}, "instances": 1}]'
    async with literal(http(200, rows)) as server, open_engine(server.url) as engine:
        with pytest.raises(EngineDown, match="another shape"):
            await engine.deployed()


async def test_an_address_without_engine_rest_is_named_as_what_may_be_wrong(engine: Engine) -> None:
    hint = "ENGINE_URL does not end in /engine-rest"
    async with open_engine(engine.base_url.removesuffix("/engine-rest")) as client:
        with pytest.raises(EngineDown, match=hint):
            await client.ping()
    async with literal(http(404, "<html>", "text/html")) as server:
        for url, named in ((server.url, False), (server.url.replace("engine-rest", "rest"), True)):
            async with open_engine(url) as client:
                with pytest.raises(EngineDown) as caught:
                    await client.ping()
            assert (hint in str(caught.value)) is named


NO, DENIED = http(500, own_error("ProcessEngineException")), http(403, own_error("AuthorizationException"))
FINE, GONE = http(200, "[]"), http(404, own_error())
FOR_ONE_TASK: dict[str, Call] = {
    name: EVERY_CALL[name] for name in ("extend", "unlock", "state", "definition", "variable", "set_variable")
} | {
    "content": lambda engine: engine.content("execution", "name", 100),
    "root_instance": lambda engine: engine.root_instance("instance"),
    "resource": lambda engine: engine.resource("key:1:1", "x.json"),
}
COMMANDS = {"extend", "unlock", "set_variable"}


@pytest.mark.parametrize("name", FOR_ONE_TASK)
async def test_a_right_that_one_task_needs_is_that_tasks_trouble_while_the_probe_succeeds(name: str) -> None:
    async with literal(DENIED, FINE, GONE) as server, open_engine(server.url) as engine:
        with pytest.raises(TaskLost if name == "variable" else Forbidden if name in COMMANDS else ReadRefused):
            await FOR_ONE_TASK[name](engine)
    assert "fetchAndLock" in server.requests[1]


@pytest.mark.parametrize("name", FOR_ONE_TASK)
async def test_a_right_that_the_probe_lacks_too_is_an_outage(name: str) -> None:
    async with literal(DENIED) as server, open_engine(server.url) as engine:
        with pytest.raises(EngineDenied):
            await FOR_ONE_TASK[name](engine)
    assert len(server.requests) == 2


@pytest.mark.parametrize("name", sorted(FOR_ONE_TASK.keys() - COMMANDS - {"variable"}))
@pytest.mark.parametrize("no", [NO, http(400, PAGE, "text/html")])
async def test_a_read_that_the_engine_refuses_is_its_tasks_trouble_while_the_probe_succeeds(
    name: str, no: bytes
) -> None:
    async with literal(no, FINE, no) as server, open_engine(server.url) as engine:
        with pytest.raises(ReadRefused, match=r"cannot be read: \d00 "):
            await FOR_ONE_TASK[name](engine)
    assert len(server.requests) == (3 if no is NO else 2)  # a fault of the engine's may have passed meanwhile


@pytest.mark.parametrize("name", sorted(FOR_ONE_TASK.keys() - COMMANDS))
async def test_a_fault_that_the_probe_meets_too_is_an_outage(name: str) -> None:
    async with literal(NO) as server, open_engine(server.url) as engine:
        with pytest.raises(EngineDown):
            await FOR_ONE_TASK[name](engine)


async def test_a_fault_that_has_passed_when_the_probe_succeeds_is_none() -> None:
    state = http(200, '{"workerId":"ours","suspended":false}')
    async with literal(NO, FINE, state) as server, open_engine(server.url) as engine:
        assert (await engine.state("task")).worker_id == "ours"


IN_THE_ENGINES_PLACE = ["page with 200", "text that says it is JSON", "JSON of another shape"]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        *product(sorted(FOR_ONE_TASK.keys() - COMMANDS), ["page with 503", "cut body", "a gateway's own JSON"]),
        *product(sorted(FOR_ONE_TASK.keys() - COMMANDS - {"content"}), IN_THE_ENGINES_PLACE),  # a file may be anything
    ],
)
async def test_a_read_without_an_answer_is_its_tasks_trouble_while_the_probe_succeeds(name: str, answer: str) -> None:
    async with literal(NO_ANSWER_OF_AN_ENGINE[answer], FINE) as server, open_engine(server.url) as engine:
        with pytest.raises(Unanswered, match="could not be read"):
            await FOR_ONE_TASK[name](engine)


@pytest.mark.parametrize("body", ['{"error": "upstream"}', "[]", PAGE])
async def test_what_is_no_variable_is_never_read_as_an_empty_one(body: str) -> None:
    calls: list[Call] = [lambda engine: engine.as_json("execution", "name", 100), FOR_ONE_TASK["variable"]]
    for call in calls:
        async with literal(http(200, body), FINE) as server, open_engine(server.url) as engine:
            with pytest.raises(Unanswered, match="could not be read"):
                await call(engine)


async def test_a_definition_that_the_engine_gives_out_without_its_xml_is_its_own_trouble() -> None:
    async with literal(http(200, '{"id":"key:1:1","bpmn20Xml":null}')) as server, open_engine(server.url) as engine:
        with pytest.raises(ReadRefused, match="key:1:1 cannot be read: the engine's answer has no XML of it"):
            await engine.definition("key:1:1")


async def test_an_engine_that_does_not_list_instances_has_not_said_that_there_is_no_caller() -> None:
    async with literal(GONE) as server, open_engine(server.url) as engine:
        with pytest.raises(ReadRefused, match="the calling process instance cannot be read"):
            await engine.root_instance("instance")


async def test_a_read_that_collided_says_nothing_of_its_task() -> None:
    collision = http(500, own_error(code=1))
    async with literal(collision, FINE, collision) as server, open_engine(server.url) as engine:
        with pytest.raises(Conflict):
            await engine.variable("instance", "name")


async def test_the_engines_words_of_a_refusal_are_bounded() -> None:
    no = http(400, own_error("InvalidRequestException", None, "x" * 10_000))
    async with literal(no, FINE) as server, open_engine(server.url) as engine:
        with pytest.raises(ReadRefused) as caught:
            await engine.content("execution", "name", 100)
    assert 300 < len(str(caught.value)) < 400


async def test_pages_become_smaller_where_the_engine_has_a_limit_of_its_own() -> None:
    no, rows = http(400, own_error("BadUserRequestException")), http(200, '[{"id":"a"}]')
    async with literal(no, no, rows) as server, open_engine(server.url) as engine:
        assert await engine.locked() == ["a"]
        assert await engine.locked() == ["a"]
    sizes = [request.split("maxResults=")[1].split()[0] for request in server.requests]
    assert sizes == ["200", "100", "50", "50"]


async def test_a_history_that_ignores_the_filter_does_not_make_a_completion() -> None:
    rows = '[{"creationLog":true,"successLog":false}]'
    async with literal(http(200, rows)) as server, open_engine(server.url) as engine:
        assert not await engine.was_completed("task")


async def test_one_task_that_cannot_be_read_takes_no_other_along() -> None:
    good = (
        '{"id":"%s","topicName":"t","activityId":"a","processInstanceId":"i","processDefinitionId":"k:1:1",'
        '"processDefinitionKey":"k","executionId":"e","createTime":null,"variables":{}}'
    )
    bad = ['{"id":"no topic"}', "7", "null", good.replace('"variables":{}', '"variables":{"x":1}') % "odd variable"]
    rows = ",".join([good % "first", *bad, good % "second"])
    async with literal(http(200, f"[{rows}]")) as server, open_engine(server.url) as engine:
        assert [task.id for task in await engine.fetch([Topic("t")], 9)] == ["first", "second"]


@pytest.mark.parametrize("more", [0, 1])
async def test_a_polls_reply_is_taken_in_up_to_its_bound(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    rows = "[" + " " * 200_000 + "]"
    monkeypatch.setattr(client, "LARGEST_POLL", len(rows) - more)
    async with literal(http(200, rows)) as server, open_engine(server.url) as engine:
        if not more:
            assert await POLL(engine) == []
            return
        with pytest.raises(TooMuch, match=f"more than {len(rows) - 1} bytes"):
            await POLL(engine)


async def test_no_more_of_an_endless_reply_is_read_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LARGEST_POLL", 100_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000000000\r\n\r\n"
    async with literal(head + b"[" + b" " * 8_000_000) as server, open_engine(server.url) as engine:
        with pytest.raises(TooMuch):
            await POLL(engine)


@pytest.mark.parametrize("name", sorted(EVERY_CALL.keys() - {"fetch"}))
async def test_every_reply_has_a_bound(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(transport, "LARGEST_REPLY", 1000)
    async with literal(http(200, "[" + " " * 2000 + "]")) as server, open_engine(server.url) as engine:
        with pytest.raises(EngineDown, match="more than 1000 bytes"):
            await EVERY_CALL[name](engine)


async def test_a_definition_that_is_too_much_to_take_in_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_REPLY", 1000)
    async with literal(http(200, "{" + " " * 2000 + "}"), http(200, "[]")) as server, open_engine(server.url) as engine:
        with pytest.raises(Unanswered, match="more than 1000 bytes"):
            await engine.definition("key:1:1")


@pytest.mark.parametrize("auth", [Basic("ada", "s3cret ü"), Bearer("s3cret-token")])
async def test_credentials_go_to_the_engine_and_nowhere_else(auth: Basic | Bearer) -> None:
    async with literal(http(200, "[]")) as elsewhere:
        moved = http(307, Location=elsewhere.url.replace("127.0.0.1", "localhost"))
        async with literal(moved) as server, open_engine(server.url, auth=auth) as engine:
            with pytest.raises(EngineDown, match="redirects to localhost") as caught:
                await POLL(engine)
        assert f"Authorization: {auth.header}" in server.requests[0]
        assert not elsewhere.requests
    assert "s3cret" not in repr(auth) + str(caught.value) + repr(engine) + str(vars(engine))


async def test_every_request_says_who_asks() -> None:
    async with literal(http(200, "[]")) as server, open_engine(server.url) as engine:
        await POLL(engine)
    assert "User-Agent: assistant-worker/" in server.requests[0]
    assert "Authorization" not in server.requests[0]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    file = tmp_path / "127.0.0.1.pem"
    file.write_text(KEY_AND_CERTIFICATE)
    return file


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with literal(http(200, "[]"), tls=tls) as server:
        async with open_engine(server.url, auth=Bearer("s3cret")) as engine:
            with pytest.raises(EngineDown, match="Certificate"):
                await POLL(engine)
        assert not server.requests
        async with open_engine(server.url, ca_file=certificate) as engine:
            assert await POLL(engine) == []


async def test_an_unreadable_ca_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for file in (tmp_path / "nosuch.pem", tmp_path / "empty.pem"):
        with pytest.raises(Permanent, match=file.name):
            async with open_engine("https://127.0.0.1/engine-rest", ca_file=file):
                pass


# For 127.0.0.1, signed by itself and trusted by nobody, valid from 2020 to 2120.
KEY_AND_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3axcSSLTmJiR/CTH
N/aqK4MSflwi7putIszgvlt0dKehRANCAASChRvm0E9x7R7SK3+pZOyQYz7P6uki
HE2La0PR8vBDgZE79aGHEbRTyhLFHWIMuAsPakkOLIk9cahiLHzTR2ld
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBajCCAQ+gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAl0ZXN0IG9u
bHkwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CXRlc3Qgb25seTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIKFG+bQT3HtHtIr
f6lk7JBjPs/q6SIcTYtrQ9Hy8EOBkTv1oYcRtFPKEsUdYgy4Cw9qSQ4siT1xqGIs
fNNHaV2jUDBOMA8GA1UdEQQIMAaHBH8AAAEwDwYDVR0TAQH/BAUwAwEB/zAdBgNV
HQ4EFgQUvFPeu3W2tN3bDa1WhzzWmwJqrokwCwYDVR0PBAQDAgKEMAoGCCqGSM49
BAMCA0kAMEYCIQDTmzwK1TpkCP4DB4QAIttMgKfCjmMLhHFblC5Oo0F8eQIhAJXv
ivSOczfARh0A1J8v2UvGbGUJAUfwAPiuIDmgZ5Zr
-----END CERTIFICATE-----
"""


@pytest.mark.parametrize("call", ["complete", "set_variable", "bpmn_error"])
async def test_what_the_engine_quotes_of_a_result_is_in_no_error_of_ours(call: str) -> None:
    secret = Variable("Ms Miller owes us 31000 dollars.", "String")
    calls: dict[str, Call] = {
        "complete": lambda engine: engine.complete("task", {"x": secret}, {}),
        "set_variable": lambda engine: engine.set_variable("instance", "x", secret),
        "bpmn_error": lambda engine: engine.bpmn_error("task", "code", "message", {"x": secret}),
    }
    quoting = own_error("ProcessEngineException", None, f"Cannot resolve ${{x.y}} of '{secret.value}'")
    async with literal() as server, open_engine(server.url) as engine:
        server.answers = [http(500, quoting), http(200, json.dumps({"workerId": engine.worker_id}))]
        with pytest.raises(Refused) as caught:
            await calls[call](engine)

    shown = "".join(traceback.format_exception(caught.value))
    assert "Miller" not in shown
    assert "Cannot resolve ${x.y} of '[…]" in shown
