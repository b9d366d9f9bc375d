"""The worker as a process: how it starts, is looked at, and ends."""

import json
import re
import signal
import socket
import ssl
from contextlib import closing
from pathlib import Path

import pytest

from tests.flow.command import Command, environment, refused, started
from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.rest import connect
from tests.waiting import wait_until
from worker.demo.engine import Engine
from worker.demo.processes import HOST

SECRET = "s3cret-never-shown"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_worker_ends_with_0_when_asked_once(rig: Rig, number: signal.Signals) -> None:
    async with started(rig, poll_seconds=2) as worker:
        await worker.until_ready()
        worker.signal(number)

        assert await worker.exit_code() == 0
        [line] = worker.lines("worker_stopping")
        assert line["at_once"] is False
        assert worker.lines("worker_stopped")


async def test_a_running_turn_is_finished_within_the_grace_and_the_next_is_left_alone(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    rig.provider.fault("responses.create", hold="gate")
    async with started(rig, grace_seconds=20) as worker:
        instance = await rig.rest.start(model)
        await wait_until(lambda: rig.provider.counts()["running"], 30, "the turn")
        worker.signal(signal.SIGTERM)
        await wait_until(lambda: worker.lines("worker_stopping"), 30, "the stop")
        status, reasons = await worker.get("readyz")
        assert (status, json.loads(reasons)["reasons"]) == (503, ["stopping"])
        rig.provider.release("gate")

        assert await worker.exit_code() == 0
        assert [line["verdict"] for line in worker.lines("turn")] == ["complete"]
    task = await rig.until_open(instance, "two")
    assert (task["workerId"], task["retries"]) == (None, None)


async def test_turns_longer_than_the_grace_are_given_back_unspent(rig: Rig) -> None:
    model = await rig.deploy([rig.step(f"branch_{number}", f"assistant_{number}") for number in range(3)])
    for number in range(3):
        rig.assistant(f"assistant_{number}")
    rig.provider.fault("responses.create", times=None, hold="gate")
    async with started(rig, grace_seconds=1) as worker:
        instance = await rig.rest.start(model)
        await wait_until(lambda: len(rig.provider.counts()["running"]) == 3, 30, "the turns")
        worker.signal(signal.SIGTERM)

        assert await worker.exit_code() == 0
    tasks = await rig.rest.tasks(instance)
    assert [(task["workerId"], task["retries"], task["errorMessage"]) for task in tasks] == [(None, None, None)] * 3


async def test_a_second_signal_does_not_wait_for_the_grace(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault("responses.create", hold="gate")
    async with started(rig, grace_seconds=600) as worker:
        instance = await rig.rest.start(model)
        await wait_until(lambda: rig.provider.counts()["running"], 30, "the turn")
        worker.signal(signal.SIGTERM)
        await wait_until(lambda: worker.lines("worker_stopping"), 30, "the stop")
        worker.signal(signal.SIGTERM)

        assert await worker.exit_code() == 0
        assert [line["at_once"] for line in worker.lines("worker_stopping")] == [False, True]
    [task] = await rig.rest.tasks(instance)
    assert (task["workerId"], task["retries"]) == (None, None)


async def test_a_signal_while_nothing_can_be_reached_ends_it_with_0_too(rig: Rig) -> None:
    nowhere = {"engine_url": f"http://{HOST}:9/engine-rest", "redis_url": f"redis://{HOST}:9/0"}
    async with started(rig, **nowhere, openai_base_url=f"http://{HOST}:9/v1") as worker:

        async def all_down() -> bool:
            status, text = await worker.get("readyz")
            reasons = json.loads(text)["reasons"]
            down = {each.partition(":")[0] for each in reasons if "not probed" not in each}
            return status == 503 and down >= {"engine", "redis", "provider"}

        await wait_until(all_down, 30, "three reasons")
        assert (await worker.get("livez"))[0] == 200
        worker.signal(signal.SIGTERM)

        assert await worker.exit_code() == 0


BAD_SETTINGS: dict[str, tuple[dict[str, object], str]] = {
    "no number": ({"max_tasks": "many"}, "MAX_TASKS=many: must be a whole number from 1 to 1000"),
    "too short a grace": ({"poll_seconds": 5, "grace_seconds": 4}, "GRACE_SECONDS=4: must be at least POLL_SECONDS"),
    "a password alone": ({"engine_password": SECRET}, "ENGINE_PASSWORD=***: needs ENGINE_USER"),
    "user and token": ({"engine_user": "u", "engine_password": SECRET, "engine_token": SECRET}, "ENGINE_TOKEN=***"),
    "no address": ({"redis_url": f"rdis://:{SECRET}@h"}, "REDIS_URL=***: must look like redis://"),
    "no folder": ({"assistants_dir": "nosuch"}, "nosuch"),
    "no certificate": ({"engine_ca_file": "nosuch.pem"}, "ENGINE_CA_FILE=nosuch.pem: must be a PEM file"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
async def test_a_bad_setting_stops_the_start_with_2_and_says_which(rig: Rig, case: str) -> None:
    settings, complaint = BAD_SETTINGS[case]
    code, said = await refused(environment(rig, **settings))

    assert (code, complaint in said) == (2, True), said
    assert SECRET not in said
    assert "Traceback" not in said


async def test_a_setting_that_is_nearly_one_is_named_at_the_start(rig: Rig) -> None:
    async with started(rig, engine_ulr="http://elsewhere") as worker:
        [said] = worker.lines("setting_unknown")
    assert (said["name"], said["did_you_mean"], said["level"]) == ("ENGINE_ULR", "ENGINE_URL", "warning")


async def test_every_mistake_of_every_spec_stops_the_start_with_file_and_line(rig: Rig) -> None:
    (rig.folder / "bad@1.0.md").write_text('---\nname: bad\nversion: "1.0"\nmodel: m\ntemprature: 1\n---\nBe bad.\n')
    (rig.folder / "empty.md").write_text("No front matter")
    code, said = await refused(environment(rig))

    assert code == 2
    assert re.search(r"bad@1\.0\.md:5: .*temprature", said), said
    assert re.search(r"empty\.md:1: ", said), said


async def test_a_taken_health_port_stops_the_start(rig: Rig) -> None:
    with closing(socket.create_server((HOST, 0))) as taken:
        port = taken.getsockname()[1]
        code, said = await refused(environment(rig, health_port=port))

    assert (code, f"HEALTH_PORT={port}: is taken" in said) == (2, True), said
    assert "Traceback" not in said


async def test_a_process_answers_its_probes_and_counts_its_turns(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    async with started(rig, health_port=0) as worker:
        await worker.until_ready()
        assert await worker.get("livez") == (200, "ok\n")
        assert json.loads((await worker.get("readyz"))[1]) == {"ready": True, "reasons": []}
        await rig.run(model)
        await wait_until(lambda: len(worker.lines("turn")) == 2, 30, "both lines")
        status, text = await worker.get("metrics")

    numbers = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    expected = {
        'worker_turns_total{kind="assistant",verdict="complete"}': 2,
        'worker_threads_total{use="created"}': 1,
        'worker_threads_total{use="reused"}': 1,
        "worker_tasks_fetched_total": 2,
        "worker_turns_in_flight": 0,
        'worker_dependency_paused{dependency="engine"}': 0,
    }
    assert (status, {name: float(numbers[name]) for name in expected}) == (200, expected)
    assert 'phase="model"' in text
    assert "worker_last_poll_timestamp_seconds" in numbers


async def test_json_logs_are_json_from_the_first_line_to_the_last(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    async with started(rig, log_format="json") as worker:
        await rig.run(model)
        worker.signal(signal.SIGTERM)
        assert await worker.exit_code() == 0
        lines = [json.loads(line) for line in worker.log.read_text("utf-8").splitlines()]

    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    [turn] = [line for line in lines if line["event"] == "turn"]
    wanted = {"task_id", "process_instance_id", "activity", "assistant", "thread_id", "use"}
    wanted |= {"input_tokens", "output_tokens", "seconds", "enter_seconds", "model_seconds", "deliver_seconds"}
    assert wanted <= turn.keys()


async def test_console_logs_are_lines_for_people(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    async with started(rig, log_format="console") as worker:
        instance = await rig.run(model)
        await wait_until(lambda: "verdict=complete" in worker.log_tail(), 30, "the line of the turn")
        log = worker.log_tail(1000)

    [line] = [line for line in log.splitlines() if "verdict=complete" in line]
    assert f"process_instance_id={instance}" in line
    assert "turn" in line
    assert not line.startswith("{")
    assert "\x1b" not in log, "no colours in a file"


async def test_basic_authentication_at_an_engine_that_wants_it(rig: Rig, strict_engine: Engine) -> None:
    async with connect(strict_engine) as rest:
        rig.rest = rest
        model = await rig.deploy(rig.step("one"))
        login = {"engine_user": strict_engine.user, "engine_password": strict_engine.password}
        async with started(rig, **login) as worker:
            await rig.run(model)
            assert [line["verdict"] for line in worker.lines("turn")] in ([], ["complete"])
        async with started(rig) as stranger:
            await wait_until(lambda: stranger.lines("dependency_down"), 30, "the refusal")
            [line] = stranger.lines("dependency_down")
            status, text = await stranger.get("readyz")

    assert line["dependency"] == "engine"
    assert "credentials" in line["reason"]
    assert (status, "credentials" in text) == (503, True)


async def test_a_bearer_token_is_sent_with_every_request_and_logged_nowhere(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    async with gateway(rig.rest.base_url, accepts=f"Bearer {SECRET}".__eq__) as door:
        async with started(rig, engine_url=door.url, engine_token=SECRET) as worker:
            await rig.run(model)
            assert SECRET not in worker.log_tail(1000)
        assert door.passed
        assert door.denied == 0
        async with started(rig, engine_url=door.url, engine_token="another") as stranger:
            await wait_until(lambda: stranger.lines("dependency_down"), 30, "the refusal")


async def test_an_engine_behind_tls_is_trusted_by_its_ca_file_only(rig: Rig, tmp_path: Path) -> None:
    certificate = tmp_path / "authority.pem"
    certificate.write_text(KEY_AND_CERTIFICATE)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    model = await rig.deploy(rig.step("one"))
    async with gateway(rig.rest.base_url, tls=tls) as door:
        async with started(rig, engine_url=door.url) as stranger:
            await wait_until(lambda: stranger.lines("dependency_down"), 30, "the refusal")
            assert "ertificate" in stranger.lines("dependency_down")[0]["reason"]
        assert door.passed == []
        async with started(rig, engine_url=door.url, engine_ca_file=certificate):
            await rig.run(model)
        assert door.requests("/complete")
        elsewhere = door.url.replace(HOST, "localhost")  # the certificate names the address only
        async with started(rig, engine_url=elsewhere, engine_ca_file=certificate) as stranger:
            await wait_until(lambda: stranger.lines("dependency_down"), 30, "the refusal")


async def test_every_start_has_a_worker_id_of_its_own(rig: Rig) -> None:
    ids = []
    async with started(rig) as worker:
        for _ in range(2):
            ids.append(_worker_id(worker))
            worker.kill()
            worker.log.unlink()
            worker.start()
        ids.append(_worker_id(worker))

    assert len(set(ids)) == 3


def _worker_id(worker: Command) -> str:
    return str(worker.lines("worker_started")[0]["worker_id"])


# For 127.0.0.1, signed by itself and trusted by nobody, valid from 2020 to 2120.
KEY_AND_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3axcSSLTmJiR/CTH
N/aqK4MSflwi7putIszgvlt0dKehRANCAASChRvm0E9x7R7SK3+pZOyQYz7P6uki
HE2La0PR8vBDgZE79aGHEbRTyhLFHWIMuAsPakkOLIk9cahiLHzTR2ld
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBajCCAQ+gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAl0ZXN0IG9u
bHkwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CXRlc3Qgb25seTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIKFG+bQT3HtHtIr
f6lk7JBjPs/q6SIcTYtrQ9Hy8EOBkTv1oYcRtFPKEsUdYgy4Cw9qSQ4siT1xqGIs
fNNHaV2jUDBOMA8GA1UdEQQIMAaHBH8AAAEwDwYDVR0TAQH/BAUwAwEB/zAdBgNV
HQ4EFgQUvFPeu3W2tN3bDa1WhzzWmwJqrokwCwYDVR0PBAQDAgKEMAoGCCqGSM49
BAMCA0kAMEYCIQDTmzwK1TpkCP4DB4QAIttMgKfCjmMLhHFblC5Oo0F8eQIhAJXv
ivSOczfARh0A1J8v2UvGbGUJAUfwAPiuIDmgZ5Zr
-----END CERTIFICATE-----
"""
