"""The sample analysis: three branches that do not hear each other, and one that hears all."""

from collections.abc import Callable

from worker.testing import Bench, Instance

Application = Callable[[str], Callable[..., Instance]]
BRANCHES = {
    "engineer": ("examine_technology", "judge_feasibility"),
    "economist": ("estimate_money", "judge_business_case"),
    "risk_officer": ("find_risks", "answer_risks"),
}
LAST = ["join", "reconcile", "recommend_course", "write_white_paper", "paper_written"]


def test_branches_are_threads_of_their_own_and_the_synthesis_is_told_all(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("parallel_analysis")
    for assistant, (first, second) in BRANCHES.items():
        assistant_bench.answer(f"Found by {first}.", assistant=assistant, activity=first)
        assistant_bench.answer(f"Found by {second}.", assistant=assistant, activity=second)
    assistant_bench.answer("The brief.", "The synthesis.", "Share it.", "# White paper", assistant="strategist")

    instance = start().wait()

    steps = {step for steps in BRANCHES.values() for step in steps}
    assert instance.path[:3] == ["question_raised", "set_up", "fork"]
    assert steps < set(instance.path)
    assert instance.path[-4:] == LAST[-4:]
    assert (instance.variables["synthesis"], instance.variables["recommendation"]) == ("The synthesis.", "Share it.")
    threads = instance.threads
    assert {assistant: len(found) for assistant, found in threads.items()} == dict.fromkeys(
        ["strategist", *BRANCHES], 1
    )
    assert len(set.union(*threads.values())) == len(threads)
    found = [f"Found by {step}." for step in steps]
    for question in instance.questions:
        others = [each for each in found if each in question.text]
        assert others == (found if question.step == "Reconcile the findings" else []), question.text


def test_a_branch_that_is_refused_holds_the_others_up_at_the_join(
    assistant_bench: Bench, application: Application
) -> None:
    start = application("parallel_analysis")
    assistant_bench.answer(outcome="refused", assistant="economist")

    instance = start()
    assert "the answer is refused" in instance.wait_for_incident()
    instance.wait_for("judge_feasibility").wait_for("answer_risks")

    assert "judge_business_case" not in instance.path
    assert "reconcile" not in instance.path
