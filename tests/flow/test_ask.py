"""`assistant-worker ask`: the question that a worker would ask, and what its answer would set, without an engine."""

import json
import re
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import papers
from tests.flow.command import Ran, assistant_worker, environment
from tests.flow.rig import Rig
from tests.models import ServiceTask, bpmn
from worker.domain import threads

REF = re.compile(r"\n\n\(ref [0-9a-f]{12}\)$")
SCHEMA = {"type": "object", "required": ["score"], "properties": {"score": {"type": "integer"}}}
QUESTIONS = [{"name": "fit", "type": "choice", "instructions": "Does it fit?", "choices": ["yes", "no"]}]
GIVEN = {"offer": "Twelve chargers.\n# Not a heading", "needs": ["180 kW", {"by": "May"}], "budget": 9000}


@pytest.fixture
def away(rig: Rig) -> dict[str, str]:
    """Settings with neither an engine nor a Redis behind them."""
    nowhere = "127.0.0.1:9"
    return environment(rig, engine_url=f"http://{nowhere}/engine-rest", redis_url=f"redis://{nowhere}/0")


def written(folder: Path, *steps: ServiceTask, given: Any = GIVEN) -> list[str]:
    """The arguments to ask the first of these steps."""
    (folder / "model.bpmn").write_text(bpmn(*steps).xml)
    (folder / "given.json").write_text(json.dumps(given))
    return ["ask", str(folder / "model.bpmn"), steps[0].id, "--variables", str(folder / "given.json")]


async def asked_by_worker(rig: Rig, step: ServiceTask, given: Any = GIVEN) -> tuple[str, dict[str, Any]]:
    """The question of a worker on the real engine, and what it has set there."""
    model = bpmn(step)
    await rig.rest.deploy(model)
    worker = await rig.start_worker()
    instance = await rig.run(model, given)
    await worker.stop()
    return REF.sub("", rig.questions()[-1]), await rig.rest.variables(instance)


@pytest.mark.parametrize(
    "properties",
    [
        {"data_input": "offer, needs, notes?"},
        {},
        {"data_output_schema": json.dumps(SCHEMA), "data_output_fields": "score", "data_input": "budget"},
        {
            "data_questions": json.dumps(QUESTIONS),
            "data_input": "-",
        },
    ],
    ids=["inputs", "all", "schema", "questions"],
)
async def test_it_shows_what_a_worker_asks_and_sets_what_a_worker_sets(
    properties: dict[str, str], rig: Rig, tmp_path: Path, away: dict[str, str]
) -> None:
    step = rig.step("review", **properties)
    text = '{"score": 3}' if "data_output_schema" in properties else "Fine."
    text = '{"fit": "yes"}' if "data_questions" in properties else text
    rig.provider.answer("Please do review", text)
    arguments = written(tmp_path, step)
    question, variables = await asked_by_worker(rig, step)

    before = rig.provider.counts()["calls"]
    shown = await assistant_worker(away, *arguments, "--dry-run")
    assert (shown.code, shown.out) == (0, question + "\n")
    assert "As on an empty thread, to analyst 1.0 (openai, gpt-5-mini): about " in shown.err
    assert rig.provider.counts()["calls"] == before

    answered = (await assistant_worker(away, *arguments, "--json")).json
    assert answered["question"] == question
    set_by_it = {name: each["value"] for name, each in answered["variables"].items() if not name.endswith("_meta")}
    kept = {name: value for name, value in variables.items() if name not in GIVEN}
    assert set_by_it == {
        name: each for name, each in kept.items() if not name.endswith("_meta") and "thread" not in name
    }


async def test_it_counts_the_tokens_of_the_question_with_its_inputs(
    rig: Rig, tmp_path: Path, away: dict[str, str]
) -> None:
    step, counted = rig.step("review", data_input="offer"), []
    for offer in ("Zwölf Ladesäulen.", "Zwölf Ladesäulen. " * 40):
        arguments = written(tmp_path, step, given={"offer": offer})
        told = (await assistant_worker(away, *arguments, "--dry-run", "--json")).json
        shown = await assistant_worker(away, *arguments, "--dry-run")
        assert offer in told["question"]
        assert told["tokens"] == threads.size(told["question"]) // threads.BYTES_PER_TOKEN + 1
        assert f": about {told['tokens']} tokens, of {told['input_tokens']} that INPUT_TOKENS allows" in shown.err
        counted.append(told["tokens"])
    assert counted[1] - counted[0] > 39 * len("Zwölf Ladesäulen.") // threads.BYTES_PER_TOKEN


