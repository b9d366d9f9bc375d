"""What concerns one task and does not get through: a failure in its words, a read."""

from dataclasses import replace

from structlog.testing import capture_logs

from tests.engines import own_error
from tests.faults.history import History
from tests.faults.http_proxy import HttpProxy
from tests.faults.proxy import Said
from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.telemetry.logs import Event


async def test_a_failure_whose_text_the_database_does_not_store_is_told_in_plain_letters(rig: Rig) -> None:
    """Such as one with a character that the database lacks. Dropped, it came again with each lock, without an end."""
    model = await rig.deploy(replace(rig.step("check", assistant="nobody"), name="Prüfen"))
    async with HttpProxy("engine", rig.rest.base_url, History()) as proxy:
        rule = proxy.spoil("/failure$", text=r"Pr\u00fcfen", say=Said(500, own_error("ProcessEngineException")))
        await rig.start_worker(engine_url=proxy.url)
        task = await rig.until_failed(await rig.rest.start(model))
        assert rule.hits == 1
        await rig.workers[0].stop()
    assert '"Pr?fen" (check)' in task["errorMessage"]
    assert task["retries"] == 2


async def test_a_failure_that_is_refused_in_any_words_is_logged_and_comes_again(rig: Rig) -> None:
    model = await rig.deploy(rig.step("check", assistant="nobody"))
    async with HttpProxy("engine", rig.rest.base_url, History()) as proxy:
        rule = proxy.spoil("/failure$", say=Said(500, own_error("ProcessEngineException")))
        await rig.start_worker(engine_url=proxy.url, lock_seconds=10)
        instance = await rig.rest.start(model)
        await wait_until(lambda: rule.hits >= 2, what="both tries")
        proxy.heal()
        await rig.until_failed(instance, 30)
        await rig.workers[0].stop()


async def test_a_read_that_no_gateway_lets_through_stops_no_other_task(rig: Rig) -> None:
    """Such as a file that is too large or too slow for what stands before the engine."""
    file = {"value": "UGxhbi4=", "type": "File", "valueInfo": {"filename": "plan.txt", "mimeType": "text/plain"}}
    model, fine = await rig.deploy(rig.step("look", data_input="plan")), await rig.deploy(rig.step("frame"))
    async with HttpProxy("engine", rig.rest.base_url, History()) as proxy:
        proxy.spoil("/variables/plan/data$", say=Said(502, "<html>Bad Gateway</html>", "text/html"))
        with capture_logs() as lines:
            await rig.start_worker(engine_url=proxy.url)
            instance = await rig.rest.start(model, {"plan": file})
            task = await rig.until_failed(instance)
            for _ in range(3):
                await rig.run(fine)
        proxy.heal()
        await rig.rest.wait_for_end(instance)
        await rig.workers[0].stop()
    assert Event.DEPENDENCY_DOWN not in {line["event"] for line in lines}
    assert "the variable 'plan' could not be read: 502" in task["errorMessage"]
    assert task["retries"] == 3
