"""An engine at another address than usual: behind a prefix, by its name, with tenants; and any engine for the tests."""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.models import bpmn
from tests.setups.balancer import balancer
from worker.demo.engine import Engine
from worker.demo.samples import ROOT
from worker.operate import doctor
from worker.operate.doctor import Finding, Level


async def of_engine(rig: Rig) -> list[Finding]:
    """What doctor finds about the engine and what is deployed there."""
    found = await doctor.findings(rig.build_settings(topics=()))
    return [each for each in found if each.area in {"engine", "deployed models"}]


@pytest.mark.parametrize("path", ["/bpm/a-tenant/engine-rest", "/flow", "/engine-rest/engine/default"])
async def test_an_engine_behind_a_path_of_any_length_is_worked_with_and_found_well(rig: Rig, path: str) -> None:
    async with gateway(rig.rest.base_url, path=path) as door:
        rig.settings["engine_url"] = door.url
        model = await rig.deploy(rig.step("frame"), rig.step("decide"))
        found = await of_engine(rig)
        await rig.start_worker(topics=())
        await rig.run(model)

    assert [each for each in found if each.level is Level.PROBLEM] == []
    assert any(each.subject == f"topic {rig.topic}" and each.level is Level.OK for each in found)
    assert {each.path.startswith(f"{path}/") for each in door.passed} == {True}
    assert len(rig.provider.conversations()) == 1


@pytest.mark.parametrize("wrong", ["", "/bpm", "/bpm/engine-rest/v2"])
async def test_a_prefix_that_was_left_out_or_mistaken_is_a_problem_of_the_address(rig: Rig, wrong: str) -> None:
    async with gateway(rig.rest.base_url, path="/bpm/engine-rest") as door:
        rig.settings["engine_url"] = door.url.removesuffix("/bpm/engine-rest") + (wrong or "/")
        found = await of_engine(rig)

    [problem] = [each for each in found if each.level is Level.PROBLEM]
    assert "ENGINE_URL" in problem.advice


async def test_doctor_and_the_worker_see_what_their_tenants_have(rig: Rig) -> None:
    model = bpmn(rig.step("frame"))
    instances = {}
    for tenant in ("north", "south"):
        await rig.rest.deploy(model, tenant=tenant)
        instances[tenant] = await rig.rest.start(model, tenant=tenant)
    rig.settings["tenants"] = "north"

    found = await of_engine(rig)
    await rig.start_worker(topics=())
    await rig.rest.wait_for_end(instances["north"])

    assert [each for each in found if each.level is Level.PROBLEM] == []
    assert any(each.subject == f"topic {rig.topic}" and each.level is Level.OK for each in found)
    [left] = await rig.rest.tasks(instances["south"])
    assert (left["workerId"], left["retries"]) == (None, None)


async def test_the_tests_run_on_any_engine_that_is_named_by_its_address(engine: Engine) -> None:
    tests = ["tests/conformance/test_results.py", "tests/flow/test_doctor.py"]
    chosen = ["-p", "no:cacheprovider", "-k", "gateway_reads or where_all_is_fine", *tests]
    async with balancer(engine.base_url) as door:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "pytest", "-q", *chosen],
            cwd=ROOT,
            env={**os.environ, "TEST_ENGINE_URL": f"{door.url}/"},
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stdout[-3000:]
    assert len(door.passed) > len(tests)