async def test_an_answer_without_its_form_is_asked_for_once_more(
    rig: Rig, tmp_path: Path, away: dict[str, str]
) -> None:
    (tmp_path / "score.json").write_text(json.dumps(SCHEMA))
    step = rig.step("review", data_output_schema="score.json", data_input="-")
    rig.provider.answer("Correction", '{"score": 3}')
    rig.provider.answer("Please do review", "three")
    done = (await assistant_worker(away, *written(tmp_path, step), "--json")).json
    assert json.loads(done["variables"]["review"]["value"]) == {"score": 3}
    assert "## Correction" in done["question"]
    assert rig.calls("responses.create") == 2


async def test_a_bad_answer_says_what_the_task_would_do(rig: Rig, tmp_path: Path, away: dict[str, str]) -> None:
    rig.provider.answer("Please do review", "three")
    wrong = {"data_output_schema": json.dumps(SCHEMA), "data_input": "-"}
    failed = await assistant_worker(away, *written(tmp_path, rig.step("review", **wrong)))
    assert (failed.code, "It fails: " in failed.err) == (1, True), failed
    thrown = await assistant_worker(away, *written(tmp_path, rig.step("review", error_invalid="BAD", **wrong)))
    assert (thrown.code, "It throws the BPMN error BAD: " in thrown.err) == (4, True), thrown


async def test_an_input_parameter_with_nothing_in_it_is_null_as_at_an_engine(
    rig: Rig, tmp_path: Path, away: dict[str, str]
) -> None:
    step = replace(rig.step("review", data_input="tone, offer"), inputs={"tone": "", "offer": " "})
    arguments = written(tmp_path, step)
    question, _ = await asked_by_worker(rig, step)
    assert question.count("(empty)") == 2
    assert (await assistant_worker(away, *arguments, "--dry-run")).out == question + "\n"


async def test_a_file_and_input_parameters_are_read_as_they_stand(
    rig: Rig, tmp_path: Path, away: dict[str, str]
) -> None:
    given = {
        "tender": {"type": "File", "value": "wqcgMQ==", "valueInfo": {"filename": "t.md", "mimeType": "text/plain"}}
    }
    step = rig.step("review", data_input="tender, tone")
    fixed = replace(step, inputs={"prompt": "Summarise it.", "tone": "dry"})
    shown = await assistant_worker(away, *written(tmp_path, fixed, given=given), "--dry-run")
    assert (shown.code, "Summarise it." in shown.out, "    § 1" in shown.out, "    dry" in shown.out) == (
        0,
        True,
        True,
        True,
    )

    hidden = await assistant_worker(away, *written(tmp_path, fixed, given=given | {"tone": "loud"}), "--dry-run")
    assert hidden.out == shown.out

    open_ = replace(step, inputs={"prompt": "${question}", "tone": "dry"})
    refused = await assistant_worker(away, *written(tmp_path, open_, given=given), "--dry-run")
    assert (refused.code, "the input parameter prompt is evaluated by engines alone" in refused.err) == (2, True)
    arguments = written(tmp_path, open_, given=given | {"prompt": "Judge it."})
    assert "Judge it." in (await assistant_worker(away, *arguments, "--dry-run")).out


async def test_an_assistant_that_would_be_deployed_with_its_process_is_read_beside_the_model(
    rig: Rig, tmp_path: Path, away: dict[str, str]
) -> None:
    arguments = written(tmp_path, rig.step("review", "deployment:guest.md", data_input="-"))
    front = '---\nname: guest\nversion: "7"\nmodel: gpt-5-mini\nmax_output_tokens: 500\n---\n'
    (tmp_path / "guest.md").write_text(f"{front}You are a guest.\n")
    allowed = away | {"DEPLOYED_ASSISTANTS": "openai/gpt-5-mini=1000"}
    shown = (await assistant_worker(allowed, *arguments, "--dry-run", "--json")).json
    refused = await assistant_worker(away, *arguments, "--dry-run")

    assert shown["instructions"] == "You are a guest."
    assert shown["assistant"].endswith(":guest 7")
    assert (refused.code, "DEPLOYED_ASSISTANTS is off" in refused.err) == (2, True), refused


