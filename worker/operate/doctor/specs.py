"""What people wrote: providers, specs of assistants and budgets, and what is wrong with them, line by line."""

import asyncio
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta

from worker import bootstrap
from worker.documents import DocumentReader, FileShelf
from worker.domain.providers import ProviderSpec
from worker.domain.threads import Assistant
from worker.errors import BadDefinition, Permanent
from worker.operate.doctor.checks import Check, Finding, Level
from worker.settings import Settings
from worker.specs import assistants, budgets
from worker.specs.assistants import Specs

AREA = "assistants"
LISTED = 20
"""Assistants that are named in the report; the others are counted."""
_ADVICE = "Correct it: the worker does not start before."
_READ = "Each task of this assistant is an incident before."
_READING = timedelta(minutes=3)


async def providers(settings: Settings) -> tuple[Mapping[str, ProviderSpec] | None, list[Finding]]:
    """Read who they are. None where that cannot be said; it is said only then."""
    try:
        return await asyncio.to_thread(bootstrap.provider_specs, settings), []
    except Permanent as exc:
        said = "; ".join(str(exc).splitlines())
        return None, [Finding("providers", "file", Level.PROBLEM, f"{said}; so none is looked at", _ADVICE)]


async def load(settings: Settings, known: Mapping[str, ProviderSpec] | None) -> tuple[Specs | None, list[Finding]]:
    """Load the specs as the worker would, as far as the providers are known. None where one of them is wrong."""
    try:
        specs = await asyncio.to_thread(assistants.load, settings.assistants_dir, known)
    except Permanent as exc:
        return None, [Finding(AREA, "specs", Level.PROBLEM, line, _ADVICE) for line in str(exc).splitlines()]
    names = [f"{each.name} {each.version}" for each in specs.assistants]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    said = f"{len(names)} in {settings.assistants_dir}: {', '.join(names[:LISTED])}{more}"
    return specs, [Finding(AREA, "specs", Level.OK, said)]


def of_files(specs: Specs | None, known: Mapping[str, ProviderSpec] | None) -> list[Check]:
    """Return checks of the files that assistants look things up in, one for each assistant that has some.

    Where all of its providers search files themselves, nobody here has to read them.
    """
    searching = {name for name, each in (known or {}).items() if each.file_search}

    def check(assistant: Assistant) -> Check:
        name = f"{assistant.name} {assistant.version}"

        async def read() -> list[Finding]:
            if dict(assistant.chain).keys() <= searching:
                said = f"its {len(assistant.files)} files are searched by its provider"
                return [Finding(AREA, name, Level.OK, said)]
            try:
                with closing(FileShelf(DocumentReader())) as shelf:
                    await shelf.find(assistant.files, "", 0)
            except BadDefinition as exc:
                return [Finding(AREA, name, Level.PROBLEM, str(exc), _READ)]
            return [Finding(AREA, name, Level.OK, f"its {len(assistant.files)} files can be read")]

        return Check(AREA, name, read, patience=_READING)

    return [check(each) for each in specs.assistants if each.files] if specs is not None else []


def of_budgets(settings: Settings, specs: Specs | None, known: Mapping[str, ProviderSpec] | None) -> list[Check]:
    """Return the check of the budgets, if there are any: against specs and providers as far as those are known."""
    path = settings.budgets_file
    if path is None:
        return []

    async def kept() -> list[Finding]:
        try:
            limits = await asyncio.to_thread(budgets.load, path)
            if specs is not None and known is not None:
                budgets.check(limits, specs.assistants, known)
        except Permanent as exc:
            return [Finding("budgets", "file", Level.PROBLEM, "; ".join(str(exc).splitlines()), _ADVICE)]
        found = [Finding("budgets", "file", Level.OK, f"{len(limits.limits)} in {path}: {', '.join(limits.limits)}")]
        for name in budgets.strangers(limits, specs.assistants) if specs is not None else ():
            said = "there is no assistant of this name here, so that it bounds nothing"
            found.append(
                Finding("budgets", name, Level.WARNING, said, "Correct the name, unless another worker has it.")
            )
        return found

    return [Check("budgets", "file", kept)]
