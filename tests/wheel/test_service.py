"""A machine that the guide's commands for systemd set up, on other folders, and the unit as systemd would start it.

There is no systemd here: what it protects the machine from is its own to show.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.rest import EngineRest
from tests.waiting import wait_until
from tests.wheel.test_wheel import run
from worker.demo.engine import Engine
from worker.demo.processes import Process, free_port, http_ok, running
from worker.demo.samples import ROOT
from worker.demo.servers import Valkey
from worker.demo.stage import ScriptedModel

GUIDE: Final = (ROOT / "docs" / "install.md").read_text("utf-8").partition("\n## systemd\n")[2]
OURS: Final = re.compile(r"(?<=[ =>:])/(?=(?:etc|opt|var)/)")

pytestmark = pytest.mark.timeout(900)  # it installs everything


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a machine on which the commands were run, but for the page's diagrams and systemd's own."""
    root = tmp_path_factory.mktemp("machine")
    (root / "etc" / "systemd" / "system").mkdir(parents=True)
    (root / "var" / "lib" / "assistant-worker").mkdir(parents=True)
    (root / "openai_api_key").write_text("scripted\n")
    [commands, *_] = re.findall(r"```sh\n(.+?)```", GUIDE, re.DOTALL)
    commands = re.sub(r"^systemctl .+$", "", commands, flags=re.MULTILINE).replace("make assets && ", "")
    commands = moved(commands, root).replace("600 openai_api_key", f"600 {root}/openai_api_key")
    run(["bash", "-euxc", commands], cwd=ROOT)
    return root


def moved(text: str, root: Path) -> str:
    """The same with its folders below this root."""
    return OURS.sub(f"{root}/", re.sub(r"^/(?=opt/)", f"{root}/", text, flags=re.MULTILINE))


def directives(root: Path) -> dict[str, list[str]]:
    """What the installed unit says, by name, on this machine."""
    unit = moved((root / "etc" / "systemd" / "system" / "assistant-worker.service").read_text("utf-8"), root)
    unit = unit.replace("%d", f"{root}/credentials").replace("%S", f"{root}/var/lib")
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


class Unit(Process):
    """The unit's program with the environment, the credentials and the folder that it names."""

    def __init__(self, root: Path, port: int) -> None:
        said = directives(root)
        [start], [folder], [file] = said["ExecStart"], said["WorkingDirectory"], said["EnvironmentFile"]
        (root / "credentials").mkdir(mode=0o700, exist_ok=True)
        for each in said["LoadCredential"]:
            name, _, source = each.partition(":")
            (root / "credentials" / name).write_bytes(Path(source).read_bytes())
        told = [word for line in said["Environment"] for word in line.split()]
        told += [line for line in Path(file).read_text("utf-8").splitlines() if not line.startswith("#")]
        super().__init__(
            "unit",
            start.split(),
            ready=lambda: http_ok(port, "/readyz"),
            port=port,
            env={"PATH": os.defpath, **dict(each.split("=", 1) for each in told)},
        )
        self._folder = folder
        self.seconds_to_stop = int(said["TimeoutStopSec"][0])

    def _spawn(self, command: list[str]) -> None:
        # Its log stays where a Process has it.
        super()._spawn(["sh", "-c", 'cd "$0" && exec "$@"', self._folder, *command])


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(0.1) as model:
        yield model


async def test_what_the_guide_installs_is_started_by_the_unit_does_its_tasks_and_stops(
    machine: Path, engine: Engine, valkey: Valkey, model: ScriptedModel, engine_rest: EngineRest
) -> None:
    port = free_port()
    settings = {
        "ENGINE_URL": engine.base_url,
        "REDIS_URL": valkey.url(9),
        "OPENAI_BASE_URL": model.base_url,
        "HEALTH_PORT": str(port),
        "API_PORT": str(free_port()),
        "TOPICS": "of_the_unit",
    }
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    (machine / "etc" / "assistant-worker" / "settings.env").write_text(lines)
    async with running(Unit(machine, port)) as unit:
        xml = (ROOT / "bpmn" / "decision" / "decision.bpmn").read_text("utf-8")
        await engine_rest.deploy(xml.replace('"decision-analysis"', '"of_the_unit"'))
        variables = json.loads((ROOT / "bpmn" / "decision" / "decision.json").read_text("utf-8"))
        await engine_rest.wait_for_end(await engine_rest.start("decision", variables), 60)

        async def finds_nothing() -> bool:  # on a busy machine a store may not answer in its second
            return (await asyncio.to_thread(doctor, machine)).returncode == 0

        await wait_until(finds_nothing, 60, "a look of doctor's that finds no problem")
        unit.signal(signal.SIGTERM)
        assert await asyncio.to_thread(unit.wait, unit.seconds_to_stop) == 0
    assert (machine / "var" / "lib" / "assistant-worker" / "transcript.db").is_file()


def doctor(root: Path) -> subprocess.CompletedProcess[str]:
    """The command by the function that the guide has for it."""
    [function] = re.findall(r"^worker\(\) \(\n.+?^\)$", GUIDE, re.MULTILINE | re.DOTALL)
    return subprocess.run(
        ["sh", "-euc", f"{moved(function, root)}\nworker doctor"],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
