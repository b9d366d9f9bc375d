"""The sample decision. Its cassette shows what the four steps ask, so that a change of that is seen where it is made.

Its answers are the scripted ones, as nobody here has to have a key. To record it anew, run `python -m worker.demo.model
--port 8099`, and here `OPENAI_BASE_URL=http://127.0.0.1:8099/v1 pytest --assistants-record-mode=all`.
"""

import json
from pathlib import Path

import pytest

from worker.testing import Bench

FOLDER = Path(__file__).parents[2] / "bpmn" / "decision"
STEPS = ["frame", "alternatives", "evaluate", "recommend"]


@pytest.mark.usefixtures("assistant_cassette")
def test_four_steps_build_on_each_other(assistant_bench: Bench) -> None:
    assistant_bench.deploy(FOLDER / "decision.bpmn")
    given = json.loads((FOLDER / "decision.json").read_text("utf-8"))
    variables = {
        name: json.loads(each["value"]) if each["type"] == "Json" else each["value"] for name, each in given.items()
    }

    instance = assistant_bench.start("decision", **variables).wait()

    assert instance.path == ["decision_needed", *STEPS, "decision_prepared"]
    assert len({each.thread for each in instance.questions}) == 1
    assert "**Recommendation**: C Mixed fleet" in instance.variables["recommendation"]
