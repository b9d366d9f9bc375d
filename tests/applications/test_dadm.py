"""The sample in ten steps: what a gate sends back is said again with its remark, and only the last one signs.

Nothing is scripted where the sample goes on as in the demo: it is answered by what the sample says.
"""

from collections.abc import Callable

from worker.testing import Bench, Instance

Application = Callable[[str], Callable[..., Instance]]
JUDGES = {"judge_engineering", "judge_finance", "judge_operations"}
TO_GATE_1 = ["decision_due", "frame", "objectives", "weigh", "gate_1", "frame_stands"]
TO_GATE_2 = ["alternatives", "assess", "synthesise", "gate_2", "results_stand"]
TO_GATE_3 = [
    *("uncertainty", "impact", "improve", "assess_again", "trade_offs", "recommend", "propose", "gate_3"),
    *("close", "signed"),
]


def test_ten_steps_and_three_gates_make_one_record_that_the_last_one_signs(
    assistant_bench: Bench, application: Application
) -> None:
    instance = application("dadm")()
    instance.complete("gate_1", gate_1_says="on", gate_1_remark="")
    instance.complete("gate_2", gate_2_says="on", gate_2_remark="")
    instance.complete("gate_3", signature=True, reason="It holds in dry summers.")
    instance.wait()

    # What is a loop is in the path as often as it was taken, and as a whole.
    steps = list(dict.fromkeys(each.partition("#")[0] for each in instance.path))
    assert steps == [*TO_GATE_1, *TO_GATE_2, *TO_GATE_3, "decided"]
    assert instance.variables["accepted"] is True
    told = str(instance.variables["decision_text"])
    assert [text for text in ("Well with a link", "It holds in dry summers.") if text not in told] == []
    panel = [each for each in assistant_bench.questions if each.assistant in JUDGES]
    assert len({each.thread for each in panel}) == len(panel) == 2 * len(JUDGES), "a judge hears nobody, nor itself"
    assert all("### own_scores " in each.text for each in panel[len(JUDGES) :])
    assert {assistant: len(threads) for assistant, threads in instance.threads.items()} == {"study_lead": 1}


def test_what_a_gate_sends_back_is_said_again_with_its_remark_and_who_rejects_in_the_end_leaves_a_record_of_it(
    application: Application,
) -> None:
    instance = application("dadm")()
    instance.complete("gate_1", gate_1_says="again", gate_1_remark="The farms decide with us.")
    instance.complete("gate_1", gate_1_says="on", gate_1_remark="")
    instance.complete("gate_2", gate_2_says="on", gate_2_remark="")
    instance.complete("gate_3", signature=False, reason="The link belongs to others.")
    instance.wait()

    framed = [each.text for each in instance.questions if each.step == "1 Frame the decision"]
    assert ["The farms decide with us." in text for text in framed] == [False, True]
    assert (instance.path.count("frame"), instance.path[-1]) == (2, "rejected")
    assert (instance.variables["accepted"], instance.variables["void_reason"]) == (False, "")
    assert "The link belongs to others." in str(instance.variables["decision_text"])
