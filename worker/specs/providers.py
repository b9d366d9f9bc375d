"""PROVIDERS_FILE: who answers, where, and what is known of each; read and checked as a whole at start."""

import os
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from worker.domain.addresses import split_http
from worker.domain.money import is_currency
from worker.domain.prices import CURRENCY, MOST, Price, Prices
from worker.domain.providers import Api, Limits, ProviderSpec, Schemas, Words
from worker.errors import Permanent
from worker.specs.yaml_text import Mapped, Wrong, mapped, quoted

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]


def _currency(text: str) -> str:
    if not is_currency(text):
        raise PydanticCustomError("currency", "must be three capital letters, such as EUR")
    return text


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

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    api: Api
    base_url: Text | None = None
    key: Text | None = None
    key_header: HeaderName = "Authorization"
    headers: dict[HeaderName, str] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    ca_file: Text | None = None
    proxy: Text | None = None
    schema_: Schemas = Field("loose", alias="schema")
    context_tokens: int | None = Field(None, ge=256, le=100_000_000)
    prompt_cache: bool | None = None
    limits: Any = None
    """See `LimitFields`."""
    currency: Annotated[str, AfterValidator(_currency)] = CURRENCY
    prices: Any = None
    """By the model's name, see `PriceFields`."""


def load(path: Path, environment: Mapping[str, str] = os.environ) -> dict[str, ProviderSpec]:
    """Read all providers, or raise one Permanent that names every mistake with its line, and no secret."""
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as exc:
        raise Permanent(f"PROVIDERS_FILE={path}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise Permanent(f"PROVIDERS_FILE={path}: is not UTF-8 text; save it as UTF-8") from exc
    try:
        return _providers(text, path, environment)
    except Wrong as exc:
        lines = (f"{path}:{line}: {said}" for line, said in sorted(exc.mistakes))
        raise Permanent("\n".join(lines)) from None


def _providers(text: str, path: Path, environment: Mapping[str, str]) -> dict[str, ProviderSpec]:
    whole = mapped(text, "the file", "providers:")
    mistakes = whole.mistakes
    for key in whole.values.keys() - {"providers"}:
        mistakes.append((whole.line(key), f"{quoted(key)}: is no part of this file, which has providers alone"))
    if "providers" not in whole.values:
        raise Wrong([*mistakes, (1, "providers: is missing; name each provider below it")])
    found: dict[str, ProviderSpec] = {}
    for name, each in whole.inner("providers").items():
        if not NAME.fullmatch(name):
            mistakes.append((each.start, f"{quoted(name)}: a name is letters, digits, '.', '_' or '-', 64 at most"))
        try:
            found[name] = _spec(name, each, path.parent, environment)
        except Wrong as exc:
            mistakes += exc.mistakes
    if not found and not mistakes:
        mistakes.append((whole.line("providers"), "providers: must name one provider at least"))
    if mistakes:
        raise Wrong(mistakes)
    return found


def _spec(name: str, said: Mapped, folder: Path, environment: Mapping[str, str]) -> ProviderSpec:
    prices, limits = _prices(said), _limits(said)
    try:
        fields = ProviderFields.model_validate(said.values)
    except ValidationError as exc:
        raise Wrong([*said.mistakes, *said.flaws(ProviderFields, exc)]) from None
    mistakes = list(said.mistakes)
    if fields.base_url is not None and (flaw := _flaw(fields.base_url)):
        mistakes.append((said.line("base_url"), f"base_url: {flaw}"))
    if fields.proxy is not None and split_http(fields.proxy) is None:
        mistakes.append((said.line("proxy"), "proxy: must be an address such as http://proxy:3128"))
    secrets: dict[str, Any] = {}
    try:
        secrets["key"] = None if fields.key is None else _secret(fields.key, folder, environment)
    except ValueError as exc:
        mistakes.append((said.line("key"), f"key: {exc}"))
    if fields.key is None and fields.base_url is None:
        mistakes.append(
            (said.start, f"{name}: without a base_url it is OpenAI, which wants a key, such as env:OPENAI_API_KEY")
        )
    if mistakes:
        raise Wrong(mistakes)
    return ProviderSpec(
        name=name,
        api=fields.api,
        base_url=fields.base_url,
        key_header=fields.key_header,
        headers=fields.headers,
        query=fields.query,
        ca_file=None if fields.ca_file is None else folder / fields.ca_file,
        proxy=fields.proxy,
        schema=fields.schema_,
        context_tokens=fields.context_tokens,
        prompt_cache=fields.prompt_cache,
        limits=limits,
        prices=Prices(prices, fields.currency),
        words=Words(f"base_url of the provider {name}", f"the key of the provider {name}"),
        **secrets,
    )


def _prices(said: Mapped) -> dict[str, Price]:
    """Read the prices, and note what is wrong with them, each on its line."""
    if "prices" not in said.values:
        return {}
    found: dict[str, Price] = {}
    try:
        for model, each in said.inner("prices").items():
            try:
                price = PriceFields.model_validate(each.values).model_dump(exclude_none=True)
                # The shortest text of a float is what people wrote.
                found[model] = Price(**{kind: Decimal(str(amount)) for kind, amount in price.items()})
            except ValidationError as exc:
                said.mistakes += each.flaws(PriceFields, exc)
            said.mistakes += each.mistakes
    except Wrong as exc:
        said.mistakes += exc.mistakes
    return found


def _limits(said: Mapped) -> Limits:
    """Read the limits, and note what is wrong with them, each on its line."""
    if "limits" not in said.values:
        return Limits()
    try:
        each = said.part("limits")
        said.mistakes += each.mistakes
        try:
            return Limits(**LimitFields.model_validate(each.values).model_dump())
        except ValidationError as exc:
            said.mistakes += each.flaws(LimitFields, exc)
    except Wrong as exc:
        said.mistakes += exc.mistakes
    return Limits()


def _secret(reference: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Read what a reference leads to. Raises ValueError, which never repeats what may be a secret."""
    kind, colon, name = reference.partition(":")
    if not colon or kind not in {"env", "file"} or not name:
        raise ValueError("must be a reference: env:NAME or file:PATH; a secret never stands in the file")
    if kind == "env":
        secret = environment.get(name, "")
        if not secret:
            raise ValueError(f"{name} is not set in the environment")
    else:
        try:
            secret = (folder / name).read_text("utf-8")
        except (OSError, ValueError) as exc:
            raise ValueError(f"{name} cannot be read: {getattr(exc, 'strerror', None) or 'it is no text'}") from exc
    secret = secret.strip()
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ValueError(f"{name} is empty, or has letters that no header takes")
    return secret


def _flaw(address: str) -> str:
    parts = split_http(address)
    if parts is None:
        return "must be an address such as http://localhost:11434/v1"
    if parts.username or parts.password:
        return "must not carry a user or a password: name a key by reference"
    return ""
