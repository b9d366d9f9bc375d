"""The process applications of bpmn/, tested as docs/testing.md tells modellers to test theirs."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from worker.testing import Bench, Instance

pytest_plugins = ["worker.testing"]

BPMN = Path(__file__).parents[2] / "bpmn"
DEPLOYED = {".bpmn", ".form"}


@pytest.fixture(scope="session")
def assistant_settings() -> Mapping[str, str]:
    """What the returning customer has settled is remembered."""
    return {"MEMORY": "embedded"}


@pytest.fixture
def application(assistant_bench: Bench) -> Callable[..., Callable[..., Instance]]:
    """Deploys an application of bpmn/, and returns what starts it with its sample; `changed` replaces values."""

    def deployed(name: str) -> Callable[..., Instance]:
        folder = BPMN / name
        files = [each for each in folder.iterdir() if each.suffix in DEPLOYED or each.name.endswith(".schema.json")]
        assistant_bench.deploy(*sorted(files))
        sample = _read(folder / f"{name}.json")
        return lambda **changed: assistant_bench.start(name, **sample | changed)

    return deployed


def _read(file: Path) -> dict[str, Any]:
    """The values of a sample, of which some are written as the engine's REST API has them."""
    given = json.loads(file.read_text("utf-8"))
    return {
        name: json.loads(each["value"]) if each["type"] == "Json" else each["value"] for name, each in given.items()
    }
