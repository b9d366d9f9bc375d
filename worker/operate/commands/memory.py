"""`assistant-worker memory …`."""

from argparse import Namespace
from typing import Any

from worker import bootstrap
from worker.bootstrap.adapters import memory_engine
from worker.domain.conversations import EVERYTHING, Subject
from worker.domain.memory import KeptFact, KnownSubject, MemorySubject
from worker.ending import Eraser
from worker.errors import Permanent
from worker.modelling.properties import subject_flaw
from worker.modelling.subjects import named
from worker.operate.commands import consent, tables
from worker.operate.commands.desk import Desk, me
from worker.operate.commands.threads import told
from worker.ports.memory import FactBook

PAGE = 500
WHOLE = "this memory forgets no single fact: erase its instance, or forget the subject"
MOST = 10_000
"""Facts of one subject that are shown."""


async def list_(desk: Desk, options: Namespace) -> int:
    """List of whom something is remembered."""
    book, rows, before = _book(desk), list[KnownSubject](), None
    while page := await book.subjects(EVERYTHING, PAGE, before):
        rows += page
        before = (page[-1].changed_at, page[-1].digest)
    if options.json:
        tables.as_json(rows)
        return 0
    shown = [
        (each.digest, each.kind, each.tenant, each.facts, each.proposed, each.waiting, each.changed_at) for each in rows
    ]
    heads = ["subject", "by", "tenant", "facts", "proposed", "waiting", "changed"]
    tables.show(heads, shown, "Nothing is remembered.")
    return 0


async def show_(desk: Desk, options: Namespace) -> int:
    """Show what is known of a subject."""
    one = await _chosen(desk, options)
    facts = await _book(desk).facts(one.digest, " ".join(options.words), MOST)
    if options.json:
        tables.as_json({"subject": one, "facts": facts})
        return 0
    tables.show(["fact", "state", "when", "instance", "text"], map(_row, facts), "Nothing is known of it.")
    return 0


def _row(fact: KeptFact) -> tuple[Any, ...]:
    return fact.id, fact.state, fact.at, fact.instance, " ".join(fact.text.split())


async def approve_(desk: Desk, options: Namespace) -> int:
    """Have a proposal be recalled."""
    one = await _chosen(desk, options)
    if not await _book(desk).approve(options.fact, one.digest, me()):
        raise Permanent(f"of this subject nobody proposes {options.fact} (any more): see `memory show`")
    tables.say("It is recalled from now on.")
    return 0


async def forget_(desk: Desk, options: Namespace) -> int:
    """Forget one fact, or all that is known of a subject."""
    if options.fact is None:
        digest = _digest(desk, options)
        consent.ask(options, f"This forgets all that is remembered of the subject {digest}.")
        if options.subject is None:
            # Nothing may be known yet: the first turn that will leave something of it may be under way.
            await _book(desk).know(MemorySubject(digest, options.tenant), options.of[0])
        one = await _chosen(desk, options)
        eraser = Eraser(bootstrap.ending_ports(desk.settings, desk.adapters))
        subject = Subject(desk.settings.engine_name, memory=one.digest)
        return told([await eraser.erase(subject)], options)
    one = await _chosen(desk, options)
    consent.ask(options, f"This forgets the fact {options.fact}.")
    # A proposal has yet to come to the memory.
    forgets_one = desk.adapters.forgets_one
    if not await _book(desk).drop_fact(options.fact, one.digest, only_proposed=not forgets_one):
        raise Permanent(
            f"of this subject nobody knows {options.fact} (any more): see `memory show`" if forgets_one else WHOLE
        )
    if not options.json:
        tables.say("It is forgotten.")
    return 0


def _book(desk: Desk) -> FactBook:
    if desk.adapters.facts is None:
        raise Permanent("TRANSCRIPT_URL=off: nothing is remembered without a transcript")
    return desk.adapters.facts


def _digest(desk: Desk, options: Namespace) -> str:
    if options.subject is not None:
        if options.tenant is not None:
            raise Permanent("--tenant goes with --of only")
        return str(options.subject)
    kind, value = options.of
    if flaw := subject_flaw(kind):
        raise Permanent(f"--of {kind}: {flaw}")
    return named(kind, value, options.tenant, memory_engine(desk.settings)).digest


async def _chosen(desk: Desk, options: Namespace) -> KnownSubject:
    found = await _book(desk).subject(_digest(desk, options), EVERYTHING)
    if found is None:
        raise Permanent("nothing was ever remembered of this subject: `memory list` shows of whom")
    return found


COMMANDS = {"list": list_, "show": show_, "approve": approve_, "forget": forget_}
