"""Whether a record is what it was: against its own hashes, its rows, and what stands elsewhere. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.decisions import chain, hashing, record, schemas, what_ifs
from worker.decisions import keys as keys_of
from worker.decisions.chain import Row
from worker.decisions.computed import compute
from worker.decisions.keys import PublicKeys
from worker.errors import BadRecord, Permanent

TOLERANCE: Final = 1e-9
"""Of figures in closed form, which another processor may round otherwise."""
DRAWN_TOLERANCE: Final = 1e-3
"""Of figures that are drawn: some samples of 20000 may fall on the other side of a tie."""

_DRAWN: Final = frozenset(
    {
        *("first_share", "over_weights", "over_scores", "over_both", "beats", "lead_sd", "all_information"),
    }
)
_OF_WORDS: Final = frozenset({"findings", "mismatches"})
"""What is read out of texts, and so comes out otherwise once some of them are erased."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A hash that the engine's history has: somebody else than the record's database.

    `where` says for people where it was found.
    """

    where: str
    revision: int
    content_sha256: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What does not hold (`problems`), which anchors do, what a reader should know (`notes`), how many texts are gone.

    What persons tried out and kept since is held by no anchor. Without one that holds for this revision, a change by
    somebody who can write to the database and has computed all hashes anew is not seen.
    """

    problems: Sequence[str]
    anchors: Sequence[str]
    notes: Sequence[str]
    erased: int

    @property
    def holds(self) -> bool:
        """Whether nothing was found that does not."""
        return not self.problems


