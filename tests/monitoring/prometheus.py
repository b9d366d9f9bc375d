"""Debian's Prometheus on 127.0.0.1, on the rules of deploy/monitoring with shorter times."""

import re
from pathlib import Path
from typing import Any

import aiohttp

from worker.demo.processes import HOST, Process, free_port, http_ok

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
SETTINGS = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: assistant-worker
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus(Process):
    """Scrapes one worker every second; an alert that has to be true for a while fires after two seconds."""

    def __init__(self, folder: Path, worker_port: int) -> None:
        port = free_port()
        rules = (MONITORING / "alerts.yaml").read_text()
        (folder / "alerts.yaml").write_text(re.sub(r"\bfor: \w+", "for: 2s", rules))
        (folder / "prometheus.yml").write_text(SETTINGS.format(target=f"{HOST}:{worker_port}"))
        command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        super().__init__(
            "prometheus",
            [*command, f"--web.listen-address={HOST}:{port}"],
            ready=lambda: http_ok(port, "/-/ready"),
            port=port,
            directory=folder,
        )

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples that an expression has now, each with its `metric` and its `value`."""
        url = f"http://{HOST}:{self.port}/api/v1/query"
        async with aiohttp.ClientSession() as client, client.get(url, params={"query": expression}) as reply:
            found: list[dict[str, Any]] = (await reply.json())["data"]["result"]
        return found

    async def firing(self) -> set[str]:
        """Name the alerts that fire."""
        return {each["metric"]["alertname"] for each in await self.query('ALERTS{alertstate="firing"}')}
