"""The dashboard as Grafana's own types know dashboards, panels, their options and queries."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.environments import environment
from tests.monitoring.prometheus import MONITORING
from worker.demo.samples import ROOT

HOME: Final = ROOT / ".monitoring"
READER: Final = Path(__file__).with_name("grafana.py")


@pytest.fixture(scope="module", autouse=True)
def grafana() -> None:
    """Have the types of Grafana installed, into a folder that git ignores."""
    HOME.mkdir(exist_ok=True)
    environment(HOME, ROOT / "docker" / "requirements" / "grafana.txt")


def unknown(dashboard: Any, folder: Path) -> list[str]:
    """What Grafana does not know of a dashboard, each by its place."""
    file = folder / "dashboard.json"
    file.write_text(json.dumps(dashboard))
    done = subprocess.run([HOME / "venv" / "bin" / "python", READER, file], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def dashboard() -> Any:
    return json.loads((MONITORING / "dashboard.json").read_text())


def test_grafana_knows_all_that_the_dashboard_says(tmp_path: Path) -> None:
    assert unknown(dashboard(), tmp_path) == []


def panel(shown: Any) -> Any:
    return next(each for each in shown["panels"] if each["type"] == "stat")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda shown: shown.update(titel="x"), "dashboard.titel is not known"),
        (lambda shown: shown.update(schemaVersion="39"), "dashboard.schema_version is '39'"),
        (lambda shown: panel(shown)["gridPos"].update(w="4"), "w is '4', and no int"),
        (lambda shown: panel(shown)["options"].update(colourMode="background"), "colourMode is not known"),
        (lambda shown: panel(shown)["options"].update(colorMode="ground"), "color_mode is 'ground'"),
        (lambda shown: panel(shown)["targets"][0].update(exprs="1"), "exprs is not known"),
        (lambda shown: panel(shown)["fieldConfig"]["defaults"].update(units="s"), "units is not known"),
    ],
)
def test_a_mistake_would_be_noticed(spoil: Callable[[Any], None], said: str, tmp_path: Path) -> None:
    shown = dashboard()
    spoil(shown)
    assert any(said in each for each in unknown(shown, tmp_path))
