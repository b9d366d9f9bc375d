"""Changes, signatures and holds of a record: rows that are only ever appended, each naming the one before. Pure."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Final, Literal

from worker.decisions import hashing
from worker.decisions.keys import SigningKey

Row = Mapping[str, Any]
_UNHASHED: Final = {"row_sha256", "signed"}
Kind = Literal["change", "signature", "hold", "release"]


def row(
    kind: Kind,
    before: Row | None,
    record: Mapping[str, Any],
    at: datetime,
    facts: Mapping[str, Any],
    key: SigningKey | None = None,
) -> dict[str, Any]:
    """Make the row that follows `before`, the last one there is, on the revision that `record` is at.

    `facts` are plain JSON, with every text sealed but for who holds or releases, and why. With a `key` it is signed.
    Raises BadRecord for what cannot be hashed.
    """
    made = {
        "kind": kind,
        "number": before["number"] + 1 if before else 1,
        "previous": before["row_sha256"] if before else "",
        "record": record["id"],
        "revision": record["revision"],
        "content_sha256": record["content_sha256"],
        "at": at.astimezone(UTC).isoformat(),
        "facts": deepcopy(dict(facts)),
    }
    made |= {"row_sha256": hashing.sha256(made)}
    return key.sign(made) if key else made


def signed(signature: Row, rows: Sequence[Row]) -> int:
    """Say which revision a signature is of: the last one until then that has the hash which stood before the person.

    That is not always the one that was the last when the signature was kept. Where it is no revision's hash, it is.
    """
    shown, number = signature["facts"].get("shown_sha256"), signature["number"]
    known = [row["revision"] for row in rows if row["number"] < number and row["content_sha256"] == shown]
    return int(known[-1] if known else signature["revision"])


def of(row: Row, rows: Sequence[Row]) -> int:
    """Say which revision a row tells of."""
    return signed(row, rows) if row["kind"] == "signature" else int(row["revision"])


def is_held(rows: Sequence[Row]) -> bool:
    """Whether the record is on legal hold, by what its rows tell."""
    acts = [each["kind"] for each in rows if each["kind"] in {"hold", "release"}]
    return acts[-1:] == ["hold"]


def problems(rows: Sequence[Row], record: str) -> list[str]:
    """Say what does not hold of a record's rows, from the first on."""
    found, before = list[str](), None
    hashes = dict[int, str]()
    for number, each in enumerate(rows, start=1):
        here = f"row {number}"
        if each["number"] != number:
            found.append(f"{here} says that it is row {each['number']}: rows are missing, or not in order")
        if each["previous"] != (before["row_sha256"] if before else ""):
            found.append(f"{here} does not follow the row before it")
        if each["row_sha256"] != hashing.sha256({name: each[name] for name in each.keys() - _UNHASHED}):
            found.append(f"{here} is not what was hashed")
        if each["record"] != record:
            found.append(f"{here} is of another record")
        if before and each["revision"] < before["revision"]:
            found.append(f"{here} goes back to revision {each['revision']}")
        # Several rows may be of one revision, as signatures are: all of them are of the same content.
        if hashes.setdefault(each["revision"], each["content_sha256"]) != each["content_sha256"]:
            found.append(f"{here} names another content of revision {each['revision']} than the rows before it")
        before = each
    return found
