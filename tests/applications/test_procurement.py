"""The sample purchase: reviews that know one offer each, and a negotiation on the buyer's own conversation."""

from collections.abc import Callable

from worker.testing import Bench, Instance

Application = Callable[[str], Callable[..., Instance]]
BUYERS = ["Set the criteria", "Compare the offers", "Find the points", "Write the brief", "Propose the award"]
REVIEW = ["Check the offer", "Rate the supplier"]
RECORDS = {"Kestrel Charging": "Two depots since 2021", "Brightline Systems": "Five depots since 2018"}
"""How each supplier's record begins."""


def scripted(bench: Bench) -> None:
    bench.answer("Price 60, availability 40.", assistant="buyer", activity="criteria")
    for supplier, record in RECORDS.items():
        bench.answer(f"{supplier} is checked.", assistant="buyer", activity="check", text=supplier)
        bench.answer(f"The review of {supplier}.", assistant="buyer", activity="rate", text=record)
    bench.answer("Brightline is ahead.", assistant="buyer", activity="compare")
    bench.answer("The drawings.", assistant="buyer", activity="points")
    bench.answer("Ask for the drawings.", assistant="buyer", activity="brief")
    bench.answer("Brightline, unless the price falls.", assistant="buyer", activity="propose")


def test_reviewers_know_one_offer_each_and_the_negotiation_knows_the_comparison(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("procurement")
    scripted(assistant_bench)

    instance = start().wait()

    path = instance.path
    assert path[:3] == ["need_approved", "criteria", "open_offers"]
    assert {"review_offer_a", "review_offer_b"} < set(path)
    assert path[-4:] == ["compare", "negotiate", "propose", "award_proposed"]
    results = instance.variables
    assert (results["review_a"], results["review_b"]) == tuple(f"The review of {each}." for each in RECORDS)
    assert results["negotiation_brief"] == "Ask for the drawings."
    assert results["award_proposal"] == "Brightline, unless the price falls."

    assert [each.step for each in instance.questions] == BUYERS, "called steps with service.thread=root speak here, too"
    assert {assistant: len(threads) for assistant, threads in instance.threads.items()} == {"buyer": 1}
    compare, points = instance.questions[1:3]
    assert all(f"The review of {each}." in compare.text for each in RECORDS)
    assert "### comparison" not in points.text, "it was said on the thread"

    reviews = [each for each in assistant_bench.questions if each.instance != instance.id]
    asked: dict[str, list[str]] = {}
    for each in reviews:
        asked.setdefault(each.thread, []).append(each.step)
    assert list(asked.values()) == [REVIEW, REVIEW]
    for thread in asked:
        told = "".join(each.text for each in reviews if each.thread == thread)
        assert sum(supplier in told for supplier in RECORDS) == 1, "neither knows the other's offer"
        assert "1550000" not in told, "nobody tells them the estimate"
        assert "Price 60, availability 40." in told


def test_a_review_that_is_refused_keeps_both_offers_from_being_compared(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("procurement")
    assistant_bench.answer(outcome="refused", activity="check", text="Brightline Systems")
    scripted(assistant_bench)

    instance = start()

    assert "the answer is refused" in instance.wait_for_incident()
    instance.wait_for("reviews_done")
    assert {"compare", "negotiate"}.isdisjoint(instance.path)
    assert "review_b" not in instance.variables
