"""`assistant-worker memory …`, on a real SQLite file."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.records import START, exchange, key
from worker import cli
from worker.domain.conversations import Subject
from worker.domain.endings import Receipt
from worker.domain.memory import MemorySubject, ToRemember
from worker.errors import Permanent
from worker.modelling.subjects import named
from worker.operate.commands import memory
from worker.operate.commands.memory import COMMANDS
from worker.settings import Settings
from worker.transcript import SqlFacts, SqlMemos, SqlTranscriptWriter, open_database

KIND = "variable:customer"
ADA = named(KIND, "ada", None, "default").digest


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Any]:
    """A record in which Ada has a fact and a proposal."""
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        memos = SqlMemos(database, engine="default")
        for number in (1, 2):
            wish = ToRemember(ADA, KIND, "Settle it.", approve=number == 2)
            await SqlTranscriptWriter(database).record(exchange(number, key(), remember=wish))
            for each in await memos.claim(5):
                await memos.settle(each, each.question, each.answer)
        facts = SqlFacts(database, database.hurried(), engine="default")
        adapters = SimpleNamespace(facts=facts, memory=None, forgets_one=True)
        yield SimpleNamespace(adapters=adapters, settings=Settings(_env_file=None))


async def run(desk: Any, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert await COMMANDS[arguments[0]](desk, cli.command_line().parse_args(["memory", *arguments])) == 0
    return capsys.readouterr().out


async def test_subjects_are_listed_without_names(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert ADA in await run(desk, capsys, "list")
    [one] = json.loads(await run(desk, capsys, "list", "--json"))
    assert (one["digest"], one["facts"], one["proposed"]) == (ADA, 1, 1)
    assert "ada" not in str(one)


async def test_a_subject_is_shown_by_its_digest_or_by_what_the_process_calls_it(
    desk: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = await run(desk, capsys, "show", ADA)
    assert shown == await run(desk, capsys, "show", "--of", KIND, "ada")
    assert "Answer 1." in shown
    only = json.loads(await run(desk, capsys, "show", ADA, "--json", "--words", "answer", "2"))
    assert [each["state"] for each in only["facts"]] == ["proposed"]


async def test_of_a_memory_that_is_apart_a_proposal_can_be_refused_and_no_single_fact_forgotten(
    desk: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.adapters.forgets_one = False
    states = {each.state: each.id for each in await desk.adapters.facts.facts(ADA)}
    with pytest.raises(Permanent, match="forgets no single fact"):
        await run(desk, capsys, "forget", ADA, "--fact", states["approved"], "--yes")
    await run(desk, capsys, "forget", ADA, "--fact", states["proposed"], "--yes")
    assert [each.state for each in await desk.adapters.facts.facts(ADA)] == ["approved"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "0" * 32], "nothing was ever remembered"),
        (["show", "--of", KIND, "bob"], "nothing was ever remembered"),
        (["show", "--of", KIND, "ada", "--tenant", "north"], "nothing was ever remembered"),
        (["show", "--of", "customer", "ada"], "variable:<name>, business-key, tenant"),
        (["show", ADA, "--tenant", "north"], "--tenant goes with --of only"),
        (["approve", ADA, "--fact", "x"], "nobody proposes x"),
        (["forget", ADA, "--fact", "x", "--yes"], "nobody knows x"),
        (["forget", ADA, "--fact", "x"], "add --yes if it is meant"),
        (["forget", ADA], "add --yes if it is meant"),
    ],
)
async def test_what_cannot_be_done_is_said(
    desk: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(Permanent, match=said):
        await run(desk, capsys, *arguments)


async def test_a_subject_of_which_nothing_is_known_yet_is_forgotten_by_what_the_process_calls_it(
    desk: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = list[Subject]()

    class Noting:
        def __init__(self, _: Any) -> None: ...

        async def erase(self, subject: Subject) -> Receipt:
            orders.append(subject)
            return Receipt("4711", "default", None, None, START, memory=subject.memory, completed_at=START)

    monkeypatch.setattr(memory, "Eraser", Noting)
    monkeypatch.setattr("worker.bootstrap.ending_ports", lambda *_: None)
    bob = named(KIND, "bob", None, "default").digest
    with pytest.raises(Permanent, match="nothing was ever remembered"):
        await run(desk, capsys, "forget", bob, "--yes")
    await run(desk, capsys, "forget", "--of", KIND, "bob", "--yes")
    assert orders == [Subject("default", memory=bob)]
    assert await desk.adapters.facts.known(MemorySubject(bob, None)) == MemorySubject(bob, None, 0)


async def test_a_proposal_is_approved_and_a_fact_forgotten(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    facts = desk.adapters.facts
    proposed, known = await facts.facts(ADA)
    assert "recalled from now on" in await run(desk, capsys, "approve", ADA, "--fact", proposed.id)
    await run(desk, capsys, "forget", ADA, "--fact", known.id, "--yes")
    assert [(each.id, each.state) for each in await facts.facts(ADA)] == [(proposed.id, "approved")]
