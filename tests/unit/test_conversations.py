"""Names of sessions and messages, roles, and whose a session is."""

from itertools import product

import pytest

from tests.records import exchange, key
from worker.domain.conversations import Role, message_id, role_of, session_id
from worker.domain.threads import ThreadKey
from worker.errors import Unstorable


def test_no_two_thread_keys_have_one_session() -> None:
    parts = ("", "a", "b", "ab", "1:a;", "\ud800")
    keys = [ThreadKey(*values) for values in product(parts, parts, parts, (None, *parts))]
    assert len({session_id(each) for each in keys}) == len(keys)


def test_each_message_of_each_attempt_has_its_own_name() -> None:
    roles = (Role.USER, Role.AGENT, Role.SYSTEM)
    names = {message_id(*each) for each in product(("a", "b"), ("1", "11", "task"), (1, 11, 2), roles, (0, 1, 11))}
    assert len(names) == 2 * 3 * 3 * 3 * 3


def test_names_stay_what_they_are() -> None:
    # They are primary keys: another way of making them would write everything a second time.
    assert session_id(ThreadKey("default", "instance-1", "analyst")) == SESSION
    assert message_id("default", "task-1", 1, Role.USER) == MESSAGE


SESSION = "57c1c0116e651d18dee09cbba05cee55"
MESSAGE = "5d291ef8c07af0271ff8ff1e0cfef490"


@pytest.mark.parametrize(
    ("word", "role"),
    [("user", Role.USER), ("assistant", Role.AGENT), ("developer", Role.SYSTEM), ("system", Role.SYSTEM)],
)
def test_providers_words_for_roles_become_ours(word: str, role: Role) -> None:
    assert role_of(word) is role


@pytest.mark.parametrize("word", ["", "tool", "USER", "x" * 1000])
def test_a_role_that_nobody_knows_is_named_at_no_length(word: str) -> None:
    with pytest.raises(Unstorable) as refused:
        role_of(word)
    assert repr(word[:40]) in str(refused.value)
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize(
    ("scope", "owner"),
    [("root-instance", "root-instance"), ("task:4711", "own-instance"), ("business-key:order", None)],
)
def test_a_session_ends_with_the_instance_that_it_belongs_to(scope: str, owner: str | None) -> None:
    assert exchange(1, key(scope), process_instance_id="own-instance").owner_id == owner
