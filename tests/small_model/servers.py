"""LiteLLM's proxy, a gateway that we did not write, before the small model."""

import os
from pathlib import Path
from typing import Final

from tests.small_model.install import litellm
from worker.demo.processes import HOST, Process, free_port, http_ok

CONFIG: Final = Path(__file__).with_name("litellm.yaml")
KEY: Final = "sk-gateway"


class Litellm(Process):
    """The gateway, with one key and no database."""

    def __init__(self, model_url: str) -> None:
        port = free_port()
        command: list[str | Path] = [
            litellm(),
            "--config",
            CONFIG,
            "--host",
            HOST,
            "--port",
            str(port),
            "--telemetry",
            "False",
        ]
        super().__init__(
            "litellm", command, ready=lambda: http_ok(port, "/health/liveliness"), port=port, env={}, stop_seconds=5
        )
        self._env = {
            "PATH": os.defpath,
            "HOME": str(self.directory),
            "MODEL_URL": model_url,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches prices
        }

    @property
    def url(self) -> str:
        """What a provider's `base_url` is to be."""
        return f"http://{HOST}:{self.port}/v1"
