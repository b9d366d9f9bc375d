"""Reads one document, which comes by stdin, and writes its pages as JSON. What to read is the one argument."""

import json
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker.documents import docx, hypertext, package, pdf, xlsx
from worker.documents.bounds import Bounds, Job, Pages, TooLong, Unread


def main() -> None:
    """Read it. Ends with 0 whenever it has said what it found."""
    job = Job.read(sys.argv[1])
    _bound(job.bounds)
    said = json.dumps(_read(job, sys.stdin.buffer.read()), ensure_ascii=False)
    sys.stdout.buffer.write(said.encode())


def _bound(bounds: Bounds) -> None:
    """Have the system end this process where it takes more than it may."""
    with suppress(OSError):  # Linux alone has it: where memory is short, this process ends, and not the worker
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    limits = {
        resource.RLIMIT_CPU: (
            bounds.cpu_seconds,
            bounds.cpu_seconds + 1,
        ),  # at the second one there is no signal to tell
        resource.RLIMIT_AS: (bounds.memory, bounds.memory),
        resource.RLIMIT_FSIZE: (0, 0),
        resource.RLIMIT_CORE: (0, 0),
    }
    for what, limit in limits.items():
        with suppress(ValueError, OSError):  # macOS has no bound of memory; elsewhere a lower one holds already
            resource.setrlimit(what, limit)
    signal.alarm(bounds.seconds)  # whoever started it may be gone


def _read(job: Job, content: bytes) -> Mapping[str, Any]:
    pages = Pages(job.most)
    try:
        match job.form:
            case "pdf" | "pages":
                pdf.read(content, pages, job.bounds, text=job.form == "pdf")
            case "html":
                hypertext.read(content, pages, job.encoding)
            case "office":
                with package.opened(content, job.bounds) as parts:
                    (xlsx if parts.is_workbook else docx).read(parts, pages)
    except Unread as exc:
        return {"unread": exc.why}
    except TooLong:
        return {}
    except MemoryError:
        return {"unread": "memory"}
    except Exception:  # noqa: BLE001 - parsers raise whatever they like of what is damaged
        return {"unread": "broken"}
    return {"pages": pages.read()}


if __name__ == "__main__":
    main()
