"""`assistant-worker threads …`."""

from argparse import Namespace
from contextlib import suppress
from dataclasses import astuple
from typing import Any

from worker import bootstrap, export
from worker.domain.conversations import EVERYTHING, Subject
from worker.domain.endings import Kept, Receipt, Status
from worker.domain.people import Person
from worker.domain.threads import Decision
from worker.ending import Eraser, Retention, Rewinding, Round, Wish, overdue, runs
from worker.errors import EngineDown, Permanent, WorkerError
from worker.operate.commands import consent, tables
from worker.operate.commands.desk import Desk, me
from worker.operate.commands.files import writing
from worker.ports.transcript import TranscriptReader

HELD = "decisions on legal hold cite what was said: `decisions list`"
LEFT = 3
"""The exit code for work that is not all done, and goes on by itself."""


async def list_(desk: Desk, options: Namespace) -> int:
    """List threads."""
    kept = await desk.adapters.index.threads()
    states = await _states(desk, kept)
    rows = [_row(each, states.get(each.owner) if each.owner else None) for each in kept]
    rows = [row for row in rows if not options.ended or row["state"] == "ended"]
    if options.json:
        tables.as_json(rows)
    else:
        tables.show(
            ["scope", "assistant", "tenant", "thread", "generation", "turns", "process"],
            [tuple(row.values()) for row in rows],
            "There are no threads.",
        )
    return 0


async def _states(desk: Desk, kept: list[Kept]) -> dict[Subject, str]:
    """Whether processes run or are over; nothing for those that nobody can tell of now."""
    owners = {each.owner for each in kept if each.owner}
    names = {owner.instance: owner for owner in owners if owner.instance is not None}
    found: dict[Subject, str] = {}
    # The list is Redis', and there without the engine too.
    with suppress(EngineDown):
        running = await desk.adapters.instances.running(names.keys())
        found |= {names[name]: "runs" for name in running if name in names}
        over = await desk.adapters.instances.ended(names.keys() - running)
        found |= {names[name]: "ended" for name, at in over.items() if name in names and at is not None}
        for owner in owners:
            if owner.business_key is not None:
                found[owner] = "runs" if await runs(desk.adapters.instances, owner) else "ended"
    return found


def _row(kept: Kept, state: str | None) -> dict[str, Any]:
    return {
        "scope": kept.key.scope,
        "assistant": kept.key.assistant,
        "tenant": kept.key.tenant,
        "thread": kept.thread.id if kept.thread else None,
        "generation": kept.thread.generation if kept.thread else None,
        "turns": len(kept.turns),
        "state": state or "unknown",
    }


async def show_(desk: Desk, options: Namespace) -> int:
    """Show what was said."""
    chosen = export.JSON if options.json else export.MARKDOWN
    async for part in chosen.write(await _selected(desk, options)):
        tables.write(part.decode(), raw=options.json)
    if options.instance is not None and not options.json:
        await say_moved(desk, options.instance)
    return 0


async def say_moved(desk: Desk, instance: str) -> None:
    """Name the way back where the engine tells of a modification: it may have moved the instance to an earlier step."""
    with suppress(WorkerError):
        moved = await desk.adapters.engine.moved(instance)
        if moved is not None:
            batch = "perhaps moved by a batch, whose instances the engine does not tell"
            how = batch if moved.by_batch else "moved by a modification"
            tables.say(
                f"Instance {instance} was {how}, last at {moved.at:%Y-%m-%d %H:%M} UTC. If that was back "
                "to an earlier step, its conversations go on with all that was said since; to have them end before it: "
                f"assistant-worker threads rewind {instance} --before ACTIVITY"
            )


async def export_(desk: Desk, options: Namespace) -> int:
    """Write what was said."""
    found = await _selected(desk, options)
    with writing(options.output) as file:
        async for part in export.FORMATS[options.format].write(found):
            file.write(part)
    return 0


async def _selected(desk: Desk, options: Namespace) -> export.Source:
    """Find every conversation, also those of called processes."""
    reading, engine = conversations(desk), desk.adapters.engine
    if options.instance is None:
        found = await export.of_business_key(reading, engine, options.business_key, within=EVERYTHING)
    else:
        found = await export.of_instance(reading, engine, options.instance, within=EVERYTHING)
    if not found.sessions:
        raise Permanent("the transcript has no conversation of it")
    return found


