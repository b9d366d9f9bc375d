"""A world whose provider is a real small model: asked directly, or through a gateway."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.http_proxy import HttpProxy
from tests.faults.world import World, databases, open_world
from tests.nursery import Nursery
from tests.rest import EngineRest
from tests.small_model.servers import KEY, Litellm
from worker.demo.servers import Valkey
from worker.demo.small_model import MODEL, SmallModel

CONTEXT_TOKENS = 1024
"""So few that a test can fill it."""
SECONDS = 170
"""Two busy cores write five tokens a second."""

SPEC = """\
---
name: analyst
version: "1.0"
model: {model}
provider: {provider}
temperature: 0
max_output_tokens: 60
timeout_seconds: 120
{schema}
---
You are an analyst. Answer briefly.
"""
BIRD = """\
output_schema:
  type: object
  required: [bird]
  additionalProperties: false
  properties: {bird: {enum: [pelican, heron]}}"""
"""A small model finds an end only if it is held to one."""


@pytest.fixture(scope="session")
def llama() -> Iterator[SmallModel]:
    """The model; a test that kills it starts it again."""
    with SmallModel(context_tokens=CONTEXT_TOKENS) as llama:
        yield llama


@pytest.fixture(scope="session")
def litellm(llama: SmallModel) -> Iterator[Litellm]:
    """The gateway before it."""
    with Litellm(llama.base_url) as litellm:
        yield litellm


@dataclass(frozen=True, slots=True)
class Place:
    """One way to the model: its name, and the proxy before it that keeps what goes over the wire."""

    name: str
    world: World
    proxy: HttpProxy
    path: str

    def assistant(self, *, model: str = MODEL, schema: str = BIRD) -> None:
        """Write the spec anew."""
        text = SPEC.format(model=model, provider=self.name, schema=schema)
        (self.world.rig.folder / "analyst@1.0.md").write_text(text)

    def asked(self, words: str = "") -> list[str]:
        """What the model was sent with each question that has these words, in order; probes ask for nothing."""
        found = self.world.history.of(self.name, f"POST {self.path}", text=words)
        return [each.text for each in found if each.text != "{}"]


WAYS = {
    "llama-chat": "/chat/completions",
    "litellm-chat": "/chat/completions",
    "llama-responses": "/responses",
    "litellm-responses": "/responses",
}


@pytest.fixture
async def world(engine_rest: EngineRest, nursery: Nursery, valkey: Valkey, tmp_path: Path) -> AsyncIterator[World]:
    """Everything but a worker and a provider."""
    async with open_world(engine_rest, nursery, valkey, next(databases), tmp_path) as world:
        yield world


@pytest.fixture(params=WAYS)
async def place(
    request: pytest.FixtureRequest, world: World, llama: SmallModel, litellm: Litellm, tmp_path: Path
) -> AsyncIterator[Place]:
    """Each way: by server and API."""
    name = request.param
    server, _, api = name.partition("-")
    target = llama.base_url if server == "llama" else litellm.url
    async with HttpProxy(name, target, world.history) as proxy:
        key = "" if server == "llama" else ", key: env:GATEWAY"
        # llama.cpp's responses pass over a schema without a word, so it goes into the instructions there.
        schema = "none" if api == "responses" else "loose"
        fields = f"api: {api}, base_url: '{proxy.url}', schema: {schema}{key}"
        (tmp_path / "providers.yaml").write_text(f"providers:\n  {name}: {{{fields}}}\n")
        world.rig.settings |= {
            "gateway": KEY,
            "providers_file": tmp_path / "providers.yaml",
            "openai_base_url": "",
            "openai_api_key": "",
            "transcript_url": f"sqlite:///{tmp_path}/transcript.db",
            "api_port": 0,
        }
        place = Place(name, world, proxy, WAYS[name])
        place.assistant(schema=BIRD if api == "chat" else "")
        yield place


def only(*names: str) -> pytest.MarkDecorator:
    """Have a test go these ways alone."""
    return pytest.mark.parametrize("place", names, indirect=True)
