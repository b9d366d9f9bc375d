"""Assistants whose specs are deployed with a process: how they are named, and what they may ask of models."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which models assistants of deployments may ask, as (provider, model), and the most tokens of an answer of each.

    Whoever may deploy writes such a spec: what calls of it may cost is for the worker's settings to say.
    """

    tokens: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def flaw(self, assistant: Assistant) -> str:
        """Say what a spec asks for that is not allowed, and what to do; empty where all is."""
        for provider, model in assistant.chain:
            most = self.tokens.get((provider, model))
            if most is None:
                known = ", ".join(f"{each}/{name}" for each, name in self.tokens)
                return (
                    f"it asks {provider}/{model}, which DEPLOYED_ASSISTANTS does not allow; allowed are {known}: name "
                    "one of these in the spec, or have the setting list this one"
                )
            if assistant.max_output_tokens is None or assistant.max_output_tokens > most:
                said = "is missing" if assistant.max_output_tokens is None else f"is {assistant.max_output_tokens}"
                return f"max_output_tokens {said}; DEPLOYED_ASSISTANTS allows {provider}/{model} up to {most}"
        return ""


def allowed(said: str) -> Allowed:
    """Read what DEPLOYED_ASSISTANTS says: off, or `provider/model=tokens`, separated by commas. Raises Permanent."""
    entries = [each.strip() for each in said.split(",") if each.strip()]
    if [each.lower() for each in entries] == ["off"]:
        return Allowed()
    tokens: dict[tuple[str, str], int] = {}
    for entry in entries:
        match = re.fullmatch(r"([A-Za-z0-9._-]{1,64})/(.{1,200})=([0-9]{1,7})", entry)
        if match is None or not 1 <= int(match[3]) <= MOST_TOKENS or (match[1], match[2]) in tokens:
            raise Permanent(
                f"must be off, or entries such as openai/gpt-5-mini=4000, each model once, separated by commas: "
                f"{entry[:80]!r} is none"
            )
        tokens[match[1], match[2]] = int(match[3])
    if not tokens:
        raise Permanent("names nothing between its commas; leave it out if nothing is meant")
    return Allowed(tokens)
