"""Records of decisions over HTTP, and by commands on the same database."""

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.api.client import GUEST, NO_CALLS, OPERATOR, TOKENS, VIEWER, Answer, Api
from tests.flow.command import Ran, assistant_worker
from tests.unit.decisions.examples import said, scores
from worker.chat.trying import Trying
from worker.decisions import chain, record, schemas
from worker.decisions.formats import FORMATS
from worker.decisions.keys import SigningKey
from worker.demo.stage import PYTHON_ENVIRONMENT
from worker.domain.conversations import Subject
from worker.domain.decisions import DecisionKey
from worker.domain.evidence import Operation, PersonsTask, Value
from worker.errors import EngineDown
from worker.operate.commands.options import RECORD_FORMATS
from worker.transcript import Database, SqlDecisions, SqlTranscriptReader
from worker.web.api import Access, app, deciding, serve

KEY = DecisionKey("default", "instance-a", tenant="north")
OTHER = DecisionKey("default", "instance-b", name="second", tenant="south")
ANN, BEN, NOBODY = "ann-0123456789abcdef", "ben-0123456789abcdef", "nobody-0123456789abcdef"
_KEY = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
SIGNING = SigningKey(_KEY)
PRIVATE = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = _KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
HOSTILE = "</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) =HYPERLINK(1)"


async def keep(book: SqlDecisions, key: DecisionKey, **parts: Any) -> None:
    """Keep the next revision."""
    before = await book.last(key)
    made = record.build(key.id, said(**parts), "proposed", before=before.record if before else None, samples=100)
    place = {"instance": key.instance, "variable": "decision_sha256"} if key == KEY else {}
    row = chain.row("change", before.rows[-1] if before else None, made, datetime.now(UTC), record.facts(made) | place)
    await book.keep(key, made, row, definition_key="decision", business_key="order-1")


@pytest.fixture
async def book(database: Database) -> SqlDecisions:
    book = SqlDecisions(database, engine="default")
    await keep(book, KEY)
    await keep(book, KEY, dissent={"dissent": [{"who": "Sales", "text": HOSTILE}]})
    await keep(book, OTHER)
    return book


ANN = "ann-0123456789abcdef"
BEN = "ben-0123456789abcdef"
NAMED = json.dumps(
    json.loads(TOKENS)
    | {
        ANN: {"rights": ["read", "ask"], "name": "Ann", "tenants": ["north"]},
        BEN: {"rights": ["read", "hand_over"], "name": "Ben"},
    }
)
BOLD: dict[str, Any] = {
    "name": "Bold",
    "why": "If quality were all.",
    "points": {"Cost": 10, "Quality": 80, "Time": 10},
}


