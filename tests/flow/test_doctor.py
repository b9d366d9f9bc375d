"""What doctor finds on engine, Redis, provider and specs, whole and broken."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError
from rich.console import Console

from tests.engines import http, literal, own_error
from tests.flow.command import assistant_worker, environment
from tests.flow.rig import Rig
from tests.flow.test_ending import recorded
from tests.models import ServiceTask, bpmn, unique
from tests.rest import connect
from tests.waiting import wait_until
from worker import bootstrap
from worker.demo.engine import JAVA_OPTIONS, Engine
from worker.demo.model import ModelServer
from worker.demo.processes import free_port
from worker.demo.servers import Valkey
from worker.domain.threads import Entered, Thread, ThreadKey
from worker.engine import EngineInfo
from worker.operate import doctor
from worker.operate.doctor import Finding, Level, report
from worker.operate.doctor import engine as engine_checks
from worker.operate.doctor.checks import Check
from worker.redis import RedisThreads, open_redis
from worker.settings import Settings

SECRET = "doctor-secret-8e1f"


async def seen(rig: Rig, **overrides: Any) -> list[Finding]:
    """What doctor finds where the worker finds its topics itself."""
    return await doctor.findings(rig.build_settings(**({"topics": ()} | overrides)))


def row(rows: Iterable[Finding], area: str, subject: str) -> Finding:
    """The one finding of this area whose subject has this text in it."""
    found = [each for each in rows if each.area == area and subject in each.subject]
    assert len(found) == 1, found
    return found[0]


def level(rows: Iterable[Finding], area: str, subject: str) -> Level:
    return row(rows, area, subject).level


def problems(rows: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(each.area, each.subject) for each in rows if each.level is Level.PROBLEM]


def text(rows: Iterable[Finding]) -> str:
    """The report as it is printed."""
    screen = Console(file=io.StringIO(), width=140)
    report.show(list(rows), screen)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


@asynccontextmanager
async def own_valkey(*, persistent: bool = False) -> AsyncIterator[tuple[str, Redis]]:
    """A server that this test may reconfigure: its address, and a client."""
    with Valkey(persistent=persistent) as server:
        async with Redis.from_url(server.url(), decode_responses=True) as client:
            yield server.url(), client


async def fill(redis: Redis) -> None:
    """Write until nothing more fits."""
    with suppress(OutOfMemoryError):
        for number in range(1000):
            await redis.set(f"others:{number}", "x" * 10_000)


async def test_where_all_is_fine_it_says_so_and_leaves_with_zero(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    await rig.deploy(rig.step("frame"), rig.step("recommend", data_output_type="Json"))

    assert await doctor.examine(rig.build_settings(topics=())) == 0

    printed = capsys.readouterr().out
    assert "Nothing found that would stop the work" in printed
    version = (await rig.rest.get("version"))["version"]
    for said in (f", version {version}", "noeviction", "Valkey", "analyst 1.0", f"topic {rig.topic}"):
        assert said in printed
    assert "2 for assistants, each with all that it needs" in printed


async def test_a_setting_whose_name_is_misspelt_is_named(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_ULR", "http://somewhere/engine-rest")

    found = row(await seen(rig), "settings", "ENGINE_ULR")
    assert found.level is Level.WARNING
    assert "ENGINE_URL is meant" in found.advice


async def test_it_changes_nothing_anywhere(rig: Rig) -> None:
    model = await rig.deploy(rig.step("frame"))
    instance = await rig.rest.start(model)
    before = await rig.rest.get("history/variable-instance/count")

    await seen(rig)

    [task] = await rig.rest.tasks(instance)
    assert (task["workerId"], task["retries"]) == (None, None)
    assert await rig.rest.get("history/variable-instance/count") == before
    assert rig.provider.conversations() == {}
    [asked] = [each for each in rig.provider.requests() if each["method"] != "GET"]
    assert (asked["call"], asked["body"]["store"]) == ("responses.create", False)
    async with rig.redis() as redis:
        assert await redis.dbsize() == 0


async def test_an_engine_that_is_away_hides_nothing_else(rig: Rig) -> None:
    rows = await seen(rig, engine_url=f"http://127.0.0.1:{free_port()}/engine-rest")

    assert problems(rows) == [("engine", "fetching tasks")]
    assert "ENGINE_URL" in row(rows, "engine", "fetching").advice
    assert level(rows, "deployed models", "topics") is Level.UNKNOWN
    assert row(rows, "engine", "Spin").subject == "version, rights, clock, history, Spin"
    for area, subject in (("Redis", "writes"), ("provider", "key"), ("provider", "model"), ("assistants", "specs")):
        assert level(rows, area, subject) is Level.OK


async def test_silence_everywhere_is_told_of_each_part(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.operate.doctor.checks.PATIENCE", timedelta(seconds=0.5))
    async with literal(None) as nobody:
        port = nobody.url.split(":")[2].split("/")[0]
        rows = await seen(
            rig,
            engine_url=nobody.url,
            redis_url=f"redis://127.0.0.1:{port}/0",
            openai_base_url=f"http://127.0.0.1:{port}/v1",
        )

    assert problems(rows) == [("engine", "fetching tasks"), ("Redis", "writes"), ("provider", "key")]
    assert {each.said for each in rows if each.level is Level.PROBLEM} == {"no answer within 0.5 s"}
    assert all(each.advice for each in rows if each.level is Level.PROBLEM)


async def test_the_command_ends_with_one_and_prints_no_secret(rig: Rig) -> None:
    """As in a pipe, with everything out of reach."""
    port = free_port()
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "ENGINE_URL": f"http://127.0.0.1:{port}/engine-rest",
        "ENGINE_USER": "demo",
        "ENGINE_PASSWORD": SECRET,
        "REDIS_URL": f"redis://somebody:{SECRET}@127.0.0.1:{port}/0",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "OPENAI_API_KEY": SECRET,
        "ASSISTANTS_DIR": str(rig.folder),
    }
    command = [sys.executable, "-W", "error", "-m", "worker", "doctor"]
    done = subprocess.run(  # noqa: ASYNC221 - nothing of this test runs in the loop meanwhile
        command, env=environment, cwd=rig.folder, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 1, done.stderr
    assert "The work would stop, or not begin: 3 problems" in done.stdout
    assert f"ENGINE_URL, which is http://127.0.0.1:{port}/engine-rest now." in " ".join(
        done.stdout.replace("│", " ").split()
    )
    assert done.stderr == ""
    assert SECRET not in done.stdout


async def test_refused_credentials_are_tried_once_only(rig: Rig) -> None:
    """Engines lock a user after some wrong passwords."""
    async with literal(http(401, own_error("AuthenticationException"))) as engine:
        rows = await seen(rig, engine_url=engine.url, engine_user="demo", engine_password=SECRET)
        assert len(engine.requests) == 1

    assert problems(rows) == [("engine", "fetching tasks")]
    assert "ENGINE_PASSWORD" in row(rows, "engine", "fetching").advice
    assert SECRET not in text(rows)


@pytest.mark.parametrize(
    ("ahead", "expected", "said"),
    [
        (timedelta(seconds=59), Level.OK, "agree"),
        (timedelta(hours=-1), Level.WARNING, "3600 s behind ours"),
        (timedelta(hours=1), Level.WARNING, "3600 s ahead of ours"),
        (None, Level.UNKNOWN, "no date"),
    ],
)
def test_clocks_apart_are_a_warning(ahead: timedelta | None, expected: Level, said: str) -> None:
    found = engine_checks.clock(EngineInfo("7.24.0", ahead, ()))

    assert (found.level, said in found.said) == (expected, True)


def test_only_camunda_counts_from_seven() -> None:
    names = {number: engine_checks.version(EngineInfo(number, None, ())).said for number in ("7.24.0", "1.0.3")}

    assert names == {"7.24.0": "Camunda 7, version 7.24.0", "1.0.3": "Operaton or CIB seven, version 1.0.3"}


async def test_an_engine_without_spin_is_a_warning_and_rights_are_looked_at(rig: Rig) -> None:
    options = (*JAVA_OPTIONS, "-Doperaton.bpm.authorization.enabled=true")
    with Engine(spin=False, authenticate=True, java_options=options) as engine:
        async with connect(engine) as rest:
            model = bpmn(rig.step("frame"))
            await rest.deploy(model)
            for user in ("nothing", "something"):
                profile = {"id": user, "firstName": user, "lastName": user}
                await rest.post("user/create", {"profile": profile, "credentials": {"password": SECRET}})
            grant = {"type": 1, "userId": "something", "resourceType": 6, "resourceId": model.key}
            await rest.post(
                "authorization/create", grant | {"permissions": ["READ", "READ_INSTANCE", "UPDATE_INSTANCE"]}
            )

            async def seen_by(user: str, password: str) -> list[Finding]:
                return await seen(rig, engine_url=engine.base_url, engine_user=user, engine_password=password)

            administrator = await seen_by(engine.user, engine.password)
            nothing, something = await seen_by("nothing", SECRET), await seen_by("something", SECRET)
            stranger = await seen_by("stranger", SECRET)
            anonymous = await seen(rig, engine_url=engine.base_url)

    assert problems(administrator) == []
    assert level(administrator, "engine", "Spin") is Level.WARNING
    assert "4000 characters" in row(administrator, "engine", "Spin").said
    assert level(administrator, "engine", "rights") is Level.OK

    assert problems(nothing) == [("engine", "rights")]
    assert "READ_INSTANCE on process definitions" in row(nothing, "engine", "rights").said
    assert level(nothing, "deployed models", "topics") is Level.WARNING

    assert problems(something) == []
    assert level(something, "engine", "rights") is Level.WARNING
    assert level(something, "deployed models", f"topic {rig.topic}") is Level.OK

    for rows in (stranger, anonymous):
        assert problems(rows) == [("engine", "fetching tasks")]
        assert "ENGINE_USER and ENGINE_PASSWORD" in row(rows, "engine", "fetching").advice
        assert level(rows, "engine", "Spin") is Level.UNKNOWN


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("noeviction", Level.OK),
        ("allkeys-lru", Level.PROBLEM),
        ("allkeys-random", Level.PROBLEM),
        ("volatile-lru", Level.WARNING),
    ],
)
async def test_redis_must_not_drop_what_it_is_given(rig: Rig, policy: str, expected: Level) -> None:
    async with own_valkey() as (url, redis):
        await redis.config_set("maxmemory-policy", policy)
        rows = await seen(rig, redis_url=url)

    assert (level(rows, "Redis", "eviction"), policy in row(rows, "Redis", "eviction").said) == (expected, True)
    assert bool(problems(rows)) == (expected is Level.PROBLEM)


async def test_policies_for_keys_with_an_expiry_drop_our_threads() -> None:
    """Why volatile-* is a warning: nothing of ours is without an expiry."""
    async with own_valkey() as (url, redis):
        await redis.config_set("maxmemory-policy", "volatile-lru")
        key = ThreadKey("default", "instance", "analyst")
        async with open_redis(url, connections=1) as client:
            threads = RedisThreads(client, prefix="ours", lease=timedelta(seconds=30), keep=timedelta(days=30))
            entry = await threads.enter(key, "task")
            assert isinstance(entry, Entered)
            assert await threads.bind(entry.hold, Thread("conv_1", 1), 0)
        assert await redis.keys("ours:*")
        await redis.config_set("maxmemory", (await redis.info("memory"))["used_memory"] + 200_000)

        await fill(redis)

        assert await redis.keys("ours:*") == []


async def test_a_redis_that_keeps_nothing_over_a_restart_is_a_warning(rig: Rig) -> None:
    async with own_valkey() as (url, redis):
        nothing = await seen(rig, redis_url=url)
        await redis.config_set("save", "3600 1")
        snapshots = await seen(rig, redis_url=url)
    async with own_valkey(persistent=True) as (url, _):
        file = await seen(rig, redis_url=url)

    assert level(nothing, "Redis", "persistence") is Level.WARNING
    assert "paid, twice" in row(nothing, "Redis", "persistence").said
    assert problems(nothing) == []
    assert level(snapshots, "Redis", "persistence") is Level.OK
    assert "save 3600 1" in row(snapshots, "Redis", "persistence").said
    assert "append-only" in row(file, "Redis", "persistence").said


async def test_a_replica_and_a_full_redis_take_no_writes(rig: Rig) -> None:
    async with own_valkey() as (url, redis), own_valkey() as (replica_url, replica):
        await replica.replicaof("127.0.0.1", url.split(":")[2].split("/")[0])

        async def follows() -> bool:
            return bool((await replica.info("replication"))["master_link_status"] == "up")

        await wait_until(follows, what="the replica")
        of_replica = await seen(rig, redis_url=replica_url)
        await redis.config_set("maxmemory", 1)
        of_full = await seen(rig, redis_url=url)

    assert ("Redis", "writes") in problems(of_replica)
    assert "primary" in row(of_replica, "Redis", "writes").advice
    assert ("Redis", "writes") in problems(of_full)
    assert "maxmemory" in row(of_full, "Redis", "writes").advice
    for rows in (of_replica, of_full):
        assert level(rows, "Redis", "eviction") is Level.OK


async def test_what_a_hosted_redis_forbids_to_ask_is_not_known_and_no_problem(rig: Rig) -> None:
    async with own_valkey() as (url, redis):
        for user, denied in (("hosted", "-config"), ("closed", "-info"), ("scriptless", "-@scripting")):
            commands = ["+@all", "-config", denied]
            await redis.acl_setuser(user, enabled=True, passwords=[f"+{SECRET}"], keys=["*"], commands=commands)

        async def seen_by(user: str, password: str = SECRET) -> list[Finding]:
            return await seen(rig, redis_url=url.replace("//", f"//{user}:{password}@"))

        hosted, closed, scriptless = [await seen_by(user) for user in ("hosted", "closed", "scriptless")]
        stranger = await seen_by("hosted", "wrong-" + SECRET)

    assert [level(hosted, "Redis", each) for each in ("version", "eviction", "persistence")] == [
        Level.OK,
        Level.OK,
        Level.UNKNOWN,
    ]
    assert [each.level for each in closed if each.area == "Redis"] == [Level.OK, Level.OK, *[Level.UNKNOWN] * 3]
    assert problems(hosted) == problems(closed) == []
    assert problems(scriptless) == [("Redis", "scripts")]
    assert problems(stranger) == [("Redis", "writes")]
    assert "user and password" in row(stranger, "Redis", "writes").advice
    assert SECRET not in text([*hosted, *closed, *scriptless, *stranger])


async def test_a_key_that_the_provider_does_not_accept_is_a_problem(rig: Rig) -> None:
    async with ModelServer(key="another") as server:
        rows = await seen(rig, openai_base_url=server.base_url, openai_api_key=SECRET)

    assert problems(rows) == [("provider", "key")]
    assert "OPENAI_API_KEY" in row(rows, "provider", "key").advice
    assert level(rows, "provider", "model") is Level.UNKNOWN
    assert SECRET not in text(rows)


async def test_an_organisation_that_has_nothing_kept_is_told_of_the_api_that_needs_no_conversations(rig: Rig) -> None:
    told = "Conversation ID cannot be used for this organization due to Zero Data Retention."
    refused = {"status": 400, "message": told, "code": "unsupported_parameter", "param": "conversation"}
    rig.provider.fault("conversations.*", times=None, reply=refused)
    found = row(await seen(rig), "provider", "key")

    assert (found.level, "zero data retention" in found.said, "`api: responses`" in found.said) == (
        Level.PROBLEM,
        True,
        True,
    )
    assert "The key is good" in found.advice


async def test_openai_without_a_key_is_a_problem_and_not_asked(rig: Rig) -> None:
    rows = await doctor.findings(
        Settings(
            _env_file=None,
            engine_url=rig.rest.base_url,
            redis_url=rig.redis_url,
            assistants_dir=rig.folder,
            health_port=0,
        )
    )

    assert problems(rows) == [("provider", "key")]
    assert "OPENAI_API_KEY is not set" in row(rows, "provider", "key").said


async def test_each_model_is_looked_up_once_and_a_missing_one_names_who_wants_it(rig: Rig) -> None:
    rig.assistant("critic")
    rig.assistant("oracle")
    spec = rig.folder / "oracle@1.0.md"
    spec.write_text(spec.read_text().replace("gpt-5-mini", "gpt-17"))

    rows = await seen(rig)

    assert problems(rows) == [("provider", "model gpt-17")]
    assert "oracle 1.0" in row(rows, "provider", "gpt-17").said
    assert "analyst 1.0, critic 1.0" in row(rows, "provider", "model gpt-5-mini").said
    assert rig.calls("models.retrieve") == 2
    assert level(rows, "provider", "call of gpt-5-mini") is Level.OK
    assert rig.calls("responses.create") == 1


async def test_no_model_is_called_where_nobody_wants_that(rig: Rig) -> None:
    done = await assistant_worker(environment(rig), "doctor", "--no-calls")

    assert "model gpt-5-mini" in done.out
    assert "call of" not in done.out
    assert rig.calls("responses.create") == 0


async def test_a_restricted_key_that_may_not_see_models_is_a_warning(rig: Rig) -> None:
    rig.provider.fault("models.*", times=None, reply="forbidden")

    rows = await seen(rig)

    assert level(rows, "provider", "model gpt-5-mini") is Level.WARNING
    assert level(rows, "provider", "key") is Level.OK
    assert problems(rows) == []


async def test_a_server_that_knows_no_models_leaves_it_open(rig: Rig) -> None:
    rig.provider.fault("models.*", times=None, reply="route_404")

    rows = await seen(rig)

    assert level(rows, "provider", "model gpt-5-mini") is Level.UNKNOWN
    assert problems(rows) == []


async def test_every_mistake_in_a_spec_is_a_row_with_its_line(rig: Rig) -> None:
    (rig.folder / "broken.md").write_text("---\nname: broken\nversion: 1.0\nmodle: gpt-5\n---\nAnswer.\n")
    await rig.deploy(rig.step("frame"))

    rows = await seen(rig)

    mistakes = [each.said for each in rows if each.area == "assistants"]
    assert any("broken.md:3: version: must be text" in each for each in mistakes)
    assert any("broken.md:4: modle" in each for each in mistakes)
    assert {area for area, _ in problems(rows)} == {"assistants"}
    assert level(rows, "deployed models", "assistants of the tasks") is Level.UNKNOWN
    assert level(rows, "deployed models", f"topic {rig.topic}") is Level.OK


TWO = """\
providers:
  own: {{api: chat, base_url: '{own}', key: env:PATH}}
  other: {{api: chat, base_url: '{other}'}}
