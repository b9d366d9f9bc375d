"""`docs/feeds.md` tells every event, step and message of a feed, as it is."""

from dataclasses import fields
from typing import get_args

import pytest

from tests.feeds_page import PAGE, STEP, rows, said
from worker.domain.watching import Step, StepState
from worker.settings import Settings
from worker.web.api import problems, server
from worker.web.api.asks import Asked, Message
from worker.web.feeds import events, feed, socket


def test_every_event_is_told_and_no_other() -> None:
    assert rows("Events").keys() - {"event"} == set(get_args(events.Kind))


def test_every_state_of_a_step_is_told_and_no_other() -> None:
    assert rows("Steps").keys() - {"state"} == set(get_args(StepState))


def test_every_field_of_a_step_is_told_and_no_other() -> None:
    assert STEP.always == {each.name for each in fields(Step)}


@pytest.mark.parametrize("example", said("client"), ids=str)
def test_what_the_client_says_is_taken(example: dict[str, object]) -> None:
    assert socket.WISH.validate_python(example).type == example["type"]


def test_all_kinds_of_messages_have_an_example() -> None:
    assert {each["type"] for each in said("client")} == {"subscribe", "unsubscribe", "ask"}
    told = {each["type"] for each in said("worker")} - set(get_args(events.Kind))
    assert told == {"subscribed", "unsubscribed", "refused", "problem", "asked"}


def test_what_is_asked_and_answered_looks_as_the_api_has_it() -> None:
    [asked] = [each["ask"] for each in said("client") if each["type"] == "ask"]
    assert Message.model_validate(asked).id == "7"
    [accepted] = [each for each in said("worker") if each["type"] == "asked"]
    assert isinstance(accepted["data"], dict)
    assert accepted["data"].keys() <= set(Asked.__slots__)
    [refused] = [each["data"] for each in said("worker") if each["type"] == "problem" and "ask" in each]
    assert isinstance(refused, dict)
    assert refused.keys() == {"status"} | set(problems.Problem.__slots__)


def test_the_codes_are_those_that_sockets_are_closed_with() -> None:
    codes = rows("The socket")
    assert {*map(str, socket.CODES.values())} <= codes.keys()
    assert codes[str(socket.CODES[feed.STOPPING])] == "the worker stops"
    assert all(len(reason.encode()) <= 123 for reason in socket.CODES), "as long as a close may be"


def test_its_numbers_are_right() -> None:
    assert f"{server.LARGEST_MESSAGE // 1024} KB" in PAGE
    assert f"Every {feed.BEAT_SECONDS:.0f} seconds" in PAGE
    assert socket.PATH in PAGE
    assert {"feed_most", "feed_most_each"} <= Settings.model_fields.keys()
