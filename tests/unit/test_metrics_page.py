"""`docs/metrics.md` tells every metric, as it is."""

import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from worker.telemetry import metrics

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
KNOWN = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)


def described(metric: MetricWrapperBase) -> tuple[str, str, frozenset[str]]:
    """Name, type and labels as a scrape shows them."""
    suffix = "_total" if metric._type == "counter" else ""
    return metric._name + suffix, str(metric._type), frozenset(metric._labelnames)


@pytest.mark.parametrize("metric", KNOWN, ids=lambda each: each._name)
def test_every_metric_has_its_row(metric: MetricWrapperBase) -> None:
    rows = {(name, kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _, _ in ROW.findall(PAGE)}
    assert described(metric) in rows


def test_every_row_is_a_metric() -> None:
    assert sorted(name for name, *_ in ROW.findall(PAGE)) == sorted(described(each)[0] for each in KNOWN)


def test_every_label_of_fixed_words_has_them_told() -> None:
    told = {name: text for name, _, _, _, text in ROW.findall(PAGE)}
    for metric, words in {
        "worker_turns_total": ("complete", "fail", "bpmnerror", "park", "unlock", "abandon", "assistant", "function"),
        "worker_budgets_total": ("over", "nearly"),
        "worker_visits_total": ("opened", "closed", "silent", "lost"),
        "worker_stopped": ("all", "assistant", "provider", "tenant", "topic"),
    }.items():
        assert {word for word in words if f"`{word}`" not in told[metric]} == set()
