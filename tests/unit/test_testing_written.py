"""What the kit makes of a team's own files: providers that are asked here, and where the real ones are."""

from pathlib import Path

import pytest

from worker.errors import Permanent
from worker.specs import providers
from worker.testing.written import led_here, upstreams

FILE = """
providers:
  openai: {api: conversations, key: env:ABSENT, limits: {at_once: 2}, prices: {m: {input: 1, output: 2}}}
  azure:
    api: chat
    base_url: https://azure.example/v1
    key: env:AZURE
    key_header: api-key
    headers: {X-Team: env:TEAM}
    query: {api-version: "1"}
    ca_file: absent.pem
    proxy: http://me:secret@proxy:1
    schema: strict
"""


def test_a_file_of_providers_leads_here_and_wants_no_secret(tmp_path: Path) -> None:
    (tmp_path / "providers.yaml").write_text(led_here(FILE, "http://here/v1", limited=False))
    found = providers.load(tmp_path / "providers.yaml", {})
    assert {(each.base_url, each.key, each.proxy) for each in found.values()} == {("http://here/v1", None, None)}
    assert [(name, each.api, each.schema, each.headers) for name, each in found.items()] == [
        ("openai", "conversations", "loose", {"X-Provider": "openai"}),
        ("azure", "chat", "strict", {"X-Provider": "azure"}),
    ]
    assert found["openai"].limits.at_once is None
    assert found["openai"].prices.by_model
    assert "at_once: 2" in led_here(FILE, "http://here/v1", limited=True)


@pytest.mark.parametrize("text", ["providers: [", "[]", "providers: {openai: conversations}", "", "providers: []"])
def test_what_is_no_file_of_providers_is_left_to_the_worker(text: str) -> None:
    assert led_here(text, "http://here/v1", limited=False) == text


def test_the_real_providers_are_reached_as_the_worker_would(tmp_path: Path) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text(FILE.replace("    ca_file: absent.pem\n", ""))
    found = upstreams(file, {"ABSENT": "k1", "azure": "k2", "TEAM": "t"})
    openai, azure = found["openai"], found["azure"]
    assert (openai.base_url, openai.headers) == ("https://api.openai.com/v1", {"Authorization": "Bearer k1"})
    assert azure.headers == {"X-Team": "t", "api-key": "k2"}
    assert (azure.query, azure.proxy) == ({"api-version": "1"}, "http://me:secret@proxy:1")
    assert "k1" not in repr(found)
    with pytest.raises(Permanent, match="set neither in the environment"):
        upstreams(file, {})


def test_without_a_file_there_is_one_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    assert upstreams(None, {})[""].lacks == "OPENAI_API_KEY"
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    openai = upstreams(None, {"OPENAI_API_KEY": "k1"})[""]
    assert (openai.lacks, openai.base_url) == ("", "https://api.openai.com/v1")
    assert openai.headers == {"Authorization": "Bearer k1", "OpenAI-Organization": "org-1"}
    other = upstreams(None, {"OPENAI_API_KEY": "k1", "OPENAI_BASE_URL": "http://own/v1"})[""]
    assert (other.base_url, other.headers) == ("http://own/v1", {"Authorization": "Bearer k1"})
    assert upstreams(None, {"OPENAI_BASE_URL": "http://own/v1"})[""].headers == {}
