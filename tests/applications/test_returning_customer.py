"""The sample customer: what one instance has settled is remembered in the next one, of this customer alone."""

import json
from collections.abc import Callable

from worker.testing import Bench, Instance

Application = Callable[[str], Callable[..., Instance]]
PAUSE = "PT10S"
"""Between the two cases: until the first is remembered, which takes a second or two where nothing else runs."""
PATH = ["complaint_received", "earlier_case", "weeks_later", "settle", "settled"]


def test_the_second_case_is_told_what_the_first_has_settled_and_nothing_of_another_customer(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("returning_customer")
    for said, answer in {
        "hums at night. My bedroom": "Settlement: rubber mounts; tell m.keller@example.org.",
        "hums again at night": "Settlement: a new bearing.",
        "drips since": "Settlement: a new seal.",
        "drips once more": "Settlement: a new tap.",
    }.items():
        assistant_bench.answer(answer, assistant="service_desk", text=said)

    heat_pump = start(customer_id="K-1", pause=PAUSE)
    tap = start(
        customer_id="K-2", pause=PAUSE, earlier_complaint="It drips since Monday.", complaint="It drips once more."
    )

    expected = {heat_pump: ("rubber mounts", "a new bearing"), tap: ("a new seal", "a new tap")}
    for instance, (first, second) in expected.items():
        instance.wait()
        assert instance.path == PATH
        results = instance.variables
        assert results["earlier_settlement"].startswith(f"Settlement: {first}")
        assert results["settlement"] == f"Settlement: {second}."
        assert len(json.loads(results["settlement_meta"])["recalled"]["facts"]) == 1
        [asked] = instance.questions
        assert "### Remembered from before" in asked.text
        others = [each for pair in expected.values() for each in pair if each != first]
        assert f"Settlement: {first}" in asked.text
        assert [each for each in others if each in asked.text] == []
    [asked] = heat_pump.questions
    assert "tell [email]" in asked.text, "no address is remembered"

    earlier = [each for each in assistant_bench.questions if each.instance not in {heat_pump.id, tap.id}]
    assert ["### Remembered from before" in each.text for each in earlier] == [False, False]
    assert len({each.thread for each in assistant_bench.questions}) == 4, "no case goes on with another's conversation"


def test_an_earlier_case_that_is_refused_keeps_the_later_one_waiting(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("returning_customer")
    assistant_bench.answer(outcome="refused", assistant="service_desk")

    instance = start(customer_id="K-3")

    assert "the answer is refused" in instance.wait_for_incident()
    assert instance.path == PATH[:2]
    assert instance.questions == []