"""


def two(rig: Rig, other: ModelServer, own: str = "") -> dict[str, Any]:
    """Settings with two providers, and the one assistant asking the first, or the second while that is away."""
    file = rig.folder / "providers.yaml"
    file.write_text(TWO.format(own=own or rig.provider.base_url, other=other.base_url))
    rig.assistant(more="provider: own\nfallback: [other/gpt-5-mini]")
    return {"providers_file": file}


async def test_a_provider_that_is_away_is_a_warning_where_all_its_assistants_fall_back(rig: Rig) -> None:
    async with ModelServer() as other:
        settings = two(rig, other, own=f"http://127.0.0.1:{free_port()}/v1")
        rows = await seen(rig, **settings)
        found = row(rows, "provider own", "key")
        assert (found.level, "fallback that answers: other" in found.said) == (Level.WARNING, True)
        assert problems(rows) == []

        rig.assistant("critic", more="provider: own")
        assert problems(await seen(rig, **settings)) == [("provider own", "key")]
        (rig.folder / "critic@1.0.md").unlink()
        other.fault("*", times=None, reply="unauthorized")
        rows = await seen(rig, **settings)
        assert problems(rows) == [("provider own", "key")]


async def test_a_provider_that_only_stands_in_is_missed_by_nobody_now(rig: Rig) -> None:
    async with ModelServer() as other:
        settings = two(rig, other)
        other.fault("*", times=None, reply="unauthorized")
        rows = await seen(rig, **settings)

    found = row(rows, "provider other", "key")
    assert (found.level, problems(rows)) == (Level.WARNING, [])


@pytest.mark.parametrize("reply", ["overloaded", "server_error", "rate_limit"])
async def test_a_provider_that_answers_but_cannot_serve_is_not_looked_for_on_the_way(rig: Rig, reply: str) -> None:
    async with ModelServer() as other:
        settings = two(rig, other)
        rig.provider.fault("*", times=None, reply=reply)
        found = row(await seen(rig, **settings), "provider own", "key")

    assert (found.level, "answers, but cannot serve now" in found.said) == (Level.PROBLEM, True)
    assert "firewall" not in found.advice


async def test_a_file_that_is_broken_is_one_finding_and_hides_nothing_else(rig: Rig) -> None:
    file = rig.folder / "providers.yaml"
    file.write_text("providers:\n  own: {api: telepathy}\n  other: {api: chat, key: env:NOT_SET_ANYWHERE}\n")
    rig.assistant(more="provider: own")
    rig.assistant("broken", more="temperature: hot")
    budgets = rig.folder / "budgets.yaml"
    budgets.write_text("budgets:\n  task: {tokens: none}\n")
    await rig.deploy(rig.step("frame"))
    rows = await seen(rig, providers_file=file, budgets_file=budgets)

    assert problems(rows) == [("providers", "file"), ("assistants", "specs"), ("budgets", "file")]
    said = row(rows, "providers", "file").said
    assert (":2: api: " in said, ":3: key: " in said) == (True, True)
    assert "temperature: must be a valid number" in row(rows, "assistants", "specs").said
    assert ":2: tokens: " in row(rows, "budgets", "file").said
    for area, subject in (("engine", "fetching"), ("Redis", "writes"), ("deployed models", f"topic {rig.topic}")):
        assert level(rows, area, subject) is Level.OK


async def test_budgets_are_looked_at_with_the_assistants_and_their_prices(rig: Rig) -> None:
    file = rig.folder / "budgets.yaml"
    file.write_text("budgets:\n  task: {tokens: 1000}\n")
    assert "analyst 1.0 needs max_output_tokens" in row(await seen(rig, budgets_file=file), "budgets", "file").said
    rig.assistant(more="max_output_tokens: 100")
    file.write_text("budgets:\n  assistant analist: {tokens: 9}\n  assistant analyst: {tokens: 1000}\n")
    rows = await seen(rig, budgets_file=file)
    assert level(rows, "budgets", "file") is Level.OK
    assert level(rows, "budgets", "assistant analist") is Level.WARNING
    assert [each.subject for each in rows if each.area == "budgets"] == ["file", "assistant analist"]


async def test_threads_at_a_provider_that_nobody_names_any_more_are_counted(rig: Rig) -> None:
    async with rig.redis() as redis:
        for number in range(3):
            name = f"assistant-worker:default:{{instance-{number}:analyst}}:thread"
            await redis.hset(name, mapping={"id": f"own_{number}", "generation": 1, "provider": "gone"})
        await redis.hset("assistant-worker:default:{instance-9:analyst}:thread", mapping={"id": "conv_1"})
    rows = await seen(rig)

    found = row(rows, "Redis", "threads at")
    assert (found.level, found.subject) == (Level.WARNING, "threads at gone")
    assert found.said.startswith("3 threads are at gone, which is no provider any more")
    assert "PROVIDERS_FILE" in found.advice


async def test_a_check_that_breaks_is_a_problem_without_the_words_of_its_error() -> None:
    async def broken() -> list[Finding]:
        raise RuntimeError(SECRET)

    [found] = await Check("engine", "Spin", broken).run()

    assert (found.level, "RuntimeError" in found.said, SECRET in found.said) == (Level.PROBLEM, True, False)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_nothing_of_the_advice_is_cut_and_texts_of_others_do_nothing(width: int) -> None:
    advice = "word " * 20 + "x" * 200 + " LAST"
    screen = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")

    report.show([Finding("engine", "[red]a[/]", Level.WARNING, "\x1b[2Jb\nc", advice)], screen)

    assert isinstance(screen.file, io.StringIO)
    printed = screen.file.getvalue()
    assert (printed.count("word"), printed.count("x" * 10) > 5, "LAST" in printed) == (20, True, True)
    assert "[red]a[/]" in printed
    assert "\x1b[2J" not in printed


async def test_it_says_which_account_the_key_is_of(rig: Rig) -> None:
    rig.provider.accounts["another"] = "another"
    before = row(await seen(rig), "provider", "account")
    async with bootstrap.connect(rig.build_settings()) as adapters:
        anchor = await adapters.accounts["openai"].current()
    ours = row(await seen(rig), "provider", "account")
    theirs = row(await seen(rig, openai_api_key="another"), "provider", "account")

    assert "no account is known yet" in before.said
    assert (ours.level, anchor in ours.said) == (Level.OK, True)
    assert (theirs.level, anchor in theirs.said) == (Level.PROBLEM, True)
    assert "threads repair --account-changed" in theirs.advice
    async with bootstrap.connect(rig.build_settings(openai_api_key="another")) as adapters:
        other = await adapters.accounts["openai"].current()
        both = row(await seen(rig, openai_api_key="another"), "provider", "account")
        assert (both.level, anchor in both.said, other in both.said) == (Level.WARNING, True, True)
        await adapters.accounts["openai"].leave()
    assert row(await seen(rig, openai_api_key="another"), "provider", "account").level is Level.OK


@pytest.mark.parametrize("kept", ["sqlite", "postgresql"], indirect=True)
async def test_the_transcripts_tables_and_what_waits_for_it_are_told(kept: Rig) -> None:
    model = await kept.deploy(kept.step("frame"))
    worker = await kept.start_worker()
    await recorded(kept, await kept.run(model), 1)
    await worker.stop()

    rows = await seen(kept)
    assert re.fullmatch(r"version \d{4}, \d+\.\d MB", row(rows, "transcript", "tables").said)
    assert row(rows, "transcript", "waiting").said == "nothing: the transcript has all that was said"

    async with kept.redis() as redis:
        await redis.zadd("assistant-worker:default:unrecorded", {f"turn {number}": 0 for number in range(1001)})
    much = row(await seen(kept), "transcript", "waiting")
    assert (much.level, much.said[:10]) == (Level.WARNING, "1001 turns")
    off = row(await seen(kept, transcript_url="off"), "transcript", "waiting")
    assert (off.level, "TRANSCRIPT_URL is off" in off.said) == (Level.WARNING, True)


async def test_the_transcript_is_looked_at_and_nothing_is_made(kept: Rig, tmp_path: Path) -> None:
    file = tmp_path / "transcript.db"
    file.unlink()
    url = kept.settings["transcript_url"]

    assert "none yet" in row(await seen(kept), "transcript", "kept").said
    assert not file.exists()
    assert "off" in row(await seen(kept, transcript_url="off"), "transcript", "kept").said
    worker = await kept.start_worker()
    await recorded(kept, await kept.run(await kept.deploy(kept.step("frame", data_input="-"))), 1)
    await worker.stop()
    assert row(await seen(kept), "transcript", "kept").said == "1 conversations with 2 messages"
    file.write_bytes(b"no database " * 1000)
    damaged = row(await seen(kept, transcript_url=url), "transcript", "kept")
    assert damaged.level is Level.WARNING
    assert "waits in Redis" in damaged.advice


@pytest.mark.parametrize(
    ("level_", "expected", "said"),
    [
        ("none", Level.WARNING, "history level is none"),
        pytest.param("audit", Level.OK, "keeps instances", marks=pytest.mark.sweep),
    ],
)
async def test_what_the_history_keeps_is_seen_by_what_runs(
    rig: Rig, engine: Engine, level_: str, expected: Level, said: str
) -> None:
    options = (*JAVA_OPTIONS, f"-D{engine.kind}.bpm.history-level={level_}")
    with Engine(engine.kind, java_options=options) as own:
        async with connect(own) as rest:
            before = row(await seen(rig, engine_url=own.base_url), "engine", "history")
            model = bpmn(ServiceTask("step", unique("topic")))
            await rest.deploy(model)
            await rest.start(model)
            found = row(await seen(rig, engine_url=own.base_url), "engine", "history")
    assert (before.level, "when an instance runs" in before.said) == (Level.UNKNOWN, True)
    assert (found.level, said in found.said) == (expected, True)


async def test_a_history_that_keeps_everything_is_told_so(rig: Rig) -> None:
    await rig.rest.start(await rig.deploy(rig.step("frame")))
    assert "level full" in row(await seen(rig), "engine", "history").said


async def test_programs_get_every_finding_and_the_same_exit_code(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    fine = await doctor.examine(rig.build_settings(topics=()), as_json=True)
    told = json.loads(capsys.readouterr().out)
    away = await doctor.examine(
        rig.build_settings(engine_url=f"http://127.0.0.1:{free_port()}/engine-rest"), as_json=True
    )
    told_away = json.loads(capsys.readouterr().out)

    assert (fine, away) == (0, 1)
    assert {each["level"] for each in told} <= {"ok", "unknown", "warning"}
    assert {each["area"] for each in told} >= {"engine", "Redis", "provider", "transcript", "assistants"}
    assert [each["subject"] for each in told_away if each["level"] == "problem"] == ["fetching tasks"]
