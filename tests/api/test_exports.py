"""Exports are whole: with what was said in called processes, each under its own name."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.api.client import GUEST, OPERATOR, TOKENS, Api
from tests.records import exchange, key
from worker.domain.processes import Called, Calls
from worker.errors import EngineDown
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, app, serve

TREE = Calls(
    [
        Called("rating", "risk", "Rate the risk", "instance-a"),
        Called("silent", "none", "", "instance-a"),
        Called("deep", "lookup", "", "silent"),
    ]
)


class Engine:
    """Knows who called whom; it is away where it knows nothing of an instance."""

    def __init__(self, calls: Mapping[str, Calls]) -> None:
        self.calls = calls

    async def called(self, instance_id: str) -> Calls:
        if instance_id not in self.calls:
            raise EngineDown("engine.internal:8080 is away")
        return self.calls[instance_id]


@asynccontextmanager
async def asked(database: Database, calls: Mapping[str, Calls], token: str = OPERATOR) -> AsyncIterator[Api]:
    """A caller with its own thread, on which one that it called speaks too; and two with threads of their own."""
    transcript = SqlTranscriptWriter(database)
    own, shared = {"process_instance_id": "instance-a"}, key("instance-a", assistant="critic")
    names = {"rating": "risk", "deep": "lookup"}
    await transcript.record(exchange(1, key("instance-a"), **own))
    for number, (instance, name) in enumerate(names.items(), start=2):
        facts = {"definition_key": name, "definition_id": f"{name}:7:x", "definition_version": 7}
        await transcript.record(exchange(number, key(instance), answer=f"Said in {name}.", **facts))
    facts = {"definition_key": "risk", "definition_id": "risk:7:x", "process_instance_id": "rating"}
    await transcript.record(exchange(8, shared, **own))
    await transcript.record(exchange(9, shared, **facts))
    await transcript.record(exchange(10, key("stranger")))
    application = app(SqlTranscriptReader(database), Engine(calls), Access.of(TOKENS), report=print)
    async with serve(application, "127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield Api(session, token)


async def test_an_export_has_what_was_said_in_called_processes_under_their_own_names(database: Database) -> None:
    async with asked(database, {"instance-a": TREE}) as api:
        parts = (await api.get("/api/instances/instance-a/export")).json
        text = (await api.get("/api/instances/instance-a/export?format=markdown")).text

    told = [(part["session"]["process_instance_id"], part["process"], part["called_by"]) for part in parts]
    assert told == [
        ("instance-a", "drones", None),
        ("instance-a", "drones", None),
        ("rating", "risk", "instance-a"),
        ("deep", "lookup", "silent"),
    ]
    assert {part["lacking"] for part in parts} == {""}
    assert [message["process_instance_id"] for message in parts[1]["messages"]] == ["instance-a"] * 2 + ["rating"] * 2
    for line in ("- Process: Rate the risk", "- Called by: instance-a", "- Process: lookup", "- Called by: silent"):
        assert f"{line}\n" in text
    assert text.count("*in Rate the risk rating, ") == 2
    assert "may be missing" not in text
    assert "stranger" not in text


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ({}, "the engine cannot be asked now"),
        ({"instance-a": Calls(TREE.called[:1], "the engine keeps no history")}, "the engine keeps no history"),
    ],
    ids=["away", "no history"],
)
async def test_an_export_says_when_the_engine_cannot_say_who_was_called(
    database: Database, calls: Mapping[str, Calls], said: str
) -> None:
    async with asked(database, calls) as api:
        parts = (await api.get("/api/instances/instance-a/export")).json
        text = (await api.get("/api/instances/instance-a/export?format=markdown")).text

    assert len(parts) == 2 + len(calls)
    assert all(said in part["lacking"] for part in parts)
    assert text.startswith("**Conversations of processes that were called may be missing here: ")
    assert said in text
    assert "engine.internal" not in text
    assert "*in risk rating, " in text or "*in Rate the risk rating, " in text


async def test_an_export_has_no_more_than_its_token_may_see(database: Database) -> None:
    async with asked(database, {"instance-a": TREE, "stranger": TREE}, GUEST) as api:
        parts = (await api.get("/api/instances/instance-a/export")).json
        hidden = await api.get("/api/instances/stranger/export")

    assert {part["session"]["process_instance_id"] for part in parts} == {"instance-a"}
    assert hidden.status == 404


async def test_an_export_says_how_many_turns_an_answer_did_not_know_word_for_word_and_where_it_knew_none(
    database: Database,
) -> None:
    async with asked(database, {"long": Calls([])}) as api:
        transcript = SqlTranscriptWriter(database)
        await transcript.record(exchange(1, key("long")))
        await transcript.record(exchange(2, key("long"), untold=1))
        await transcript.record(exchange(3, key("long"), untold=17))
        await transcript.record(exchange(4, key("long"), memory="lost"))
        [part] = (await api.get("/api/instances/long/export")).json
        text = (await api.get("/api/instances/long/export?format=markdown")).text

    assert [each["metadata"].get("untold") for each in part["messages"]] == [None] * 3 + [1, None, 17, None, None]
    assert (text.count("1 earlier turn not told word for word*"), text.count("17 earlier turns not")) == (1, 1)
    assert text.count("word for word") == 2
    assert text.count("told nothing of before*") == 1


async def test_a_caller_without_a_word_of_its_own_is_exported_with_what_it_called(database: Database) -> None:
    async with asked(database, {"silent": Calls([TREE.called[2]]), "unknown": Calls([])}) as api:
        parts = (await api.get("/api/instances/silent/export")).json
        nothing = await api.get("/api/instances/unknown/export")

    assert [part["process"] for part in parts] == ["lookup"]
    assert nothing.status == 404


async def test_lists_name_a_called_process_by_itself_also_where_it_speaks_on_its_callers_thread(
    database: Database,
) -> None:
    async with asked(database, {}) as api:
        listed = (await api.get("/api/instances")).json["items"]
    named = {each["id"]: (each["definition_key"], each["definition_version"]) for each in listed}
    assert named == {
        "instance-a": ("drones", 3),
        "rating": ("risk", 7),
        "deep": ("lookup", 7),
        "stranger": ("drones", 3),
    }
