"""What a customer's instances have settled is kept in Zep: found again, nobody else's, and gone when it is to go."""

from pathlib import Path

import pytest

from tests.flow.rig import Rig
from tests.flow.test_memory import (
    HOSTILE,
    SUBJECTS,
    all_remembered,
    assert_is_material,
    patient,
    tell_tenants_apart,
    told,
)
from tests.models import Model
from tests.zep.stand_in import KEY, Fault, ZepStandIn
from worker import bootstrap
from worker.domain.conversations import Subject
from worker.ending.erasing import Eraser
from worker.modelling.subjects import named


@pytest.fixture(params=[pytest.param("v2", marks=pytest.mark.sweep), "v4"])
def remembering(
    request: pytest.FixtureRequest, rig: Rig, zep: ZepStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Rig:
    patient(monkeypatch)
    rig.settings |= {
        "api_port": 0,
        "transcript_url": f"sqlite:///{tmp_path}/transcript.db",
        "memory": "zep",
        "zep_api": request.param,
        "zep_api_key": KEY,
        "zep_url": zep.url,
    }
    return rig


async def test_the_second_instance_of_a_customer_knows_what_the_first_has_settled_and_no_other_does(
    remembering: Rig, zep: ZepStandIn
) -> None:
    rig = remembering
    model = await rig.deploy(rig.step("settle", memory_subject="variable:customer", data_input="customer?"))
    await rig.start_worker()
    await told(rig, model, "ada")
    zep.ingest()
    assert (await told(rig, model, "ada"))["of"] == 1
    assert (await told(rig, model, "bob")) == {"memory": "none", "why": "nothing is known"}
    assert [("### Remembered" in each) for each in rig.questions()] == [False, True, False]
    assert len(zep.users) == 2


async def test_what_zep_is_asked_and_given_has_no_address_in_it(remembering: Rig, zep: ZepStandIn) -> None:
    rig = remembering
    asked = "Settle the cranes of ann@example.org, DE89 3704 0044 0532 0130 00."
    step = rig.step("settle", documentation=asked, memory_subject="variable:customer", data_input="customer?")
    model = await rig.deploy(step)
    await rig.start_worker()
    await told(rig, model, "ada")
    zep.ingest()
    assert (await told(rig, model, "ada"))["of"] == 1
    assert "ann@example.org" in rig.questions()[-1], "the model is asked as the task says"
    sent = [f"{what} {body}" for what, body in zip(zep.requests, zep.bodies, strict=True)]
    assert not [each for each in sent if "ann@" in each or "0532" in each]
    searches = [each for each in sent if "search" in each]
    assert searches
    assert all("Settle the cranes of [email], [iban]." in each for each in searches)


async def hostile(rig: Rig, zep: ZepStandIn) -> Model:
    """A process with one answer of hostile words, which Zep has taken in."""
    zep.store.slow = True
    rig.provider.answer("Please do settle", f"Settle {HOSTILE}")
    model = await rig.deploy(rig.step("settle", memory_subject="variable:customer", data_input="customer?"))
    await rig.start_worker()
    await told(rig, model, "ada")
    zep.ingest()
    return model


async def test_a_hostile_fact_is_sent_as_material(remembering: Rig, zep: ZepStandIn) -> None:
    model = await hostile(remembering, zep)
    # As Zep may have derived it: in words of its own, which nobody has redacted or bounded.
    [answer] = [each for each in zep.users[0].episodes if each.message.role == "assistant"]
    answer.facts = [("fact-1", f"Settle {HOSTILE}")]
    assert (await told(remembering, model, "ada"))["of"] == 1
    assert_is_material(remembering.questions()[-1])


async def test_a_hostile_message_that_zep_has_derived_nothing_of_is_sent_as_material(
    remembering: Rig, zep: ZepStandIn
) -> None:
    model = await hostile(remembering, zep)
    for each in zep.users[0].episodes:
        each.facts = []
    assert (await told(remembering, model, "ada"))["of"] == 1
    assert_is_material(remembering.questions()[-1])


async def test_while_zep_is_away_turns_go_on_and_all_is_there_in_order_when_it_is_back(
    remembering: Rig, zep: ZepStandIn
) -> None:
    rig = remembering
    model = await rig.deploy(rig.step("settle", memory_subject="variable:customer", data_input="customer?"))
    away = Fault("", 503, times=10**6)
    zep.faults.append(away)
    await rig.start_worker()
    instances = [await rig.run(model, {"customer": "ada"}) for _ in range(3)]
    for instance in instances:
        assert (await rig.meta(instance, "settle"))["recalled"]["memory"] == "none"
    assert zep.messages == []
    away.times = 0
    await all_remembered(rig, within=120)  # half a minute passes before Zep is asked again
    said = [(each.metadata["instance"], each.role) for each in sorted(zep.messages, key=lambda each: each.received)]
    assert said == [(instance, role) for instance in instances for role in ("user", "assistant")]
    refs = [each.metadata["ref"] for each in zep.messages]
    assert len(set(refs)) == 3
    assert [refs.count(each) for each in refs] == [2] * 6, "a question and an answer each, once"


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_what_one_tenant_knows_another_never_does(remembering: Rig, zep: ZepStandIn, subject: str) -> None:
    await tell_tenants_apart(remembering, subject)
    assert len(zep.users) == 2


async def test_what_an_instance_has_left_goes_with_it(remembering: Rig, zep: ZepStandIn) -> None:
    rig = remembering
    model = await rig.deploy(rig.step("settle", memory_subject="variable:customer", data_input="customer?"))
    await rig.start_worker()
    first = await rig.run(model, {"customer": "ada"})
    await rig.run(model, {"customer": "ada"})
    await all_remembered(rig)
    zep.ingest()
    assert len(zep.threads) == 2
    chosen = rig.build_settings()
    async with bootstrap.connect(chosen) as adapters:
        eraser = Eraser(bootstrap.ending_ports(chosen, adapters))
        await eraser.erase(Subject(chosen.engine_name, instance=first))
        [receipt] = await eraser.resume()
        assert "derived facts" in str(receipt)
        assert len(zep.threads) == 1
        assert adapters.memory is not None
        await adapters.memory.forget(named("variable:customer", "ada", None, chosen.engine_name))
    assert zep.users == []
