"""What the command line says of itself."""

import pytest

from worker import cli
from worker.runtime.version import VERSION


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert (ended.value.code, capsys.readouterr().out) == (0, f"assistant-worker {VERSION}\n")
