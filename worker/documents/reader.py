"""Has a document read by a process of its own, and says what became of that."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast

from worker.documents.bounds import BOUNDS, Bounds, Job, Why
from worker.domain import foreign
from worker.domain.documents import Form, Page
from worker.errors import BadInput
from worker.runtime.beside import beside_if

AT_ONCE: Final = 1
"""Documents that one worker reads at the same moment: what reading takes comes on top of the worker's own memory."""
SPREAD: Final = 6
"""JSON may write one byte of a text with so many."""
MARKS: Final = 1_000_000
"""Bytes that marks may take beside the text."""
LARGE: Final = 100_000
"""Bytes of a reply that take more than a few milliseconds to read."""
SHARED: Final = ("PATH", "LD_LIBRARY_PATH", "LANG")
"""Of the environment, which has keys and passwords; nothing of those has to be where others' documents are parsed."""

_PACKAGES: Final = {"pypdf": "PDF", "openpyxl": "XLSX"}
_REASONS: Final[Mapping[Why, str]] = {
    "encrypted": "is encrypted: hand over a copy that opens without a password",
    "pages": "has more than {pages:,} pages: hand over the part that is needed",
    "unpacked": "comes to more than {unpacked:,} bytes when it is unpacked: hand over the part that is needed",
    "memory": "takes more memory to read than a document may: hand over the part that is needed, or its text",
    "time": "takes more than {cpu_seconds} s to read: hand over the part that is needed, or its text",
    "strange": "is an archive, and neither DOCX nor XLSX: hand over one of these, a PDF, or its text",
    "broken": "cannot be read and may be damaged: open it, save it anew as PDF, DOCX or XLSX, and hand that over",
}


class DocumentReader:
    """Implements `ports.documents.Documents`."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self._bounds = bounds
        self._free = asyncio.Semaphore(AT_ONCE)

    async def read(self, content: bytes, form: Form, most: int, encoding: str | None = None) -> tuple[Page, ...] | None:
        """See `ports.documents.Documents.read`. Whoever is cancelled ends the process."""
        job = Job(form, most, encoding, self._bounds)
        async with self._free:
            said = await _run(job, content)
        if "pages" in said:
            return tuple(Page(mark, text) for mark, text in said["pages"])
        why = said.get("unread")
        if why is None:
            return None
        raise BadInput(self._told(why))

    def _told(self, why: Why) -> str:
        if why in _PACKAGES:
            return (
                f"is {_PACKAGES[why]}, and to read that the worker lacks {why}: whoever runs it has to install it, "
                "pip install 'assistant-worker[documents]'"
            )
        bounds = self._bounds
        return _REASONS[why].format(pages=bounds.pages, unpacked=bounds.unpacked, cpu_seconds=bounds.cpu_seconds)


async def _run(job: Job, content: bytes) -> Mapping[str, Any]:
    """Return what the process says; how it ended where it says nothing."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # nothing is imported from the folder that the worker was started in
        "-m",
        __package__,
        job.written(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # what parsers complain of may be the document's words
        env=_environment(),
        # Ctrl-C is for the worker, which finishes what it has in hand.
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(job.bounds.seconds):
            reply = await _exchanged(process, content, SPREAD * job.most + MARKS)
            ended = await process.wait()
    except TimeoutError:
        return {"unread": "time"}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if ended != 0 or reply is None:
        return {"unread": _of_end(ended)}
    return cast("Mapping[str, Any]", await beside_if(len(reply) > LARGE, foreign.read, reply))


async def _exchanged(process: asyncio.subprocess.Process, content: bytes, most: int) -> bytes | None:
    """Hand the document over and return the reply, None if it has more bytes than it can have."""
    given, said = cast("asyncio.StreamWriter", process.stdin), cast("asyncio.StreamReader", process.stdout)
    with suppress(BrokenPipeError, ConnectionResetError):  # it has ended, and its end says why
        given.write(content)
        await given.drain()
    given.close()
    reply = bytearray()
    while chunk := await said.read(LARGE):
        reply += chunk
        if len(reply) > most:
            process.kill()
            return None
    return bytes(reply)


def _of_end(code: int) -> Why:
    """Say why a process ended without a word."""
    if code in {-signal.SIGXCPU, -signal.SIGALRM}:
        return "time"
    # Nobody but the system kills it so, where memory is short.
    return "memory" if code == -signal.SIGKILL else "broken"


def _environment() -> dict[str, str]:
    shared = {name: os.environ[name] for name in SHARED if name in os.environ}
    # Whatever this worker's modules were found by, also where that is no installation.
    modules = os.pathsep.join(filter(None, sys.path))
    # With lxml, where that happens to be there, openpyxl reads otherwise.
    return {**shared, "PYTHONPATH": modules, "OPENPYXL_LXML": "False"}
