"""A record as people read it: sections of words and tables, which each format lays out. Pure.

All words of others are plain text here, without what is no letter: controls, halves of characters and what turns the
direction of a line become U+FFFD. Whoever lays them out takes care that they stay text.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.decisions import chain, hashing
from worker.decisions import record as records
from worker.decisions.findings import MISMATCHES, Kind
from worker.decisions.names import Names, called
from worker.decisions.schemas import WHAT_IFS
from worker.decisions.texts import written

_NO_LETTER = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)

_MOST_COLUMNS: Final = 7
"""Beside the first one: as many as a sheet of paper has room for."""


@dataclass(frozen=True, slots=True)
class Share:
    """A figure that can be drawn as a part of 1, with the words that stand for it."""

    share: float
    text: str


LEGEND: Final = {"low": "to its low", "high": "to its high", "zero": "no lead"}
"""What parts of a bar show."""
_MOST_BARS: Final = 25
"""As many as one sheet of paper has room for."""
_HAIR: Final = 0.006
"""How wide a mark is, of the scale."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of a plot: `parts` says from where to where each part of LEGEND goes, on a scale from 0 to 1.

    They are drawn in this order. The words stand beside it.
    """

    label: str
    parts: Mapping[str, tuple[float, float]]
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table. Figures are words or shares. `plot` draws some of it, above it, in formats that can be drawn in."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Share]]
    plot: Sequence[Bar] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands below it: words, then points, then tables, then what has headings of its own."""

    title: str
    words: Sequence[str] = ()
    points: Sequence[str] = ()
    tables: Sequence[Table] = ()
    below: Sequence["Section"] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A record to be read. `facts` are what it is, by name."""

    title: str
    facts: Mapping[str, str]
    decider: str
    stakeholders: Sequence[str]
    sections: Sequence[Section]


@dataclass(frozen=True, slots=True)
class Told:
    """A finding in words. `is_mismatch`: something was said that does not hold."""

    words: str
    is_mismatch: bool


SAID: Final[Mapping[Kind, str]] = {
    Kind.UNBOUND: "{where} says {said}, which is no input and was not computed",
    Kind.UNKNOWN_FIGURE: "{where} wants {said}, which the computation does not have",
    Kind.SCREENING: "{where} was said to stand otherwise to the limit “{said}” than its score does",
    Kind.EXCLUDED_RECOMMENDED: "{where} is recommended, and breaks the limit “{said}”",
    Kind.LIMIT_BROKEN: "{where} breaks the limit “{said}”",
    Kind.LIMIT_AT_RISK: "{where} may break the limit “{said}”: its range goes beyond it",
    Kind.CONDITION_OUTSIDE: "{where} rests on nothing that was computed with",
    Kind.NOT_LEADER: "recommended is {where}, and {said} leads",
    Kind.LEAD_WITHIN_UNCERTAINTY: "the lead of {where} is smaller than it varies",
    Kind.FLIPS: "{said} leads if the share of {where}",
    Kind.RANGE_LEAVES_OUT: "the range of {where} leaves out the score of {said}",
    Kind.MISSING: "{where} has no score of {said}",
}
"""What findings say, by `where` and `said`: named, but for places within texts, and judges, who have ids alone."""


def report(record: Mapping[str, Any]) -> Report:
    """Lay out what a record has, in the order in which it is read. Texts that were erased say so."""
    content = shown(record)
    frame = content.get("frame", {})
    decision = record.get("decision", {})
    facts = {
        "Record": record["id"],
        "Revision": str(record["revision"]),
        "Status": status(record),
        "Answer": decision.get("answer", ""),
        "Void because": decision.get("void_reason", ""),
        "Content (SHA-256)": record["content_sha256"],
        "On legal hold": _hold(record.get("rows", ())),
    }
    sections = _Sections(content, record)
    return Report(
        frame.get("statement", clean(record["id"])),
        {name: clean(value) for name, value in facts.items() if value},
        frame.get("decider", ""),
        [each["name"] for each in frame.get("stakeholders", ())],
        [each for each in sections.all() if each.words or each.points or each.tables or each.below],
    )


def _hold(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say who holds the record, since when and why; empty if nobody does by its rows."""
    if not chain.is_held(rows):
        return ""
    last = next(each for each in reversed(rows) if each["kind"] == "hold")
    return f"since {last['at'][:10]} by {last['facts']['by']}: {last['facts']['why']}"


def shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """Open a record's content as `record.shown` does, without what is no letter."""
    opened: dict[str, Any] = _cleaned(records.shown(record))
    return opened


def findings(content: Mapping[str, Any]) -> Iterator[Told]:
    """Say what was found in words, in its order. The content is one that is shown."""
    names = Names.of(content)
    for each in content.get("computed", {}).get("findings", ()):
        kind = Kind(each["kind"])
        where, said = _named(kind, each["where"], each["said"], names)
        yield Told(SAID[kind].format(where=where or "nothing", said=said or "nobody"), kind in MISMATCHES)


def _named(kind: Kind, where: str, said: str, names: Names) -> tuple[str, str]:
    """Name what a finding has by ids."""
    option, limit = names.alternatives.get(where, where), names.limits.get(said, said)
    match kind:
        case Kind.LIMIT_BROKEN | Kind.LIMIT_AT_RISK | Kind.SCREENING | Kind.EXCLUDED_RECOMMENDED:
            return option, limit
        case Kind.NOT_LEADER | Kind.LEAD_WITHIN_UNCERTAINTY:
            return option, names.alternatives.get(said, said)
        case Kind.FLIPS:
            criterion, _, side = where.rpartition(".")
            share = f"{names.objectives.get(criterion, criterion)} is a fifth {side}"
            return share, names.alternatives.get(said, said)
        case Kind.RANGE_LEAVES_OUT:
            return names.uncertainties.get(where, where), names.cell(said)
        case Kind.MISSING:
            return where, names.cell(said)
    return where, said


def status(record: Mapping[str, Any]) -> str:
    """Say in one word how it stands: open, computed, proposed, accepted, rejected or void."""
    decision = record.get("decision")
    if record["status"] != "closed" or decision is None:
        return str(record["status"])
    return "void" if decision["void_reason"] else "accepted" if decision["accepted"] else "rejected"