def misfit(given: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Say why nothing of a record can be compared: it is not in its form, or a row is not. Empty if both are."""
    try:
        schemas.check(given)
        schemas.check_rows(rows)
    except BadRecord as exc:
        return str(exc)
    return ""


def verify(
    given: Mapping[str, Any], rows: Sequence[Row], anchors: Sequence[Anchor] = (), keys: PublicKeys | None = None
) -> Verified:
    """Compare a record with itself, its rows from the first on, and anchors. Computes: takes too long for the loop.

    What one of these public `keys` has signed counts as an anchor; what another one has does not.
    """
    if flaw := misfit(given, rows):
        return Verified([flaw], [], [], 0)
    return compared(given, rows, anchors, keys)


def compared(
    given: Mapping[str, Any], rows: Sequence[Row], anchors: Sequence[Anchor] = (), keys: PublicKeys | None = None
) -> Verified:
    """Do as `verify` with what has no `misfit`."""
    try:
        checked = _Checked(given, rows)
        checked.check(anchors, keys or {})
    except BadRecord as exc:
        return Verified([str(exc)], [], [], 0)
    return Verified(checked.problems, checked.anchors, checked.notes, checked.erased)


class _Checked:
    """Goes through a record, and gathers what it finds."""

    def __init__(self, given: Mapping[str, Any], rows: Sequence[Row]) -> None:
        self.problems: list[str] = []
        self.anchors: list[str] = []
        self.notes: list[str] = []
        self.given = given
        self.rows = rows
        self.stood = frozenset[str]()
        sealed = [given["content"], given["sources"], given["earlier"], given["proposed"]]
        self.erased = len(set(hashing.digests(sealed)) - given["texts"].keys())

    def check(self, anchors: Sequence[Anchor], keys: PublicKeys) -> None:
        own = hashing.sha256(self.given["content"])
        if own != self.given["content_sha256"]:
            self.problems.append("the content is not what was hashed")
        self.stood = frozenset(what_ifs.stood_before(self.given["content"]))
        self._texts()
        self.problems += chain.problems(self.rows, self.given["id"])
        self._rows()
        for anchor in anchors:
            self._anchor(anchor, own)
        try:
            self._signatures(own, keys)
        except Permanent as exc:
            self.notes.append(f"signatures were not checked: {exc}")
        if not self.anchors:
            self.notes.append("no anchor outside the database holds this revision")
        if "computed" in self.given["content"]:
            self._computed()

    def _texts(self) -> None:
        for digest, each in self.given["texts"].items():
            if hashing.text_sha256(each["salt"], each["text"]) != digest:
                self.problems.append(f"the text {digest[:12]} is not what was hashed")
        if self.erased:
            self.notes.append(f"{self.erased} text{'' if self.erased == 1 else 's'} erased")

    def _rows(self) -> None:
        mine = [each for each in self.rows if each["revision"] == self.given["revision"]]
        changes = [each for each in mine if each["kind"] == "change"]
        if not changes or changes[-1]["content_sha256"] != self.given["content_sha256"]:
            self.problems.append(f"no row tells of revision {self.given['revision']} with this content")
        else:
            self._told(changes[-1]["facts"], mine)
        signed = {chain.signed(each, self.rows) for each in self.rows if each["kind"] == "signature"}
        self.notes += [
            f"a signature is of revision {each}, and this is revision {self.given['revision']}{self._than(each)}"
            for each in sorted(signed - {self.given["revision"]})
        ]

    def _than(self, revision: int) -> str:
        """Say of an earlier revision that nothing was decided otherwise since, if that is so."""
        hashes = {each["content_sha256"] for each in self.rows if each["revision"] == revision}
        return ", which has what-ifs more and nothing else" if hashes & self.stood else ""

    def _told(self, told: Mapping[str, Any], mine: Sequence[Row]) -> None:
        """Compare the record with what the last row of its revision tells of it. Older rows tell less."""
        own = record.facts(self.given)
        if told.get("items") != own["items"]:
            self.problems.append("items or their sources are not those that the last row tells of")
        if told.get("status") != own["status"]:
            self.problems.append("the status is not the one that the last row tells of")
        if "beside" in told:
            if told["beside"] != own["beside"]:
                self.problems.append("what does not count any more is not what the last row tells of")
            if told.get("decision") != own.get("decision"):
                self.problems.append("the decision is not the one that the last row tells of")
        elif own.get("decision", {}).get("accepted") and any(_refuses(each) for each in mine):
            self.problems.append("the decision is not what a signature of this revision says")
        if (
            "beside" in told
            and own.get("decision", {}).get("accepted")
            and not any(self._accepts(each) for each in self.rows)
        ):
            self.problems.append("the decision is accepted, and no signature of it is")

    def _accepts(self, row: Row) -> bool:
        told = row["facts"]
        of_this = told.get("shown_sha256") in {self.given["content_sha256"], *self.stood}
        return row["kind"] == "signature" and of_this and told.get("accepted") is True and not told.get("doubt")

    def _anchor(self, anchor: Anchor, own: str) -> None:
        name = f"engine: {anchor.where}"
        kept = {each["revision"]: each["content_sha256"] for each in self.rows}
        is_mine = anchor.revision == self.given["revision"]
        if anchor.content_sha256 != (own if is_mine else kept.get(anchor.revision)):
            self.problems.append(f"{name} has another hash of revision {anchor.revision}")
        elif is_mine:
            self.anchors.append(name)
        elif anchor.content_sha256 in self.stood:
            self.anchors.append(f"{name}, all but the what-ifs that were kept since revision {anchor.revision}")
        else:
            self.notes.append(f"{name} holds revision {anchor.revision}, and this is {self.given['revision']}")

    def _signatures(self, own: str, keys: PublicKeys) -> None:
        """Check who has signed which rows. What a given key signed of this revision is an anchor, with all before."""
        signed = [each for each in self.rows if "signed" in each]
        wrong = {each["number"]: flaw for each in signed if (flaw := keys_of.flaw(each, keys))}
        self.problems += [f"row {number} bears a wrong signature: {flaw}" for number, flaw in wrong.items()]
        good = [each for each in signed if each["number"] not in wrong]
        for key in dict.fromkeys(each["signed"]["key"] for each in good):
            numbers = [each["number"] for each in good if each["signed"]["key"] == key]
            told = f"row{'s' if numbers[1:] else ''} {', '.join(map(str, numbers))}"
            if key not in keys:
                self.notes.append(
                    f"{told} signed by a key that is not given, {key}: whose it is cannot be told; give its public key"
                )
                continue
            mine = [each for each in good if each["signed"]["key"] == key and each["content_sha256"] == own]
            if mine and mine[-1]["revision"] == self.given["revision"]:
                self.anchors.append(f"key {key}: it has signed {told}")
            else:
                self.notes.append(f"the key {key} has signed {told}, and nothing of this revision")
        unsigned = [str(each["number"]) for each in self.rows if "signed" not in each]
        if unsigned and (signed or keys):
            self.notes.append(f"not signed: row{'s' if unsigned[1:] else ''} {', '.join(unsigned)}")

    def _computed(self) -> None:
        content = hashing.opened(self.given["content"], self.given["texts"])
        kept = content.pop("computed")
        try:
            method = kept["method"]
            again = compute(content, samples=method["samples"], seed=method["seed"])
        except BadRecord as exc:
            self.problems.append(f"what was computed cannot be computed again: {exc}")
        # No problem of the record's: numpy is not installed here, or another method has computed it.
        except (Permanent, KeyError, TypeError) as exc:
            self.notes.append(f"what was computed was not computed again: {exc}")
        else:
            left_out = _OF_WORDS if self.erased else frozenset()
            for name in sorted((kept.keys() | again.keys()) - left_out):
                self.problems += _differences(kept.get(name), again.get(name), name, _tolerance(name))


def _refuses(row: Row) -> bool:
    return row["kind"] == "signature" and (row["facts"].get("accepted") is False or bool(row["facts"].get("doubt")))


def _tolerance(figure: str) -> float:
    return DRAWN_TOLERANCE if figure in _DRAWN else TOLERANCE


def _differences(kept: Any, again: Any, path: str, tolerance: float) -> Iterator[str]:
    if isinstance(kept, dict) and isinstance(again, dict) and kept.keys() == again.keys():
        for name, each in kept.items():
            yield from _differences(each, again[name], f"{path}.{name}", tolerance)
    elif isinstance(kept, list) and isinstance(again, list) and len(kept) == len(again):
        for place, (one, other) in enumerate(zip(kept, again, strict=True), start=1):
            yield from _differences(one, other, f"{path}.{place}", tolerance)
    elif not _is_same(kept, again, tolerance):
        yield f"{path} is computed otherwise now"


def _is_same(kept: Any, again: Any, tolerance: float) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (kept, again))
    return abs(kept - again) <= tolerance if numbers else bool(kept == again)
