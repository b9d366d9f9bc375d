"""What users may see, as a real engine that checks rights tells the worker's user."""

from collections.abc import AsyncIterator

import pytest

from tests.flow.rig import Rig
from tests.flow.strict import User, strict, user
from tests.models import unique
from worker import bootstrap
from worker.engine import RestEngine, rights
from worker.engine.info import DEFINITION, INSTANCE, OF_PERSONS
from worker.errors import EngineDenied
from worker.operate import doctor
from worker.operate.doctor import Level

__all__ = ["strict", "user"]


@pytest.fixture
async def ann(strict: Rig) -> User:
    """Somebody who uses the page."""
    ann = User(strict.rest, unique("ann").replace("_", ""))
    await ann.create()
    return ann


@pytest.fixture
async def asked(strict: Rig, user: User) -> AsyncIterator[RestEngine]:
    """The engine, asked as the worker's user, who may tell what others may."""
    for [(permission, resource)] in OF_PERSONS.values():
        await user.may(permission, resource)
    async with bootstrap.connect(strict.build_settings()) as adapters:
        yield adapters.engine


async def test_rights_on_a_process_are_those_on_its_key_and_each_is_its_own(asked: RestEngine, ann: User) -> None:
    await ann.may("READ_INSTANCE", DEFINITION, "drones")
    await ann.may("READ_HISTORY", DEFINITION, "heat")

    told = {
        (key, right): await asked.rights.on_definition(ann.name, right, key)
        for key in ("drones", "heat", "dron")
        for right in ("READ_INSTANCE", "READ_HISTORY")
    }

    assert [each for each, may in told.items() if may] == [("drones", "READ_INSTANCE"), ("heat", "READ_HISTORY")]


async def test_rights_come_by_groups_too_and_so_do_tenants(asked: RestEngine, strict: Rig, ann: User) -> None:
    group, own, groups = (unique(name).replace("_", "") for name in ("group", "own", "groups"))
    await strict.rest.post("group/create", {"id": group, "name": group, "type": "WORKFLOW"})
    await strict.rest.put(f"group/{group}/members/{ann.name}", {})
    row = {"type": 1, "groupId": group, "resourceType": DEFINITION[1], "resourceId": "drones"}
    await strict.rest.post("authorization/create", row | {"permissions": ["READ_INSTANCE"]})
    for tenant in (own, groups):
        await strict.rest.post("tenant/create", {"id": tenant, "name": tenant})
    await strict.rest.put(f"tenant/{own}/user-members/{ann.name}", {})
    await strict.rest.put(f"tenant/{groups}/group-members/{group}", {})

    assert await asked.rights.on_definition(ann.name, "READ_INSTANCE", "drones")
    assert await asked.rights.tenants(ann.name) == {own, groups}


async def test_instances_may_be_given_one_by_one_or_all(asked: RestEngine, ann: User) -> None:
    assert await asked.rights.on_instances(ann.name) == frozenset()
    await ann.may("READ", INSTANCE, "instance-7")
    await ann.may("UPDATE", INSTANCE, "instance-8")
    assert await asked.rights.on_instances(ann.name) == {"instance-7"}
    assert not await asked.rights.on_every_instance(ann.name)

    other = User(ann.rest)
    await other.create()
    await other.may("READ", INSTANCE)
    assert await asked.rights.on_every_instance(other.name)


async def test_who_lacks_one_instance_may_not_see_every_one_however_many_they_were_given(
    asked: RestEngine, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "MOST_SINGLE", 2)
    await ann.may("READ", INSTANCE)
    for number in range(5):
        await ann.may("READ", INSTANCE, f"given-{number}")
    assert await asked.rights.on_every_instance(ann.name), "what is given takes nothing away"
    row = {"type": 2, "userId": ann.name, "resourceType": INSTANCE[1], "permissions": ["READ"]}
    await ann.rest.post("authorization/create", row | {"resourceId": "taken"})
    assert not await asked.rights.on_every_instance(ann.name)


async def test_somebody_unknown_may_nothing(asked: RestEngine) -> None:
    for name in ("nobody", "a&userId=demo", "ü ", "x" * 300):
        assert not await asked.rights.on_definition(name, "READ_INSTANCE", "drones"), name
        assert await asked.rights.tenants(name) == frozenset()


async def test_without_the_right_to_read_authorizations_nobody_can_tell_and_doctor_says_so(
    strict: Rig, user: User, ann: User
) -> None:
    await user.may_all_but()
    settings = strict.build_settings(topics=(), api_engine_rights=True)
    async with bootstrap.connect(settings) as adapters:
        with pytest.raises(EngineDenied):
            await adapters.engine.rights.on_definition(ann.name, "READ_INSTANCE", "drones")

    [found] = [each for each in await doctor.findings(settings) if (each.area, each.subject) == ("engine", "rights")]
    assert found.level is Level.WARNING
    assert all(f"READ on {resource}" in found.said for resource in ("authorizations", "groups", "tenants"))