def conversations(desk: Desk) -> TranscriptReader:
    """Open the transcript. Raises Permanent where there is none."""
    if desk.adapters.conversations is None:
        raise Permanent("TRANSCRIPT_URL=off: there is no transcript")
    return desk.adapters.conversations


async def erase_(desk: Desk, options: Namespace) -> int:
    """Erase, or say what became of it."""
    ports = bootstrap.ending_ports(desk.settings, desk.adapters)
    if options.dry_run and not options.ended:
        raise Permanent("--dry-run goes with --ended only")
    if options.tenant and options.business_key is None and options.person is None:
        raise Permanent("--tenant goes with --business-key and --person only")
    if options.issuer and options.person is None:
        raise Permanent("--issuer goes with --person only")
    if (options.force or options.results) and options.instance is None and options.business_key is None:
        raise Permanent("--force and --results go with an instance or --business-key only")
    if undone := _undone(options):
        consent.ask(options, undone)
    if options.ended:
        policy = bootstrap.policy(desk.settings)
        swept = await Retention(ports, policy).sweep(dry_run=options.dry_run, absent=options.accept_absent)
        return _told_round(swept, options)
    if options.open:
        return told(await Eraser(ports).resume(absent=options.accept_absent), options)
    if options.receipt:
        known = await desk.adapters.orders.receipt(options.receipt)
        if known is None:
            raise Permanent(f"there is no order {options.receipt}, or it was complete more than 90 days ago")
        return told([known], options)
    tenants = frozenset(options.tenant) if options.tenant else None
    person = _person(desk, options).id if options.person else None
    subject = Subject(desk.settings.engine_name, options.instance, options.business_key, tenants, person)
    wishes = {"force": options.force, "results": options.results, "absent": options.accept_absent}
    return told([await Eraser(ports).erase(subject, **wishes)], options)


def _person(desk: Desk, options: Namespace) -> Person:
    """Name a person by the issuer that is set, unless another is named; without any it is API_TOKENS."""
    return Person(options.issuer or desk.settings.oidc_issuer or "token", options.person, options.person)


def _undone(options: Namespace) -> str:
    """Say what an order to erase does that cannot be undone; nothing where it only looks, or goes on with an order."""
    if options.dry_run or options.receipt or (options.open and not options.accept_absent):
        return ""
    absent = ", and takes for erased what this key cannot see" if options.accept_absent else ""
    if options.open:
        return f"This goes on with the open orders{absent}."
    if options.ended:
        return f"This erases all conversations whose time is over by RETENTION_THREADS_DAYS{absent}."
    if options.person:
        return f"This erases what {options.person} said to assistants, at the provider and in all stores{absent}."
    whose = f"business key {options.business_key}" if options.business_key else f"instance {options.instance}"
    results = " and results" if options.results else ""
    return f"This erases the conversations{results} of {whose} at the provider and in all stores{absent}."


def told(receipts: list[Receipt], options: Namespace) -> int:
    """Print receipts, and return the exit code."""
    if options.json:
        tables.as_json(receipts if getattr(options, "open", False) else receipts[0])
    else:
        for receipt in receipts:
            _show_receipt(receipt)
        if not receipts:
            tables.say("No order is open.")
    return 0 if all(receipt.completed_at for receipt in receipts) else LEFT


def _show_receipt(receipt: Receipt) -> None:
    whose = f"instance {receipt.instance}" if receipt.instance else f"business key {receipt.business_key}"
    if receipt.person:
        whose = f"person {receipt.person}" + (f", conversation {receipt.chat}" if receipt.chat else "")
    if receipt.memory:
        whose = f"subject {receipt.memory} of the memory"
    whose += "" if receipt.tenants is None else f" of tenant {', '.join(each or '(none)' for each in receipt.tenants)}"
    tables.say(f"Order {receipt.id}: {whose}, given {tables.cell(receipt.ordered_at)}")
    words = {Status.REMOVED: "removed", Status.OPEN: "left, will be tried again", Status.STAYS: "stays"}
    words[Status.ACCEPTED] = "not seen, accepted as gone"
    rows = [
        (each.store, each.what, words[each.status], each.count or None, each.at, each.why) for each in receipt.steps
    ]
    tables.show(["store", "what", "state", "count", "when", "why"], rows, "Nothing was found.")
    if receipt.completed_at:
        tables.say(f"Complete since {tables.cell(receipt.completed_at)}.")
    elif receipt.look_again_at and not receipt.open:
        tables.say(f"The transcript is looked at once more from {tables.cell(receipt.look_again_at)} on.")
    else:
        tables.say("Not complete: a worker tries again within the hour; --open does it now.")


