"""Every setting does something: one test each, called `test_<setting>_…`."""

import asyncio
import json
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from yarl import URL

from tests.contract.redis_wire import wire
from tests.contract.test_redis_tls import PAIR
from tests.flow import classic
from tests.flow.command import COMMAND, environment, started
from tests.flow.gateway import Passed, gateway
from tests.flow.otlp import attributes, collector
from tests.flow.rig import Rig
from tests.issuers import AUDIENCE, Issuer, issuing
from tests.models import Model, ServiceTask, bpmn, unique
from tests.records import exchange, key
from tests.rest import connect
from tests.token_server import token_server
from tests.unit.decisions.examples import said
from tests.waiting import wait_until
from tests.zep.stand_in import KEY, standing_in
from worker import bootstrap
from worker.decisions import chain, record
from worker.demo.engine import Engine
from worker.demo.processes import HOST, Process, free_port, running
from worker.domain.asks import chat_key
from worker.domain.conversations import EVERYTHING, Message, MessageFilter, session_id
from worker.domain.decisions import DecisionKey
from worker.domain.people import Person
from worker.domain.threads import ThreadKey
from worker.ending import Keeper
from worker.errors import Permanent
from worker.modelling.subjects import named
from worker.settings import Settings
from worker.transcript import SqlTranscriptReader, SqlTranscriptWriter, open_database


def test_every_setting_has_a_test_here() -> None:
    names = [name for name in globals() if name.startswith("test_")]
    without = [setting for setting in Settings.model_fields if not any(f"_{setting}_" in f"{each}_" for each in names)]
    assert without == []


