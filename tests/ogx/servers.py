"""OGX, a server of Conversations and Responses that we did not write, and aimock, the model behind it."""

import json
import os
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from tests.ogx.install import ENCODING, HOME, node
from worker.demo.processes import HOST, Process, free_port, http_ok

FOLDER: Final = Path(__file__).parent
MODEL: Final = "mock/gpt-4o"
"""As OGX names a model that aimock lists."""


class Aimock(Process):
    """Answers chat completions from fixtures.json, and remembers what it was asked."""

    def __init__(self) -> None:
        program = HOME / "aimock" / "package" / "dist" / "cli.js"
        port = free_port()
        arguments = ["--port", str(port), "--fixtures", str(FOLDER / "fixtures.json"), "--log-level", "warn"]
        super().__init__("aimock", [*node(), str(program), *arguments], ready=self._answers, port=port)

    @property
    def url(self) -> str:
        """Where OGX finds it."""
        return f"http://{HOST}:{self.port}/v1"

    def asked(self, words: str = "") -> list[list[dict[str, Any]]]:
        """The messages of each call so far whose last one has these words, in order."""
        with closing(HTTPConnection(HOST, self.port, timeout=5)) as connection:
            connection.request("GET", "/v1/_requests")
            journal = json.load(connection.getresponse())
        calls = [each["body"]["messages"] for each in journal if each["path"].endswith("/completions")]
        return [messages for messages in calls if words in str(messages[-1]["content"])]

    def _answers(self) -> bool:
        return http_ok(self.port, "/v1/models")


class Ogx(Process):
    """OGX with its store in a folder of its own, so that it knows everything again when it is started again."""

    def __init__(self, model_url: str) -> None:
        port = free_port()
        super().__init__("ogx", self._command, ready=self._answers, port=port, env={}, stop_seconds=5)
        self._env = {
            "PATH": os.defpath,
            "HOME": str(self.directory),
            "STORE": str(self.directory),
            "MODEL_URL": model_url,
            "TIKTOKEN_CACHE_DIR": str(HOME / "encodings"),
            # Its other form takes seconds to write out a refusal, and nobody is answered meanwhile.
            "OGX_LOG_FORMAT": "json",
        }

    @property
    def url(self) -> str:
        """What goes into OPENAI_BASE_URL."""
        return f"http://{HOST}:{self.port}/v1"

    def _command(self) -> list[str | Path]:
        assert (HOME / "encodings" / ENCODING).is_file(), "not installed: run `make ogx`"
        port = str(self.port)
        return [HOME / "venv" / "bin" / "ogx", "run", FOLDER / "config.yaml", "--insecure", "--port", port]

    def _answers(self) -> bool:
        return http_ok(self.port, "/v1/health")
