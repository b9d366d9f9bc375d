"""What SIGHUP means."""

import asyncio
import os
import signal
import sys
from types import SimpleNamespace

import pytest

from worker.bootstrap import working


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_closed_terminal_stops_the_worker_and_without_one_files_are_read_again(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: terminal))
    asked, stopping = asyncio.Event(), asyncio.Event()
    working._on_hangup(asked.set, stopping)
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(5):
            await (stopping if terminal else asked).wait()
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
    assert (stopping.is_set(), asked.is_set()) == (terminal, not terminal)
