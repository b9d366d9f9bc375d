"""A real Prometheus scrapes a worker that works, and its rules notice when the provider is away."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

from tests.flow.rig import Rig
from tests.monitoring.prometheus import MONITORING, Prometheus
from tests.waiting import wait_until
from worker.demo.model import ModelServer
from worker.demo.processes import HOST, free_port, running

RUNBOOK = MONITORING.parents[1] / "docs" / "runbook.md"


async def test_an_alert_fires_while_the_provider_is_away_and_ends_with_it(rig: Rig, tmp_path: Path) -> None:
    port, provider_port = free_port(), free_port()
    folder = tmp_path / "prometheus"
    folder.mkdir()
    model = await rig.deploy(rig.step("frame"))
    await rig.start_worker(health_port=port, openai_base_url=f"http://{HOST}:{provider_port}/v1")
    async with running(Prometheus(folder, port)) as prometheus:

        async def value(expression: str) -> float | None:
            samples = await prometheus.query(expression)
            return float(samples[0]["value"][1]) if samples else None

        async def away() -> bool:
            return "AssistantProviderAway" in await prometheus.firing()

        async def at_work() -> bool:
            completed = await value('worker_turns_total{verdict="complete"} > 0')
            return completed is not None and not await prometheus.firing()

        async with ModelServer(port=provider_port):
            await rig.run(model)
            await wait_until(at_work, 30, "a completed turn in Prometheus, and no alert")
        say(f"\nPrometheus scrapes http://{HOST}:{port}/metrics: a turn is completed, and no alert fires.")

        instance = await rig.rest.start(model)
        await wait_until(away, 30, "an alert for the provider")
        (alert,) = await prometheus.query('ALERTS{alertname="AssistantProviderAway"}')
        say(f"The provider is away: {json.dumps(alert['metric'])}")
        say(runbook("AssistantProviderAway"))
        assert await value('worker_dependency_paused{dependency="provider"}') == 1

        async with ModelServer(port=provider_port):
            await rig.rest.wait_for_end(instance, 60)
            await wait_until(at_work, 60, "the end of the alert")
        say("The provider is back: the task is completed, and the alert is over.")


def say(text: str) -> None:
    """Say what was seen."""
    sys.stdout.write(f"{text}\n")


def runbook(alert: str) -> str:
    """What the runbook says of an alert."""
    return RUNBOOK.read_text().partition(f"\n## {alert}\n\n")[2].partition("\n## ")[0].strip()


def test_every_expression_of_the_dashboard_is_one(tmp_path: Path) -> None:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    rules = [
        {
            "record": f"panel:{panel['id']}:{target['refId']}",
            "expr": target["expr"].replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$job", ".*"),
        }
        for panel in panels
        for target in panel.get("targets", [])
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    subprocess.run(["promtool", "check", "rules", file], check=True)
