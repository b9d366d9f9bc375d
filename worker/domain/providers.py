"""Where a provider is, how it is asked, and what is known of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from worker.domain.documents import Kind
from worker.domain.prices import Prices
from worker.domain.threads import OPENAI

Api = Literal["conversations", "responses", "chat", "decisions", "systemone"]
"""How it is spoken to: with conversations of its own; with everything in each question, in one of two forms; or with
decision questions alone, in one of two more.
"""
SEARCHING: Final = frozenset({"conversations", "responses"})
"""Those that can search files by themselves."""
WEIGHING: Final = frozenset({"decisions", "systemone"})
"""Those that answer decision questions, with probabilities, and nothing else."""
Schemas = Literal["strict", "loose", "none"]
"""Whether it holds answers to a JSON Schema: as OpenAI's strict mode does, as well as it can, or not at all."""


@dataclass(frozen=True, slots=True)
class Words:
    """What people call the settings of a provider's address and key, for texts that say what to correct."""

    address: str = "OPENAI_BASE_URL"
    key: str = "OPENAI_API_KEY"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many calls of the model all workers together may make; None: as many as they like."""

    at_once: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return (self.at_once, self.requests_per_minute, self.tokens_per_minute) != (None, None, None)


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """One provider. Without a `base_url` it is OpenAI, which wants a key.

    The key goes into `key_header`, as a bearer token if that is Authorization. `context_tokens` is what its models can
    read, None where nobody said so. What a model costs that has no price is unknown. `takes` says what its models are
    shown as it is. `file_search`: files of assistants are kept and searched there. `refuses_overlap`: it takes no call
    on a conversation on which one runs. `embeddings` is the model by which facts of the memory are found.
    """

    name: str = OPENAI
    api: Api = "conversations"
    base_url: str | None = None
    key: str | None = field(default=None, repr=False)
    key_header: str = "Authorization"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    schema: Schemas = "loose"
    context_tokens: int | None = None
    embeddings: str | None = None
    prices: Prices = field(default_factory=Prices)
    prompt_cache: bool | None = None
    takes: frozenset[Kind] = frozenset()
    file_search: bool = False
    refuses_overlap: bool = True
    limits: Limits = Limits()
    words: Words = Words()
    files: tuple[Path, ...] = field(default=(), compare=False)
    """Where its secrets were read from."""

    @property
    def weighs(self) -> bool:
        """Whether it answers decision questions, with probabilities, and nothing else."""
        return self.api in WEIGHING

    @property
    def takes_cache_key(self) -> bool:
        """Whether a call may say which ones it follows. Other servers than OpenAI may refuse what they do not know."""
        return self.base_url is None if self.prompt_cache is None else self.prompt_cache

    def account(self, salt: str) -> str:
        """Name the account by address and key, in 16 hex digits that lead back to neither."""
        named = json.dumps([salt, self.base_url, self.key])
        return hashlib.sha256(named.encode(errors="surrogatepass")).hexdigest()[:16]
