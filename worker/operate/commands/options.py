"""The commands' options, with an example each."""

import argparse
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker.domain.budgets import SCOPES
from worker.domain.stops import KINDS
from worker.operate.parser import EXAMPLE, Commands, add, below

if TYPE_CHECKING:
    from worker.operate.commands.desk import Desk
    from worker.settings import Settings

Work = Callable[["Desk", argparse.Namespace], Awaitable[int]]

EXITS = (
    "Exit codes: 0 done; 1 engine, Redis, provider or transcript cannot be reached; 2 what was asked for, or a "
    "setting, is wrong; 3 some of it is left to do."
)


NEW_FILE = "a file that does not exist yet; without it, the standard output"
FORMATS = ("json", "markdown")
"""Those of `export.formats`, which takes its time to import, as do those of records; a test compares them."""
RECORD_FORMATS = ("json", "html", "markdown", "xlsx", "docx", "pdf")
"""Those of `decisions.formats`."""


def add_to(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `threads` and `transcript`, `stop`, `resume`, `stops`, `budgets`, `memory`, `decisions` and `files`."""
    threads = below(add(commands, "threads", "list, show, export, erase, repair, renew and rewind conversations"))
    _list(threads)
    _show(threads)
    _export(threads)
    _erase(threads)
    _repair(threads)
    _renew(threads)
    _rewind(threads)
    transcript = below(
        add(commands, "transcript", "search what was said, and sum what it cost and what people say of it")
    )
    _search(transcript)
    _cost(transcript)
    _feedback(transcript)
    _stop(commands)
    _budgets(commands)
    _memory(below(add(commands, "memory", "list, show, approve and forget what is remembered beyond instances")))
    _files(below(add(commands, "files", "list and remove files of assistants at providers that search them")))
    _decisions(below(add(commands, "decisions", "list, show, export, verify, compare and hold records of decisions")))


def _list(commands: "Commands[argparse.ArgumentParser]") -> None:
    added = _add(commands, "threads", "list", "list threads, and whose they are; no message text", "threads list")
    added.add_argument("--ended", action="store_true", help="only those whose process instance is over")


def _show(commands: "Commands[argparse.ArgumentParser]") -> None:
    added = _add(commands, "threads", "show", "print what was said, as text", "threads show 8f14e45f-ceea-11f0-9d1c")
    _subject(added)


def _export(commands: "Commands[argparse.ArgumentParser]") -> None:
    example = "threads export --business-key order-7 --format markdown --output order-7.md"
    added = _add(
        commands, "threads", "export", "write what was said to a file, or to the standard output", example, json=False
    )
    _subject(added)
    added.add_argument("--format", choices=FORMATS, default="json", help="as what; json by default")
    added.add_argument("--output", metavar="FILE", help=NEW_FILE)


def _erase(commands: "Commands[argparse.ArgumentParser]") -> None:
    what = (
        "erase conversations at the provider, in Redis and in the transcript, and the worker's variables in the engine"
    )
    example = "threads erase --business-key order-7 --yes --json > receipt.json"
    added = _add(commands, "threads", "erase", what, example, writes=True, asks=True, final=True)
    whose = _subject(added, "--business-key, --person, --ended, --open or --receipt")
    whose.add_argument(
        "--person",
        metavar="SUBJECT",
        help="all that this person has said to assistants, by the subject of their tokens",
    )
    whose.add_argument(
        "--ended", action="store_true", help="all that retention has to erase by now: see RETENTION_THREADS_DAYS"
    )
    whose.add_argument("--open", action="store_true", help="go on with all earlier orders that are not complete")
    whose.add_argument(
        "--receipt", metavar="ORDER", help="only show what became of an earlier order; its id is in its receipt"
    )
    added.add_argument("--dry-run", action="store_true", help="with --ended: only list what would be erased")
    added.add_argument("--force", action="store_true", help="even if the process instance still runs")
    absent = (
        "take for erased what the provider's key cannot see, and say so in the receipt; also with --ended and --open"
    )
    added.add_argument("--accept-absent", action="store_true", help=absent)
    added.add_argument(
        "--results", action="store_true", help="also the results, in the process variables that hold them"
    )
    more = "with --business-key or --person: only this tenant's; may be repeated"
    added.add_argument("--tenant", metavar="TENANT", action="append", help=more)
    issuer = "with --person: who vouches for them; OIDC_ISSUER by default, or else token, for the names of API_TOKENS"
    added.add_argument("--issuer", metavar="ISSUER", help=issuer)


def _repair(commands: "Commands[argparse.ArgumentParser]") -> None:
    what = "list turns that are stuck: calls past their deadline, and runs that wait at the provider"
    added = _add(commands, "threads", "repair", what, "threads repair --cancel", writes=True, asks=True, final=True)
    added.add_argument(
        "--cancel", action="store_true", help="also cancel their runs at the provider; workers do the rest"
    )
    changed = (
        "the provider's account was changed on purpose: threads that this key cannot see are made anew, with what was "
        "said on them; nothing is erased"
    )
    added.add_argument("--account-changed", action="store_true", help=changed)


def _renew(commands: "Commands[argparse.ArgumentParser]") -> None:
    what = "have a thread that is stuck replaced at its next turn by a new one that is told what was said"
    example = 'threads renew conv_68f2 --reason "its provider refuses it"'
    added = _add(commands, "threads", "renew", what, example)
    added.add_argument("thread", metavar="THREAD", help="its id, as `threads list` shows it")
    added.add_argument("--reason", metavar="TEXT", default="", help="why, for the log and for whoever looks later")


def _rewind(commands: "Commands[argparse.ArgumentParser]") -> None:
    what = "have an instance's threads replaced at their next turns by new ones that end before one of its steps"
    added = _add(commands, "threads", "rewind", what, "threads rewind 4711 --before evaluate")
    added.add_argument("instance", metavar="INSTANCE", help="id of a process instance, which was moved back")
    added.add_argument("--before", metavar="ACTIVITY", required=True, help="the id of that step in the model")
    added.add_argument("--assistant", metavar="NAME", help="only the thread of this assistant; without it, of all")
    which = "where the step was asked several times, as in a loop: which time, from 1; without it, the latest"
    added.add_argument("--attempt", metavar="N", type=_count, help=which)
    added.add_argument("--reason", metavar="TEXT", default="", help="why, for the log and for whoever looks later")


def _search(commands: "Commands[argparse.ArgumentParser]") -> None:
    added = _add(
        commands, "transcript", "search", "find messages that have all of the words", "transcript search drone battery"
    )
    added.add_argument("words", metavar="WORD", nargs="+", help="what a message has to have in it")
    added.add_argument("--instance", metavar="ID", help="only this process instance")
    added.add_argument("--business-key", metavar="KEY", help="only this business key")
    added.add_argument("--assistant", metavar="NAME", help="only this assistant")
    added.add_argument(
        "--limit", metavar="N", type=_count, default=50, help="at most so many, the newest; 50 by default"
    )


def _cost(commands: "Commands[argparse.ArgumentParser]") -> None:
    example = "transcript cost --by day --since 2026-11-01"
    added = _add(commands, "transcript", "cost", "sum what answers took and cost, as far as that is known", example)
    added.add_argument("instance", metavar="INSTANCE", nargs="?", help="only this process instance")
    common = ["instance", "definition", "day", "assistant", "model"]
    each = f"a sum for each {', '.join(common[:-1])} or {common[-1]}, in place of one; days are of UTC"
    added.add_argument("--by", metavar="WHAT", choices=common, default="all", help=each)
    added.add_argument("--since", metavar="DATE", type=_time, help="only answers from then on, such as 2026-11-01; UTC")


def _feedback(commands: "Commands[argparse.ArgumentParser]") -> None:
    what = "count how often people called the answers of each assistant's version right and wrong"
    added = _add(commands, "transcript", "feedback", what, "transcript feedback --since 2026-11-01")
    added.add_argument(
        "--since", metavar="DATE", type=_time, help="only what was said from then on, such as 2026-11-01; UTC"
    )


def _stop(commands: "Commands[argparse.ArgumentParser]") -> None:
    what = "have all workers start no call of an assistant, a provider, a topic, a tenant, or at all; tasks wait"
    example = 'stop assistant analyst --reason "answers nonsense" --now'
    stop = _add(commands, "stops", "stop", what, example, json=False)
    _stoppable(stop)
    stop.add_argument("--reason", metavar="TEXT", default="", help="why, for those who see it")
    stop.add_argument("--now", action="store_true", help="also break off calls that run; they may be paid all the same")
    _stoppable(
        _add(
            commands, "stops", "resume", "lift a stop, so that the tasks go on", "resume assistant analyst", json=False
        )
    )
    _add(commands, "stops", "stops", "list what is stopped, by whom, since when and why", "stops --json")


def _budgets(commands: "Commands[argparse.ArgumentParser]") -> None:
    what = "list what is used of budgets, the most used first"
    added = _add(commands, "budgets", "budgets", what, "budgets instance --json")
    scopes = f"all budgets of this kind: {', '.join(SCOPES)}; without it, today's of tenants and assistants"
    added.add_argument("scope", metavar="KIND", nargs="?", choices=SCOPES, help=scopes)


def _memory(commands: "Commands[argparse.ArgumentParser]") -> None:
    _add(commands, "memory", "list", "list of whom something is remembered, by digests", "memory list --json")
    example = "memory show --of variable:customer_id 4711 --words crane"
    shown = _whom(_add(commands, "memory", "show", "show what is known of a subject", example))
    shown.add_argument("--words", metavar="WORD", nargs="+", default=[], help="only what has all of these words")
    what = "have a proposal be recalled from now on"
    approved = _whom(
        _add(commands, "memory", "approve", what, "memory approve SUBJECT --fact FACT", json=False, writes=True)
    )
    approved.add_argument("--fact", metavar="FACT", required=True, help="its id, as `memory show` has it")
    what = "forget all that is known of a subject, with a receipt; or one fact of it"
    forgotten = _whom(_add(commands, "memory", "forget", what, "memory forget SUBJECT --yes", writes=True, final=True))
    forgotten.add_argument("--fact", metavar="FACT", help="only this one, or this proposal")
    forgotten.set_defaults(receipt=None)


def _files(commands: "Commands[argparse.ArgumentParser]") -> None:
    what = "list vector stores with files of assistants, what is in them, and which specs name these files"
    _add(commands, "files", "list", what, "files list --json", asks=True)
    what = "remove vector stores, and files that no other one has, with a receipt; may be repeated"
    example = "files remove --unused --yes --json > receipt.json"
    added = _add(commands, "files", "remove", what, example, asks=True, final=True)
    added.add_argument("stores", metavar="ID", nargs="*", help="ids of stores, as `files list` has them")
    unused = "all that no spec in ASSISTANTS_DIR names; one that a worker with other specs uses is made anew by it"
    added.add_argument("--unused", action="store_true", help=unused)


def _whom(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("subject", metavar="SUBJECT", nargs="?", help="its digest, as `memory list` has it")
    by = "by what the process calls it: a value of memory.subject, and what stands there, such as business-key order-7"
    whose.add_argument("--of", metavar=("KIND", "VALUE"), nargs=2, help=by)
    parser.add_argument("--tenant", metavar="TENANT", help="with --of: the tenant of the process, if it has one")
    return parser


def _decisions(commands: "Commands[argparse.ArgumentParser]") -> None:
    added = _add(
        commands, "decisions", "list", "list records of decisions, those that changed last first", "decisions list"
    )
    added.add_argument("--instance", metavar="ID", help="only this process instance's")
    example = "decisions show 4711"
    _decision(_add(commands, "decisions", "show", "print a record, as text", example))
    example = "decisions export 4711 --format html --output decision.html"
    what = "write a record to a file, or to the standard output"
    added = _decision(_add(commands, "decisions", "export", what, example, json=False))
    formats = f"as what: {', '.join(RECORD_FORMATS[:-1])} or {RECORD_FORMATS[-1]}; json by default"
    added.add_argument("--format", metavar="FORMAT", choices=RECORD_FORMATS, default="json", help=formats)
    added.add_argument("--output", metavar="FILE", help=NEW_FILE)
    what = "compute a record anew, and compare it with its hashes and with the rows that tell of its changes"
    more = " Exit code 4: it is not what it was."
    what = "say what is different between two revisions of a record, and who signed which"
    added = _decision(_add(commands, "decisions", "compare", what, "decisions compare 4711 --from 1"), at_any=False)
    added.add_argument("--from", metavar="N", type=_number, dest="first", help="that before the other without")
    added.add_argument("--to", metavar="N", type=_number, dest="second", help="the last one without")
    added = _decision(_add(commands, "decisions", "verify", what, "decisions verify 4711", more=more))
    added.add_argument(
        "--public-key",
        metavar="FILE",
        action="append",
        default=[],
        help="a public key (PEM) that rows were signed by, beside that of RECORD_KEY; may be given again",
    )
    what = "put a record on legal hold: nothing of it, nor of the messages that it cites, is erased"
    example = 'decisions hold 4711 --reason "claim 12/26"'
    _with_reason(_add(commands, "decisions", "hold", what, example, json=False, writes=True))
    example = 'decisions release 4711 --reason "claim 12/26 is settled"'
    _with_reason(_add(commands, "decisions", "release", "lift a legal hold", example, json=False, writes=True))


def _decision(parser: argparse.ArgumentParser, *, at_any: bool = True) -> argparse.ArgumentParser:
    parser.add_argument(
        "decision", metavar="DECISION", help="its id, or that of a process instance that has one record"
    )
    if not at_any:
        parser.set_defaults(revision=None)
        return parser
    parser.add_argument("--revision", metavar="N", type=_number, help="an earlier revision; the last one without")
    return parser


def _with_reason(parser: argparse.ArgumentParser) -> None:
    _decision(parser, at_any=False).add_argument(
        "--reason", metavar="TEXT", required=True, help="why; it stays in the record, as long as that is kept"
    )


def _stoppable(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", choices=KINDS, help=f"one of {', '.join(KINDS)}")
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="its name; after `all` there is none")


def _subject(parser: argparse.ArgumentParser, others: str = "--business-key") -> "argparse._MutuallyExclusiveGroup":
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument(
        "instance", metavar="INSTANCE", nargs="?", help=f"id of a process instance; either this or {others}"
    )
    whose.add_argument(
        "--business-key", metavar="KEY", help="all process instances with this business key, and what they share"
    )
    return whose


def _add(
    commands: "Commands[argparse.ArgumentParser]",
    module: str,
    name: str,
    what: str,
    example: str,
    *,
    json: bool = True,
    writes: bool = False,
    asks: bool = False,
    final: bool = False,
    more: str = "",
) -> argparse.ArgumentParser:
    """Add a command. `writes`: it may change the transcript; `asks`: it works with providers, and so reads of them.

    `final`: it may do what cannot be undone, and wants to hear that this is meant.
    """
    added = add(commands, name, what, more=f"{EXAMPLE}assistant-worker {example}\n\n{EXITS}{more}")
    if json:
        added.add_argument("--json", action="store_true", help="print JSON, for programs")
    if final:
        yes = "do not ask whether it is meant; needed where no terminal is there to ask on"
        added.add_argument("--yes", action="store_true", help=yes)
    added.set_defaults(command=lambda options: _run(module, name, options), writes=writes, asks=asks)
    return added


def _run(module: str, name: str, options: argparse.Namespace) -> int:
    import asyncio  # noqa: PLC0415 - --help need not pay for any of this

    from worker import settings  # noqa: PLC0415 - as above
    from worker.telemetry import logs  # noqa: PLC0415 - as above

    work = _commands(module)[name]
    chosen = settings.read()
    logs.configure("console", "CRITICAL")  # what happens is printed
    return asyncio.run(_at_work(work, chosen, options))


def _commands(group: str) -> Mapping[str, Work]:
    """Return what the commands of a group do. They are imported when one is wanted: --help need not pay for it."""
    from worker.operate.commands import budgets, decisions, kept_files, memory, stops, threads, transcript  # noqa: PLC0415 - as the docstring says

    return {
        "threads": threads.COMMANDS,
        "transcript": transcript.COMMANDS,
        "stops": stops.COMMANDS,
        "budgets": budgets.COMMANDS,
        "decisions": decisions.COMMANDS,
        "memory": memory.COMMANDS,
        "files": kept_files.COMMANDS,
    }[group]


async def _at_work(work: Work, chosen: "Settings", options: argparse.Namespace) -> int:
    from worker import bootstrap  # noqa: PLC0415 - see above
    from worker.errors import Permanent, WorkerError  # noqa: PLC0415 - as above
    from worker.operate.commands import tables  # noqa: PLC0415 - as above
    from worker.operate.commands.desk import Desk  # noqa: PLC0415 - as above

    # Else not read: a fault in PROVIDERS_FILE is to keep nobody from commands that ask no provider.
    known = bootstrap.provider_specs(chosen) if options.asks else {}
    try:
        async with bootstrap.connect(chosen, known, reads_only=_only_reads(options)) as adapters:
            return await work(Desk(chosen, adapters), options)
    except Permanent:
        raise
    except WorkerError as exc:
        tables.complain(str(exc))
        return 1


def _only_reads(options: argparse.Namespace) -> bool:
    """Whether a command leaves the transcript alone: all but those that write to it, and of those what only looks."""
    return not options.writes or bool(getattr(options, "dry_run", False) or getattr(options, "receipt", None))


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        # In year 1 or 9999 the way to UTC overflows.
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            "must be a date such as 2026-11-01, or a time such as 2026-11-01T12:00"
        ) from None


def _number(text: str) -> int:
    # `int` alone would take signs, blanks and underscores as well.
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1 on")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:  # noqa: PLR2004 - said in the next line
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 1000")
    return int(text)
