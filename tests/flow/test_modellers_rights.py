"""What rights deploying and starting take, on an engine that checks them: those of docs/deploying.md, and no others."""

import json
from pathlib import Path

from tests.flow.command import assistant_worker, environment
from tests.flow.rig import Rig
from tests.flow.strict import User, strict, user
from tests.models import bpmn, unique
from worker.engine.info import DEFINITION, DEPLOYMENT, INSTANCE

__all__ = ["strict", "user"]

DECISION = ("decision definitions", 10)


async def test_these_rights_are_enough_and_without_them_it_says_which_is_missing(
    strict: Rig, user: User, tmp_path: Path
) -> None:
    folder = tmp_path / unique("deployed")
    folder.mkdir()
    model = bpmn(strict.step("review", data_input="-"))
    (folder / "model.bpmn").write_text(model.xml)
    env = environment(strict)
    for permission, resource in (("READ", DEPLOYMENT), ("READ", DEFINITION), ("READ", DECISION)):
        await user.may(permission, resource)
    refused = await assistant_worker(env, "deploy", str(folder))
    assert (refused.code, "CREATE" in refused.err) == (1, True), refused

    await user.may("CREATE", DEPLOYMENT)
    deployed = await assistant_worker(env, "deploy", str(folder), "--json")
    assert deployed.code == 0, deployed
    strict.rest.take_over(deployed.json["deployment"])
    assert [each["version"] for each in deployed.json["files"][0]["definitions"]] == [1]
    again = await assistant_worker(env, "deploy", str(folder), "--json")
    assert (again.code, again.json["is_new"]) == (0, False), again

    await user.may("CREATE_INSTANCE", DEFINITION, model.key)
    await user.may("CREATE", INSTANCE)
    started = await assistant_worker(env, "start", model.key, "--json")
    assert started.code == 0, started
    instance = json.loads(started.out)["instance"]
    await strict.rest.delete(f"process-instance/{instance}")

    for permission in ("READ", "READ_INSTANCE", "READ_HISTORY", "READ_HISTORY_VARIABLE"):
        await user.may(permission, DEFINITION, model.key)
    worker = User(strict.rest)
    await worker.create()
    await worker.may_all_but()
    running = await strict.start_worker(engine_user=worker.name, engine_password=worker.name)
    followed = await assistant_worker(env, "start", model.key, "--follow", "--json")
    await running.stop()
    assert (followed.code, followed.json["end"]) == (0, "completed"), followed
    assert "review" in followed.json["variables"]