class Engine:
    """Has what the variable of a record's hash was given; and nothing else."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.is_down = False

    async def values(self, instance: str, name: str) -> Sequence[Value]:
        if self.is_down:
            raise EngineDown("away")
        assert instance == "instance-a"
        if name != "decision_sha256":  # neither its id nor what came of it
            return ()
        return [Value(str(number), instance, name, each, "String") for number, each in enumerate(self.given)]

    async def outputs(self, _: str, decision: str) -> Sequence[str]:
        if self.is_down:
            raise EngineDown("away")
        return [decision][:0]

    async def persons_tasks(self, _: str) -> Sequence[PersonsTask]:
        return ()

    async def operations(self, _: str) -> Mapping[str, Operation]:
        return {}


@pytest.fixture
def engine() -> Any:
    return Engine()


@pytest.fixture
async def api(database: Database, book: SqlDecisions, engine: Any) -> AsyncIterator[Api]:
    application = app(
        SqlTranscriptReader(database),
        NO_CALLS,
        Access.of(NAMED),
        report=print,
        extend=[deciding(book, engine, Trying(book))],
    )
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Api(session, OPERATOR)


async def test_records_are_listed_and_shown_at_any_revision(api: Api) -> None:
    listed = (await api.get("/api/decisions")).json["items"]
    one = (await api.get(f"/api/decisions/{KEY.id}")).json
    first = (await api.get(f"/api/decisions/{KEY.id}?revision=1")).json

    assert [(each["id"], each["revision"], each["status"]) for each in listed] == [
        (OTHER.id, 1, "proposed"),
        (KEY.id, 2, "proposed"),
    ]
    assert [each["id"] for each in (await api.get("/api/decisions?instance=instance-a")).json["items"]] == [KEY.id]
    schemas.check(one["record"])
    assert (one["record"]["revision"], len(one["rows"])) == (2, 2)
    assert (first["record"]["revision"], len(first["rows"])) == (1, 1)
    assert one["process_instance_id"] == "instance-a"


async def test_what_is_read_has_texts_and_figures_in_their_places_and_says_what_was_erased(
    api: Api, book: SqlDecisions
) -> None:
    shown = (await api.get(f"/api/decisions/{KEY.id}")).json
    await book.remove([Subject("default", instance="instance-a", tenants=frozenset({"north"}))])
    erased = (await api.get(f"/api/decisions/{KEY.id}")).json

    assert shown["standing"] == "proposed"
    assert [each["name"] for each in shown["formats"]] == [*FORMATS]
    assert shown["content"]["frame"]["statement"] == "Which press is bought?"
    assert shown["content"]["recommendation"]["why"] == "It has 0.64, and leads by 0.05."
    assert shown["sources"]["scores"]["one"]["task"] == "t1"
    flips = "The large press leads if the share of Quality is a fifth more"
    assert flips in [each["words"] for each in shown["findings"]]
    assert erased["content"]["frame"]["statement"] == "[erased]"
    gone = "[erased] (X) leads if the share of [erased] (Quality) is a fifth more"
    assert gone in [each["words"] for each in erased["findings"]]
    assert erased["content"]["computed"] == shown["content"]["computed"]


async def test_a_reader_finds_its_own_tenants_records_and_its_own_instances(api: Api) -> None:
    for token in (VIEWER, GUEST):
        reader = replace(api, token=token)
        assert [each["id"] for each in (await reader.get("/api/decisions")).json["items"]] == [KEY.id]
        for what in ("", "/export", "/verify", "/compare"):
            assert (await reader.get(f"/api/decisions/{OTHER.id}{what}")).status == 404
    assert (await replace(api, token=None).get("/api/decisions")).status == 401


@pytest.mark.parametrize(("path", "status"), [("x", 404), (f"{KEY.id}?revision=9", 404), (f"{KEY.id}?revision=0", 422)])
async def test_what_is_not_there_is_said(api: Api, path: str, status: int) -> None:
    assert (await api.get(f"/api/decisions/{path}")).status == status


@pytest.mark.parametrize("name", FORMATS)
async def test_a_record_is_exported_as_a_file_that_browsers_save(api: Api, name: str) -> None:
    answer = await api.get(f"/api/decisions/{KEY.id}/export?format={name}")

    assert answer.status == 200
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["Content-Type"].startswith(FORMATS[name].media_type)
    assert name != "html" or "<img" not in answer.text
    assert (await api.get(f"/api/decisions/{KEY.id}/export?format=exe")).status == 422


async def test_a_format_that_is_not_installed_is_refused_with_what_to_install(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "docx", None)
    answer = await api.get(f"/api/decisions/{KEY.id}/export?format=docx")

    assert (answer.status, answer.json["title"]) == (501, "Not Implemented")
    assert "pip install 'assistant-worker[report]'" in answer.json["detail"]


async def test_two_revisions_are_compared_the_last_with_that_before_it_unless_they_are_named(
    api: Api, book: SqlDecisions
) -> None:
    found = (await api.get(f"/api/decisions/{KEY.id}/compare")).json
    back = (await api.get(f"/api/decisions/{KEY.id}/compare?from=2&to=1")).json
    alone = (await api.get(f"/api/decisions/{OTHER.id}/compare")).json
    await book.remove([Subject("default", instance="instance-a", tenants=frozenset({"north"}))])
    erased = (await api.get(f"/api/decisions/{KEY.id}/compare")).json

    assert (found["before"]["revision"], found["after"]["revision"], found["last"]) == (1, 2, 2)
    assert [(each["part"], each["of"], each["field"], each["kind"], each["after"]) for each in found["changes"]] == [
        ("dissent", ["1"], "who", "removed", None),
        ("dissent", ["1"], "text", "removed", None),
        ("dissent", ["1"], "who", "added", "Sales"),
        ("dissent", ["1"], "text", "added", HOSTILE),
        ("computed", [], "mismatches", "changed", 3),
    ]
    assert found["names"]["Y"] == "The small press"
    assert (back["before"]["revision"], back["after"]["revision"], len(back["changes"])) == (2, 1, 5)
    assert (alone["before"], alone["changes"]) == (alone["after"], [])
    gone = [each for each in erased["changes"] if each["part"] == "dissent"]
    assert {each["kind"] for each in gone} == {"unknown"}
    assert {each["after"] for each in gone} == {None, "[erased]"}
    assert erased["erased"] > 0


@pytest.mark.parametrize(("asked", "status"), [("from=3", 404), ("to=9", 404), ("from=0", 422), ("to=x", 422)])
async def test_a_revision_that_is_not_there_is_compared_with_none(api: Api, asked: str, status: int) -> None:
    assert (await api.get(f"/api/decisions/{KEY.id}/compare?{asked}")).status == status


async def test_verifying_says_what_holds_and_that_nothing_outside_does(api: Api) -> None:
    said = (await api.get(f"/api/decisions/{OTHER.id}/verify")).json

    assert (said["holds"], said["problems"], said["anchors"]) == (True, [], [])
    assert said["notes"] == ["no anchor outside the database holds this revision"]


async def test_the_engines_history_holds_a_record_where_it_was(api: Api, book: SqlDecisions, engine: Any) -> None:
    last = await book.last(KEY)
    assert last is not None
    engine.given = [row["content_sha256"] for row in last.rows]
    said = (await api.get(f"/api/decisions/{KEY.id}/verify")).json
    earlier = (await api.get(f"/api/decisions/{KEY.id}/verify?revision=1")).json
    engine.is_down = True
    unasked = (await api.get(f"/api/decisions/{KEY.id}/verify")).json

    assert (said["holds"], said["anchors"]) == (True, ["engine: variable decision_sha256 of instance instance-a"])
    assert (earlier["holds"], len(earlier["anchors"])) == (True, 1)
    assert (unasked["holds"], unasked["anchors"]) == (True, [])
    assert "the engine could not be asked" in unasked["notes"][-1]


async def test_the_last_revision_is_compared_with_the_engine_when_it_is_named_too(api: Api, engine: Any) -> None:
    engine.given = ["f" * 64]
    for named in ("", "?revision=2"):
        assert not (await api.get(f"/api/decisions/{KEY.id}/verify{named}")).json["holds"]
    assert (await api.get(f"/api/decisions/{KEY.id}/verify?revision=1")).json["holds"]


async def test_a_record_that_was_edited_and_hashed_anew_does_not_verify(
    api: Api, book: SqlDecisions, engine: Any, database: Database
) -> None:
    """Who may write to the database makes every hash and every row anew; the engine has the one that was."""
    last = await book.last(KEY)
    assert last is not None
    engine.given = [row["content_sha256"] for row in last.rows]
    forged = record.build(KEY.id, said(scores={"one": scores(X_Quality={"base": 10})}), "proposed", samples=100)
    place = {"instance": KEY.instance, "variable": "decision_sha256"}
    row = chain.row("change", None, forged, datetime.now(UTC), record.facts(forged) | place)

    async def forge(connection: Any) -> None:
        for table in ("decision_rows", "decision_revisions", "decisions"):
            await connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - names of ours

    await database.write(forge)
    assert await book.keep(KEY, forged, row, definition_key="decision", business_key="order-1")
    told = (await api.get(f"/api/decisions/{KEY.id}/verify")).json

    assert not told["holds"]
    assert "has another hash of revision 1" in told["problems"][0]


async def test_a_changed_byte_does_not_verify(api: Api, database: Database) -> None:
    async def change(connection: Any) -> None:
        swap = "UPDATE decision_revisions SET record = replace(record, '\"base\": 90', '\"base\": 91')"
        await connection.exec_driver_sql(swap)

    await database.write(change)
    said = (await api.get(f"/api/decisions/{KEY.id}/verify")).json

    assert not said["holds"]
    assert "the content is not what was hashed" in said["problems"]


async def try_out(api: Api, key: DecisionKey = KEY, token: str = ANN, **changed: Any) -> Answer:
    path = f"/api/decisions/{key.id}/what-ifs"
    return await replace(api, token=token).get(path, method="POST", json=BOLD | changed)


async def test_weights_that_were_tried_out_are_kept_once_with_their_person_and_reason(
    api: Api, engine: Any, book: SqlDecisions
) -> None:
    before = await book.last(KEY)
    assert before is not None
    engine.given = [before.record["content_sha256"]]
    made = await try_out(api)
    again = await try_out(api, why="Another reason", name=" Bold ")
    shown = (await api.get(f"/api/decisions/{KEY.id}")).json
    said = (await api.get(f"/api/decisions/{KEY.id}/verify")).json

    assert (made.status, made.json) == (
        201,
        {"id": "what_if_1", "revision": 3, "leader": "X", "lead": 0.16, "ranking": ["X", "Y", "Z"]},
    )
    assert (again.status, again.json) == (200, made.json)
    assert shown["content"]["what_ifs"]["sets"][0]["why"] == BOLD["why"]
    assert shown["sources"]["what_ifs"]["what_if_1"]["user"] == "Ann"
    assert shown["content"]["computed"]["leader"] == "Y"
    assert (shown["standing"], shown["rows"][-1]["facts"]["what_if"]) == ("proposed", "what_if_1")
    where = "engine: variable decision_sha256 of instance instance-a"
    assert (said["holds"], said["anchors"]) == (
        True,
        [f"{where}, all but the what-ifs that were kept since revision 2"],
    )
    assert BOLD["why"] in (await api.get(f"/api/decisions/{KEY.id}/export?format=markdown")).text


@pytest.mark.parametrize(
    ("changed", "status", "why"),
    [
        ({"points": {"Cost": 1}}, 409, "Quality has no points"),
        ({"points": {"Cost": 0, "Quality": 0, "Time": 0}}, 409, "are all 0"),
        ({"points": {"Cost": 3, "Quality": 5, "Time": 2}}, 409, "these are the weights that rank"),
        ({"points": {"Cost": -1, "Quality": 5, "Time": 2}}, 422, "greater than or equal to 0"),
        ({"points": {}}, 422, "at least 1"),
        ({"name": "  "}, 422, "pattern"),
        ({"why": ""}, 422, "at least 1"),
        ({"why": "\ud800"}, 422, "unicode string"),
        ({"id": "base"}, 422, "Extra inputs"),
        ({"token": OPERATOR}, 403, "a name in API_TOKENS"),
        ({"token": BEN}, 403, "the right ask"),
        ({"key": OTHER}, 404, ""),
    ],
)
async def test_what_cannot_be_kept_is_refused_and_writes_nothing(
    api: Api, book: SqlDecisions, changed: dict[str, Any], status: int, why: str
) -> None:
    answer = await try_out(api, **changed)

    assert (answer.status, why in answer.json["detail"]) == (status, True), answer.json
    last = await book.last(KEY)
    assert last is not None
    assert len(last.rows) == 2


async def test_a_name_that_is_taken_and_erased_texts_are_refused(api: Api, book: SqlDecisions) -> None:
    await try_out(api)
    taken = await try_out(api, points={"Cost": 1, "Quality": 5, "Time": 1})
    await book.remove([Subject("default", instance="instance-a", tenants=frozenset({"north"}))])
    gone = await try_out(api, name="Later")

    assert (taken.status, taken.json["detail"]) == (
        409,
        "other weights are called 'Bold' already: choose another name.",
    )
    assert gone.status == 410


async def test_an_accepted_decision_stays_accepted(api: Api, book: SqlDecisions) -> None:
    last = await book.last(KEY)
    assert last is not None
    shown_sha256 = last.record["content_sha256"]
    closed = record.close(last.record, [record.Act(True, "yes", shown_sha256)])
    act = {"accepted": True, "shown_sha256": shown_sha256, "doubt": "", "instance": KEY.instance}
    signature = chain.row("signature", last.rows[-1], last.record, datetime.now(UTC), act)
    place = {"instance": KEY.instance, "variable": "decision_sha256"}
    row = chain.row("change", signature, closed, datetime.now(UTC), record.facts(closed) | place)
    assert await book.keep(KEY, last.record, signature, definition_key="decision", business_key=None)
    assert await book.keep(KEY, closed, row, definition_key="decision", business_key=None)
    made = await try_out(api)
    shown = (await api.get(f"/api/decisions/{KEY.id}")).json

    assert (made.status, shown["standing"], shown["record"]["decision"]["answer"]) == (201, "accepted", "yes")
    verified = (await api.get(f"/api/decisions/{KEY.id}/verify")).json
    assert verified["holds"], verified


@pytest.fixture
async def counsel(database: Database, book: SqlDecisions, engine: Any) -> AsyncIterator[Api]:
    """Ann may hold what is of the north; others are asked by their tokens."""
    tokens = {
        ANN: {"name": "Ann", "role": "counsel", "tenants": ["north"]},
        BEN: {"name": "Ben", "rights": ["read", "erase"]},
        NOBODY: {"role": "counsel"},
    }
    application = app(
        SqlTranscriptReader(database),
        NO_CALLS,
        Access.of(json.dumps(tokens)),
        report=print,
        extend=[deciding(book, engine, Trying(book, SIGNING), SIGNING)],
    )
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Api(session, ANN)


async def act(api: Api, what: str, reason: str = "claim 12/26", key: DecisionKey = KEY) -> Answer:
    return await api.get(f"/api/decisions/{key.id}/{what}", "POST", json={"reason": reason})


async def test_a_person_with_the_right_holds_and_releases_and_it_is_seen_everywhere(counsel: Api) -> None:
    held = await act(counsel, "hold", " claim 12/26 ")
    shown = (await counsel.get(f"/api/decisions/{KEY.id}")).json
    [listed] = (await counsel.get("/api/decisions")).json["items"]
    exported = (await counsel.get(f"/api/decisions/{KEY.id}/export")).json
    read = (await counsel.get(f"/api/decisions/{KEY.id}/export?format=markdown")).text
    verdict = (await counsel.get(f"/api/decisions/{KEY.id}/verify")).json

    assert held.status == 200
    assert {name: held.json["held"][name] for name in ("by", "why")} == {"by": "Ann", "why": "claim 12/26"}
    assert shown["held"] == listed["held"] == held.json["held"]
    schemas.check(exported)
    assert exported["rows"][-1]["facts"] == {"by": "Ann", "why": "claim 12/26"}
    assert "On legal hold: since" in read
    assert "by Ann: claim 12/26" in read
    assert verdict["problems"] == []
    assert verdict["anchors"] == [f"key {SIGNING.id}: it has signed row 3"]

    assert (await act(counsel, "release", "settled")).json == {"held": None}
    assert (await counsel.get(f"/api/decisions/{KEY.id}")).json["held"] is None
    assert "On legal hold" not in (await counsel.get(f"/api/decisions/{KEY.id}/export?format=markdown")).text


async def test_a_hold_is_refused_in_words(counsel: Api) -> None:
    refused = await act(replace(counsel, token=BEN), "hold")
    assert (refused.status, refused.json["detail"]) == (403, "This needs the right hold, which this token lacks.")
    nameless = await act(replace(counsel, token=NOBODY), "hold")
    assert (nameless.status, "takes a person" in nameless.json["detail"]) == (403, True)
    assert (await act(counsel, "hold", key=OTHER)).status == 404, "of another tenant"
    assert [(await act(counsel, "hold", each)).status for each in ("", "  ", "x" * 1001)] == [422] * 3
    early = await act(counsel, "release")
    assert (early.status, early.json["detail"]) == (409, f"decision {KEY.id} is not on hold.")
    await act(counsel, "hold")
    twice = await act(counsel, "hold")
    assert (twice.status, "is on hold already, since" in twice.json["detail"]) == (409, True)


async def test_a_hold_that_was_taken_off_in_the_database_does_not_verify(counsel: Api, database: Database) -> None:
    await act(counsel, "hold")

    async def change(connection: Any) -> None:
        await connection.exec_driver_sql("UPDATE decisions SET held_at = NULL")

    await database.write(change)
    said = (await counsel.get(f"/api/decisions/{KEY.id}/verify")).json
    assert said["problems"] == ["whether it is on hold is not what the last row of a hold or release tells"]


async def command(folder: Path, *arguments: str) -> Ran:
    """Run a command on the database of the tests; nothing else can be reached."""
    away = {"ENGINE_URL": "http://127.0.0.1:1/engine-rest", "REDIS_URL": "redis://127.0.0.1:1/0", "OPENAI_API_KEY": "x"}
    known = {"TRANSCRIPT_URL": f"sqlite:///{folder}/record.db"}
    return await assistant_worker({**PYTHON_ENVIRONMENT, **away, **known}, "decisions", *arguments, folder=folder)


@pytest.mark.usefixtures("book")
async def test_commands_hold_and_release_with_a_key_that_verify_is_given(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RECORD_KEY_FILE=key.pem\n")
    (tmp_path / "key.pem").write_text(PRIVATE)
    (tmp_path / "public.pem").write_text(PUBLIC)
    held = await command(tmp_path, "hold", "instance-a", "--reason", "claim 12/26")
    shown = await command(tmp_path, "show", KEY.id)
    listed = await command(tmp_path, "list", "--json")
    twice = await command(tmp_path, "hold", KEY.id, "--reason", "again")
    (tmp_path / ".env").write_text("")
    ungiven = await command(tmp_path, "verify", KEY.id)
    given = await command(tmp_path, "verify", KEY.id, "--public-key", "public.pem")
    wrong = await command(tmp_path, "verify", KEY.id, "--public-key", "key.pem")
    released = await command(tmp_path, "release", KEY.id, "--reason", "settled")
    silent = await command(tmp_path, "release", KEY.id, "--reason", " ")

    assert (held.code, f"Decision {KEY.id} is on hold" in held.out) == (0, True), held.err
    assert "claim 12/26" in shown.out.splitlines()[-1]
    assert [bool(row["held_since"]) for row in listed.json] == [False, True]
    assert (twice.code, "is on hold already" in twice.err) == (2, True)
    assert "row 3 signed by a key that is not given" in ungiven.out
    assert (given.code, f"holds against key {SIGNING.id}: it has signed row 3" in given.out) == (0, True)
    assert (wrong.code, "--public-key key.pem: must be a public Ed25519 key" in wrong.err) == (2, True)
    assert (released.code, "is released" in released.out) == (0, True)
    assert (silent.code, "--reason: say why" in silent.err) == (2, True)


@pytest.mark.usefixtures("book")
async def test_commands_list_show_export_and_verify(tmp_path: Path) -> None:
    listed = await command(tmp_path, "list", "--json")
    shown = await command(tmp_path, "show", "instance-a")
    exported = await command(tmp_path, "export", KEY.id, "--format", "html", "--output", "record.html")
    again = await command(tmp_path, "export", KEY.id, "--output", "record.html")
    verified = await command(tmp_path, "verify", KEY.id, "--revision", "1")
    nothing = await command(tmp_path, "verify", "nothing")

    assert [row["id"] for row in listed.json] == [OTHER.id, KEY.id], listed.err
    assert (shown.code, "Which press is bought?" in shown.out) == (0, True)
    assert exported.code == 0
    assert "<img" not in (tmp_path / "record.html").read_text()
    assert (again.code, "record.html cannot be written: File exists" in again.err) == (2, True)
    assert (verified.code, verified.out.splitlines()[-1]) == (0, f"Revision 1 of decision {KEY.id} is what it was.")
    assert (nothing.code, "there is no record of a decision" in nothing.err) == (2, True)


@pytest.mark.usefixtures("book")
async def test_a_command_compares_two_revisions(tmp_path: Path) -> None:
    told = await command(tmp_path, "compare", "instance-a")
    same = await command(tmp_path, "compare", KEY.id, "--from", "2", "--json")
    nothing = await command(tmp_path, "compare", KEY.id, "--to", "7")

    assert told.code == 0, told.err
    assert "proposed; The small press leads by 0.05" in told.out
    assert "Sales" in told.out
    assert same.json["changes"] == []
    assert (nothing.code, "has 2 revisions" in nothing.err) == (2, True)


async def test_a_record_that_was_changed_ends_verify_with_a_code_of_its_own(
    tmp_path: Path, database: Database, book: SqlDecisions
) -> None:
    assert await book.last(OTHER)

    async def change(connection: Any) -> None:
        await connection.exec_driver_sql("UPDATE decision_rows SET row = replace(row, 'order', 'border')")
        await connection.exec_driver_sql("UPDATE decision_revisions SET record = replace(record, '\"sum', '\"sun')")

    await database.write(change)
    ran = await command(tmp_path, "verify", OTHER.id, "--json")

    assert ran.code == 4
    assert json.loads(ran.out)["holds"] is False


@pytest.mark.parametrize(("record", "row"), [("{}", "[]"), ("no JSON", "{")])
async def test_a_record_and_a_row_that_are_none_do_not_verify(
    tmp_path: Path, database: Database, book: SqlDecisions, record: str, row: str
) -> None:
    assert await book.last(OTHER)

    async def change(connection: Any) -> None:
        await connection.exec_driver_sql("UPDATE decision_revisions SET record = ?", (record,))
        await connection.exec_driver_sql("UPDATE decision_rows SET row = ?", (row,))

    await database.write(change)
    ran = await command(tmp_path, "verify", OTHER.id)

    assert (ran.code, ran.err) == (4, "")
    assert ran.out.startswith("does not hold: the record is not in its form")


@pytest.mark.parametrize("view", ["", "/export", "/export?format=html", "/compare", "/compare?to=1"])
@pytest.mark.parametrize("record", ["{}", "no JSON", "[]"])
async def test_a_record_that_is_none_is_not_shown_and_says_so(
    api: Api, database: Database, book: SqlDecisions, record: str, view: str
) -> None:
    assert await book.last(KEY)

    async def change(connection: Any) -> None:
        await connection.exec_driver_sql("UPDATE decision_revisions SET record = ?", (record,))

    await database.write(change)
    reply = await api.get(f"/api/decisions/{KEY.id}{view}")
    assert reply.status == 409
    assert "It cannot be shown: the record is not in its form" in reply.json["detail"]


def test_the_commands_know_the_formats_that_there_are() -> None:
    assert sorted(RECORD_FORMATS) == sorted(FORMATS)
