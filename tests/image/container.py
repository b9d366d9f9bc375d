"""The worker in a container: as user 10001, on a root that it cannot write to, with /data and /tmp."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.image.build import IMAGE, ROOT, store
from worker.demo.processes import Process, free_port, http_ok

PODMAN: Final = [*store("podman"), "--cgroup-manager", "cgroupfs", "--runtime", "runc"]
# As a cluster sets them. What podman takes by default is more than it may have within a container of its own, and its
# timer of health checks wants systemd.
LIMITS: Final = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--no-healthcheck"]

OWN: Final = ("--read-only", "--tmpfs=/tmp", f"--volume={ROOT / 'bpmn' / 'assistants'}:/assistants:ro")


class Container(Process):
    """`assistant-worker run`, told everything by its environment, on the network of this machine.

    `more` are options of `podman run` in the place of our own: a root that cannot be written to, with /tmp, and the
    samples' assistants.
    """

    def __init__(self, env: Mapping[str, str], image: str = IMAGE, more: Sequence[str] = OWN) -> None:
        port = free_port()
        self._name = f"assistant-worker-{os.getpid()}-{port}"
        told = {"HEALTH_PORT": str(port), "API_PORT": "0", **env}
        run = ["run", "--rm", "--name", self._name, "--network", "host", *LIMITS, *more]
        variables = [f"--env={name}={value}" for name, value in told.items()]
        super().__init__(
            "container",
            [*PODMAN, *run, *variables, image],
            ready=lambda: http_ok(port, "/readyz"),
            port=port,
            start_seconds=300,  # the store copies all of the image for each container
        )

    def kill(self) -> None:
        """As every process; the container goes as well, which outlives who has started it."""
        super().kill()
        subprocess.run([*PODMAN, "rm", "--force", "--time", "1", self._name], capture_output=True, check=False)

    def pid_here(self) -> int:
        """Its first process, as this machine counts."""
        return int(_podman("container", "inspect", "--format", "{{.State.Pid}}", self._name))

    def packages(self) -> set[str]:
        """The names of the packages that are installed in it, as pins spell them."""
        look = "from importlib.metadata import distributions as d; print(*(each.metadata['Name'] for each in d()))"
        return {re.sub(r"[-_.]+", "-", name).lower() for name in self.runs("python", "-c", look).stdout.split()}

    def status(self) -> dict[str, str]:
        """What the kernel says of its first process."""
        lines = Path(f"/proc/{self.pid_here()}/status").read_text("utf-8").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def runs(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the worker."""
        return subprocess.run([*PODMAN, "exec", self._name, *command], capture_output=True, text=True, check=False)

    def ask_to_stop(self, seconds: int) -> None:
        """As an orchestrator does: the image's signal, and after so many seconds SIGKILL. Returns when it is gone."""
        _podman("stop", "--time", str(seconds), self._name)

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines() if line.startswith("{")]


def pinned(*extras: str) -> set[str]:
    """The names of the packages of these files of pins."""
    texts = ((ROOT / "docker" / "requirements" / f"{extra}.txt").read_text("ascii") for extra in extras)
    return {name for text in texts for name in re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE)}


@cache
def configuration() -> dict[str, Any]:
    """What the image says of itself."""
    [image] = json.loads(_podman("image", "inspect", IMAGE))
    return {**image["Config"], "Healthcheck": image["Healthcheck"]}


def _podman(*words: str) -> str:
    return subprocess.run([*PODMAN, *words], capture_output=True, text=True, check=True).stdout.strip()
