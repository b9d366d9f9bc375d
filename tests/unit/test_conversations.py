"""Names of sessions and messages, roles, and whose a session is."""

from itertools import product

import pytest

from tests.records import exchange, key
from worker.domain.asks import chat_key
from worker.domain.conversations import (
    EVERYTHING,
    Limits,
    Newest,
    Role,
    Subject,
    message_id,
    owner,
    role_of,
    session_id,
)
from worker.domain.endings import order_id
from worker.domain.people import Person
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


def test_what_a_person_has_beside_all_processes_is_theirs_and_ends_alone() -> None:
    ann, ben = Person("token", "Ann", "Ann"), Person("token", "Ben", "Ben")
    hers = chat_key("default", None, ann, "analyst", "1")
    others = [
        chat_key("default", None, ben, "analyst", "1"),
        chat_key("default", None, ann, "critic", "1"),
        chat_key("default", "north", ann, "analyst", "1"),
        chat_key("default", None, ann, "analyst", "2"),
    ]
    assert len({session_id(each) for each in (hers, *others)}) == 5
    assert (hers.person, hers.trunk, key().person, key().branch.person) == (ann.id, None, None, None)
    one = owner(hers, None)
    assert one is not None
    assert (one.instance, one.business_key, one.person) == (None, None, ann.id)
    assert [one.has(each) for each in (hers, *others)] == [True, False, False, False, False]
    everything = Subject("default", person=ann.id)
    assert [everything.has(each) for each in (hers, *others, key())] == [True, False, True, True, True, False]
    assert len({order_id(one), order_id(everything), order_id(Subject("default", instance=ann.id))}) == 3


@pytest.mark.parametrize(
    ("limits", "is_seen"),
    [
        (EVERYTHING, True),
        (Limits(), False),
        (Limits(persons=frozenset(["somebody"])), False),
        (Limits(persons=frozenset([Person("token", "Ann", "Ann").id])), True),
        (Limits(frozenset(["north"]), persons=None), False),
    ],
)
def test_only_whoever_may_see_a_persons_conversation_hears_that_something_is_said_in_it(
    limits: Limits, *, is_seen: bool
) -> None:
    thread = chat_key("default", None, Person("token", "Ann", "Ann"), "analyst", "1")
    newest = Newest(session_id(thread), thread, None, 1, None)
    assert newest.is_within(limits) == is_seen
    assert limits.hides_processes == (limits.tenants is not None)


@pytest.mark.parametrize(
    ("thread", "instance", "is_seen"),
    [
        (key("p"), "p", True),
        (key("task:7"), "p", True),
        (key("p").branch, "p", True),
        (key("q"), "q", False),
        (key("business-key:order-1"), None, False),
        (key("business-key:order-1").branch, "p", False),
    ],
)
def test_who_may_see_one_instance_sees_nothing_that_instances_share_nor_what_is_beside_it(
    thread: ThreadKey, instance: str | None, *, is_seen: bool
) -> None:
    limits = Limits(instances=frozenset(["p"]))
    assert Newest(session_id(thread), thread, instance, 1, None).is_within(limits) is is_seen
    assert [limits.has_instance(each) for each in ("p", "q")] == [True, False]


def test_beside_what_a_person_has_with_an_assistant_alone_there_is_nothing() -> None:
    thread = chat_key("default", None, Person("token", "Ann", "Ann"), "analyst", "1")
    assert (thread.branch, thread.trunk) == (thread, None)
