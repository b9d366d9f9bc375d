"""The provider: whether it accepts the key, has the models that the assistants want, and what those can do."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

from worker.bootstrap import Connected
from worker.domain.providers import Limits, Words
from worker.domain.threads import Anchor, Assistant
from worker.errors import KeepsNothing, ModelDown, ProviderPaused, Transient, WorkerError
from worker.operate.doctor import abilities
from worker.operate.doctor.abilities import Trying
from worker.operate.doctor.checks import Check, Contact, Finding, Level
from worker.ports.file_stores import FileVendor
from worker.ports.stops import StopBook
from worker.specs.assistants import Specs

AREA = "provider"
_BUSY = frozenset({408, 409, 425, 429, *range(500, 600)})
"""Statuses of a server that is there, and cannot serve."""


class Card(Protocol):
    """What a provider says of a model."""

    @property
    def context_tokens(self) -> int | None:
        """How much it can read."""
        ...


@runtime_checkable
class Catalogue(Protocol):
    """What a model port offers beyond `ports.providers.Provider` if its provider can be asked for names of models."""

    async def find_model(self, name: str) -> Card | None:
        """What is said of a model; None where our key cannot use it. Raises ProviderPaused if it may not ask."""
        ...


def checks(
    connected: Connected, contacts: Mapping[str, Contact], specs: Specs | None, stops: StopBook, *, calls: bool
) -> list[Check]:
    """Return the checks of one provider. A contact asks for something that does not exist, or for its models.

    With `calls` each model is asked one small question, unless it is stopped.
    """
    spec, account = connected.spec, connected.account
    contact = contacts[spec.name]
    area = AREA if spec.words == Words() else f"{AREA} {spec.name}"
    where = f"at {spec.base_url}" if spec.base_url else "OpenAI"
    way = f"Look at the way to the provider ({where}): {spec.words.address}, name resolution, proxy, firewall."

    async def key() -> list[Finding]:
        try:
            await contact.made()
        except WorkerError as exc:
            said, advice = _trouble(exc, where, way, spec.words, has_account=account is not None)
            instead = None if _is_busy(exc) else await _stand_ins(spec.name, contacts, specs)
        else:
            return [Finding(area, "key", Level.OK, f"the provider ({where}) accepts it")]
        if instead is None:
            return [Finding(area, "key", Level.PROBLEM, said, advice)]
        return [Finding(area, "key", Level.WARNING, f"{said}. {instead}", advice)]

    async def limits() -> list[Finding]:
        return [Finding(area, "limits", Level.OK, _limits(spec.limits))]

    async def whose() -> list[Finding]:
        await contact.made()
        return [] if account is None else _account(area, spec.words, await account.survey())

    async def model(name: str, users: Sequence[Assistant]) -> list[Finding]:
        await contact.made()
        found = await _look_up(area, name, users, connected)
        # A model that is not there would refuse the call as well, and be reported twice.
        if calls and all(each.level is not Level.PROBLEM for each in found) and isinstance(connected.provider, Trying):
            found.append(await abilities.of_model(area, name, spec, users, connected.provider, stops))
        return found

    return [
        Check(area, "key", key, Level.PROBLEM, way),
        *([Check(area, "account", whose)] if account else []),
        *([Check(area, "limits", limits)] if spec.limits else []),
        *_of_files(area, contact, connected.files if spec.file_search else None),
        *(
            Check(area, f"model {name}", partial(model, name, users))
            for name, users in _wanted(specs, spec.name).items()
        ),
    ]


def _of_files(area: str, contact: Contact, vendor: FileVendor | None) -> list[Check]:
    """Return the check of a provider that searches files itself."""
    if vendor is None:
        return []

    async def searching() -> list[Finding]:
        await contact.made()
        try:
            await vendor.ping()
        except WorkerError as exc:
            advice = "Give the key the right to files and vector stores, or take file_search out."
            return [Finding(area, "file_search", Level.PROBLEM, str(exc), advice)]
        return [Finding(area, "file_search", Level.OK, "files of assistants go there, and are searched there")]

    return [Check(area, "file_search", searching)]


def _trouble(exc: WorkerError, where: str, way: str, words: Words, *, has_account: bool) -> tuple[str, str]:
    """Say what is wrong with a provider that did not take the probe, and what to do."""
    if isinstance(exc, KeepsNothing):
        return f"{exc} ({where})", f"The key is good: leave {words.key} as it is, and name another API of the provider."
    if isinstance(exc, ProviderPaused):
        rights = "has the right to conversations, and " if has_account else ""
        return f"{exc} ({where})", f"Set {words.key} to a key that is valid there, {rights}is paid for."
    if _is_busy(exc):
        said = f"the provider ({where}) answers, but cannot serve now: {exc}"
        return said, "Wait, or ask who runs it: the way there is fine. Work goes on by itself when it serves again."
    return str(exc), way


def _is_busy(exc: WorkerError) -> bool:
    """Whether it is there, and takes no call now: nobody falls back for that."""
    return isinstance(exc, Transient) and not isinstance(exc, ProviderPaused) and exc.status in _BUSY


async def _stand_ins(name: str, contacts: Mapping[str, Contact], specs: Specs | None) -> str | None:
    """Say who answers for a provider that is away; None where somebody's tasks would wait for it."""
    if specs is None or len(contacts) == 1:
        return None
    taken = set()
    for each in specs.assistants:
        if each.provider != name:
            continue
        # The first that answers is the one a turn would end up at.
        answering = [other for other, _ in each.fallback if await _answers(contacts[other])]
        if not answering:
            return None
        taken.add(answering[0])
    if not taken:
        return "No assistant asks it first"
    return f"Its assistants all have a fallback that answers: {', '.join(sorted(taken))}"


