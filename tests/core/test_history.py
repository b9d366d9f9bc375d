"""What a recreated thread is told: the newest turns that fit, and how many older ones did not."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker.domain.conversations import REMOVED, Message, Page, Role, Spent, Stored, session_id
from worker.domain.threads import Cut, Said, Seed, Thread, ThreadKey
from worker.errors import HistoryUnread, StoreDown, TranscriptDown
from worker.turn.reseed import PATIENCE_SECONDS, History
from worker.turn.retelling import FRAME

KEY = ThreadKey("default", "instance", "analyst")
NOW = datetime(2027, 1, 1, tzinfo=UTC)


def message(position: int, role: Role, content: str) -> Message:
    nothing: dict[str, Any] = dict.fromkeys(
        ("attachment_url", "thread_id", "generation", "response_id", "model", "input_tokens", "output_tokens")
    )
    return Message(
        id=str(position),
        session_id=session_id(KEY),
        position=position,
        role=role,
        content=content,
        process_instance_id="instance",
        definition_id="d:1:d",
        task_id="t",
        activity_id="frame",
        activity_name="Frame",
        attempt=1,
        processing_seconds=None,
        created_at=NOW,
        **nothing,
    )


@dataclass(slots=True)
class FakeConversations:
    """Turns of one session, read from the newest back, three messages a page."""

    turns: Sequence[tuple[str, str]]
    trouble: Callable[[], Any] | None = None
    wanted: list[str | None] = field(default_factory=list)

    async def messages(self, wanted: Any, *, after: str | None = None, **_: Any) -> Page[Message]:
        self.wanted.append(wanted.session_id)
        if self.trouble is not None:
            done = self.trouble()
            if asyncio.iscoroutine(done):
                await done
        newest_first = [
            message(number, role, text)
            for number, turn in reversed(list(enumerate(self.turns)))
            for role, text in ((Role.AGENT, turn[1]), (Role.USER, turn[0]))
        ]
        start = int(after or 0)
        more = start + 3 < len(newest_first)
        return Page(newest_first[start : start + 3], str(start + 3) if more else None)

    async def spent(self, *_: Any, **__: Any) -> Mapping[str, Spent]:
        return {"": Spent(answers=len(self.turns))} if self.turns else {}

    async def session(self, *_: Any, **__: Any) -> Any:
        return None

    async def stored(self, *_: Any, **__: Any) -> Stored:
        return Stored({"conv_1": "conv_anchor", "azure/conv_1": "azure_anchor", "local/own_1": None})


def history(conversations: FakeConversations, tokens: int = 1000) -> History:
    return History(conversations, tokens)  # type: ignore[arg-type]  # of the port it uses two methods


async def test_all_turns_come_in_order() -> None:
    conversations = FakeConversations([("q1", "a1"), ("q2", "a2"), ("q3", "a3")])

    seed = await history(conversations).seed(KEY)

    assert [said.text for said in seed.said] == ["q1", "a1", "q2", "a2", "q3", "a3"]
    assert (seed.turns, seed.left_out) == (3, 0)
    assert set(conversations.wanted) == {session_id(KEY)}


async def test_a_turn_without_an_answer_is_told_by_its_question() -> None:
    seed = await history(FakeConversations([("q1", ""), ("q2", "a2")])).seed(KEY)

    assert [said.text for said in seed.said] == ["q1", "q2", "a2"]


async def test_the_newest_turns_come_first_and_what_has_no_room_is_counted() -> None:
    turns = [("q" * 300, "a"), ("q" * 300, "a"), ("q" * 20, "a")]

    seed = await history(FakeConversations(turns), tokens=100).seed(KEY)

    assert (seed.turns, seed.left_out) == (2, 1)
    assert seed.said[0] == Said("developer", "1 earlier turn of this conversation had to be left out.")


async def test_what_looks_like_a_mark_of_ours_is_quoted() -> None:
    said = (await history(FakeConversations([("q (x)\n\n(ref 0123456789ab)", "a")])).seed(KEY)).said

    assert said[0].text == "q (x)\n\n(quoted ref 0123456789ab)"


async def test_a_conversation_that_the_transcript_does_not_know_knows_nothing() -> None:
    assert await history(FakeConversations([])).seed(KEY) == Seed()


@pytest.mark.parametrize(
    ("session", "known"),
    [
        (None, None),
        (SimpleNamespace(thread_id=None, generation=None), None),
        (SimpleNamespace(thread_id="conv_1", generation=3), Thread("conv_1", 3, provider="azure")),
        (SimpleNamespace(thread_id="own_1", generation=None), Thread("own_1", 1, provider="local")),
        (SimpleNamespace(thread_id="conv_7", generation=2), Thread("conv_7", 2)),
    ],
)
async def test_the_thread_that_was_last_spoken_on_is_known(
    monkeypatch: pytest.MonkeyPatch, session: Any, known: Thread | None
) -> None:
    async def found(*_: Any, **__: Any) -> Any:
        return session

    monkeypatch.setattr(FakeConversations, "session", found)
    assert await history(FakeConversations([])).thread(KEY) == known


async def test_a_known_thread_comes_with_its_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(thread_id="conv_1", generation=3)

    monkeypatch.setattr(FakeConversations, "session", found)
    thread = await history(FakeConversations([])).thread(KEY)
    assert thread is not None
    assert thread.anchor == "azure_anchor"


async def test_a_transcript_that_is_down_cannot_tell_of_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any, **__: Any) -> Any:
        raise TranscriptDown("away")

    monkeypatch.setattr(FakeConversations, "session", fails)
    with pytest.raises(HistoryUnread):
        await history(FakeConversations([])).thread(KEY)


def down() -> None:
    raise TranscriptDown("away")


@pytest.mark.parametrize("trouble", [down, lambda: asyncio.sleep(60)])
async def test_a_transcript_that_cannot_be_read_in_time_is_done_without(trouble: Callable[[], Any]) -> None:
    began = asyncio.get_running_loop().time()
    with capture_logs() as lines:
        seed = await history(FakeConversations([("q", "a")], trouble)).seed(KEY)

    assert seed == Seed(is_known=False)
    assert [line["event"] for line in lines] == ["thread_not_seeded"]
    assert asyncio.get_running_loop().time() - began <= PATIENCE_SECONDS


def result(number: int) -> str:
    return json.dumps({"choice": number})


async def test_what_older_turns_settled_is_told_word_for_word() -> None:
    turns = [("decide", result(1)), ("decide", result(2)), *[("q" * 200, "a" * 200)] * 9, ("q" * 20, "a")]

    seed = await history(FakeConversations(turns), tokens=250).seed(KEY)

    note, facts, *told = [said.text for said in seed.said]
    assert note.startswith(f"{seed.left_out} earlier turns")
    assert facts.endswith(f"The result of Frame, word for word:\n\n{result(2)}")
    assert result(1) not in facts
    assert sum(map(len, [facts, *told])) < 1000 + len(FRAME)
    assert (seed.turns, seed.left_out) == (3, 9)


async def test_facts_take_a_quarter_of_the_room_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [(f"q{number}", json.dumps("x" * 100)) for number in range(40)]

    one = message

    def of_its_own(position: int, role: Role, content: str) -> Message:
        return replace(one(position, role, content), activity_name=f"Step {position}")

    monkeypatch.setitem(globals(), "message", of_its_own)
    seed = await history(FakeConversations(turns), tokens=500).seed(KEY)
    facts = seed.said[1].text

    assert facts.count("word for word") == 4
    assert "Step 0," not in facts
    assert f"Step {40 - seed.turns - 1}, word for word" in facts


async def test_a_small_window_leaves_less_room() -> None:
    turns = [("q" * 100, "a" * 100)] * 10
    told = history(FakeConversations(turns))

    assert ((await told.seed(KEY)).turns, (await told.seed(KEY, 200)).turns) == (10, 3)


@dataclass(slots=True)
class FakeSessions:
    """Some sessions, each with its turns as activity, question and answer, three messages a page.

    `marks` are more facts of the messages of a turn, by its number.
    """

    turns: dict[str, list[tuple[str, str, str]]]
    marks: dict[int, dict[str, Any]] = field(default_factory=dict)

    async def messages(
        self, wanted: Any, *, after: str | None = None, limit: int = 0, newest: bool = False, **_: Any
    ) -> Page[Message]:
        said = [
            replace(message(2 * number + place, role, text), activity_id=activity, **self.marks.get(number, {}))
            for number, (activity, asked, answered) in enumerate(self.turns.get(wanted.session_id, []))
            for place, (role, text) in enumerate(((Role.USER, asked), (Role.AGENT, answered)))
        ]
        said = said[::-1] if newest else said
        start, most = int(after or 0), min(limit, 3)
        return Page(said[start : start + most], str(start + most) if start + most < len(said) else None)

    async def session(self, name: str, **_: Any) -> Any:
        return name if name in self.turns else None

    async def spent(self, _: Any, wanted: Any, **__: Any) -> Mapping[str, Spent]:
        return {"": Spent(answers=len(self.turns.get(wanted.session_id, [])))}


def of(scope: str) -> ThreadKey:
    return replace(KEY, scope=scope)


async def inherited(turns: dict[str, list[str]], *scopes: str, activity: str, tokens: int = 1000) -> Seed:
    """What an instance knows that was restarted from these; each turn is named after its activity and instance."""
    sessions = {
        session_id(of(scope)): [(each, f"{each} of {scope}", f"answer to {each}") for each in names]
        for scope, names in turns.items()
    }
    known = History(FakeSessions(sessions), tokens)  # type: ignore[arg-type]  # of the port it uses one method
    return await known.inherited([of(scope) for scope in scopes], activity)


async def test_a_restarted_instance_inherits_what_was_said_before_its_activity() -> None:
    seed = await inherited({"old": ["one", "two", "three", "two"]}, "old", activity="three")
    assert [each.text for each in seed.said[::2]] == ["one of old", "two of old"]
    assert (seed.turns, seed.left_out, seed.is_known) == (2, 0, True)


async def test_an_activity_that_was_never_asked_inherits_everything() -> None:
    seed = await inherited({"old": ["one", "two"]}, "old", activity="three")
    assert [each.text for each in seed.said] == ["one of old", "answer to one", "two of old", "answer to two"]


async def test_of_several_restarts_each_counts_until_the_next_began() -> None:
    turns = {"oldest": ["one", "two", "three"], "middle": [], "latest": ["two", "three"]}
    seed = await inherited(turns, "latest", "middle", "oldest", activity="three")
    assert [each.text for each in seed.said[::2]] == ["one of oldest", "two of latest"]


async def test_the_newest_of_what_is_inherited_comes_first_and_what_has_no_room_is_counted() -> None:
    seed = await inherited({"old": ["one", "two", "six"]}, "old", activity="end", tokens=12)  # 48 bytes: two turns
    assert [each.text for each in seed.said[1::2]] == ["two of old", "six of old"]
    assert (seed.turns, seed.left_out) == (2, 1)
    assert seed.said[0].role == "developer"


async def test_an_answer_without_words_is_inherited_as_its_question() -> None:
    sessions = FakeSessions({session_id(KEY): [("one", "q1", ""), ("two", "q2 (ref 0123456789ab)", "a2")]})
    known = History(sessions, 1000)  # type: ignore[arg-type]  # of the port it uses one method
    seed = await known.inherited([KEY], "three")
    assert [each.text for each in seed.said] == ["q1", "q2 (quoted ref 0123456789ab)", "a2"]


async def test_what_is_inherited_is_unknown_while_the_transcript_cannot_be_read() -> None:
    def trouble() -> Any:
        raise TranscriptDown("away")

    seed = await history(FakeConversations([], trouble)).inherited([KEY], "three")
    assert seed == Seed(is_known=False)


@pytest.mark.parametrize("turns", [{}, {"old": []}, {"old": ["one"]}])
async def test_of_what_nothing_is_kept_nobody_can_tell_whether_it_was_said(turns: dict[str, list[str]]) -> None:
    seed = await inherited(turns, "old", activity="one")
    assert (seed.said, seed.is_absent) == ((), turns != {"old": ["one"]})


@pytest.mark.parametrize("removed", [True, False])
async def test_what_was_erased_is_handed_down_to_nobody(removed: bool) -> None:
    said = [("one", REMOVED, REMOVED), ("two", REMOVED, REMOVED) if removed else ("two", "q2", "a2")]
    known = History(FakeSessions({session_id(KEY): said}), 1000)  # type: ignore[arg-type]  # of the port it uses one method
    seed = await known.inherited([KEY], "three")
    assert [each.text for each in seed.said] == ([] if removed else ["q2", "a2"])
    assert seed.is_absent is removed


@pytest.mark.parametrize(
    ("judged", "told"),
    [(True, ["one of middle"]), (False, ["zero of old", "one of middle"]), (StoreDown("away"), None)],
)
async def test_of_an_instance_that_is_to_be_erased_nothing_is_handed_down_although_the_record_has_it(
    judged: bool | Exception, told: list[str] | None
) -> None:
    async def is_erased(session: Any) -> bool:
        if isinstance(judged, Exception):
            raise judged
        return judged and session == session_id(of("old"))

    old = [("zero", "zero of old", "a"), ("one", "one of old", "a")]
    middle = [("one", "one of middle", "a"), ("two", "two of middle", "a")]
    sessions = FakeSessions({session_id(of("old")): old, session_id(of("middle")): middle})
    known = History(sessions, 1000, is_erased)  # type: ignore[arg-type]  # of the port it uses two methods
    seed = await known.inherited([of("middle"), of("old")], "two")
    if told is None:
        assert seed == Seed(is_known=False)
    else:
        assert [each.text for each in seed.said[::2]] == told


async def test_what_was_erased_is_told_to_no_new_thread() -> None:
    seed = await history(FakeConversations([(REMOVED, REMOVED), ("q2", "a2")])).seed(KEY)
    assert [each.text for each in seed.said if each.role != "developer"] == ["q2", "a2"]


def rewound(*, is_noted: bool) -> tuple[History, list[Cut]]:
    """A record of five turns: two on the first thread, then one before the second of which it goes on, and so again."""
    turns = [(each, f"q {each}", f"a {each}") for each in ("one", "two", "three", "two", "four")]
    cuts = [Cut(2, 2), Cut(6, 3)]
    generations: dict[int, dict[str, Any]] = {0: {"generation": 1}, 1: {"generation": 1}, 2: {"generation": 1}}
    generations |= {3: {"generation": 2}, 4: {"generation": 3}}
    if is_noted:
        generations[3] |= {"metadata": {"cuts": [[2, 2]]}}
        generations[4] |= {"metadata": {"cuts": [[2, 2], [6, 3]]}}
    known = FakeSessions({session_id(KEY): turns}, generations)
    return History(known, 1000), [] if is_noted else cuts  # type: ignore[arg-type]  # of the port it uses two methods


@pytest.mark.parametrize("is_noted", [True, False])
async def test_what_was_cut_off_is_told_no_more_and_is_not_left_out(is_noted: bool) -> None:
    known, cuts = rewound(is_noted=is_noted)
    seed = await known.seed(KEY, None, cuts)
    assert [each.text for each in seed.said] == ["q one", "a one", "q four", "a four"]
    assert (seed.turns, seed.left_out) == (2, 0)


async def test_what_was_cut_off_is_handed_down_to_no_restarted_instance() -> None:
    known, _ = rewound(is_noted=True)
    assert [each.text for each in (await known.inherited([KEY], "two")).said[::2]] == ["q one", "q four"]
    assert [each.text for each in (await known.inherited([KEY], "four")).said[::2]] == ["q one"]


@pytest.mark.parametrize("marks", ["x", [1], [[1]], [["1", 2]], {"a": 1}, None])
async def test_marks_of_nobody_cut_nothing_off(marks: Any) -> None:
    sessions = FakeSessions({session_id(KEY): [("one", "q", "a")]}, {0: {"metadata": {"cuts": marks}}})
    known = History(sessions, 1000)  # type: ignore[arg-type]  # of the port it uses two methods
    assert [each.text for each in (await known.seed(KEY)).said] == ["q", "a"]


async def test_what_is_handed_down_ends_where_the_instances_own_words_began_and_shares_their_room() -> None:
    old = [(each, f"q {each}", "a") for each in ("one", "two", "three")]
    own = [("two", "q own two", "a"), ("three", "q own three", "a")]
    sessions = {session_id(of("old")): old, session_id(of("new")): own}
    known = History(FakeSessions(sessions), 1000)  # type: ignore[arg-type]  # of the port it uses two methods
    # Cut off behind its beginning: what was said in it is hidden, and where it began is known all the same.
    then = await known.seed(of("new"), None, [Cut(0, 2)])
    assert (then.turns, then.began_at) == (0, "two")
    assert [each.text for each in (await known.inherited([of("old")], "three", None, then)).said[::2]] == ["q one"]

    then = await known.seed(of("new"))
    whole = await known.inherited([of("old")], "three", None, then)
    assert [each.text for each in whole.said[::2]] == ["q one", "q own two", "q own three"]
    assert (whole.turns, whole.left_out) == (3, 0)
    short = await known.inherited([of("old")], "three", 10, then)  # 30 bytes, of which its own words have 22
    assert (short.turns, short.left_out) == (3, 0)
    none = await known.inherited([of("old")], "three", 8, then)
    assert (none.turns, none.left_out) == (2, 1)
