"""The file of providers: what it says, and how its mistakes are told."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.test_settings import CERTIFICATE
from worker.domain.prices import Price, Prices
from worker.domain.providers import Limits, ProviderSpec, Words
from worker.errors import Permanent
from worker.specs.providers import load

SECRET = "sk-very-secret"
ENVIRONMENT = {
    "OPENAI_API_KEY": SECRET,
    "GATEWAY_KEY": "gate-key",
    "EMPTY": " ",
    "PROXY": "http://user:very-secret@proxy:3128",
}


def write(folder: Path, text: str) -> Path:
    path = folder / "providers.yaml"
    path.write_text(text)
    return path


def read(folder: Path, text: str) -> dict[str, ProviderSpec]:
    return load(write(folder, text), ENVIRONMENT)


def test_every_word_of_a_provider_arrives(tmp_path: Path) -> None:
    (tmp_path / "azure.key").write_text("azure-key\n")
    (tmp_path / "ca.pem").write_text(CERTIFICATE)
    found = read(
        tmp_path,
        """
        providers:
          openai: {api: conversations, key: env:OPENAI_API_KEY}
          azure:
            api: responses
            base_url: https://name.openai.azure.com/openai/v1
            key: file:azure.key
            key_header: api-key
            headers: {X-Team: analysts, X-Sign: env:GATEWAY_KEY}
            query: {api-version: "2026-09", sign: file:azure.key}
            ca_file: ca.pem
            proxy: env:PROXY
            schema: strict
            context_tokens: 128000
            embeddings: text-embedding-3-small
            prompt_cache: true
            takes: [images, pdf]
            file_search: true
            limits: {at_once: 2, requests_per_minute: 300, tokens_per_minute: 200000}
            currency: EUR
            prices:
              some-model: {input: 0.4, cached: 0.1, cache_write: 0.5, output: 1.6}
              2027: {input: 1, output: 0.001}
          local: {api: chat, base_url: "http://localhost:11434/v1", schema: none, limits: {at_once: 2}}
          ogx: {api: conversations, base_url: "http://localhost:8321/v1", refuses_overlap: false}
        """,
    )

    assert list(found) == ["openai", "azure", "local", "ogx"]
    assert [each.refuses_overlap for each in found.values()] == [True, True, True, False]
    assert found["azure"] == ProviderSpec(
        name="azure",
        api="responses",
        base_url="https://name.openai.azure.com/openai/v1",
        key="azure-key",
        key_header="api-key",
        headers={"X-Team": "analysts", "X-Sign": "gate-key"},
        query={"api-version": "2026-09", "sign": "azure-key"},
        ca_file=tmp_path / "ca.pem",
        proxy="http://user:very-secret@proxy:3128",
        schema="strict",
        context_tokens=128_000,
        embeddings="text-embedding-3-small",
        prompt_cache=True,
        takes=frozenset({"images", "pdf"}),
        file_search=True,
        limits=Limits(at_once=2, requests_per_minute=300, tokens_per_minute=200_000),
        prices=Prices(
            {
                "some-model": Price(Decimal("0.4"), Decimal("1.6"), Decimal("0.1"), Decimal("0.5")),
                "2027": Price(Decimal(1), Decimal("0.001")),
            },
            "EUR",
        ),
        words=Words("base_url of the provider azure", "the key of the provider azure"),
    )
    assert (found["openai"].key, found["openai"].base_url) == (SECRET, None)
    assert (found["local"].key, found["local"].schema) == (None, "none")
    assert not any(secret in repr(found) for secret in ("very-secret", "gate-key", "azure-key"))
    assert (found["openai"].limits, bool(found["openai"].limits)) == (Limits(), False)
    assert (found["local"].limits, bool(found["local"].limits)) == (Limits(at_once=2), True)
    assert found["local"].prices == Prices({}, "USD")
    assert [each.takes_cache_key for each in found.values()] == [True, True, False, False]


AT = "base_url: 'http://h'"
DIGITS = "123456789012345"
KEYED = "providers:\n  a:\n    api: chat\n    key: "
MORE = "providers:\n  a:\n    api: chat\n    "
LIMITED = "providers:\n  a:\n    limits:"
PRICED = "providers:\n  a:\n    prices:"
MISTAKES = {
    "[]": "2: the file must be lines such as providers:",
    "providers:": "1: providers: must be names",
    "providers: {}": "1: providers: must name one provider at least",
    "provider:\n  a: {api: chat}": "1: providers: is missing",
    "providers:\n  a: chat": "2: …: must have lines of its own",
    "providers:\n  a: {}": "2: api: is missing; add a line api: …",
    "providers:\n  a:\n    api: telepathy": "3: api: ",
    "providers:\n  a:\n    api: chat\n    base_ulr: x": "4: …: is no part of a spec; did you mean 'base_url'?",
    "providers:\n  a: {api: chat, base_url: localhost}": "2: base_url: must be an address such as",
    "providers:\n  a: {api: chat, base_url: 'http://h h/v1'}": "2: base_url: must be an address such as",
    "providers:\n  a: {api: chat, base_url: 'http://u:p@h/v1'}": "2: base_url: must not carry a user",
    f"providers:\n  a:\n    api: chat\n    key: {SECRET}": "4: key: must be a reference: env:NAME or file:PATH",
    "providers:\n  a:\n    api: chat\n    key: env:NOWHERE": "4: key: the variable that it names is set neither in",
    "providers:\n  a:\n    api: chat\n    key: env:EMPTY": "4: key: what it leads to is empty",
    "providers:\n  a:\n    api: chat\n    key: file:nowhere": "4: key: the file that it names cannot be read",
    "providers:\n  a: {api: chat, prompt_cache: maybe}": "2: prompt_cache: must be a valid boolean",
    f"providers:\n  a: {{api: chat, {AT}, takes: [sound]}}": "2: takes: ",
    f"providers:\n  a: {{api: decisions, {AT}, takes: [images]}}": "2: takes: decisions answers decision questions",
    "providers:\n  a:\n    api: chat\n    refuses_overlap: true": "4: refuses_overlap: says something of conversations",
    f"providers:\n  a:\n    api: chat\n    {AT}\n    file_search: true": "5: file_search: api: chat searches no files",
    f"providers:\n  a: {{api: decisions, {AT}, file_search: true}}": "2: file_search: api: decisions searches no files",
    f"providers:\n  a: {{api: responses, {AT}, file_search: maybe}}": "2: file_search: must be a valid boolean",
    "providers:\n  a: {api: chat}": "2: without a base_url it is OpenAI, which wants a key",
    f"providers:\n  a: {{api: chat, {AT}, proxy: 'proxy:3128'}}": "2: proxy: must be an address such as",
    f"providers:\n  'a b': {{api: chat, {AT}}}": "2: …: a name is letters",
    f"providers:\n  a: {{api: chat, {AT}, context_tokens: 7}}": "2: context_tokens: ",
    f"providers:\n  a: {{api: chat, {AT}, embeddings: m}}\n  b: {{api: chat, {AT}, embeddings: m}}": (
        "2: b: embeddings: a has them already"
    ),
    f"providers:\n  a: {{api: chat, {AT}, embeddings: ''}}": "2: embeddings: ",
    f"{PRICED}\n      m: {{input: 1}}": "4: output: is missing",
    f"{PRICED}\n      m:\n        input: 1\n        output: cheap": "6: output: must be a valid number",
    f"{PRICED}\n      m:\n        output: 1\n        input: -1": "6: input: must be greater than or equal to 0",
    f"{PRICED}\n      m: {{input: .inf, output: 1}}": "4: input: must be ",
    f"{PRICED}\n      m: {{input: 1, output: 1, kached: 1}}": "4: …: is no part of a spec; did you mean 'cached'?",
    f"{PRICED}\n      m: 7": "4: …: must have lines of its own",
    f"{PRICED} 7": "3: prices: must be names",
    f"providers:\n  a: {{api: chat, {AT}, currency: dollars}}": "2: currency: must be three capital letters",
    f"{LIMITED} 7": "3: limits: must have lines of its own",
    f"{LIMITED} {{at_once: 0}}": "3: at_once: must be greater than or equal to 1",
    f"{LIMITED}\n      at_once: 1\n      requests_per_minute: many": "5: requests_per_minute: must be a valid integer",
    f"{LIMITED} {{tokens_a_minute: 1}}": "3: …: is no part of a spec; did you mean 'tokens_per_minute'?",
    f"{LIMITED}\n      at_once: 1\n      at_once: 2": "5: …: line 4 says it already",
    f"providers:\n  a: {{api: chat, {AT}}}\n  a: {{api: chat, {AT}}}": "3: …: line 2 says it already",
    f"providers:\n  a: {{api: chat, {AT}, headers: {{'X Y': z}}}}": "2: headers: …: must be ",
    f"{KEYED}env:{SECRET}": "4: key: what stands behind env: can be no variable's name",
    f"{KEYED}env:sk_very_secret": "4: key: the variable that it names is set neither in the environment nor in .env",
    f"{KEYED}file:{SECRET}": "4: key: the file that it names cannot be read: No such file",
    f"{KEYED}{DIGITS}": '4: key: must be text; put it in quotes: key: "…"',
    f"{KEYED}'{DIGITS}'": "4: key: must be a reference: env:NAME or file:PATH",
    f"{KEYED}[{SECRET}]": "4: key: must be a valid string",
    f"{KEYED}*{SECRET}": "4: is no YAML: found undefined alias …; put",
    f"{KEYED}!x'{SECRET}' x": "4: is no YAML: could not determine a constructor for the tag …; put",
    f"providers:\n  a: {{key: {SECRET} b: c}}": "2: is no YAML: expected ',' or '}', but got ':'; put",
    f"{KEYED}!{SECRET} x": "4: is no YAML: could not determine a constructor for the tag …; put",
    f"{MORE}headers:\n      X-A: a\n      X-B: {DIGITS}": '6: headers: …: must be text; put it in quotes: …: "…"',
    f'{MORE}headers:\n      X-A: "{SECRET}é"': "5: headers: …: must be one line of ASCII characters",
    f'{MORE}headers:\n      X-A: "{SECRET}\\r\\nX-B: 1"': "5: headers: …: must be one line of ASCII characters",
    f'{MORE}headers:\n      X-A: "{SECRET}\\x00"': "5: headers: …: must be one line of ASCII characters",
    f"{MORE}headers:\n      X-A: env:{SECRET}": "5: headers: …: what stands behind env: can be no",
    f"{MORE}key: env:GATEWAY_KEY\n    headers:\n      authorization: {SECRET}": "6: headers: the key goes",
    "providers:\n  a: {api: chat, base_url: 'http://h', headers: {Content-Length: '0'}}": "2: headers: says how a",
    f"{MORE}query:\n      api-version: 2024-10-21": "5: query: …: must be text; put it in quotes: ",
    f'{MORE}query:\n      a: "{SECRET}\\n"': "5: query: …: must be one line of characters",
    f"{MORE}query:\n      a: file:{SECRET}": "5: query: …: the file that it names cannot be read",
    f"{MORE}proxy: {DIGITS}": '4: proxy: must be text; put it in quotes: proxy: "…',
    f"{MORE}proxy: 'http://u:{SECRET}@p q'": "4: proxy: must be an address such as",
    f"{MORE}proxy: env:GATEWAY_KEY": "4: proxy: must be an address such as",
    f"{SECRET}: x\nproviders:\n  a: {{api: chat, {AT}}}": "1: …: is no part of this file",
    f"providers:\n  {SECRET}: 5": "2: …: must have lines of its own",
    f"providers:\n  {SECRET}:\n    api: chat": "3: without a base_url it is OpenAI",
    f"providers:\n  ' {SECRET}': {{api: chat, {AT}}}": "2: …: a name is letters",
    f"providers:\n  a: {{api: chat, {AT}, {SECRET}: x}}": "2: …: is no part of a spec. Known: api",
    f"providers:\n  a: {{api: chat, {AT}, {SECRET}: x, {SECRET}: y}}": "2: …: line 2 says it already",
    f"{MORE}headers:\n      'Bearer {SECRET}': x": "5: headers: …: must be letters",
    f"{MORE}query:\n      {SECRET}: 5": '5: query: …: must be text; put it in quotes: …: "…"',
    f"{LIMITED} {{{SECRET}: 1}}": "3: …: is no part of a spec. Known: at_once",
    f"{PRICED} {{{SECRET}: 1}}": "3: …: must have lines of its own",
    f"{PRICED}\n      m: {{{SECRET}: 1}}": "4: …: is no part of a spec. Known: input",
    "providers:\n  a: {api: chat, base_url: 'http://h/v1?api-version=1'}": "2: base_url: must end with its path",
    "providers:\n  a: {api: chat, base_url: 'http://h/v1#x'}": "2: base_url: must end with its path, without ? or #",
    f"{MORE}ca_file: nowhere.pem": "4: ca_file: must be a PEM file with certificates: No such file",
    f"{MORE}ca_file: providers.yaml": "4: ca_file: must be a PEM file with certificates",
}


@pytest.mark.parametrize(("text", "mistake"), MISTAKES.items())
def test_a_mistake_is_named_with_its_line_and_without_a_secret(tmp_path: Path, text: str, mistake: str) -> None:
    with pytest.raises(Permanent) as caught:
        read(tmp_path, text)

    assert f"providers.yaml:{mistake}" in str(caught.value)
    assert not any(each in str(caught.value) for each in (SECRET, DIGITS, "sk_very_secret", "gate-key"))


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(Permanent) as caught:
        read(tmp_path, "providers:\n  a: {api: x}\n  b: {api: chat, base_url: 'http://h', kee: 1}\nmore: 1")

    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["2", "3", "4"]


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), (b"\xff\xfe", "is not UTF-8")])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "providers.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Permanent, match=f"PROVIDERS_FILE=.*{said}"):
        load(path, {})
