"""Redis behind TLS. The wheel's server is built without it, so a proxy speaks it."""

import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.redis_wire import Wire, wire
from tests.servers.redis_cluster import SentinelValkey, ValkeyCluster
from worker.demo.servers import Valkey
from worker.domain.threads import Busy, ThreadKey
from worker.errors import StoreDown
from worker.redis import RedisThreads, open_redis

# Self-signed for 127.0.0.1, for a hundred years, of no use to anybody.
PAIR = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgNJg1DeYvLaJivkh7
5ZEDROfQcyHv+jKkHtMfYeBFTa2hRANCAAQKa8IZV+/M58Vf9/+KaQpLIFMz7L76
Yrmnwn8MWJa4A3sV2ghdfroL6eILisb7EWDP4GRxVnVNXfifLxn74MWh
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBhzCCASygAwIBAgIUJ6aiw6ArZ2C1t1AqXlLhJT328TgwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjExNTI1MzBaGA8yMTI2MTAyODE1MjUz
MFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABApr
whlX78znxV/3/4ppCksgUzPsvvpiuafCfwxYlrgDexXaCF1+ugvp4guKxvsRYM/g
ZHFWdU1d+J8vGfvgxaGjZDBiMB0GA1UdDgQWBBTSkRVWlN2BN9P+4lnHSc71gJMm
cTAfBgNVHSMEGDAWgBTSkRVWlN2BN9P+4lnHSc71gJMmcTAPBgNVHRMBAf8EBTAD
AQH/MA8GA1UdEQQIMAaHBH8AAAEwCgYIKoZIzj0EAwIDSQAwRgIhALzvprv7J+OM
N6TOm0ouflfXWVvhKyj3BIppr20ShIEhAiEAw0NRvvR6sZpaXD0ET+yty7vqYt2O
R71WW7bOXOaED8E=
-----END CERTIFICATE-----
"""
KEY = ThreadKey("default", "instance-1", "analyst")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Its own authority; the key beside it is of no meaning to who trusts it."""
    file = tmp_path / "pair.pem"
    file.write_text(PAIR, "ascii")
    return file


@pytest.fixture
async def tls(valkey: Valkey, certificate: Path) -> AsyncIterator[Wire]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with wire(valkey.port, context) as proxy:
        yield proxy


async def ping(url: str, ca_file: Path | None = None) -> None:
    async with open_redis(url, connections=2, ca_file=ca_file) as client:
        await RedisThreads(client, prefix="test", lease=timedelta(seconds=30), keep=timedelta(days=1)).ping()


async def test_a_private_authority_is_trusted_when_it_is_named(tls: Wire, redis_url: str, certificate: Path) -> None:
    database = redis_url.rpartition("/")[2]
    async with open_redis(f"rediss://127.0.0.1:{tls.port}/{database}", connections=2, ca_file=certificate) as client:
        threads = RedisThreads(client, prefix="test", lease=timedelta(seconds=30), keep=timedelta(days=1))
        await threads.enter(KEY, "task-1")
        assert await threads.enter(KEY, "task-2") == Busy()

    assert tls.connections >= 1


async def test_an_unknown_authority_is_refused_with_the_cure(tls: Wire) -> None:
    with pytest.raises(StoreDown, match=r"certificate is not trusted.*REDIS_CA_FILE"):
        await ping(f"rediss://:secret@127.0.0.1:{tls.port}/0")


async def test_a_certificate_for_another_host_is_refused(tls: Wire, certificate: Path) -> None:
    with pytest.raises(StoreDown, match=r"certificate is not trusted.*name the host"):
        await ping(f"rediss://localhost:{tls.port}/0", certificate)


async def test_a_server_without_tls_is_not_spoken_to_in_clear(valkey: Valkey) -> None:
    with pytest.raises(StoreDown) as caught:
        await ping(f"rediss://127.0.0.1:{valkey.port}/0")
    assert "Redis cannot be used" in str(caught.value)


async def test_sentinels_and_nodes_are_spoken_to_in_tls_too(
    watched_valkey: SentinelValkey, cluster: ValkeyCluster
) -> None:
    for url in (watched_valkey.url(), cluster.url()):
        with pytest.raises(StoreDown):
            await ping(url.replace("redis+", "rediss+", 1))
        await ping(url)
