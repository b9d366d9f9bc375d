"""What people have written, as far as the kit needs it: the assistants' instructions, and the providers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from worker.demo.model.answering import PROVIDER_HEADER
from worker.errors import UnknownAssistant
from worker.specs import assistants, providers

OPENAI_URL: Final = "https://api.openai.com/v1"
_WAY_THERE: Final = frozenset({"key", "key_header", "headers", "query", "ca_file", "proxy"})
"""What is said of a provider that nobody needs who asks the kit in its place."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A real provider, and what goes to it with every request, its key included."""

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    lacks: str = ""
    """What has to be set before it can be asked; empty if nothing."""


def instructions_of(folder: Path, name: str) -> str:
    """Return what the newest version of an assistant is told to be. Raises LookupError."""
    try:
        # Without providers: whom its tests do not ask need not be known here.
        return assistants.load(folder, None).find(name, None).instructions
    except UnknownAssistant as exc:
        raise LookupError(str(exc)) from None


def names(folder: Path) -> dict[str, str]:
    """Name the assistants of a folder, by their instructions."""
    return {each.instructions: each.name for each in assistants.load(folder, None).assistants}


def led_here(text: str, base_url: str, *, limited: bool) -> str:
    """Write a file of providers anew, so that each of them is asked at this address and wants no key.

    `limited`: their limits count, as the real ones are asked. What is no such file comes back as it is: the worker says
    what is wrong with it.
    """
    try:
        said = yaml.safe_load(text)
        found: Mapping[str, Mapping[str, Any]] = said["providers"]
        for name, each in found.items():
            left_out = _WAY_THERE if limited else _WAY_THERE | {"limits"}
            kept = {key: value for key, value in each.items() if key not in left_out}
            said["providers"][name] = kept | {"base_url": base_url, "headers": {PROVIDER_HEADER: name}}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):
        return text
    return yaml.safe_dump(said, sort_keys=False)


def upstreams(file: Path | None, settings: Mapping[str, str]) -> dict[str, Upstream]:
    """Say where the real providers are, by their names. Raises Permanent for what is wrong in their file.

    Without a file there is one, of the name "", by OPENAI_API_KEY and OPENAI_BASE_URL. `settings` come before the
    environment.
    """
    said = {**os.environ, **settings}
    if file is None:
        return {"": _usual(said)}
    found = providers.load(file, {name.upper(): value for name, value in said.items()})
    return {
        name: Upstream(
            spec.base_url or OPENAI_URL,
            {**spec.headers, **_key(spec.key, spec.key_header)},
            spec.query,
            spec.ca_file,
            spec.proxy,
        )
        for name, spec in found.items()
    }


def _usual(said: Mapping[str, str]) -> Upstream:
    base_url, key = said.get("OPENAI_BASE_URL"), said.get("OPENAI_API_KEY")
    # As the SDK does it for OpenAI, and for nobody else.
    whose = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
    more = {} if base_url else {header: said[name] for header, name in whose.items() if said.get(name)}
    lacks = "" if key or base_url else "OPENAI_API_KEY"
    return Upstream(base_url or OPENAI_URL, {**more, **_key(key, "Authorization")}, lacks=lacks)


def _key(key: str | None, header: str) -> dict[str, str]:
    if not key:
        return {}
    return {header: f"Bearer {key}" if header.lower() == "authorization" else key}
