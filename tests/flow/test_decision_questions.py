"""Decision questions on real parts: over both wires and by a schema, as variables of the engine's own types."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.flow.rig import Rig

PROVIDERS = """\
providers:
  deciding: {{api: decisions, base_url: '{url}', key: env:FLOW_KEY}}
  judge: {{api: systemone, base_url: '{url}', key: env:FLOW_KEY}}
  openai: {{api: chat, base_url: '{url}', key: env:FLOW_KEY}}
"""


def asking(name: str) -> str:
    """Three questions, whose names begin so."""
    return json.dumps(
        [
            {"name": f"{name}_fits", "type": "predicate", "instructions": "It fits."},
            {"name": f"{name}_route", "type": "choice", "instructions": "Who?", "choices": ["clerk", "board"]},
            {"name": f"{name}_risk", "type": "score", "instructions": "How risky?", "levels": ["none", "some", "high"]},
        ]
    )


async def typed(rig: Rig, instance: str) -> dict[str, tuple[str, Any]]:
    rows = await rig.rest.get("history/variable-instance", processInstanceId=instance, deserializeValues=False)
    return {row["name"]: (row["type"], row["value"]) for row in rows}


async def test_answers_decide_where_they_are_sure_and_a_person_where_they_are_not(
    rig: Rig, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("FLOW_KEY", "test-key-never-logged")
    file = tmp_path / "providers.yaml"
    file.write_text(PROVIDERS.format(url=rig.provider.base_url))
    rig.settings |= {"providers_file": file, "openai_base_url": None, "openai_api_key": None}
    for name in ("deciding", "judge"):
        rig.assistant(name, more=f"provider: {name}")
    rig.provider.answer("Please do said", '{"said_fits": true, "said_route": "board", "said_risk": "some"}')
    rig.provider.weigh(gate_fits=0.9, gate_route={"clerk": 0.9, "board": 0.1}, gate_risk=[0.1, 0.9, 0.0])
    rig.provider.weigh(weak_fits=0.6, weak_route={"clerk": 0.3, "board": 0.7}, weak_risk=None)
    bar = {"service_confidence": "0.75"}
    gate = rig.step("gate", "deciding", data_questions=asking("gate"), **bar)
    said = rig.step("said", data_questions=asking("said"))
    weak = rig.step("weak", "judge", data_questions=asking("weak"), error_unsure="ASK", **bar)
    rig.provider.weigh(often_fits=0.9, often_route={"clerk": 0.2, "board": 0.8}, often_risk=[0.1, 0.9, 0.0])
    often = rig.step("often", "deciding", data_questions=asking("often"), data_questions_orders="3")
    model = await rig.deploy(gate, said, often, replace(weak, catches="ASK"))
    await rig.start_worker()
    instance = await rig.run(model)
    got = await typed(rig, instance)

    assert got["gate_fits"] == ("Boolean", True)
    assert got["gate_fits_confidence"] == ("Double", 0.9)
    assert got["gate_route"] == ("String", "clerk")
    assert got["gate_risk"] == ("Double", 0.9)
    assert got["gate_unsure"] == ("Boolean", False)
    assert got["gate"][0] == "Json"
    assert (got["said_route"], got["said_route_confidence"]) == (("String", "board"), ("Null", None))
    assert got["said_risk"] == ("Double", 1.0)
    assert (got["weak_fits"], got["weak_risk"]) == (("Boolean", True), ("Null", None))
    assert got["weak_unsure"] == ("Boolean", True)
    assert not any(name.startswith("assistant_thread_") for name in got)
    ended = await rig.rest.get("history/activity-instance", processInstanceId=instance, activityId="weak_caught")
    assert len(ended) == 1
    assert [rig.calls(f"{api}.create") - 1 for api in ("decisions", "systemone", "chat.completions")] == [4, 1, 1]
    assert (got["often_route"], got["often_fits"]) == (("String", "board"), ("Boolean", True))
    assert json.loads(got["often"][1])["often_route"]["agreement"] == 1
    orders = await rig.meta(instance, "often")
    assert (orders["orders"], orders["agreement"], orders["attempt"]) == (3, 1, 3)
    meta = await rig.meta(instance, "weak")
    assert (meta["model"], meta["thread"], meta["use"]) == ("gpt-5-mini", None, "apart")
    assert meta["unsure"] == ["weak_fits", "weak_route", "weak_risk"]