async def test_a_model_below_the_folder_that_is_deployed_names_its_files_from_there(
    rig: Rig, tmp_path: Path, away: dict[str, str]
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "score.json").write_text(json.dumps(SCHEMA))
    arguments = written(
        tmp_path / "models", rig.step("review", data_output_schema="schemas/score.json", data_input="-")
    )
    shown = await assistant_worker(away, *arguments, "--dry-run", "--folder", str(tmp_path), "--json")
    assert shown.json["schema"] == SCHEMA
    refused = await assistant_worker(away, *arguments, "--dry-run")
    assert (refused.code, "there is no file 'schemas/score.json' beside the model" in refused.err) == (2, True)


async def test_what_would_not_be_asked_says_why(rig: Rig, tmp_path: Path, away: dict[str, str]) -> None:
    arguments = written(tmp_path, rig.step("review", data_input="missing"))
    for more in ([], ["--dry-run"]):
        done = await assistant_worker(away, *arguments, *more)
        assert (done.code, "it would not be asked: input 'missing' is not set" in done.err) == (2, True), done
    done = await assistant_worker(away, *arguments[:2], "reviev", "--dry-run")
    assert (done.code, "has no task reviev that asks an assistant: those that do are review" in done.err) == (2, True)
    assert rig.calls("responses.create") == 0


async def test_a_document_is_read_as_a_worker_reads_it(rig: Rig, tmp_path: Path, away: dict[str, str]) -> None:
    offer = {"type": "File", "value": b64encode(papers.pdf("Twelve chargers")).decode()}
    given = {"offer": offer | {"valueInfo": {"filename": "offer.pdf", "mimeType": "application/pdf"}}}
    arguments = written(tmp_path, rig.step("review", data_input="offer"), given=given)

    shown = await assistant_worker(away, *arguments, "--dry-run")
    assert "#### page 1 of 1\n\n    Twelve chargers\n" in shown.out


async def test_the_question_is_shown_without_the_providers_keys(rig: Rig, tmp_path: Path, away: dict[str, str]) -> None:
    (file := tmp_path / "providers.yaml").write_text("providers:\n  openai: {api: chat, key: env:NOT_SET}\n")
    settings = {name: value for name, value in away.items() if not name.startswith("OPENAI")} | {
        "PROVIDERS_FILE": str(file)
    }
    arguments = written(tmp_path, rig.step("review", data_input="-"))
    done = await assistant_worker(settings, *arguments)
    assert (done.code, "key: the variable that it names is set neither" in done.err) == (2, True)
    shown = await assistant_worker(settings, *arguments, "--dry-run")
    assert (shown.code, shown.out) == (0, "# Review\n\nPlease do review.\n")


@pytest.mark.parametrize("is_read", [True, False])
async def test_whom_a_deployed_assistant_may_ask_need_not_be_known_to_show_its_question(
    is_read: bool, rig: Rig, tmp_path: Path, away: dict[str, str]
) -> None:
    (file := tmp_path / "providers.yaml").write_text("providers:\n  elsewhere: {api: chat, key: env:NOT_SET}\n")
    unread = {} if is_read else {"PROVIDERS_FILE": str(file)}
    arguments = written(tmp_path, rig.step("review", "deployment:guest.md", data_input="-"))
    front = '---\nname: guest\nversion: "7"\nmodel: m\nprovider: elsewhere\nmax_output_tokens: 500\n---\n'
    (tmp_path / "guest.md").write_text(f"{front}You are a guest.\n")
    settings = {name: value for name, value in away.items() if is_read or not name.startswith("OPENAI")}
    settings |= unread | {"DEPLOYED_ASSISTANTS": "elsewhere/m=1000"}

    shown = await assistant_worker(settings, *arguments, "--dry-run")
    assert (shown.code, shown.out) == (0, "# Review\n\nPlease do review.\n"), shown
    refused = await assistant_worker(settings, *arguments)
    assert refused.code == 2


async def test_the_first_step_of_a_sample_is_shown(away: dict[str, str]) -> None:
    samples = Path(__file__).parents[2] / "bpmn"
    done: Ran = await assistant_worker(
        away | {"ASSISTANTS_DIR": str(samples / "assistants")},
        *("ask", str(samples / "decision" / "decision.bpmn"), "frame"),
        *("--variables", str(samples / "decision" / "decision.json"), "--dry-run"),
    )
    assert (done.code, done.out.startswith("# ")) == (0, True), done
