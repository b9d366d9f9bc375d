"""PROVIDERS_FILE: who answers, where, and what is known of each; read and checked as a whole at start."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from worker.domain.addresses import split_http
from worker.domain.documents import Kind
from worker.domain.money import is_currency
from worker.domain.prices import CURRENCY, MOST, Price, Prices
from worker.domain.providers import SEARCHING, WEIGHING, Api, Limits, ProviderSpec, Schemas, Words
from worker.runtime.secret_file import read_secret
from worker.specs.yaml_text import Mapped, Wrong, mapped, read_text

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OF_HTTP: Final = frozenset({"connection", "content-length", "transfer-encoding"})
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]


@dataclass(frozen=True, slots=True)
class References:
    """Reads what `env:NAME` and `file:PATH` lead to; the context in which the fields of a provider are validated."""

    folder: Path
    environment: Mapping[str, str]
    files: list[Path] = field(default_factory=list)
    """Those that were read."""

    @staticmethod
    def leads(text: str) -> bool:
        """Whether it is a reference."""
        return text.startswith(("env:", "file:"))

    def read(self, text: str) -> str:
        """Return what a reference leads to, and any other text as it is.

        Raises PydanticCustomError. No text here repeats any of it: who mistakes the name for the key writes the key.
        """
        kind, _, name = text.partition(":")
        if not self.leads(text):
            return text
        if kind == "env":
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise _flaw("what stands behind env: can be no variable's name, which is letters, digits and _")
            found, file = (self.environment.get(each, "") for each in (name.upper(), f"{name.upper()}_FILE"))
            if not found and not file:
                raise _flaw("the variable that it names is set neither in the environment nor in .env")
            found = found or self._in_file(Path(file))
        else:
            found = self._in_file(self.folder / name)
        if not found.strip():
            raise _flaw("what it leads to is empty")
        return found.strip()

    def _in_file(self, path: Path) -> str:
        self.files.append(path)
        try:
            return read_secret(path)
        except ValueError as exc:
            raise _flaw(f"the file that it names {exc}") from None


def _flaw(text: str) -> PydanticCustomError:
    return PydanticCustomError("flaw", "{text}", {"text": text})


def _read(text: str, info: ValidationInfo) -> str:
    return cast("References", info.context).read(text)


def _is_reference(text: str) -> str:
    if not References.leads(text):
        raise _flaw("must be a reference: env:NAME or file:PATH; a key never stands in the file")
    return text


def _fits_a_header(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise _flaw("must be one line of ASCII characters, as no header takes others")
    return text


def _can_be_sent(text: str) -> str:
    if not text.isprintable():
        raise _flaw("must be one line of characters that can be printed")
    return text


def _is_base(address: str) -> str:
    parts = split_http(address)
    if parts is None:
        raise _flaw("must be an address such as http://localhost:11434/v1")
    if parts.username or parts.password:
        raise _flaw("must not carry a user or a password: name a key by reference")
    if "?" in address or "#" in address:
        raise _flaw("must end with its path, without ? or #; what every request has behind its ? goes into query")
    return address


def _is_proxy(address: str) -> str:
    if not address.isascii() or split_http(address) is None:
        raise _flaw("must be an address such as http://proxy:3128")
    return address


def _holds_certificates(name: str, info: ValidationInfo) -> str:
    path = cast("References", info.context).folder / name
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as exc:  # ssl.SSLError is one
        raise _flaw(f"must be a PEM file with certificates: {exc.strerror or exc}") from None
    return name


def _currency(text: str) -> str:
    if not is_currency(text):
        raise _flaw("must be three capital letters, such as EUR")
    return text


HeaderValue = Annotated[str, AfterValidator(_read), AfterValidator(_fits_a_header)]
Currency = Annotated[str, AfterValidator(_currency)]
PerMillion = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]


class PriceFields(BaseModel):
    """What may be said of a model's price: for a million tokens of each kind."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: PerMillion
    output: PerMillion
    cached: PerMillion | None = None
    cache_write: PerMillion | None = None


Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class LimitFields(BaseModel):
    """What all workers together may ask of a provider."""

    model_config = ConfigDict(extra="forbid", strict=True)

    at_once: Count | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None


class ProviderFields(BaseModel):
    """What may be said of one provider."""

    model_config = ConfigDict(extra="forbid", strict=True)

    api: Api
    base_url: Annotated[Text, AfterValidator(_is_base)] | None = None
    key: (
        Annotated[Text, AfterValidator(_is_reference), AfterValidator(_read), AfterValidator(_fits_a_header)] | None
    ) = None
    key_header: HeaderName = "Authorization"
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    query: dict[str, Annotated[str, AfterValidator(_read), AfterValidator(_can_be_sent)]] = Field(default_factory=dict)
    ca_file: Annotated[Text, AfterValidator(_holds_certificates)] | None = None
    proxy: Annotated[Text, AfterValidator(_read), AfterValidator(_is_proxy)] | None = None
    schema_: Schemas = Field("loose", alias="schema")
    context_tokens: int | None = Field(None, ge=256, le=100_000_000)
    embeddings: Annotated[Text, Field(max_length=200)] | None = None
    prompt_cache: bool | None = None
    takes: list[Kind] = Field(default_factory=list)
    file_search: bool = False
    refuses_overlap: bool = True
    limits: Any = None
    """See `LimitFields`."""
    currency: Currency = CURRENCY
    prices: Any = None
    """By the model's name, see `PriceFields`."""


