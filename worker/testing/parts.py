"""The real parts of a test run, and who answers; a loop in a thread lets tests be plain functions."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from worker.demo.engine import Engine
from worker.demo.model import ModelServer
from worker.demo.rest import EngineRest, connection
from worker.demo.servers import Valkey
from worker.demo.stage import PYTHON_ENVIRONMENT, Worker
from worker.testing.written import led_here

T = TypeVar("T")

PROVIDERS_FILE: Final = "PROVIDERS_FILE"
SETTINGS: Final = {
    "DISCOVERY_SECONDS": "1",
    "GRACE_SECONDS": "1",
    "HEALTH_PORT": "0",
    "API_PORT": "0",
    "LOG_FORMAT": "json",
    "OPENAI_API_KEY": "scripted",
    "POLL_SECONDS": "1",
    # A test that waits for an incident is not to wait for three tries.
    "RETRIES": "1",
}
"""The worker's, where a test run does not say otherwise."""


class Loop:
    """An event loop in a thread of its own. Tests wait for it from theirs, whether that has a loop or not."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="assistant tests", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what it returns, or raise what it raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


@dataclass(frozen=True, slots=True)
class Parts:
    """What all tests of a run share."""

    rest: EngineRest
    model: ModelServer
    worker: Worker
    assistants: Path
    loop: Loop

    @classmethod
    @contextmanager
    def started(
        cls, engine: Engine, assistants: Path, settings: Mapping[str, str], scratch: Path, *, records: bool
    ) -> Iterator[Self]:
        """Start all but the engine; whatever was started is gone when the context ends.

        `records`: real providers may be asked, within their limits.
        """
        with ExitStack() as stack:
            loop, valkey = stack.enter_context(Loop()), stack.enter_context(Valkey())
            model, session = ModelServer(any_model=True), connection()
            rest = EngineRest(engine.base_url, loop.run(session.__aenter__()))
            stack.callback(lambda: loop.run(session.__aexit__(None, None, None)))
            loop.run(model.__aenter__())
            stack.callback(lambda: loop.run(model.__aexit__(None, None, None)))
            path = os.pathsep.join([PYTHON_ENVIRONMENT["PYTHONPATH"], str(assistants.parent.absolute())])
            environment = {
                **PYTHON_ENVIRONMENT,
                "PYTHONPATH": path,
                **SETTINGS,
                "ASSISTANTS_DIR": str(assistants.absolute()),
                "TRANSCRIPT_URL": f"sqlite:///{scratch}/transcript.db",
                **settings,
                "ENGINE_URL": engine.base_url,
                "REDIS_URL": valkey.url(),
                "OPENAI_BASE_URL": model.base_url,
                **_providers(settings, model.base_url, scratch, limited=records),
            }
            worker = stack.enter_context(Worker(environment))
            yield cls(rest, model, worker, assistants, loop)


def _providers(settings: Mapping[str, str], base_url: str, scratch: Path, *, limited: bool) -> dict[str, str]:
    """Have the providers of a file asked here, too."""
    if not (named := settings.get(PROVIDERS_FILE)):
        return {}
    file = scratch / "providers.yaml"
    file.write_text(led_here(Path(named).read_text("utf-8"), base_url, limited=limited), "utf-8")
    return {PROVIDERS_FILE: str(file)}