class _Sections:
    def __init__(self, content: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        self.content = content
        self.record = record
        self.computed = content.get("computed", {})
        self.frame = content.get("frame", {})
        self.options = content.get("alternatives", {}).get("alternatives", [])
        self.objectives = content.get("objectives", {}).get("objectives", [])
        self.of = Names.of(content)
        sets = [*content.get("weights", {}).get("sets", ()), *content.get(WHAT_IFS, {}).get("sets", ())]
        self.sets = called([{"name": each["id"], **each} for each in sets])
        self.names = {**self.of.alternatives, **self.of.objectives, **self.of.uncertainties}

    def all(self) -> Iterator[Section]:
        yield self._problem()
        yield Section("Decision Drivers", tables=self._drivers())
        yield Section("Considered Options", points=[self._option(each) for each in self.options])
        yield self._outcome()
        if self.computed:
            yield Section("Ranking", tables=[self._ranking(), *self._scores()])
            yield Section(
                "How far the order holds",
                tables=[*self._swaps(), *self._tornado(), *self._chances(), *self._information()],
            )
            yield Section(
                "Judges and other weights",
                [*self._agreement(), *self._seats()],
                tables=[*self._judges(), *self._orders(), *self._tried()],
            )
            yield Section("What to know before signing", points=[*self._findings()])
        yield Section("Dissent", points=[_by(each) for each in self._list("dissent")])
        yield Section("Pre-mortem", points=[self._failure(each) for each in self._list("pre_mortem")])
        yield Section("Changes, signatures and holds", tables=self._rows())

    def _list(self, part: str) -> Sequence[Mapping[str, str]]:
        found: Sequence[Mapping[str, str]] = self.content.get(part, {}).get(part, ())
        return found

    def _name(self, name: str) -> str:
        return self.names.get(name, name)

    def _ground(self, condition: Mapping[str, Any]) -> str:
        return self.of.grounds.get(condition["rests_on"], condition["rests_on"])

    def _problem(self) -> Section:
        words = [f"Decided by {self.frame['decider']}."] if "decider" in self.frame else []
        frame = self.frame
        return Section(
            "Context and Problem Statement",
            words,
            [
                *(f"Stakeholder: {each['name']}{_after(each, 'interest')}" for each in frame.get("stakeholders", ())),
                *(f"{_kind(each)} limit: {each['statement']}" for each in frame.get("limits", ())),
                *(f"Assumed: {each['text']}" for each in frame.get("assumptions", ())),
                *(f"Uncertain: {each['name']}{_after(each, 'why')}" for each in frame.get("uncertainties", ())),
            ],
        )

    def _drivers(self) -> list[Table]:
        shares = self.computed.get("shares", {})
        rows = [
            [each["name"], *_scale(each), _share(shares[each["id"]]) if each["id"] in shares else ""]
            for each in self.objectives
        ]
        return [Table("Objectives", ["Objective", "Worth 0 at", "Worth 1 at", "Weight"], rows)] if rows else []

    def _option(self, each: Mapping[str, Any]) -> str:
        marks = ["as before"] if each.get("baseline") else []
        broken = self.computed.get("excluded", {}).get(each["id"], ())
        marks += [f"breaks “{self.of.limits.get(limit, limit)}”" for limit in broken]
        marked = f" ({', '.join(marks)})" if marks else ""
        return f"{each['name']}{marked}{_after(each, 'summary')}"

    def _outcome(self) -> Section:
        said = self.content.get("recommendation")
        if said is None:
            return Section("Decision Outcome")
        named = said["alternative"]
        chosen = f"Chosen option: {self._name(named)}." if named else "No option is recommended."
        conditions = [
            f"Condition: {each['text']}" + (f" (on “{self._ground(each)}”)" if each.get("rests_on") else "")
            for each in said.get("conditions", ())
        ]
        following = [
            f"{each['what']}" + "".join(f", {each[name]}" for name in ("who", "by") if each.get(name))
            for each in said.get("next", ())
        ]
        return Section(
            "Decision Outcome",
            [chosen, said["why"]],
            conditions,
            below=[
                Section("Consequences", points=[f"Given up: {each}" for each in said.get("given_up", ())]),
                Section("Next", points=following),
            ],
        )

    def _ranking(self) -> Table:
        first = self.computed["over_weights"]
        rows: list[list[str | Share]] = [
            [
                str(place),
                self._name(each),
                Share(self.computed["sums"][each], written(self.computed["sums"][each])),
                _share(first[each][0]) if each in first else "",
            ]
            for place, each in enumerate(self.computed["ranking"], start=1)
        ]
        rows += [
            ["excluded" if each in self.computed["excluded"] else "not ranked", self._name(each), _sum(total), ""]
            for each, total in self.computed["sums"].items()
            if each not in self.computed["ranking"]
        ]
        return Table("Weighted sums", ["Rank", "Option", "Sum", "First over all weights"], rows)

    def _scores(self) -> Iterator[Table]:
        criteria = list(self.computed["shares"])
        scores = self.computed["scores"]
        rows = [
            _row(
                self._name(each), (Share(row[c], written(scores[each][c])) if c in row else "missing" for c in criteria)
            )
            for each, row in self.computed["values"].items()
        ]
        yield from _narrow(Table("Scores, and what they are worth", ["Option", *map(self._name, criteria)], rows))

    def _swaps(self) -> list[Table]:
        rows: list[list[str | Share]] = [
            [self._name(each), _share(swap["share"]), self._swap(swap["down"]), self._swap(swap["up"])]
            for each, swap in self.computed["swaps"].items()
        ]
        head = ["Weight", "Share", "Draws level below", "Draws level above"]
        return [Table("Swap points", head, rows)] if rows else []

    def _swap(self, swap: Mapping[str, Any] | None) -> str:
        return f"{self._name(swap['to'])} at {written(swap['share'], in_percent=True)}" if swap else "nobody"

    def _tornado(self) -> list[Table]:
        tornado, lead = self.computed["tornado"], written(self.computed["lead"])
        moving = [bar for bar in tornado if {written(bar["low"]), written(bar["high"])} != {lead}]
        rows = [[self.of.cell(bar["of"]), written(bar["low"]), written(bar["high"])] for bar in moving]
        if still := len(tornado) - len(rows):
            rows.append([f"{still} that move{'s' if still == 1 else ''} nothing", lead, lead])
        title = f"Lead, now {lead}, with one thing at its ends"
        title += f" (drawn: the widest {_MOST_BARS})" if len(moving) > _MOST_BARS else ""
        bars = self._bars(moving[:_MOST_BARS])  # the widest come first
        return [Table(title, ["Of", "At its low", "At its high"], rows, bars)] if rows else []

    def _bars(self, moving: Sequence[Mapping[str, Any]]) -> list[Bar]:
        """Draw the lead from end to end, all on one scale, on which no lead has its place, too."""
        lead = self.computed["lead"]
        ends = [0.0, lead, *(bar[end] for bar in moving for end in ("low", "high"))]
        least, width = min(ends), max(ends) - min(ends) or 1.0

        def span(*leads: float) -> tuple[float, float]:
            places = sorted((each - least) / width for each in leads)
            return places[0], places[-1]

        zero = min(span(0.0)[0], 1 - _HAIR)
        return [
            Bar(
                self.of.cell(bar["of"]),
                {"low": span(bar["low"], lead), "high": span(lead, bar["high"]), "zero": (zero, zero + _HAIR)},
                f"{written(bar['low'])} … {written(bar['high'])}",
            )
            for bar in moving
        ]

    def _chances(self) -> Iterator[Table]:
        names = {"over_weights": "Ranks over all weights"}
        if self.computed["is_uncertain"]:
            names |= {"over_scores": "Ranks over the scores' ranges", "over_both": "Ranks over both"}
        for name, title in names.items():
            head = ["Option", *(f"Rank {rank}" for rank in range(1, len(self.computed[name]) + 1))]
            rows = [_row(self._name(each), map(_share, ranks)) for each, ranks in self.computed[name].items()]
            if rows:
                yield from _narrow(Table(title, head, rows))

    def _information(self) -> list[Table]:
        rows = [[self._name(each), written(worth)] for each, worth in self.computed["information"].items()]
        every = ["everything", written(self.computed["all_information"])]
        title = "What it would be worth to know, in the sums' unit"
        return [Table(title, ["Uncertainty", "Worth"], [*rows, every])] if rows else []

    def _agreement(self) -> list[str]:
        measured = self.computed["kendall_w"]
        how = {"agree": "The judges agree", "differ": "The judges differ", "not_measured": "No agreement was measured"}
        return [
            how[self.computed["agreement"]] + ("." if measured is None else f": Kendall's W is {written(measured)}.")
        ]

    def _seats(self) -> Iterator[str]:
        """Say which judges are the same assistant: that it agrees with itself is no second opinion."""
        seats = defaultdict[str, list[str]](list)
        for judge, source in self._by_judge().items():
            if source.get("of") == "turn" and source.get("assistant"):
                seats[clean(str(source["assistant"]))].append(judge)
        for assistant, judges in seats.items():
            if len(judges) > 1:
                yield f"{', '.join(judges)} are one assistant, {assistant}, asked {len(judges)} times."

    def _judges(self) -> list[Table]:
        rows = [[judge, *_gave(source)] for judge, source in self._by_judge().items()]
        return [Table("Judges", ["Judge", "Who", "Model", "Variable"], rows)] if rows else []

    def _by_judge(self) -> Mapping[str, Mapping[str, Any]]:
        sources: Mapping[str, Mapping[str, Any]] = self.record["sources"].get("scores", {})
        return {judge: hashing.opened(sources[judge], self.record["texts"]) for judge in sorted(sources)}

    def _orders(self) -> list[Table]:
        named = {"sets": self.sets, "without_criterion": self.of.objectives}
        rows = [
            [
                what,
                named.get(orders, {}).get(name, name),
                " > ".join(map(self._name, order["ranking"])),
                written(order["lead"]),
            ]
            for what, orders in (
                ("judge", "judges"),
                ("without judge", "without_judge"),
                ("weights", "sets"),
                ("without criterion", "without_criterion"),
            )
            for name, order in self.computed[orders].items()
        ]
        return [Table("Orders", ["By", "Name", "Order", "Lead"], rows)]

    def _tried(self) -> list[Table]:
        sources = hashing.opened(self.record["sources"].get(WHAT_IFS, {}), self.record["texts"])
        rows = [
            [
                each["name"],
                " > ".join(map(self._name, self.computed["sets"][each["id"]]["ranking"])),
                ", ".join(f"{self._name(c)} {written(s, in_percent=True)}" for c, s in self._shares_of(each["id"])),
                each["why"],
                _who(sources.get(each["id"], {})),
                clean(str(sources.get(each["id"], {}).get("at", ""))),
            ]
            for each in self.content.get(WHAT_IFS, {}).get("sets", ())
        ]
        head = ["Name", "Order", "Weights", "Why", "Kept by", "At"]
        return [Table("What-ifs that were kept, and rank nothing", head, rows)] if rows else []

    def _shares_of(self, name: str) -> Iterable[tuple[str, float]]:
        shares: Mapping[str, float] = self.computed["sets"][name]["shares"]
        return shares.items()

    def _findings(self) -> Iterator[str]:
        for each in findings(self.content):
            yield f"Mismatch: {each.words}" if each.is_mismatch else each.words

    def _failure(self, each: Mapping[str, Any]) -> str:
        return "; ".join(
            [
                each["what"],
                *(f"{name}: {each[name]}" for name in ("sign", "answer") if each.get(name)),
            ]
        )

    def _rows(self) -> list[Table]:
        told = self.record.get("rows", ())
        rows = [
            [
                str(row["number"]),
                row["kind"],
                self._act(row),
                str(chain.of(row, told)),
                row["at"],
                row["content_sha256"],
            ]
            for row in told
        ]
        return [Table("Rows", ["Row", "Kind", "Says", "Revision", "At", "Content (SHA-256)"], rows)] if rows else []

    def _act(self, row: Mapping[str, Any]) -> str:
        """Say who signed, held or released it, and by which key the row is said to be signed."""
        said = [f"{row['facts']['by']}: {row['facts']['why']}"] if row["kind"] in {"hold", "release"} else []
        said += _signature(hashing.opened(row["facts"], self.record["texts"])) if row["kind"] == "signature" else []
        said += [f"key {row['signed']['key']}"] if "signed" in row else []
        return clean("; ".join(said))


def _signature(facts: Mapping[str, Any]) -> list[str]:
    """Say what was signed, where, by whom and how far that is proven. Rows of others tell what they do."""
    who = _who(facts) or (f"somebody, through {facts['through']}" if facts.get("through") else "somebody")
    said = [f"{'accepted' if facts.get('accepted') else 'not accepted'} at {facts.get('activity', '?')} by {who}"]
    said += ["who it was is unproven"] if facts.get("identity") != "operation_log" else []
    return [*said, f"does not count: {facts['doubt']}"] if facts.get("doubt") else said


def _narrow(table: Table) -> Iterator[Table]:
    """Part a table that is too wide for a sheet of paper; each begins with the first column."""
    count = -(-(len(table.head) - 1) // _MOST_COLUMNS)
    if count <= 1:
        yield table
        return
    width = -(-(len(table.head) - 1) // count)
    for part in range(count):
        columns = slice(1 + part * width, 1 + (part + 1) * width)
        head, rows = [table.head[0], *table.head[columns]], [[row[0], *row[columns]] for row in table.rows]
        yield Table(f"{table.title} ({part + 1} of {count})", head, rows)


def clean(text: str) -> str:
    """Put U+FFFD in place of what is no letter."""
    return _NO_LETTER.sub("\ufffd", text)


def _cleaned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _cleaned(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    return clean(value) if isinstance(value, str) else value


def _after(each: Mapping[str, Any], name: str) -> str:
    return f": {each[name]}" if each.get(name) else ""


def _by(each: Mapping[str, Any]) -> str:
    return f"{each['who']}: {each['text']}" if each.get("who") else str(each["text"])


def _who(source: Mapping[str, Any]) -> str:
    """Name a person: a name may be of their own choice."""
    names = dict.fromkeys(str(source[name]) for name in ("name", "user") if source.get(name))
    return clean(", ".join(names))


def _gave(source: Mapping[str, Any]) -> list[str]:
    """Say who gave scores: an assistant by its version, a person, or whoever wrote the variable."""
    assistant = " ".join(str(source[name]) for name in ("assistant", "version") if source.get(name))
    model = ", ".join(str(source[name]) for name in ("model", "provider") if source.get(name))
    return [clean(each) for each in (assistant or _who(source) or source["of"], model, str(source.get("variable", "")))]


def _kind(limit: Mapping[str, Any]) -> str:
    return "Hard" if limit["hard"] else "Soft"


def _scale(objective: Mapping[str, Any]) -> list[str]:
    scale, unit = objective.get("value"), objective.get("unit") or ""
    return [f"{written(scale[end])} {unit}".strip() for end in ("walk_away", "ideal")] if scale else ["", ""]


def _share(share: float) -> Share:
    return Share(share, written(share, in_percent=True))


def _row(name: str, cells: Iterable[str | Share]) -> list[str | Share]:
    return [name, *cells]


def _sum(total: float) -> Share:
    return Share(total, written(total))