def _told_round(done: Round, options: Namespace) -> int:
    if options.json:
        tables.as_json(done.summary())
        return LEFT if done.delayed else 0
    rows: list[tuple[object, ...]] = [("thread", key.scope, key.assistant, name, "") for key, name in done.threads]
    rows += [("record", each.instance or each.business_key, "", "", "") for each in done.records]
    rows += [("chat", each.person, "", each.chat, "") for each in done.chats]
    rows += [("decision", each, "", "", "") for each in done.decisions]
    rows += [("held", each.instance or each.business_key, "", "", HELD) for each in done.held]
    rows += [("delayed", each.instance or each.business_key or each.person, "", "", why) for each, why in done.delayed]
    heads = ["would end" if options.dry_run else "ended", "scope", "assistant", "thread", "why not"]
    tables.show(heads, rows, "Nothing is due.")
    return LEFT if done.delayed else 0


async def repair_(desk: Desk, options: Namespace) -> int:
    """List turns that are stuck, and cancel their runs if asked to; or take the account for changed."""
    if options.account_changed:
        consent.ask(options, "This leaves every account that the key does not see: its threads are made anew.")
        return await _leave(desk, options)
    stuck = await overdue(bootstrap.ending_ports(desk.settings, desk.adapters), cancel=options.cancel)
    if options.json:
        tables.as_json(stuck)
    else:
        heads = ["scope", "assistant", "task", "attempt", "overdue", "response", "provider says", "done"]
        tables.show(heads, [astuple(each) for each in stuck], "No turn is stuck.")
    return 0


async def _leave(desk: Desk, options: Namespace) -> int:
    """Have threads made anew that are in accounts which this key does not see."""
    for name, account in desk.adapters.accounts.items():
        left = await account.leave()
        current = await account.current()
        if options.json:
            tables.as_json({"provider": name, "current": current, "left": left})
            continue
        known = f"The key of {name} sees every known account."
        tables.show(["anchor", "made"], [(each.id, each.made_at) for each in left], known)
        tables.say(
            f"Threads of these accounts, and those of unknown ones, are made anew when their next task comes; this "
            f"key's anchor is {current}. What was said in a left account stays there: erase it with its own key."
        )
    return 0


async def renew_(desk: Desk, options: Namespace) -> int:
    """Note that a thread is to be replaced; the next turn on it does it, under its hold."""
    index = desk.adapters.index
    named = [(each.key, each.thread) for each in await index.threads()]
    found = next(((key, thread) for key, thread in named if thread is not None and thread.id == options.thread), None)
    why = Decision(options.reason or "on request", me())
    if found is None or not await index.replace(*found, why):
        raise Permanent(f"no thread goes by {options.thread} now: `threads list` shows those that there are")
    key, thread = found
    if options.json:
        tables.as_json(
            {"scope": key.scope, "assistant": key.assistant, "thread": thread.id, "generation": thread.generation}
        )
        return 0
    tables.say(
        f"Thread {thread.id} of {key.scope} with {key.assistant} is replaced at its next turn, once no call of "
        "ours may run on it any more. It stays at its provider, and is erased with the new one."
    )
    if desk.adapters.conversations is None:
        tables.say("TRANSCRIPT_URL=off: the new one will know nothing of what was said.")
    return 0


async def rewind_(desk: Desk, options: Namespace) -> int:
    """Order that an instance's threads end before one of its steps; their next turns do it, under their holds."""
    rewinding = Rewinding(desk.adapters.index, conversations(desk))
    wish = Wish(options.instance, options.before, options.assistant, options.attempt)
    done = await rewinding.rewind(wish, me(), options.reason, within=EVERYTHING)
    if options.json:
        tables.as_json(done)
        return 0
    rows = [(each.assistant, each.thread, each.why or "its next turn begins a new one") for each in done]
    tables.show(["assistant", "thread", "what becomes of it"], rows, "")
    tables.say(
        f"A new one is told what was said before {options.before}. Nothing is taken from the transcript, and what the "
        "process knows by its variables stays."
    )
    return 0


COMMANDS = {
    "list": list_,
    "show": show_,
    "export": export_,
    "erase": erase_,
    "repair": repair_,
    "renew": renew_,
    "rewind": rewind_,
}
