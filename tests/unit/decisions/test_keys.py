"""Rows of a record are signed, and whoever changes one cannot sign it anew."""

import base64
import copy
import sys
from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.unit.decisions.examples import at, said
from worker.decisions import chain, hashing, keys
from worker.decisions.keys import SigningKey
from worker.decisions.record import Record, build, facts
from worker.decisions.verifying import Verified, verify
from worker.errors import Permanent

Rows = list[dict[str, Any]]
UNGIVEN = "signed by a key that is not given, {}: whose it is cannot be told; give its public key"


def pem(private: Any) -> str:
    return str(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


@pytest.fixture(scope="module")
def first() -> SigningKey:
    return SigningKey(Ed25519PrivateKey.from_private_bytes(b"1" * 32))


@pytest.fixture(scope="module")
def second() -> SigningKey:
    return SigningKey(Ed25519PrivateKey.from_private_bytes(b"2" * 32))


@pytest.fixture(scope="module")
def record() -> Record:
    return build("r1", said(), "proposed", samples=100)


def rows(record: Record, *signers: SigningKey | None) -> Rows:
    """A row for each, the first one of a change."""
    made = Rows()
    for number, key in enumerate(signers):
        kind: Any = "signature" if number else "change"
        told = {} if number else facts(record)
        row = chain.row(kind, made[-1] if made else None, record, datetime.fromisoformat(at(3 + number)), told)
        made.append(key.sign(row) if key else row)
    return made


def checked(record: Record, made: Rows, *given: SigningKey) -> Verified:
    return verify(record, made, keys={each.id: each.public for each in given})


def test_what_a_given_key_has_signed_is_an_anchor(record: Record, first: SigningKey) -> None:
    assert checked(record, rows(record, first, first), first) == Verified(
        [], [f"key {first.id}: it has signed rows 1, 2"], [], 0
    )


def test_a_key_that_is_not_given_proves_nothing_and_is_said(
    record: Record, first: SigningKey, second: SigningKey
) -> None:
    found = checked(record, rows(record, first), second)

    assert (found.holds, found.anchors) == (True, [])
    assert f"row 1 {UNGIVEN.format(first.id)}" in found.notes
    assert "no anchor outside the database holds this revision" in found.notes


def test_after_a_change_of_keys_both_are_told_apart(record: Record, first: SigningKey, second: SigningKey) -> None:
    made = rows(record, first, second)

    assert checked(record, made, first, second).anchors == [
        f"key {first.id}: it has signed row 1",
        f"key {second.id}: it has signed row 2",
    ]
    half = checked(record, made, second)
    assert half.anchors == [f"key {second.id}: it has signed row 2"]
    assert f"row 1 {UNGIVEN.format(first.id)}" in half.notes


def test_rows_without_a_signature_are_named(record: Record, first: SigningKey) -> None:
    assert "not signed: row 2" in checked(record, rows(record, first, None)).notes
    assert "not signed: rows 1, 2" in checked(record, rows(record, None, None), first).notes
    assert checked(record, rows(record, None)).notes == ["no anchor outside the database holds this revision"]


def test_an_edit_with_all_hashes_made_anew_fails_by_the_signature(record: Record, first: SigningKey) -> None:
    """Who may write to the database has no key: what it puts there was not signed."""
    forged, [row] = copy.deepcopy(record), rows(record, first)
    forged["content"]["dissent"] = {"dissent": []}
    forged["content_sha256"] = hashing.sha256(forged["content"])
    anew = chain.row("change", None, forged, datetime.fromisoformat(at(3)), facts(forged))
    found = checked(forged, [{**anew, "signed": row["signed"]}])

    assert found.problems == [f"row 1 bears a wrong signature: it is not what the key {first.id} signed"]


def test_who_signs_a_forgery_by_another_key_has_no_anchor(
    record: Record, first: SigningKey, second: SigningKey
) -> None:
    found = checked(record, rows(record, second), first)
    assert (found.holds, found.anchors) == (True, [])


def test_another_public_key_under_the_same_id_is_seen(record: Record, first: SigningKey, second: SigningKey) -> None:
    [row] = rows(record, second)
    row["signed"]["key"] = first.id
    found = checked(record, [row], first)
    assert found.problems == [f"row 1 bears a wrong signature: its key {first.id} has another id than its public key"]


@pytest.mark.parametrize("part", ["row", "content"])
@pytest.mark.parametrize("text", ["not base64", base64.b64encode(b"short").decode(), 7, None])
def test_a_signature_that_is_none_is_a_problem(record: Record, first: SigningKey, part: str, text: Any) -> None:
    [row] = rows(record, first)
    row["signed"][part] = text
    flaw = "bears a wrong signature: " if isinstance(text, str) else f"is not in its form: at $.signed.{part}"
    assert checked(record, [row], first).problems[0].startswith(f"row 1 {flaw}")
    row["signed"] = text
    assert checked(record, [row], first).problems[0].startswith("row 1 is not in its form: at $.signed")


def test_without_cryptography_that_is_said_and_nothing_was_checked(
    record: Record, first: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rows(record, first)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    found = checked(record, made, first)

    assert (found.holds, found.anchors) == (True, [])
    assert found.notes[0].startswith("signatures were not checked: signatures need cryptography")


def test_a_key_is_read_from_pem(first: SigningKey) -> None:
    private = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    assert keys.read_private(pem(private)).id == first.id
    assert keys.read_public(public) == (first.id, first.public)


@pytest.mark.parametrize(
    "text",
    [
        "secret words",
        pem(generate_private_key(SECP256R1())),
        Ed25519PrivateKey.generate()
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
        .decode(),
        "\ud800",
    ],
    ids=["words", "another kind", "with a password", "half a character"],
)
def test_what_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    for read in (keys.read_private, keys.read_public):
        with pytest.raises(Permanent, match="Ed25519 key in PEM") as caught:
            read(text)
        assert text not in str(caught.value)