async def _answers(contact: Contact) -> bool:
    try:
        await contact.made()
    except WorkerError:
        return False
    return True


def _limits(limits: Limits) -> str:
    parts = [
        (limits.at_once, "calls at once"),
        (limits.requests_per_minute, "calls a minute"),
        (limits.tokens_per_minute, "tokens a minute"),
    ]
    said = ", ".join(f"{count} {what}" for count, what in parts if count is not None)
    return f"all workers together make {said} at most; tasks beyond that wait, and spend no retry"


def _account(area: str, words: Words, seen: Sequence[tuple[Anchor, bool]]) -> list[Finding]:
    """Say which of the known accounts the key is of, by their anchors."""
    read = [anchor.id for anchor, reads in seen if reads]
    missed = [anchor.id for anchor, reads in seen if not reads and not anchor.left]
    if not seen:
        said = "no account is known yet: the first thread that is made notes it"
        return [Finding(area, "account", Level.OK, said)]
    if not missed:
        said = f"the key sees the account with the anchor {read[0]}" if read else "the account was changed on purpose"
        return [Finding(area, "account", Level.OK, said)]
    said = f"the key does not see the account with the anchor {', '.join(missed)}" + (
        f"; it sees the one with {read[0]}" if read else ""
    )
    advice = (
        f"Threads of that account stop the work when their next task comes. Set {words.key} and {words.address} to "
        "it, or run: assistant-worker threads repair --account-changed"
    )
    return [Finding(area, "account", Level.WARNING if read else Level.PROBLEM, said, advice)]


async def _look_up(area: str, name: str, users: Sequence[Assistant], connected: Connected) -> list[Finding]:
    subject, model, wanted_by = (
        f"model {name}",
        connected.provider,
        ", ".join(f"{each.name} {each.version}" for each in users),
    )
    if not isinstance(model, Catalogue):
        return [Finding(area, subject, Level.UNKNOWN, "this provider cannot be asked for its models")]
    try:
        card = await model.find_model(name)
    except ProviderPaused:
        said = f"the key may not look models up, so it is not known whether {wanted_by} can answer"
        return [Finding(area, subject, Level.WARNING, said, "Give the key the right to read models, or just try.")]
    except ModelDown as exc:
        return [Finding(area, subject, Level.UNKNOWN, str(exc))]
    if card is not None:
        there = Finding(area, subject, Level.OK, f"there, for {wanted_by}")
        return [there, *abilities.of_window(area, name, connected.spec, card.context_tokens)]
    said = f"not there for this key, but wanted by {wanted_by}"
    advice = "Correct `model` in the assistant's spec, or let the key's project use the model."
    return [Finding(area, subject, Level.PROBLEM, said, advice)]


def _wanted(specs: Specs | None, provider: str) -> Mapping[str, Sequence[Assistant]]:
    """Say for each model who wants it."""
    users: defaultdict[str, list[Assistant]] = defaultdict(list)
    for each in specs.assistants if specs else ():
        for where, model in each.chain:
            if where == provider:
                users[model].append(each)
    return {name: users[name] for name in sorted(users)}
