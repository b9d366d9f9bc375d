"""A model that really answers, recorded by the test kit, and replayed where it is not there."""

from datetime import timedelta
from pathlib import Path

from tests.contract.questions import assistant
from tests.contract.test_testing_cassettes import Tape
from worker.demo.model import ModelServer
from worker.demo.processes import HOST, free_port
from worker.demo.small_model import MODEL, SmallModel
from worker.domain.threads import Answer, Outcome, Said
from worker.testing.playing import Mode
from worker.testing.written import Upstream

STEPS = ("Name a bird.", "What does it eat?")
SPEC = assistant(model=MODEL, max_output_tokens=30, timeout=timedelta(seconds=120))


async def asked(path: Path, base_url: str, mode: Mode) -> list[Answer]:
    """What a test's worker hears that plays this cassette."""
    async with ModelServer(any_model=True) as front:
        tape = Tape(front, path, Upstream(base_url, {}))
        said: list[Said] = []
        answers: list[Answer] = []
        async with tape.run("chat", mode) as provider:
            for text in STEPS:
                answers.append(await provider.ask(text, SPEC, said=said))
                said += [Said("user", text), Said("assistant", answers[-1].text)]
        assert tape.flaws == []
    return answers


async def test_what_a_real_model_has_said_is_replayed_without_it(llama: SmallModel, tmp_path: Path) -> None:
    path = tmp_path / "cassettes" / "test.yaml"
    recorded = await asked(path, llama.base_url, "once")
    assert all(each.text and each.outcome in {Outcome.OK, Outcome.INCOMPLETE} for each in recorded)
    assert recorded[0].text[:20] in path.read_text("utf-8")

    replayed = await asked(path, f"http://{HOST}:{free_port()}/v1", "none")
    assert [(each.text, each.outcome) for each in replayed] == [(each.text, each.outcome) for each in recorded]