async def test_engine_url_is_where_tasks_come_from(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    async with gateway(rig.rest.base_url) as door:
        await rig.start_worker(engine_url=door.url)
        instance = await rig.run(model)
        await rig.workers[0].stop()
    [turn] = await rig.rest.get("history/external-task-log", processInstanceId=instance, successLog=True)
    assert f"/engine-rest/external-task/{turn['externalTaskId']}/complete" in {each.path for each in door.passed}


async def test_engine_name_keeps_two_engines_apart_in_keys_and_threads(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"), rig.step("two", topic=rig.topic + "_two"))
    await rig.start_worker(engine_name="north")
    instance = await rig.rest.start(model)
    await rig.until_open(instance, "two")
    async with rig.redis() as redis:
        names = await redis.keys("*:thread")
    [conversation] = rig.provider.conversations().values()
    await rig.start_worker(engine_name="south", topics=rig.topic + "_two")
    await rig.rest.wait_for_end(instance)

    assert [":north:" in name for name in names] == [True]
    assert "north" in conversation["metadata"].values()
    assert (await rig.meta(instance, "two"))["use"] == "created", "a thread of another engine is not taken over"


async def test_engine_user_and_engine_password_open_an_engine_that_asks_for_them(
    rig: Rig, strict_engine: Engine
) -> None:
    async with connect(strict_engine) as rest:
        rig.rest = rest
        model = await rig.deploy(rig.step("one"))
        await rig.start_worker(engine_user=strict_engine.user, engine_password=strict_engine.password)
        await rig.run(model)
        await rig.workers[0].stop()


async def test_engine_token_is_borne(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    async with gateway(rig.rest.base_url, accepts="Bearer t0ken".__eq__) as door:
        await rig.start_worker(engine_url=door.url, engine_token="t0ken")
        await rig.run(model)
        await rig.workers[0].stop()
    assert door.denied == 0


async def test_engine_token_url_engine_client_id_engine_client_secret_engine_scope_and_engine_audience_bring_tokens(
    rig: Rig,
) -> None:
    model = await rig.deploy(rig.step("one"))
    async with token_server("w0rker", "s3cret") as tokens, gateway(rig.rest.base_url, accepts=tokens.good) as door:
        await rig.start_worker(
            engine_url=door.url,
            engine_token_url=tokens.url,
            engine_client_id="w0rker",
            engine_client_secret="s3cret",
            engine_scope="tasks",
            engine_audience="engine",
        )
        await rig.run(model)
        tokens.given.append("all before is revoked")
        await rig.run(model)
        await rig.workers[0].stop()
    assert tokens.asked == [{"grant_type": "client_credentials", "scope": "tasks", "audience": "engine"}] * 2
    assert door.denied > 0


async def test_engine_cert_file_and_engine_key_file_are_shown_to_an_engine_that_wants_to_see_one(
    rig: Rig, tmp_path: Path
) -> None:
    authority, tls = _authority(tmp_path)
    tls.load_verify_locations(authority)
    tls.verify_mode = ssl.CERT_REQUIRED
    key, mark, certificate = PAIR.partition("-----BEGIN CERTIFICATE")
    (tmp_path / "cert.pem").write_text(mark + certificate)
    (tmp_path / "key.pem").write_text(key)
    shown = {"engine_cert_file": tmp_path / "cert.pem", "engine_key_file": tmp_path / "key.pem"}
    model = await rig.deploy(rig.step("one"))
    async with gateway(rig.rest.base_url, tls=tls) as door:
        await rig.start_worker(engine_url=door.url, engine_ca_file=authority, **shown)
        await rig.run(model)
        await rig.workers[0].stop()
    assert door.requests("/complete")


async def test_engine_ca_file_is_trusted(rig: Rig, tmp_path: Path) -> None:
    authority, tls = _authority(tmp_path)
    model = await rig.deploy(rig.step("one"))
    async with gateway(rig.rest.base_url, tls=tls) as door:
        await rig.start_worker(engine_url=door.url, engine_ca_file=authority)
        await rig.run(model)
        await rig.workers[0].stop()
    assert door.requests("/complete")


async def test_redis_url_is_where_the_map_is(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker()
    await rig.run(model)
    async with rig.redis() as redis:
        assert await redis.keys("*:thread")


async def test_redis_ca_file_is_trusted(rig: Rig, tmp_path: Path) -> None:
    authority, tls = _authority(tmp_path)
    address, _, database = rig.redis_url.rpartition("/")
    model = await rig.deploy(rig.step("one"))
    async with wire(int(address.rpartition(":")[2]), tls) as door:
        url = f"rediss://{HOST}:{door.port}/{database}"
        await rig.start_worker(redis_url=url, redis_ca_file=authority)
        await rig.run(model)
        await rig.workers[0].stop()
    async with rig.redis() as redis:
        assert await redis.keys("*:thread")


async def test_redis_prefix_is_before_every_key(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker(redis_prefix="team:a")
    await rig.run(model)
    async with rig.redis() as redis:
        names = [str(name) for name in await redis.keys("*")]
    assert names
    assert all(name.startswith("team:a:default:") for name in names)


async def test_openai_api_key_is_sent_to_the_provider(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    async with gateway(rig.provider.base_url, accepts="Bearer sk-mine".__eq__, path="") as door:
        await rig.start_worker(openai_base_url=door.url, openai_api_key="sk-mine")
        await rig.run(model)
        await rig.workers[0].stop()
    assert (len(door.requests("/responses")), door.denied) == (1, 0)


async def test_openai_base_url_is_who_answers(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker()
    await rig.run(model)
    assert rig.calls("responses.create") == 1


async def test_providers_file_names_who_answers(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text(f"providers:\n  openai: {{api: chat, base_url: '{rig.provider.base_url}'}}\n")
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker(providers_file=file, openai_base_url="http://127.0.0.1:9/v1")
    instance = await rig.run(model)

    assert rig.calls("responses.create") == 0
    assert (await rig.meta(instance, "one"))["thread"].startswith("own_")


async def test_budgets_file_says_what_calls_may_take(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "budgets.yaml"
    file.write_text("budgets:\n  task: {tokens: 10}\n")
    rig.assistant(more="max_output_tokens: 100")
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker(budgets_file=file)
    instance = await rig.rest.start(model)
    await rig.until_failed(instance)

    [incident] = await rig.rest.incidents(instance)
    assert "is 10 tokens; 0 tokens are used or may still be" in incident["incidentMessage"]
    assert rig.calls("responses.create") == 0


async def test_assistants_dir_is_where_the_specs_are(rig: Rig, tmp_path: Path) -> None:
    rig.folder = tmp_path / "others"
    rig.folder.mkdir()
    rig.assistant("stranger")
    model = await rig.deploy(rig.step("one", "stranger"))
    async with started(rig, assistants_dir=rig.folder):
        instance = await rig.run(model)
    assert (await rig.meta(instance, "one"))["assistant"] == "stranger"


async def test_deployed_assistants_may_ask_what_is_allowed_and_nothing_else(rig: Rig, tmp_path: Path) -> None:
    spec = tmp_path / "analyst.md"
    spec.write_text('---\nname: analyst\nversion: "1"\nmodel: gpt-5-mini\nmax_output_tokens: 90\n---\nYou travel.\n')
    model = bpmn(rig.step("one", "deployment:analyst.md"))
    await rig.rest.deploy(model, spec)
    worker = await rig.start_worker(deployed_assistants="openai/gpt-5-mini=89")
    task = await rig.until_failed(await rig.rest.start(model))
    await worker.stop()
    worker = await rig.start_worker(deployed_assistants="openai/gpt-5-mini=90 process=another tenant=-")
    of_another = await rig.until_failed(await rig.rest.start(model))
    await worker.stop()
    await rig.start_worker(deployed_assistants=f"openai/gpt-5-mini=90 process={model.key} tenant=-")
    await rig.run(model)

    assert f"allows nothing to assistants that come with process {model.key}" in of_another["errorMessage"]
    assert "DEPLOYED_ASSISTANTS allows openai/gpt-5-mini up to 89" in task["errorMessage"]
    [asked] = rig.provider.requests("responses.create")
    assert asked["body"]["instructions"] == "You travel."
    with pytest.raises(Permanent, match="DEPLOYED_ASSISTANTS: of local/x the provider is unknown; there are: openai"):
        bootstrap.Written.read(rig.build_settings(deployed_assistants="local/x=1"))


async def test_topics_are_served_and_no_others(rig: Rig) -> None:
    served = await rig.deploy(rig.step("one", topic=f"{rig.topic}_a"))
    other = await rig.deploy(rig.step("one", topic=f"{rig.topic}_b"))
    await rig.start_worker(topics=f"{rig.topic}_a,{rig.topic}_c")
    left = await rig.rest.start(other)
    await rig.run(served)
    [task] = await rig.rest.tasks(left)
    assert (task["workerId"], task["retries"]) == (None, None)


async def test_handlers_and_handler_slots_run_so_many_functions_at_once(rig: Rig) -> None:
    classic.going_on.clear()
    model = await rig.deploy(ServiceTask("hang", f"{rig.topic}_hang"))
    await rig.start_worker(handlers=f"{rig.topic}_hang=tests.flow.classic:hang", handler_slots=2)
    instances = [await rig.rest.start(model) for _ in range(3)]
    for _ in range(2):
        await asyncio.to_thread(classic.hanging.acquire)
    locked = [task["workerId"] for each in instances for task in await rig.rest.tasks(each)]
    classic.going_on.set()
    for instance in instances:
        await rig.rest.wait_for_end(instance)
    await asyncio.to_thread(classic.hanging.acquire)

    assert sum(worker is not None for worker in locked) == 2
    with pytest.raises(Permanent, match="HANDLERS: x=nowhere:f: the module nowhere cannot be imported"):
        bootstrap.Written.read(rig.build_settings(handlers="x=nowhere:f"))


async def test_max_tasks_is_how_many_turns_run_at_once(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault("responses.create", times=None, hold="gate")
    instances = [await rig.rest.start(model) for _ in range(5)]
    await rig.start_worker(max_tasks=2)
    await wait_until(lambda: len(rig.provider.counts()["running"]) == 2, what="two turns")
    locked = await rig.rest.get("external-task", topicName=rig.topic, locked=True)
    assert len(locked) == 2, "what has no slot stays with the engine"
    rig.provider.release("gate")
    await asyncio.gather(*(rig.rest.wait_for_end(each) for each in instances))


@pytest.mark.parametrize("seconds", [30, 60])
async def test_lock_seconds_are_how_long_a_task_is_locked(rig: Rig, seconds: int) -> None:
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault("responses.create", hold="gate")
    instance = await rig.rest.start(model)
    await rig.start_worker(lock_seconds=seconds)
    await wait_until(lambda: rig.provider.counts()["running"], what="the turn")
    [task] = await rig.rest.tasks(instance)
    rest = datetime.fromisoformat(task["lockExpirationTime"]) - datetime.now(UTC)
    assert timedelta(seconds=seconds - 15) < rest <= timedelta(seconds=seconds)
    async with rig.redis() as redis:
        [hold] = await redis.keys("*:hold")
        assert seconds - 15 < await redis.ttl(hold) <= seconds
    rig.provider.release("gate")
    await rig.rest.wait_for_end(instance)


async def test_poll_seconds_are_how_long_the_engine_may_hold_a_poll(rig: Rig) -> None:
    async with gateway(rig.rest.base_url) as door:
        await rig.start_worker(engine_url=door.url, poll_seconds=2)
        polls = await wait_until(lambda: _polls(door.requests("/fetchAndLock"), rig.topic, 2), what="two polls")
        await rig.workers[0].stop()
    assert {each.body["asyncResponseTimeout"] for each in polls} == {2000}
    assert polls[1].at - polls[0].at > 1.9, "an idle worker asks no sooner"


@pytest.mark.parametrize(("grace", "takes", "is_left"), [(1, {"hold": "gate"}, True), (20, {"during": 2.5}, False)])
async def test_grace_seconds_are_what_running_turns_get_at_a_stop(
    rig: Rig, grace: int, takes: dict[str, Any], is_left: bool
) -> None:
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault("responses.create", times=1, **takes)
    instance = await rig.rest.start(model)
    worker = await rig.start_worker(grace_seconds=grace)
    await wait_until(lambda: rig.provider.counts()["running"], what="the turn")
    await worker.stop()
    assert bool(await rig.rest.tasks(instance)) == is_left


async def test_discovery_seconds_are_between_two_looks_at_what_is_deployed(rig: Rig) -> None:
    async with gateway(rig.rest.base_url) as door:
        await rig.deploy(rig.step("one", topic=unique("topic")))
        await rig.start_worker(engine_url=door.url, topics="", discovery_seconds=3)

        def looks() -> list[float] | None:
            seen = [each.at for each in door.requests("/process-definition/statistics")]
            return seen if len(seen) >= 4 else None

        seen = await wait_until(looks, 30, "four looks")
        await rig.workers[0].stop()
    assert all(later - earlier > 2 for earlier, later in pairwise(seen))


async def test_retries_are_the_tries_before_an_incident(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault("responses.create", times=None, outcome="refused")
    await rig.start_worker(retries=5)
    instance = await rig.rest.start(model)
    task = await rig.until_failed(instance)
    assert task["retries"] == 4


async def test_trouble_for_seconds_is_when_an_outage_begins_to_cost_retries(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault("responses.create", times=None, reply="rate_limit")
    await rig.start_worker(trouble_for_seconds=0)
    instance = await rig.rest.start(model)

    async def has_cost_one() -> bool:
        return [task["retries"] for task in await rig.rest.tasks(instance)] == [2]

    await wait_until(has_cost_one, 30, "a retry that the outage costs")


@pytest.mark.parametrize(("validation", "looks"), [("strict", 1), ("optimistic", 0)])
async def test_thread_validation_says_whether_a_thread_is_looked_at_before_reuse(
    rig: Rig, validation: str, looks: int
) -> None:
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    await rig.start_worker(thread_validation=validation)
    await rig.run(model)
    assert rig.calls("items.list") == looks


async def test_thread_days_are_how_long_a_thread_is_remembered_after_its_last_use(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"), rig.step("two", topic=rig.topic + "_two"))
    await rig.start_worker(thread_days=2)
    instance = await rig.rest.start(model)
    await rig.until_open(instance, "two")
    async with rig.redis() as redis:
        [name] = await redis.keys("*:thread")
        assert 2 * 86400 - 60 < await redis.ttl(name) <= 2 * 86400
        await redis.expire(name, 600)
        await rig.start_worker(thread_days=2, topics=rig.topic + "_two")
        await rig.rest.wait_for_end(instance)
        assert await redis.ttl(name) > 86400, "its use moves the end"


@pytest.mark.parametrize(("days", "erased"), [("0", True), ("1", False), ("never", False)])
async def test_retention_threads_days_are_how_long_a_thread_outlives_its_process(
    rig: Rig, days: str, *, erased: bool
) -> None:
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker()
    await rig.run(model)

    settings = rig.build_settings(retention_threads_days=days)
    async with bootstrap.connect(settings) as adapters:
        keeper = Keeper(bootstrap.ending_ports(settings, adapters), bootstrap.policy(settings))
        assert await keeper.round()

    [conversation] = rig.provider.conversations().values()
    assert conversation["deleted"] == erased


@pytest.mark.parametrize(
    ("days", "kind", "left"), [("0", "remove", 0), ("0", "anonymise", 2), ("0", "keep", 2), ("1", "remove", 2)]
)
async def test_retention_transcript_days_and_retention_transcript_say_what_becomes_of_the_record(
    rig: Rig, tmp_path: Path, days: str, kind: str, left: int
) -> None:
    rig.settings |= {"api_port": 0, "transcript_url": f"sqlite:///{tmp_path}/transcript.db"}
    model = await rig.deploy(rig.step("one"))
    worker = await rig.start_worker()
    instance = await rig.run(model)
    await worker.stop()  # which records what is left

    wanted = {"retention_transcript_days": days, "retention_transcript": kind, "retention_threads_days": 0}
    settings = rig.build_settings(**wanted)  # a record that is to go waits for its thread
    async with bootstrap.connect(settings) as adapters:
        keeper = Keeper(bootstrap.ending_ports(settings, adapters), bootstrap.policy(settings))
        assert await keeper.round()
        assert adapters.conversations is not None
        page = await adapters.conversations.messages(MessageFilter(instance=instance), within=EVERYTHING)

    assert len(page.items) == left
    assert [each.content == "[removed]" for each in page.items] == [kind == "anonymise"] * left


@pytest.mark.parametrize(("days", "erased"), [("0", True), ("1", False), ("never", False)])
async def test_chat_retention_days_are_how_long_a_persons_own_conversation_outlives_its_last_message(
    rig: Rig, tmp_path: Path, days: str, *, erased: bool
) -> None:
    rig.settings |= {"api_port": 0, "transcript_url": f"sqlite:///{tmp_path}/transcript.db"}
    settings = rig.build_settings(chat_retention_days=days)
    person = Person("token", "Ann", "Ann")
    async with bootstrap.connect(settings) as adapters:
        assert adapters.asks is not None
        assert adapters.conversations is not None
        talk = chat_key(settings.engine_name, None, person, "analyst", "1")
        await adapters.asks.begin(talk, person)
        keeper = Keeper(bootstrap.ending_ports(settings, adapters), bootstrap.policy(settings))
        assert await keeper.round()
        left = await adapters.conversations.session(session_id(talk), within=EVERYTHING)

    assert (left is None) == erased


@pytest.mark.parametrize(("days", "goes"), [("0", True), ("1", False), ("never", False)])
async def test_decision_retention_days_are_how_long_a_record_of_a_decision_outlives_its_process(
    rig: Rig, tmp_path: Path, days: str, *, goes: bool
) -> None:
    rig.settings |= {"api_port": 0, "transcript_url": f"sqlite:///{tmp_path}/transcript.db"}
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker()
    instance = await rig.run(model)

    settings = rig.build_settings(decision_retention_days=days)
    async with bootstrap.connect(settings) as adapters:
        assert adapters.decisions is not None
        key = DecisionKey(settings.engine_name, instance)
        made = record.build(key.id, said(), "computed", samples=100)
        row = chain.row("change", None, made, datetime.now(UTC), record.facts(made))
        await adapters.decisions.keep(key, made, row, definition_key="decision", business_key=None)
        keeper = Keeper(bootstrap.ending_ports(settings, adapters), bootstrap.policy(settings))
        assert await keeper.round()
        left = await adapters.decisions.last(key)

    assert (left is None) == goes


async def test_health_host_and_health_port_are_where_probes_are_answered(rig: Rig) -> None:
    port = free_port()
    async with started(rig, health_host="127.0.0.2", health_port=port), aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.2:{port}/livez") as reply:
            assert reply.status == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://{HOST}:{port}/livez")


@pytest.mark.parametrize(("style", "is_json"), [("json", True), ("console", False)])
async def test_log_format_is_for_programs_or_for_people(rig: Rig, style: str, is_json: bool) -> None:
    async with started(rig, log_format=style) as worker:
        [line] = [line for line in worker.log_tail().splitlines() if "worker_started" in line]
    assert line.startswith("{") is is_json
    assert not is_json or json.loads(line)["event"] == "worker_started"


async def test_log_level_is_the_least_that_is_logged(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    events: dict[str, set[str]] = {}
    for level in ("INFO", "ERROR"):
        command, log = await _run_once(rig, model, level)
        assert command == 0
        events[level] = {json.loads(line)["event"] for line in log.splitlines()}
    assert "turn" in events["INFO"]
    assert events["ERROR"] == set()


async def _run_once(rig: Rig, model: Model, level: str) -> tuple[int, str]:
    """Exit code and log of a worker that was started, did one instance, and was stopped."""
    settings = environment(rig, log_level=level)
    done = Process("worker", COMMAND, ready=lambda: True, env=settings)  # at ERROR it does not say that it started
    async with running(done):
        await rig.run(model)
        done.signal(signal.SIGTERM)
        return await asyncio.to_thread(done.wait, 20), done.log.read_text("utf-8")


def _authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for 127.0.0.1, and what a server needs to show it."""
    file = folder / "authority.pem"
    file.write_text(PAIR, "ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


def _polls(passed: list[Passed], topic: str, wanted: int) -> list[Passed] | None:
    """The first so many polls for this topic; the probes of the engine are for another one."""
    polls = [each for each in passed if [entry["topicName"] for entry in each.body["topics"]] == [topic]]
    return polls[:wanted] if len(polls) >= wanted else None


async def test_transcript_url_is_where_conversations_are_kept(rig: Rig, tmp_path: Path) -> None:
    await rig.start_worker(transcript_url=f"sqlite:///{tmp_path}/kept.db", api_port=0)
    instance = await rig.run(await rig.deploy(rig.step("one")))

    assert len(await arrived(f"sqlite:///{tmp_path}/kept.db", instance, 2)) == 2


async def remembered(rig: Rig, tmp_path: Path, **chosen: Any) -> list[tuple[str, str]]:
    """Have one task remember, and return each subject's digest with what is known of it then."""
    rig.settings |= {"api_port": 0, "transcript_url": f"sqlite:///{tmp_path}/transcript.db", "memory": "embedded"}
    rig.settings |= chosen
    rig.provider.answer("do one", "Ada (ada@example.org) is K-4711.")
    await rig.start_worker()
    await rig.run(await rig.deploy(rig.step("one", memory_subject="business-key")), business_key="ada")
    async with bootstrap.connect(rig.build_settings()) as adapters:
        facts, memos, outbox = adapters.facts, adapters.memos, adapters.outbox
        assert facts is not None
        assert memos is not None

        async def is_settled() -> bool:
            return not await outbox.backlog("transcript") and not (await memos.backlog()).waiting

        await wait_until(is_settled, what="all to be recorded and remembered")
        subjects = await facts.subjects(EVERYTHING)
        return [(each.digest, fact.text) for each in subjects for fact in await facts.facts(each.digest)]


@pytest.mark.parametrize("kept", ["off", "embedded"])
async def test_memory_is_whether_anything_is_remembered_beyond_an_instance(rig: Rig, tmp_path: Path, kept: str) -> None:
    known = await remembered(rig, tmp_path, memory=kept)
    assert len(known) == (kept != "off")


async def test_memory_redact_is_what_is_taken_out_before_it_is_remembered(rig: Rig, tmp_path: Path) -> None:
    [(_, text)] = await remembered(rig, tmp_path, memory_redact="email,customer=K-[0-9]{4}")
    assert "Ada ([email]) is [customer]." in text


@pytest.mark.parametrize("shared", [True, False])
async def test_memory_shared_lets_engines_mean_the_same_subject(rig: Rig, tmp_path: Path, *, shared: bool) -> None:
    [(digest, _)] = await remembered(rig, tmp_path, memory_shared=shared, engine_name="north")
    assert digest == named("business-key", "ada", None, "" if shared else "north").digest


@pytest.mark.parametrize("api", ["v2", "v4"])
async def test_zep_url_zep_api_key_and_zep_api_are_where_and_how_it_is_remembered_there(
    rig: Rig, tmp_path: Path, api: str
) -> None:
    async with standing_in() as zep:
        await remembered(rig, tmp_path, memory="zep", zep_url=zep.url, zep_api_key=KEY, zep_api=api)
        assert len(zep.messages) == 2
        assert {each.split()[1][:8] for each in zep.requests} == {f"/api/{api}/"}


async def test_tenants_are_served_and_no_others(rig: Rig) -> None:
    model = bpmn(rig.step("one"))
    for tenant in ("north", "south"):
        await rig.rest.deploy(model, tenant=tenant)
    await rig.start_worker(tenants="north")
    instances = {tenant: await rig.rest.start(model, tenant=tenant) for tenant in ("south", "north")}
    await rig.rest.wait_for_end(instances["north"])

    [waiting] = await rig.rest.tasks(instances["south"])
    assert waiting["workerId"] is None


async def test_input_tokens_are_the_room_for_variables_in_a_question(rig: Rig) -> None:
    await rig.start_worker(input_tokens=100)
    variables = {"long": "x" * 500, "short": "y"}
    await rig.run(await rig.deploy(rig.step("one")), variables)
    declared = await rig.rest.start(await rig.deploy(rig.step("two", data_input="long,short")), variables)
    await rig.until_failed(declared)

    [question] = rig.questions()
    assert "Not included, for lack of room: long." in question
    assert "INPUT_TOKENS leaves room for 400" in (await rig.rest.incidents(declared))[0]["incidentMessage"]


async def test_seed_tokens_are_the_room_for_earlier_turns_on_a_recreated_thread(rig: Rig, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/kept.db"
    later = unique("topic")
    model = await rig.deploy(rig.step("one"), rig.step("two", topic=later))
    await rig.start_worker(transcript_url=url, api_port=0)
    instance = await rig.rest.start(model)
    await rig.until_open(instance, "two")
    await arrived(url, instance, 2)
    [thread] = rig.provider.conversations()
    rig.provider.forget(thread)
    await rig.start_worker(transcript_url=url, api_port=0, seed_tokens=0, topics=later)
    await rig.rest.wait_for_end(instance)

    meta = await rig.meta(instance, "two")
    assert (meta["use"], meta["seeded"]) == ("recreated", 0)


async def test_api_host_api_port_and_api_tokens_are_where_and_by_whom_the_record_is_read(
    rig: Rig, tmp_path: Path
) -> None:
    port, token = free_port(), "a-token-of-sixteen-or-more"
    tokens = json.dumps({token: "viewer"})
    await rig.start_worker(
        transcript_url=f"sqlite:///{tmp_path}/kept.db", api_host="127.0.0.2", api_port=port, api_tokens=tokens
    )
    url = f"http://127.0.0.2:{port}/api/counts"

    async def status(**headers: str) -> int:
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as reply:
            return reply.status

    async def answers() -> bool:
        try:
            return await status() == 401
        except aiohttp.ClientError:
            return False

    await wait_until(answers, what="the API")
    assert await status(Authorization=f"Bearer {token}") == 200


async def test_chat_slots_are_how_many_persons_are_answered_at_once_and_none_takes_no_question(
    rig: Rig, tmp_path: Path
) -> None:
    rig.settings |= {"transcript_url": f"sqlite:///{tmp_path}/kept.db"}
    model = await rig.deploy(rig.step("one"))
    for slots in (1, 0):
        port = free_port()
        worker = await rig.start_worker(chat_slots=slots, api_port=port)
        first, second = [await rig.run(model) for _ in range(2)]
        rig.provider.fault("responses.create", text=f"with {slots}", times=1, hold="gate")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as api:
            asks = [await asked(api, each, f"with {slots}") for each in (first, second)]
            assert {status for status, _ in asks} == ({202} if slots else {404})
            if slots:
                await wait_until(lambda: rig.provider.counts()["running"], what="the first call")
                assert [(await state(api, ask["id"])) for _, ask in asks] == ["running", "queued"]
                rig.provider.release("gate")
                for _, ask in asks:
                    await wait_until(partial(is_answered, api, ask["id"]), what="an answer")
        await worker.stop()


async def test_chat_seconds_are_how_long_an_answer_to_a_person_may_take(rig: Rig, tmp_path: Path) -> None:
    rig.settings |= {"transcript_url": f"sqlite:///{tmp_path}/kept.db", "api_port": free_port(), "chat_seconds": 5}
    rig.assistant(timeout=60)
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker()
    instance = await rig.run(model)
    rig.provider.fault("responses.create", text="Why", times=1, during=30)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{rig.settings['api_port']}") as api:
        _, ask = await asked(api, instance, "Why?")
        await wait_until(lambda: rig.provider.counts()["running"], what="the call")

        async def is_put_off() -> bool:
            return await state(api, ask["id"]) == "queued"

        await wait_until(is_put_off, 25, "the end of our patience")  # sooner than the call's own


async def asked(api: aiohttp.ClientSession, instance: str, text: str) -> tuple[int, Any]:
    """Ask about an instance's thread, once it is in the transcript."""
    path = f"/api/sessions/{session_id(ThreadKey('default', instance, 'analyst'))}"

    async def is_there() -> bool:
        async with api.get(path) as reply:
            return reply.status == 200

    await wait_until(is_there, what="the session")
    async with api.post(f"{path}/asks", json={"id": "1", "text": text}) as reply:
        return reply.status, await reply.json(content_type=None)


async def state(api: aiohttp.ClientSession, ask_id: str) -> str:
    """How an ask stands."""
    async with api.get(f"/api/asks/{ask_id}") as reply:
        return str((await reply.json())["state"])


async def is_answered(api: aiohttp.ClientSession, ask_id: str) -> bool:
    """Whether an ask is answered."""
    return await state(api, ask_id) == "answered"


@asynccontextmanager
async def api(rig: Rig, **settings: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """Start a worker; inside, its API answers."""
    port = free_port()
    await rig.start_worker(transcript_url=f"sqlite:///{rig.folder}/kept.db", api_port=port, **settings)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def answers() -> bool:
            try:
                return bool(await told(session, "/api/openapi.json"))
            except aiohttp.ClientError:
                return False

        await wait_until(answers, what="the API")
        yield session


async def told(session: aiohttp.ClientSession, path: str, token: str = "") -> tuple[int, Any]:
    """What it answers to whoever has this token."""
    async with session.get(path, headers={"Authorization": f"Bearer {token}"} if token else {}) as reply:
        return reply.status, await reply.json()


def trusting(issuer: Issuer, **settings: Any) -> dict[str, Any]:
    """The settings by which persons of this issuer come in."""
    return {
        "oidc_issuer": issuer.url,
        "oidc_audience": AUDIENCE,
        "oidc_roles": '{"writers": ["read", "ask"]}',
    } | settings


async def seen(session: aiohttp.ClientSession, token: str) -> int:
    """How many sessions are there for whoever has this token."""
    _, counts = await told(session, "/api/counts", token)
    return int(counts["sessions"])


async def kept(rig: Rig, *tenants: str) -> None:
    """Have a session of each tenant in the record."""
    async with open_database(f"sqlite:///{rig.folder}/kept.db") as database:
        for tenant in tenants:
            await SqlTranscriptWriter(database).record(exchange(1, key(f"instance-{tenant}", tenant=tenant)))


async def test_oidc_issuer_oidc_audience_and_oidc_roles_say_who_comes_in_and_may_do_what(rig: Rig) -> None:
    async with issuing() as issuer, api(rig, **trusting(issuer)) as session:
        status, me = await told(session, "/api/me", issuer.token())
        assert (status, me["person"]["name"], sorted(me["rights"])) == (200, "Ann", ["ask", "read"])
        assert (await told(session, "/api/me", issuer.token(aud="another")))[0] == 401
        assert (await told(session, "/api/me", issuer.token(iss="https://elsewhere.example")))[0] == 401


async def test_oidc_roles_claim_and_oidc_tenants_claim_are_where_a_token_says_them(rig: Rig) -> None:
    await kept(rig, "north", "south")
    named = {"oidc_roles_claim": "groups", "oidc_tenants_claim": "branches"}
    async with issuing() as issuer, api(rig, **trusting(issuer, **named)) as session:
        token = issuer.token(roles=None, groups=["writers"], branches=["north"])
        assert (await told(session, "/api/me", token))[1]["rights"] == ["ask", "read"]
        assert await seen(session, token) == 1


async def test_api_engine_rights_and_oidc_engine_user_claim_say_whose_rights_in_the_engine_hold(rig: Rig) -> None:
    await kept(rig, "north")
    limited = {"api_engine_rights": True, "oidc_engine_user_claim": "login"}
    async with issuing() as issuer, api(rig, **trusting(issuer, **limited)) as session:
        assert await seen(session, issuer.token()) == 0, "who is nobody in the engine sees nothing"
        status, refused = await told(session, "/api/counts", issuer.token(login="ann"))
        assert (status, refused["detail"][:30]) == (503, "What the engine lets you see c"), "it checks no rights here"


async def test_oidc_client_id_and_oidc_scope_are_how_the_page_logs_people_in(rig: Rig) -> None:
    async with (
        issuing() as issuer,
        api(rig, **trusting(issuer, oidc_client_id="page", oidc_scope="openid worker")) as session,
    ):
        _, login = await told(session, "/api/login")
    assert (login["client_id"], login["scope"]) == ("page", "openid worker")


async def test_oidc_ca_file_is_trusted(rig: Rig, tmp_path: Path) -> None:
    authority, tls = _authority(tmp_path)
    async with issuing(tls) as issuer, api(rig, **trusting(issuer, oidc_ca_file=authority)) as session:
        assert (await told(session, "/api/me", issuer.token()))[0] == 200


async def test_api_origins_are_whose_pages_may_use_the_api(rig: Rig) -> None:
    async with api(rig, api_origins="https://portal.example") as session:
        asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        for origin, fine in (("https://portal.example", True), ("https://other.example", False)):
            async with session.options("/api/me", headers={"Origin": origin, **asked}) as reply:
                assert ("Access-Control-Allow-Origin" in reply.headers) is fine


async def test_api_frames_are_whose_pages_may_show_ours(rig: Rig, tmp_path: Path) -> None:
    port = free_port()
    await rig.start_worker(
        transcript_url=f"sqlite:///{tmp_path}/kept.db", api_port=port, api_frames="https://cockpit.example"
    )
    policies: list[str] = []

    async def answers() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as reply:
                policies.append(reply.headers["Content-Security-Policy"])
        except aiohttp.ClientError:
            return False
        return True

    await wait_until(answers, what="the page")
    assert "frame-ancestors https://cockpit.example" in policies[0]


async def feeds_that_open(rig: Rig, tokens: list[str], workers: int = 1, **settings: int) -> list[int]:
    """Open a feed for each token, at one worker after the other, and return how each is answered."""
    known = dict.fromkeys(tokens, "operator")
    url = f"sqlite:///{rig.folder}/kept.db"
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        apis = [f"http://127.0.0.1:{free_port()}/api" for _ in range(workers)]

        async def status(api: str, token: str) -> int:
            asked = session.get(f"{api}/instances/4711/feed", headers={"Authorization": f"Bearer {token}"})
            return (await stack.enter_async_context(asked)).status

        for api in apis:

            async def answers(api: str = api) -> bool:
                try:
                    return (await session.get(f"{api}/counts")).status == 401
                except aiohttp.ClientError:
                    return False

            port = URL(api).port
            await rig.start_worker(transcript_url=url, api_port=port, api_tokens=json.dumps(known), **settings)
            await wait_until(answers, what="the API")
        return [await status(api, token) for api, token in zip(cycle(apis), tokens, strict=False)]


async def test_feed_most_is_how_many_may_read_along(rig: Rig) -> None:
    tokens = [f"token-of-reader-{number}" for number in range(3)]
    assert await feeds_that_open(rig, tokens, feed_most=2) == [200, 200, 429]


async def test_feed_most_each_is_how_many_feeds_one_may_have(rig: Rig) -> None:
    assert await feeds_that_open(rig, ["token-of-reader-1"] * 3, feed_most_each=2) == [200, 200, 429]


async def test_feed_most_each_holds_for_all_workers_together(rig: Rig) -> None:
    tokens = ["token-of-reader-1"] * 4 + ["token-of-reader-2"]
    assert await feeds_that_open(rig, tokens, 2, feed_most_each=2) == [200, 200, 429, 429, 200]


async def arrived(url: str, instance: str, count: int) -> list[Message]:
    """The messages of an instance once there are so many."""
    async with open_database(url) as database:

        async def enough() -> list[Message]:
            page = await SqlTranscriptReader(database).messages(MessageFilter(instance=instance), within=EVERYTHING)
            return list(page.items) if len(page.items) >= count else []

        return await wait_until(enough, 20, f"{count} messages")


async def test_trace_propagation_hands_on_a_trace_that_no_process_brought(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await rig.deploy(rig.step("one"))
    async with collector() as collected:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        await rig.start_worker(trace_propagation="always")
        instance = await rig.run(model)
        await rig.workers[0].stop()
    (task,) = await wait_until(lambda: collected.named(f"process {rig.topic}"), what="the span of the task")
    assert task.trace_id.hex() in (await rig.rest.variables(instance))["traceparent"]


async def test_trace_content_has_spans_hold_what_is_said(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    model = await rig.deploy(rig.step("one"))
    async with collector() as collected:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        await rig.start_worker(trace_content="on")
        await rig.run(model)
        await rig.workers[0].stop()
    (call,) = await wait_until(lambda: collected.named("chat gpt-5-mini"), what="the span of the call")
    assert "Please do one." in attributes(call)["gen_ai.input.messages"]


async def test_record_key_signs_what_is_kept_of_decisions(tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    settings = Settings(record_key=pem, transcript_url=f"sqlite:///{tmp_path}/transcript.db")
    signing = bootstrap.record_key(settings)
    assert signing is not None
    assert signing.public == private.public_key().public_bytes_raw()
    with pytest.raises(Permanent, match="RECORD_KEY: must be a private Ed25519 key"):
        bootstrap.check(Settings(record_key="words"))


def test_record_service_accounts_are_names_parted_by_commas(rig: Rig) -> None:
    """What they are good for stands in tests/core/test_record_signatures.py: this engine asks nobody's name."""
    settings = rig.build_settings(record_service_accounts="tasklist, portal")
    assert settings.record_service_accounts == ("tasklist", "portal")
