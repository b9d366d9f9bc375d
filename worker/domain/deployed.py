"""Assistants whose specs are deployed with a process: how they are named, and what they may ask of models."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from worker.domain.threads import Assistant
from worker.errors import Permanent

DEPLOYMENT: Final = "deployment:"
"""Begins what a task says for an assistant that came with its process, and such an assistant's name."""

SAID: Final = re.compile(rf"{DEPLOYMENT}([A-Za-z0-9][A-Za-z0-9._-]{{0,63}})\.md")
"""What a task says for one."""
OFF: Final = (
    "DEPLOYED_ASSISTANTS is off, so that the worker takes no assistant from a deployment; name one of ASSISTANTS_DIR, "
    "or have the setting list which models such may ask"
)
"""What is said to a task that names one all the same."""
MOST_TOKENS: Final = 1_000_000
"""Of an answer. No model writes as many."""


def is_deployed(assistant: str) -> bool:
    """Whether a task says this for an assistant of its deployment, or one is called so. No other has a colon."""
    return assistant.startswith(DEPLOYMENT)


def named(said: str, process: str) -> str | None:
    """Name the assistant that a task of this process means by `deployment:<name>.md`; None where it is not of the form.

    The process is part of the name, and so of whatever goes by it: conversations, variables, budgets, stops. What one
    process brings reaches nothing of the house's assistants, nor of another process.
    """
    match = SAID.fullmatch(said)
    return f"{DEPLOYMENT}{process}:{match[1]}" if match else None


def file_of(assistant: str) -> str:
    """Name the file in the deployment that holds the spec of an assistant; also of what a task says for it."""
    return assistant.removeprefix(DEPLOYMENT).rpartition(":")[2].removesuffix(".md") + ".md"


def process_of(assistant: str) -> str:
    """Name the process that an assistant of this whole name came with, by its key."""
    return assistant.removeprefix(DEPLOYMENT).rpartition(":")[0]


@dataclass(frozen=True, slots=True)
class Grant:
    """One model that assistants of deployments may ask, and the most tokens of an answer.

    `process` is the key of the process that they have to come with, `tenant` whose task they have to answer, empty for
    tasks without one; None for any.
    """

    provider: str
    model: str
    tokens: int
    process: str | None = None
    tenant: str | None = None

    def is_for(self, process: str, tenant: str | None) -> bool:
        """Whether it holds for assistants of this process in a task of this tenant."""
        return self.process in {None, process} and self.tenant in {None, tenant or ""}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What assistants of deployments may ask.

    Whoever may deploy writes such a spec: what calls of it may cost is for the worker's settings to say.
    """

    grants: Sequence[Grant] = ()

    @property
    def models(self) -> list[tuple[str, str]]:
        """All providers and models that any of them may ask, each once."""
        return list(dict.fromkeys((each.provider, each.model) for each in self.grants))

    def to(self, assistant: str, tenant: str | None) -> Mapping[tuple[str, str], int]:
        """Say how many tokens of an answer one of this name may ask of which (provider, model): the most that fits."""
        found = dict[tuple[str, str], int]()
        for each in self.grants:
            if each.is_for(process_of(assistant), tenant):
                model = each.provider, each.model
                found[model] = max(found.get(model, 0), each.tokens)
        return found

    def refusal(self, assistant: str, tenant: str | None) -> str:
        """Say why one of this name may ask nothing at all in a task of this tenant, and what to do; empty if it may."""
        if not self.grants:
            return OFF
        if self.to(assistant, tenant):
            return ""
        whose = f"of tenant {tenant}" if tenant else "without a tenant"
        return (
            f"DEPLOYED_ASSISTANTS allows nothing to assistants that come with process {process_of(assistant)} {whose}; "
            "name one of ASSISTANTS_DIR, or have the setting list which models such may ask"
        )

    def flaw(self, assistant: Assistant, tenant: str | None) -> str:
        """Say what a spec asks for that is not allowed, and what to do; empty where all is."""
        tokens = self.to(assistant.name, tenant)
        for provider, model in assistant.chain:
            most = tokens.get((provider, model))
            if most is None:
                known = ", ".join(f"{each}/{name}" for each, name in tokens)
                return (
                    f"it asks {provider}/{model}, which DEPLOYED_ASSISTANTS does not allow; allowed are {known}: name "
                    "one of these in the spec, or have the setting list this one"
                )
            if assistant.max_output_tokens is None or assistant.max_output_tokens > most:
                said = "is missing" if assistant.max_output_tokens is None else f"is {assistant.max_output_tokens}"
                return f"max_output_tokens {said}; DEPLOYED_ASSISTANTS allows {provider}/{model} up to {most}"
        return ""


ENTRY: Final = re.compile(r"([A-Za-z0-9._-]{1,64})/(\S{1,200})=([0-9]{1,7})(?:\s+process=(\S+))?(?:\s+tenant=(\S+))?")


def allowed(said: str) -> Allowed:
    """Read what DEPLOYED_ASSISTANTS says: off, or entries separated by commas. Raises Permanent.

    An entry is `provider/model=tokens`, if need be with `process=KEY` and `tenant=ID` behind it, `-` for no tenant.
    """
    entries = [each.strip() for each in said.split(",") if each.strip()]
    if [each.lower() for each in entries] == ["off"]:
        return Allowed()
    grants: dict[tuple[str | None, ...], Grant] = {}
    for entry in entries:
        match = ENTRY.fullmatch(entry)
        if match is None or not 1 <= int(match[3]) <= MOST_TOKENS or match.group(1, 2, 4, 5) in grants:
            raise Permanent(
                "must be off, or entries such as openai/gpt-5-mini=4000, behind which may stand process=KEY and then "
                f"tenant=ID, none twice, separated by commas: {entry[:80]!r} is none"
            )
        tenant = "" if match[5] == "-" else match[5]
        grants[match.group(1, 2, 4, 5)] = Grant(match[1], match[2], int(match[3]), match[4], tenant)
    if not grants:
        raise Permanent("names nothing between its commas; leave it out if nothing is meant")
    return Allowed(tuple(grants.values()))