def load(path: Path, environment: Mapping[str, str]) -> dict[str, ProviderSpec]:
    """Read all providers, or raise one Permanent that names every mistake with its line, and no secret.

    `environment`: what references lead to, by names in capitals, see `settings.variables`.
    """
    return read_text(path, "PROVIDERS_FILE", lambda text: _providers(text, path, environment))


def _providers(text: str, path: Path, environment: Mapping[str, str]) -> dict[str, ProviderSpec]:
    whole = mapped(text, "the file", "providers:", hides=True)
    mistakes = whole.mistakes
    for key in whole.values.keys() - {"providers"}:
        mistakes.append((whole.line(key), "…: is no part of this file, which has providers alone"))
    if "providers" not in whole.values:
        raise Wrong([*mistakes, (1, "providers: is missing; name each provider below it")])
    found: dict[str, ProviderSpec] = {}
    for name, each in whole.inner("providers").items():
        if not NAME.fullmatch(name):
            mistakes.append((each.start, "…: a name is letters, digits, '.', '_' or '-', 64 at most"))
        try:
            found[name] = _spec(name, each, path.parent, environment)
        except Wrong as exc:
            mistakes += exc.mistakes
    embedding = [name for name, each in found.items() if each.embeddings]
    for name in embedding[1:]:
        text = f"{name}: embeddings: {embedding[0]} has them already; facts are embedded by one provider alone"
        mistakes.append((whole.line("providers"), text))
    if not found and not mistakes:
        mistakes.append((whole.line("providers"), "providers: must name one provider at least"))
    if mistakes:
        raise Wrong(mistakes)
    return found


def _spec(name: str, said: Mapped, folder: Path, environment: Mapping[str, str]) -> ProviderSpec:
    prices, limits = _prices(said), _limits(said)
    references = References(folder, environment)
    fields = said.fields(ProviderFields, references)
    mistakes = list(said.mistakes)
    if fields.key is None and fields.base_url is None:
        mistakes.append((said.start, "without a base_url it is OpenAI, which wants a key, such as env:OPENAI_API_KEY"))
    if "refuses_overlap" in said.values and fields.api != "conversations":
        text = "says something of conversations, which only a provider of api: conversations has; take it out"
        mistakes.append((said.line("refuses_overlap"), f"refuses_overlap: {text}"))
    for each in fields.headers:
        if each.lower() in _OF_HTTP:
            text = "says how a request is sent, which is not for people to say; take it out"
        elif fields.key is not None and each.lower() == fields.key_header.lower():
            text = "the key goes into this one; take it out, or name another key_header"
        else:
            continue
        mistakes.append((said.line("headers", each), f"headers: {text}"))
    if fields.takes and fields.api in WEIGHING:
        mistakes.append(
            (said.line("takes"), f"takes: {fields.api} answers decision questions about texts; take it out")
        )
    if fields.file_search and fields.api not in SEARCHING:
        text = f"api: {fields.api} searches no files, the worker does it; take it out"
        mistakes.append((said.line("file_search"), f"file_search: {text}"))
    if mistakes:
        raise Wrong(mistakes)
    return ProviderSpec(
        name=name,
        api=fields.api,
        base_url=fields.base_url,
        key=fields.key,
        key_header=fields.key_header,
        headers=fields.headers,
        query=fields.query,
        ca_file=None if fields.ca_file is None else folder / fields.ca_file,
        proxy=fields.proxy,
        schema=fields.schema_,
        context_tokens=fields.context_tokens,
        embeddings=fields.embeddings,
        prompt_cache=fields.prompt_cache,
        takes=frozenset(fields.takes),
        file_search=fields.file_search,
        refuses_overlap=fields.refuses_overlap,
        limits=limits,
        prices=Prices(prices, fields.currency),
        words=Words(f"base_url of the provider {name}", f"the key of the provider {name}"),
        files=tuple(references.files),
    )


def _prices(said: Mapped) -> dict[str, Price]:
    """Read the prices, and note what is wrong with them, each on its line."""
    if "prices" not in said.values:
        return {}
    found: dict[str, Price] = {}
    try:
        for model, each in said.inner("prices").items():
            try:
                price = each.fields(PriceFields).model_dump(exclude_none=True)
                # The shortest text of a float is what people wrote.
                found[model] = Price(**{kind: Decimal(str(amount)) for kind, amount in price.items()})
                said.mistakes += each.mistakes
            except Wrong as exc:
                said.mistakes += exc.mistakes
    except Wrong as exc:
        said.mistakes += exc.mistakes
    return found


def _limits(said: Mapped) -> Limits:
    """Read the limits, and note what is wrong with them, each on its line."""
    if "limits" not in said.values:
        return Limits()
    try:
        each = said.part("limits")
        found = Limits(**each.fields(LimitFields).model_dump())
        said.mistakes += each.mistakes
    except Wrong as exc:
        said.mistakes += exc.mistakes
        return Limits()
    return found
