"""Specs of assistants that are deployed with a process, beside its model."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from worker.domain.deployed import Allowed, file_of
from worker.domain.providers import ProviderSpec
from worker.domain.threads import Assistant
from worker.errors import BadDefinition
from worker.runtime.beside import beside
from worker.specs import assistants
from worker.specs.yaml_text import Wrong

LONGEST: Final = 100_000
"""Characters of a spec, and of the file with its schema, if that is one of its own."""
KEPT: Final = 200
"""Specs that are remembered, each of one definition; what is deployed never changes."""


class Deployed:
    """Finds them. `resource` returns a file of a definition's deployment, as `ports.engine.Engine.resource` does."""

    def __init__(
        self,
        resource: Callable[[str, str], Awaitable[str]],
        allowed: Allowed,
        providers: Mapping[str, ProviderSpec],
    ) -> None:
        self._resource = resource
        self._allowed = allowed
        self._providers = providers
        self._known: OrderedDict[tuple[str, str], Assistant] = OrderedDict()

    async def find(self, name: str, definition_id: str, tenant: str | None) -> Assistant:
        """See `ports.providers.Assistants.deployed`."""
        file = file_of(name)
        place = f"property service.name: {file!r} of the deployment"
        if refusal := self._allowed.refusal(name, tenant):  # its file is not even read
            raise BadDefinition(f"property service.name: {refusal}")
        found = self._known.get((definition_id, name)) or await self._load(name, definition_id, file, place)
        self._known[definition_id, name] = found
        self._known.move_to_end((definition_id, name))
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        if flaw := self._allowed.flaw(found, tenant):
            raise BadDefinition(f"{place}: {flaw}")
        return found

    async def _load(self, name: str, definition_id: str, file: str, place: str) -> Assistant:
        text = await self._file(definition_id, file)
        schema = await beside(wanted, text, place)
        content = "" if schema is None else await self._file(definition_id, schema)
        found = await beside(read, text, file, place, self._providers, {schema: content})
        return replace(found, name=name)

    async def _file(self, definition_id: str, name: str) -> str:
        try:
            text = await self._resource(definition_id, name)
        except BadDefinition as exc:
            raise BadDefinition(f"property service.name: {exc}") from None
        if len(text) > LONGEST:
            raise BadDefinition(f"property service.name: {name!r} of the deployment has more than {LONGEST} characters")
        return text


def wanted(text: str, place: str) -> str | None:
    """Name the file that a spec wants its schema from, None for none. Raises BadDefinition. Not for the loop."""
    if len(text) > LONGEST:
        raise BadDefinition(f"{place} has more than {LONGEST} characters")
    return assistants.schema_file(text)


def read(
    text: str,
    file: str,
    place: str,
    providers: Mapping[str, ProviderSpec] | None,
    files: Mapping[str | None, str],
) -> Assistant:
    """Read a spec with the schema that it names. Raises BadDefinition, which names every mistake and its line.

    Not for the loop. Without `providers` nothing is said of those that it names.
    """

    def named(name: str) -> str:
        return files[name]

    try:
        return assistants.read(text.replace("\r\n", "\n"), PurePath(file).stem, providers, named)[0]
    except Wrong as exc:
        said = "; ".join(f"line {line}: {each}" for line, each in sorted(exc.mistakes))
        raise BadDefinition(f"{place}, {said}") from None
