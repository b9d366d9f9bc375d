"""The model port over the scripted server, and Redis as people run it."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from openai import AsyncOpenAI
from prometheus_client import REGISTRY

from tests.contract.apis import CALLS, Asking, asking
from tests.contract.provider_client import client_of
from tests.contract.questions import KEY
from tests.contract.redis_clients import redis_client
from tests.servers.redis_cluster import SentinelValkey, ValkeyCluster
from worker.demo.model import ModelServer
from worker.domain.providers import Api, ProviderSpec
from worker.providers import OpenAIProvider
from worker.redis.connect import Client


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """A scripted server that wants the key."""
    async with ModelServer(key=KEY) as server:
        yield server


@pytest.fixture
async def openai(server: ModelServer) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's own client on the scripted server."""
    async with client_of(server.base_url) as client:
        yield client


@pytest.fixture
async def model(server: ModelServer) -> AsyncIterator[OpenAIProvider]:
    """The port on it."""
    async with OpenAIProvider.open(KEY, server.base_url) as model:
        yield model


@pytest.fixture
async def thread(model: OpenAIProvider) -> str:
    """An empty conversation."""
    return await model.create_thread({})


@pytest.fixture(params=CALLS)
def api(request: pytest.FixtureRequest) -> Api:
    """Each API that a provider can have."""
    api: Api = request.param
    return api


@pytest.fixture(params=[False, True], ids=["", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    """Whether somebody watches."""
    streamed: bool = request.param
    return streamed


@pytest.fixture
async def turns(server: ModelServer, api: Api, *, streamed: bool) -> AsyncIterator[Asking]:
    """Turns over each API on the scripted server."""
    async with asking(ProviderSpec(api=api, key=KEY, base_url=server.base_url), streamed=streamed) as turns:
        if isinstance(turns.provider, OpenAIProvider):
            turns.thread = await turns.provider.create_thread({})
        yield turns


@pytest.fixture
def counted() -> Callable[[str, str], float]:
    """How much a metric's label has grown since the test began: `counted("model_calls", "ok")`."""
    labels = {"model_calls": "outcome"}

    def value(metric: str, label: str) -> float:
        return REGISTRY.get_sample_value(f"worker_{metric}_total", {labels[metric]: label}) or 0

    started: dict[tuple[str, str], float] = {}
    for sample in (sample for family in REGISTRY.collect() for sample in family.samples):
        for metric, name in labels.items():
            if sample.name == f"worker_{metric}_total":
                started[metric, sample.labels[name]] = sample.value
    return lambda metric, label: value(metric, label) - started.get((metric, label), 0)


@pytest.fixture(scope="session")
def cluster() -> Iterator[ValkeyCluster]:
    """Three masters; a cluster has one database only, so tests get it by `cluster_url`, which empties it."""
    with ValkeyCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def watched_valkey() -> Iterator[SentinelValkey]:
    """A master and its replica under Sentinel. A test that wants a promotion starts its own."""
    with SentinelValkey() as valkey:
        yield valkey


@pytest.fixture
def cluster_url(cluster: ValkeyCluster) -> str:
    """A cluster without keys."""
    cluster.flush()
    return cluster.url()


@pytest.fixture
def sentinel_url(watched_valkey: SentinelValkey) -> str:
    """A master without keys, by its Sentinel."""
    with watched_valkey.master.client() as client:
        client.flushall()
    return watched_valkey.url()


@pytest.fixture(params=["fakeredis", "valkey", "cluster"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """Each kind of Redis; what only a failover shows has tests of its own."""
    async with redis_client(request) as client:
        yield client
