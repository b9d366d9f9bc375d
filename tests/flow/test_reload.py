"""What people change while a worker runs, as a process of its own: secrets in files, assistants, providers."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.flow.command import Command, started
from tests.flow.gateway import gateway
from tests.flow.rig import SPEC, Rig
from tests.waiting import wait_until
from worker.demo.processes import HOST

OLD, NEW = "sk-old-key-never-logged", "sk-new-key-never-logged"


def replace(file: Path, text: str) -> None:
    """Put another file in its place at once, as orchestrators do."""
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text)
    beside.replace(file)


async def until_logged(worker: Command, event: str, count: int = 1) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = await wait_until(
        lambda: found if len(found := worker.lines(event)) >= count else None, 30, f"{count} times {event}"
    )
    return lines


@asynccontextmanager
async def working(rig: Rig, **settings: object) -> AsyncIterator[Command]:
    async with started(rig, **settings) as worker:
        await worker.until_ready()
        yield worker
        log = worker.log.read_text("utf-8")
    assert OLD not in log
    assert NEW not in log
    assert "Traceback" not in log


@pytest.fixture
def key(tmp_path: Path, rig: Rig) -> Path:
    """The file of the key that the provider takes."""
    file = tmp_path / "key"
    file.write_text(OLD + "\n")
    rig.provider._key = OLD
    rig.settings |= {"openai_api_key": None}
    return file


async def test_a_key_that_is_rotated_in_its_file_ends_the_pause_at_once(rig: Rig, key: Path) -> None:
    model = await rig.deploy(rig.step("one"))
    async with working(rig, openai_api_key_file=key) as worker:
        await rig.run(model)
        rig.provider._key = NEW
        await rig.rest.start(model)
        await until_logged(worker, "dependency_down")
        replace(key, NEW)
        [taken] = await until_logged(worker, "configuration_taken")
        await rig.run(model)
        assert len(worker.lines("dependency_down")) == 1
    assert taken["changed"] == ["OPENAI_API_KEY", "provider openai"]
    assert len(rig.provider.anchors()) == 1, "it is the same account"


async def test_a_thread_goes_on_under_the_new_key(rig: Rig, key: Path) -> None:
    model = await rig.deploy(rig.step("one"), rig.step("two", topic=rig.topic + "_two"))
    async with working(rig, openai_api_key_file=key) as worker:
        instance = await rig.rest.start(model)
        await rig.until_open(instance, "two")
        rig.provider._key = NEW
        replace(key, NEW)
        await until_logged(worker, "configuration_taken")
        assert worker.lines("dependency_down") == []
    async with working(rig, openai_api_key_file=key, topics=rig.topic + "_two"):
        await rig.rest.wait_for_end(instance)
    assert (await rig.meta(instance, "two"))["use"] == "reused"


async def test_a_key_by_reference_is_rotated_too(rig: Rig, key: Path, tmp_path: Path) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text(f"providers:\n  openai: {{api: chat, base_url: '{rig.provider.base_url}', key: 'file:key'}}\n")
    model = await rig.deploy(rig.step("one"))
    async with working(rig, providers_file=file, openai_base_url=None) as worker:
        await rig.run(model)
        rig.provider._key = NEW
        replace(key, NEW)
        [taken] = await until_logged(worker, "configuration_taken")
        await rig.run(model)
        assert worker.lines("dependency_down") == []
    assert taken["changed"] == ["provider openai"]


async def test_a_secret_of_the_engine_that_is_rotated_in_its_file_is_used_at_once(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(OLD)
    good = [OLD]
    model = await rig.deploy(rig.step("one"))
    async with (
        gateway(rig.rest.base_url, accepts=lambda header: header == f"Bearer {good[0]}") as door,
        working(rig, engine_url=door.url, engine_token_file=file) as worker,
    ):
        await rig.run(model)
        good[0] = NEW
        await until_logged(worker, "dependency_down")
        replace(file, NEW)
        await rig.run(model)
        [taken] = await until_logged(worker, "configuration_taken")
    assert taken["changed"] == ["ENGINE_TOKEN"]


async def test_tokens_of_the_api_are_granted_and_revoked_while_it_runs(kept: Rig, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f'{{"{OLD}": "viewer"}}')
    async with working(kept, api_tokens_file=file) as worker:
        port = worker.lines("worker_started")[0]["api_port"]

        async def status(token: str) -> int:
            url, headers = f"http://{HOST}:{port}/api/sessions", {"Authorization": f"Bearer {token}"}
            async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as reply:
                return reply.status

        assert (await status(OLD), await status(NEW)) == (200, 401)
        replace(file, f'{{"{NEW}": "viewer"}}')
        await until_logged(worker, "configuration_taken")
        assert (await status(OLD), await status(NEW)) == (401, 200)
        replace(file, "{")
        [refused] = await until_logged(worker, "configuration_refused")
        assert "API_TOKENS: must be JSON" in refused["reason"]
        assert await status(NEW) == 200


async def test_assistants_are_taken_all_or_none_and_a_broken_one_is_named_with_its_line(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    async with working(rig) as worker:
        rig.assistant(version="1.1")
        [taken] = await until_logged(worker, "configuration_taken")
        assert taken["changed"] == ["assistant analyst 1.1"]
        assert (await rig.meta(await rig.run(model), "one"))["version"] == "1.1"

        rig.assistant(version="1.2")
        (rig.folder / "editor@1.0.md").write_text(SPEC.format(name="editor", version="1.0", timeout="soon"))
        [refused] = await until_logged(worker, "configuration_refused")
        assert refused["reason"].startswith(f"{rig.folder}/editor@1.0.md:5: timeout_seconds: ")
        assert (await rig.meta(await rig.run(model), "one"))["version"] == "1.1"
        code, said = await worker.get("readyz")
        assert (code, "changed files" in said, "editor" in said) == (200, True, False)
        assert "worker_configuration_refused 1.0" in (await worker.get("metrics"))[1]

        rig.assistant(name="editor")
        await until_logged(worker, "configuration_taken", 2)
        assert (await rig.meta(await rig.run(model), "one"))["version"] == "1.2"
        assert "changed files" not in (await worker.get("readyz"))[1]


async def test_a_version_that_running_instances_name_cannot_be_dropped(rig: Rig) -> None:
    rig.assistant(version="2.0")
    rig.assistant(name="unused")
    model = await rig.deploy(rig.step("one", service_version="1.0", topic=rig.topic + "_unserved"))
    instance = await rig.rest.start(model)
    async with working(rig) as worker:
        (rig.folder / "unused@1.0.md").unlink()
        await until_logged(worker, "configuration_taken")
        (rig.folder / "analyst@1.0.md").unlink()
        [refused] = await until_logged(worker, "configuration_refused")
        assert "analyst 1.0 is gone, but 1 running instances of" in refused["reason"]
        assert "may come to one, which names it" in refused["reason"]
        await rig.rest.delete(f"process-instance/{instance}")
        worker.signal(signal.SIGHUP)
        await until_logged(worker, "configuration_taken", 2)


async def test_providers_are_taken_on_a_signal_but_for_what_takes_a_restart(
    rig: Rig, key: Path, tmp_path: Path
) -> None:
    file = tmp_path / "providers.yaml"
    one = f"providers:\n  openai: {{api: chat, base_url: '{rig.provider.base_url}', key: 'file:{key.name}'"
    file.write_text(one + "}\n")
    model = await rig.deploy(rig.step("one"))
    async with working(rig, providers_file=file, openai_base_url=None) as worker:
        instance = await rig.run(model)
        assert (await rig.meta(instance, "one"))["cost"] is None
        file.write_text(one + ", prices: {gpt-5-mini: {input: 1, output: 1}}}\n")
        worker.signal(signal.SIGHUP)
        [taken] = await until_logged(worker, "configuration_taken")
        assert taken["changed"] == ["provider openai"]
        instance = await rig.run(model)
        assert (await rig.meta(instance, "one"))["cost"] is not None

        file.write_text(one + "}\n  other: {api: chat, base_url: 'http://localhost:1/v1'}\n")
        [refused] = await until_logged(worker, "configuration_refused")
        assert refused["reason"] == "PROVIDERS_FILE: a provider that comes or goes takes a restart: other"
        await rig.run(model)


async def test_a_raised_budget_holds_for_the_next_call(rig: Rig, key: Path, tmp_path: Path) -> None:
    rig.assistant(more="max_output_tokens: 1000")
    file = tmp_path / "budgets.yaml"
    file.write_text("budgets:\n  instance: {tokens: 500}\n")
    model = await rig.deploy(rig.step("one"))
    async with working(rig, openai_api_key_file=key, budgets_file=file) as worker:
        instance = await rig.rest.start(model)
        await rig.until_failed(instance, 60)
        file.write_text("budgets:\n  instance: {tokens: many}\n")
        [refused] = await until_logged(worker, "configuration_refused")
        assert refused["reason"].startswith(f"{file}:2: ")
        file.write_text("budgets:\n  instance: {tokens: 9000}\n")
        [taken] = await until_logged(worker, "configuration_taken")
        [task] = await rig.rest.tasks(instance)
        await rig.rest.put(f"external-task/{task['id']}/retries", {"retries": 1})
        await rig.rest.wait_for_end(instance, 60)
    assert taken["changed"] == ["budgets"]


async def test_what_takes_a_restart_is_named_when_dotenv_is_read_again(rig: Rig, key: Path) -> None:
    async with working(rig, openai_api_key_file=key, retries=None) as worker:
        (worker.directory / ".env").write_text("RETRIES=4\n")
        worker.signal(signal.SIGHUP)
        [taken] = await until_logged(worker, "configuration_taken")
    assert taken["changed"] == ["RETRIES, which takes effect after a restart"]
