"""How an answer in the form of a JSON Schema is asked for, and asked for without where a provider does not take it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from worker.domain.providers import ProviderSpec, Schemas
from worker.domain.threads import Assistant
from worker.errors import BadRequest, ContextFull, Filtered, ThreadBroken
from worker.providers.failures import LENGTHS

T = TypeVar("T")
NOT_THE_FORM: Final = (ContextFull, Filtered, ThreadBroken)
"""Refusals of what is asked, however it is asked for."""
NOT_THE_SCHEMA: Final = LENGTHS | {"model", "temperature"}
"""Parameters that a refusal may name, of what every call brings."""


def named(assistant: Assistant, schemas: Schemas) -> dict[str, Any]:
    """Write the schema as the APIs name it. Not strict by default: that takes a subset of JSON Schema only."""
    wanted = {"name": "answer", "schema": dict(assistant.output_schema or {})}
    return wanted | ({"strict": True} if schemas == "strict" else {})


def cached(body: dict[str, Any], spec: ProviderSpec, cache_key: str) -> dict[str, Any]:
    """Say in a body which calls follow each other, where the provider takes that."""
    # Only where somebody has said so: other servers may refuse what they do not know.
    return body | {"prompt_cache_key": cache_key} if cache_key and spec.takes_cache_key else body


def instructions(assistant: Assistant, schemas: Schemas) -> str:
    """What the model is told to be, with the schema in words where the provider is not to hold it to one."""
    if assistant.output_schema is None or schemas != "none":
        return assistant.told
    wanted = json.dumps(assistant.output_schema, ensure_ascii=False)
    return f"{assistant.told}\n\nYour answer has to fit this JSON Schema:\n\n{wanted}"


async def first_taken(
    send: Callable[[Mapping[str, Any]], Awaitable[T]], write: Callable[[Schemas], Mapping[str, Any]], schemas: Schemas
) -> T:
    """Send a body; once more without the schema if the provider refuses this one, which then certainly did not run.

    What schema a provider takes only its refusal tells, and hardly any says that it is about the schema; some say
    that it is not.
    """
    try:
        return await send(write(schemas))
    except NOT_THE_FORM:
        raise
    except BadRequest as refused:
        # The schema is in words then: what it says is asked for, and the answer is compared with it all the same.
        without = write("none")
        if without == write(schemas) or refused.param in NOT_THE_SCHEMA:
            raise
        try:
            return await send(without)
        except NOT_THE_FORM:
            raise
        # Refused without the schema, too: that was not the reason, and the first refusal says more.
        except BadRequest:
            raise refused from None
