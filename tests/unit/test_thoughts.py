"""Thoughts that stand in an answer's text go, and nothing else of it does."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.providers.thoughts import without_thought

ANSWER = "Yes.\n\nBecause **A** holds."


@pytest.mark.parametrize(
    "thought",
    [
        "<think>\nA? B?\n</think>\n\n",
        "Okay, the user wants A.\nOr B?\n</think>\n\n",
        "Okay.\r\n</think>\r\n\r\n",
        "</think>\n\n",
        "\n</think>\n\n\n",
        "Like this:\n```python\nprint(1)\n```\nGood.\n</think>\n\n",
        "Or `</thinking>`, or ~~~ in a line.\n</think> \n \n",
    ],
)
def test_a_thought_before_the_answer_is_left_out_with_both_tags_or_its_end_alone(thought: str) -> None:
    assert without_thought(thought + ANSWER) == ANSWER


@pytest.mark.parametrize(
    "text",
    [
        "A thought ends with </think>, on a line of its own.",
        "The tag is\n</think>\nand what follows is the answer.",
        "Write:\n\n```\n...\n</think>\n\nThe answer.\n```\n\nThat is all.",
        "Write:\n\n~~~~\n~~~\n</think>\n\nThe answer.\n~~~~\n",
        "Write:\n\n    </think>\n\nand go on.",
        "`\n</think>` ends it.\n\nGo on.",
        "First <think>, then\n</think>\n\nthe answer.",
        "One:\n</think>\n\nanother:\n</think>\n\nthe answer.",
        "The answer.\n</think>",
        "The answer.\n</think>\n\n",
        "The answer.\n</think>\n",
        "The answer.</think>\n\nMore.",
        '{"end": "\\n</think>\\n\\n"}',
    ],
)
def test_an_answer_that_speaks_of_a_thoughts_end_is_left_as_it_is(text: str) -> None:
    assert without_thought(text) == text


@given(st.text(st.sampled_from("<>/thinka`~\n x")) | st.text())
def test_what_is_left_is_the_end_of_the_text_and_an_answer_without_tags_is_whole(text: str) -> None:
    assert text.endswith(without_thought(text))
    if "think>" not in text:
        assert without_thought(text) == text


@pytest.mark.parametrize("said", ["</think>\n\n", "<think>", "```\n", "\n", " \n", "</think>", "\n</think>\n"])
def test_megabytes_take_no_time(said: str) -> None:
    started = time.thread_time()
    without_thought("So. " + said * 300_000)
    without_thought("So. " + said * 300_000 + "\n</think>\n\nYes.")
    assert time.thread_time() - started < 2
