"""Draws what the bench stored. `python -m tests.benchmarks.plots` after `make bench`.

From `build/bench.json` and `build/growth.json`; either may be missing. Bars are medians, their whiskers the least and
the most of the rounds.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygal
from pygal.style import Style

from tests.benchmarks.figures import PEERS
from tests.benchmarks.growth import COUNTED, TITLES, Point

Summary = Mapping[str, Mapping[str, float]]
HERE = Path(__file__).parent
WIDTH, BAR_HEIGHT, FRAME_HEIGHT, CURVE_HEIGHT = 900, 30, 130, 420
INSTANT = {"bare": "bare loop", "written": "bare loop, our variables", "instant": "our worker", **PEERS}
SECOND = {"second": "our worker", "kept": "our worker, recorded", **{f"{name}_second": PEERS[name] for name in PEERS}}
SINGLE = {"single": "our worker", "kept_single": "our worker, recorded", "recalled_single": "our worker, recalling"}
PERCENTILES = {"own_p50": "p50", "own_p99": "p99"}
STYLE = Style(
    background="white",
    plot_background="white",
    foreground="#333333",
    foreground_strong="#111111",
    foreground_subtle="#777777",
    guide_stroke_color="#dddddd",
    major_guide_stroke_color="#bbbbbb",
    colors=("#2b6cb0", "#dd6b20", "#2f855a", "#b83280", "#718096"),
    font_family="sans-serif",
    title_font_size=16,
    label_font_size=12,
    major_label_font_size=12,
    value_font_size=11,
    legend_font_size=12,
)


@dataclass(frozen=True, slots=True)
class Bars:
    """One picture of the bench: a row for each subject, and a bar in it for each of `figures`, by what they show."""

    file: str
    title: str
    subjects: Mapping[str, str]
    figures: Mapping[str, str]
    digits: int = 0


PICTURES = (
    Bars("rate", "Instant model: tasks a second, more is better", INSTANT, {"rate": "tasks/s"}),
    Bars(
        "rate_second",
        "1 s model, 50 at once: tasks a second since the first completion, more is better",
        SECOND,
        {"rate_behind": "tasks/s"},
        1,
    ),
    Bars("cpu", "Instant model: CPU-ms a task, less is better", INSTANT, {"cpu": "CPU-ms"}, 2),
    Bars("cpu_second", "1 s model: CPU-ms a task, less is better", SECOND, {"cpu": "CPU-ms"}, 2),
    Bars(
        "latency",
        "Own time in a backlog, instant model: ms, less is better",
        INSTANT,
        PERCENTILES,
    ),
    Bars("latency_single", "Own time of single tasks, instant model: ms, less is better", SINGLE, PERCENTILES),
)


def bars(picture: Bars, summary: Summary) -> Any:
    """Draw one of PICTURES; None where nothing of it was measured."""
    shown = [name for name in picture.subjects if any(f"{name}_{figure}" in summary for figure in picture.figures)]
    if not shown:
        return None
    height = FRAME_HEIGHT + BAR_HEIGHT * len(shown) * len(picture.figures)
    known = [summary.get(f"{name}_{figure}") for name in shown for figure in picture.figures]
    chart = pygal.HorizontalBar(
        title=picture.title,
        show_legend=len(picture.figures) > 1,
        range=(
            0,
            1.02 * max(figure["max"] for figure in known if figure),
        ),  # else whiskers are cut off
        print_values=True,
        print_values_position="center",
        value_formatter=lambda value: f"{value:.{picture.digits}f}",
        **_usual(height),
    )
    shown.reverse()  # rows are drawn from the bottom
    chart.x_labels = [picture.subjects[name] for name in shown]
    for figure, title in picture.figures.items():
        chart.add(title, [_bar(summary.get(f"{name}_{figure}")) for name in shown])
    return chart


def curve(name: str, points: Sequence[Point]) -> Any:
    """Draw what a task cost while one of TITLES grew: all of COUNTED but the servers' CPU, which is much more."""
    counted = {figure: title for figure, title in COUNTED.items() if figure != "servers_ms"}
    most = max(point[figure] for point in points for figure in counted)
    chart = pygal.XY(
        title=f"A task's cost, over {TITLES[name]}",
        show_x_guides=False,
        range=(0, 1.1 * most),
        value_formatter=lambda value: f"{value:.1f}",
        x_value_formatter=lambda power: f"{10**power:,.0f}".replace(",", " "),
        legend_at_bottom_columns=len(counted),
        **_usual(CURVE_HEIGHT),
    )
    chart.x_labels = [math.log10(point["x"]) for point in points]
    for figure, title in counted.items():
        chart.add(title, [(math.log10(point["x"]), point[figure]) for point in points])
    return chart


def _bar(figure: Mapping[str, float] | None) -> Any:
    if figure is None:
        return None
    return {"value": figure["median"], "ci": {"low": figure["min"], "high": figure["max"]}}


def _usual(height: int) -> dict[str, Any]:
    return {
        "style": STYLE,
        "width": WIDTH,
        "height": height,
        "explicit_size": True,
        "js": [],
        "no_prefix": True,  # else each drawing has an id of its own, and none is like the one before
        "legend_at_bottom": True,
    }


def draw(measured: Mapping[str, Any], grown: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the pictures of what the bench and the curves stored, of which either may be empty."""
    charts = {picture.file: bars(picture, measured.get("summary", {})) for picture in PICTURES}
    charts |= {f"growth_{name}": curve(name, points) for name, points in grown.get("curves", {}).items()}
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, chart in charts.items():
        if chart is not None:
            chart.add_xml_filter(_without_script)
            drawn.append(folder / f"{name}.svg")
            drawn[-1].write_bytes(chart.render() + b"\n")
    return drawn


def _without_script(picture: Any) -> Any:
    """Take out what makes a chart move on a page of its own, with an id that is another each time."""
    for parent in picture.iter():
        for child in [each for each in parent if each.tag == "script"]:
            parent.remove(child)
    return picture


def _stored(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}


def main() -> None:
    """Draw, and say what."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.plots", description=__doc__)
    parser.add_argument("--bench", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--growth", type=Path, default=Path("build/growth.json"))
    parser.add_argument("--folder", type=Path, default=HERE / "plots", help="where the pictures go")
    options = parser.parse_args()
    for picture in draw(_stored(options.bench), _stored(options.growth), options.folder):
        print(picture)  # noqa: T201 - a command


if __name__ == "__main__":
    main()
