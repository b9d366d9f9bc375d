"""What Prometheus and Grafana are given fits what a worker tells."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from worker.telemetry import metrics

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
}
CASES = yaml.safe_load((MONITORING / "alerts.test.yaml").read_text())["tests"]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
SHOWN = {
    each._name + suffix: {*each._labelnames, *(["le"] if suffix == "_bucket" else [])}
    for each in vars(metrics).values()
    if isinstance(each, MetricWrapperBase)
    for suffix in SUFFIXES[each._type or ""]
}
"""Names as a scrape shows them, with their labels."""
OF_PROMETHEUS = {"job", "instance"}
OF_PYTHON = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def used(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Find the metrics of an expression, with the labels that it picks them by."""
    for name, picked in re.findall(r"\b((?:worker|process)_\w+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", picked))


def unknown(expression: str) -> list[str]:
    """What an expression uses that no worker tells."""
    known = SHOWN | {name: set[str]() for name in OF_PYTHON}
    return [
        f"{name} {labels}" for name, labels in used(expression) if not labels <= known.get(name, set()) | OF_PROMETHEUS
    ] + [name for name, _ in used(expression) if name not in known]


def test_what_is_not_told_is_recognised() -> None:
    assert unknown('sum(rate(worker_turns_total{verdict="fail",job="a"}[5m])) / worker_slots') == []
    assert unknown("worker_turns > 0") == ["worker_turns"]
    assert unknown('worker_turns_total{outcome="ok"}') == ["worker_turns_total {'outcome'}"]


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_uses_what_workers_tell(alert: str) -> None:
    assert any(used(ALERTS[alert]["expr"]))
    assert unknown(ALERTS[alert]["expr"]) == []


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_its_part_of_the_runbook(alert: str) -> None:
    assert f"\n## {alert}\n\n" in RUNBOOK
    assert ALERTS[alert]["annotations"]["runbook"] == f"docs/runbook.md#{alert.lower()}"
    assert ALERTS[alert]["labels"]["severity"] in {"critical", "warning", "info"}
    assert ALERTS[alert]["annotations"]["summary"]


def test_the_runbook_has_no_other_alerts() -> None:
    assert re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE) == list(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_case_that_fires_and_one_that_does_not(alert: str) -> None:
    checks = [
        (case, check) for case in CASES for check in case["promql_expr_test"] if f'alertname="{alert}"' in check["expr"]
    ]
    jobs = {
        job for case, _ in checks for each in case["input_series"] for job in re.findall(r'job="(\w+)"', each["series"])
    }
    firing = {
        job
        for _, check in checks
        for each in check["exp_samples"]
        for job in re.findall(r'job="(\w+)"|$', each["labels"])
    }

    assert firing
    assert jobs - firing


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_cases_are_told_as_workers_tell(case: dict[str, Any]) -> None:
    assert [each for series in case["input_series"] for each in unknown(series["series"])] == []


DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_the_dashboard_has_a_place_for_each_panel() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]

    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel['id']} {panel['title']}")
def test_a_panel_shows_what_workers_tell(panel: dict[str, Any]) -> None:
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for target in panel["targets"]:
        assert any(used(target["expr"]))
        assert unknown(target["expr"]) == []
        assert all(
            'job=~"$job"' in picked for picked in re.findall(r"(?:worker|process)_\w+\{([^}]*)\}", target["expr"])
        )
        assert set(re.findall(r"\$(\w+)", target["expr"])) <= {"job", "__rate_interval", "__range"}


@pytest.mark.parametrize(
    "of",
    ["turns_total", "model_calls_total", "incidents", "waiting", "slots", "tokens", "cost", "turn_seconds", "paused"],
)
def test_the_dashboard_shows_what_operators_ask_for(of: str) -> None:
    assert any(of in target["expr"] for panel in PANELS for target in panel["targets"])
