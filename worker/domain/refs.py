"""The line that marks a question of ours, and how no other text comes to look like it. Pure."""

import re
import unicodedata

QUOTED = "quoted "
"""Goes into whatever looks like a mark of ours and is none."""

_MARK = re.compile(r"\(ref[0-9a-f]{12}\)")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Mn", "Me", "Zs", "Zl", "Zp"})
"""Kinds of characters that whoever cleans a text up on its way may drop: blanks, controls, zero widths, accents."""


def ref_line(ref: str) -> str:
    """Return the line that marks a question."""
    return f"(ref {ref})"


def is_marked(text: str, ref: str) -> bool:
    """Whether a text ends with this very line. A last line that only looks like it, or stands indented, is no mark."""
    return text.rstrip().rpartition("\n")[2] == ref_line(ref)


def defused(text: str) -> str:
    """Return the text with every look-alike of a mark named as a quotation; any other text comes back as it is.

    What a variable, a model or an answer says must never make a question findable by a ref: whoever quotes one would
    have a task take the answer behind it for its own. Blanks, invisible characters and wide forms do not help them.
    """
    if not _may_be_marked(text):
        return text
    seen: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for each in unicodedata.normalize("NFKD", character):
            if unicodedata.category(each) not in _UNSEEN:
                seen.append(each)
                places.append(place)
    cuts = [places[match.start()] + 1 for match in _MARK.finditer("".join(seen))]
    return QUOTED.join(text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True))


def _may_be_marked(text: str) -> bool:
    """Look quickly, and rather once too often: texts are long, and next to none of them quotes a ref."""
    return _MARK.search(re.sub("[^0-9a-z()]", "", unicodedata.normalize("NFKD", text))) is not None
