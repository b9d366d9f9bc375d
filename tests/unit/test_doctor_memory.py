"""What the doctor says of the memory."""

from dataclasses import replace

import pytest

from tests.core.remembering import FakeMemory, FakeMemos, FakeVectors
from tests.samples import ACTIVITY, ASSISTANT
from worker.domain.memory import Backlog, MemoryWish
from worker.errors import MemoryDown, MemoryRefused
from worker.operate.doctor import memory
from worker.operate.doctor.checks import Level
from worker.operate.models import tasks
from worker.settings import Settings
from worker.specs.assistants import Specs

OURS = {"service.type": "assistant", "service.name": "analyst"}


@pytest.mark.parametrize(
    ("backlog", "keeps", "level", "said"),
    [
        (Backlog(), True, Level.OK, "all is remembered"),
        (Backlog(3), False, Level.WARNING, "3 answers have yet to be remembered, and MEMORY is off"),
        (Backlog(3, 1, 0, "the key"), True, Level.WARNING, "1 are refused: the key"),
        (Backlog(2000), True, Level.WARNING, "2000 answers"),
        (Backlog(0, 0, 2), True, Level.OK, "2 are proposed"),
    ],
)
def test_what_waits_is_judged(backlog: Backlog, *, keeps: bool, level: Level, said: str) -> None:
    [found] = memory.of_backlog(backlog, keeps=keeps)
    assert found.level is level
    assert said in found.said


def test_without_a_memory_nothing_that_waits_is_nothing_to_say() -> None:
    assert memory.of_backlog(Backlog(), keeps=False) == []


async def test_a_memory_that_cannot_be_used_stops_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    for error in (MemoryDown("away"), MemoryRefused("the key")):
        fake = FakeMemory()
        fake.script.next("check", error)
        used, waiting, _ = memory.checks(fake, FakeMemos(), Settings(_env_file=None))
        [found] = await used.run()
        assert (found.level, found.said) == (Level.WARNING, str(error))
        assert [each.level for each in await waiting.run()] == [Level.OK]
    used, *_ = memory.checks(None, None, Settings(_env_file=None))
    assert "off" in (await used.run())[0].said


@pytest.mark.parametrize(
    ("embeddings", "vectors", "level", "said"),
    [
        ("m", FakeVectors(), Level.OK, "by what they mean, too: m"),
        ("m", FakeVectors(is_ready=False), Level.WARNING, "no extension vector"),
        ("m", None, Level.WARNING, "m is asked where they are in PostgreSQL alone"),
    ],
)
async def test_whether_facts_are_found_by_what_they_mean_is_said(
    embeddings: str, vectors: FakeVectors | None, level: Level, said: str
) -> None:
    *_, meaning = memory.checks(FakeMemory(), FakeMemos(), Settings(_env_file=None), embeddings, vectors)
    [found] = await meaning.run()
    assert (found.level, said in found.said) == (level, True)
    *_, meaning = memory.checks(FakeMemory(), FakeMemos(), Settings(_env_file=None))
    assert await meaning.run() == []


@pytest.mark.parametrize(
    ("wishes", "usual", "said"),
    [
        ({"memory.approve": "true"}, MemoryWish(), "memory.approve means nothing without memory.subject"),
        ({"memory.approve": "true"}, MemoryWish("tenant"), None),
        (
            {"memory.subject": "tenant", "memory.remember": "false", "memory.approve": "true"},
            MemoryWish(),
            "take one out",
        ),
        ({"memory.recal": "3"}, MemoryWish(), "memory.recall"),
    ],
)
def test_wishes_that_mean_nothing_are_named_where_they_stand(
    wishes: dict[str, str], usual: MemoryWish, said: str | None
) -> None:
    activity = replace(ACTIVITY, properties=OURS | wishes, async_after=True)
    specs = Specs((replace(ASSISTANT, memory=usual),))
    found = [f"{each.said} {each.advice}" for each in tasks.faults(activity, specs)]
    assert found == [] if said is None else said in str(found)
