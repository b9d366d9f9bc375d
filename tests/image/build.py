"""Builds the image on a machine without a daemon: `python -m tests.image.build`.

Debian's own Python is the base, so that no registry of images is asked: debootstrap makes it once, into the cache. The
image is in a store of its own beside it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from worker.demo.jars import cache_directory

ROOT: Final = Path(__file__).parents[2]
IMAGE: Final = "localhost/assistant-worker"
EVERYTHING: Final = f"{IMAGE}:everything"
"""The one with all extras."""

EXTRAS: Final = ("decisions", "documents", "oidc", "otel", "report")
"""All that the worker uses while it runs."""

RELEASE: Final = "trixie"
BASE: Final = f"localhost/debian-python:{RELEASE}"
PROGRAMS: Final = ("debootstrap", "buildah", "podman", "runc", "curl", "openssl")
"""Each is a Debian package of its own name."""

HANDED_IN: Final = ("/etc/pip.conf", "/etc/ssl/certs", "/usr/local/share/ca-certificates")
"""What this machine knows of package indexes and of those whom it trusts; nothing of it is in the image."""


class NotBuilt(Exception):
    """The machine lacks something, or a step failed; the text says what."""


def main() -> int:
    """Build base and images; 1, and a line on what is wrong, if it cannot be done."""
    try:
        _look_around()
        _make_base()
        _run(*store("podman"), "rm", "--all", "--force", "--time", "1", quiet=True)  # of a run that was killed
        _build(IMAGE)
        _build(EVERYTHING, "--build-arg", f"EXTRAS={' '.join(EXTRAS)}")
    except NotBuilt as exc:
        print(f"make image: {exc}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


def store(program: str) -> list[str]:
    """Begin a command of buildah or podman on the store of these tests, which needs nothing of the kernel."""
    home = _home()
    return [program, "--storage-driver", "vfs", "--root", str(home / "store"), "--runroot", str(home / "run")]


def _home() -> Path:
    return cache_directory() / "image"


def _look_around() -> None:
    if os.geteuid() != 0:
        raise NotBuilt("root is needed, to build in a chroot: sudo make image")
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise NotBuilt(f"{', '.join(missing)} is missing: apt-get install {' '.join(missing)}")


def _make_base() -> None:
    """A Debian with Python 3.13 and venv, as `python:3.13-slim` is one."""
    if _run(*store("podman"), "image", "exists", BASE, check=False) == 0:
        return
    _home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="base-", dir=_home()) as scratch:
        system, archive = Path(scratch) / "system", Path(scratch) / "system.tar"
        _say(f"a Debian {RELEASE} with Python, by debootstrap")
        _run("debootstrap", "--variant=minbase", "--include=python3,python3-venv", RELEASE, str(system), quiet=True)
        leave = [f"--exclude={each}" for each in ("./var/cache/apt", "./var/lib/apt/lists", "./proc/*", "./sys/*")]
        _run("tar", "--one-file-system", *leave, "-C", str(system), "-cf", str(archive), ".")
        path = "ENV PATH=/usr/local/bin:/usr/bin:/bin"
        _run(*store("podman"), "import", "--change", path, str(archive), BASE, quiet=True)


def _build(image: str, *options: str) -> None:
    _say(f"{image}, by buildah")
    handed_in = [f"--volume={each}:{each}:ro" for each in HANDED_IN if Path(each).exists()]
    _run(
        *store("buildah"),
        *("bud", "--format", "docker", "--isolation", "chroot", "--network", "host", *handed_in),
        *("--build-arg", f"BASE={BASE}", "--build-arg", f"REVISION={_revision()}"),
        *options,
        *("--file", "docker/Dockerfile", "--tag", image, "."),
        quiet=True,
    )
    _run(*store("podman"), "image", "prune", "--force", quiet=True)  # the one that had this name before


def _revision() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _run(*command: str, check: bool = True, quiet: bool = False) -> int:
    """Run it in the repository, and return its exit code. `quiet`: what it prints is seen only when it fails."""
    output = subprocess.PIPE if quiet else None
    done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True, check=False)
    if check and done.returncode:
        raise NotBuilt(f"{' '.join(command)} ended with {done.returncode}\n{(done.stdout or '')[-3000:]}")
    return done.returncode


def _say(what: str) -> None:
    print(f"make image: {what}", flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    sys.exit(main())
