"""The services of docker/compose.yaml, run as a runtime would run them: with podman, and without Compose."""

import asyncio
import contextlib
import os
import re
import secrets
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.image.build import ROOT
from tests.unit.test_compose import COMPOSE, SERVICES

HERE: Final = ROOT / "docker"


def make_secrets(folder: Path) -> None:
    """Run the guide's commands that make them, with a key in the place of the one that it leaves out."""
    guide = (ROOT / "docs" / "install.md").read_text("utf-8")
    [commands] = [each for each in re.findall(r"```sh\n(.+?)```", guide, re.DOTALL) if "api_tokens\n" in each]
    (folder / "docker").mkdir()
    told = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    subprocess.run(["bash", "-euc", commands.replace("sk-…", "sk-composed")], cwd=folder, env=told, check=True)


def options(name: str, folder: Path) -> list[str]:
    """What a service says, as options of `podman run`; its secrets are in this folder, and its configs come there."""
    service: Mapping[str, Any] = SERVICES[name]
    kept = folder / "docker" / "secrets"
    volumes = [f"{kept / each}:/run/secrets/{each}:ro" for each in service["secrets"]]
    for each in service.get("configs", ()):
        config = folder / each["source"]
        config.write_text(COMPOSE["configs"][each["source"]]["content"], "utf-8")
        config.chmod(0o444)
        volumes.append(f"{config}:{each['target']}:ro")
    for each in service["volumes"]:
        source, _, target = each.partition(":")
        volumes.append(f"{(HERE / source).resolve()}:{target}")
    return [
        *(f"--volume={each}" for each in volumes),
        *(f"--tmpfs={each}" for each in service["tmpfs"]),
        *(["--read-only"] if service["read_only"] else []),
        *(f"--cap-drop={each}" for each in service["cap_drop"]),
        *(f"--security-opt={each.removesuffix(':true')}" for each in service["security_opt"]),
    ]


def run_sample(engine_url: str) -> str:
    """Run what the service `sample` runs, here, with bash and curl; returns what it prints."""
    service = SERVICES["sample"]
    [volume] = service["volumes"]
    source, target, _ = volume.split(":")
    shell, flags, script = service["entrypoint"]
    script = script.replace("$$", "$").replace(target, str((HERE / source).resolve()))
    told = {"PATH": os.environ["PATH"], "ENGINE_URL": engine_url}
    done = subprocess.run([shell, flags, script], env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.asynccontextmanager
async def network(hosts: Mapping[str, tuple[int, int]]) -> AsyncIterator[list[str]]:
    """Give names of services their places: each its port there, and the port of 127.0.0.1 where it really listens.

    Yields options of `podman run`. All share an address of this machine's that nobody else has.
    """
    address = f"127.77.{secrets.randbelow(255)}.{1 + secrets.randbelow(254)}"
    async with contextlib.AsyncExitStack() as stack:
        for there, here in hosts.values():
            await stack.enter_async_context(await asyncio.start_server(_to(here), address, there))
        yield [f"--add-host={name}:{address}" for name in hosts]


def _to(port: int) -> Any:
    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_copy(reader, back), _copy(there, writer))

    return passed_on


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
