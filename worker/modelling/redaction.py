"""What is taken out of a text before it is remembered: addresses, numbers of accounts, and what patterns say. Pure."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from worker.errors import NotRedacted, Permanent
from worker.modelling import patterns

NOTHING: Final = "none"
SECONDS = 2.0
"""For all patterns of others together, on one text."""

_EMAIL = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\dA-Za-z])\d(?:[ -]?\d){12,18}(?![\dA-Za-z])")
_BEFORE = r"(?<![\w.,/:#-])"
_PHONE = re.compile(
    rf"{_BEFORE}(?:\+|00)\d(?:[ ()/.-]{{0,2}}\d){{6,13}}(?!\w)"
    rf"|{_BEFORE}0\d(?:[ ()/-]{{0,2}}\d){{6,12}}(?![\w.,]\d|\w)"
)
_SHORTEST_IBAN = 15


def is_iban(text: str) -> bool:
    """Whether a text is an IBAN by its checksum."""
    plain = re.sub(r"[ -]", "", text).upper()
    digits = "".join(str(int(each, 36)) for each in plain[4:] + plain[:4])
    return len(plain) >= _SHORTEST_IBAN and int(digits) % 97 == 1


def is_card(text: str) -> bool:
    """Whether a text is the number of a card by its checksum."""
    digits = [int(each) for each in text if each.isdigit()]
    doubled = (sum(divmod(2 * each, 10)) for each in digits[-2::-2])
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _ibans(text: str) -> str:
    """Take IBANs out. Words may stand behind one without a mark between: the longest that is one counts."""

    def without(found: re.Match[str]) -> str:
        whole = found[0]
        for end in range(len(whole), _SHORTEST_IBAN - 1, -1):
            at_border = whole[end - 1].isalnum() and not whole[end : end + 1].isalnum()
            if at_border and is_iban(whole[:end]):
                return f"[iban]{whole[end:]}"
        return whole

    return _IBAN.sub(without, text)


BUILT_IN: Mapping[str, Callable[[str], str]] = {
    "email": lambda text: _EMAIL.sub("[email]", text),
    "iban": _ibans,
    "card": lambda text: _CARD.sub(lambda found: "[card]" if is_card(found[0]) else found[0], text),
    # Last: what is an account's number has been taken out, and is called so.
    "phone": lambda text: _PHONE.sub("[phone]", text),
}


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is taken out: what the built-in names stand for, and patterns of others by their names."""

    names: tuple[str, ...] = tuple(BUILT_IN)
    patterns: Mapping[str, str] = field(default_factory=dict)

    def of(self, text: str, seconds: float = SECONDS) -> str:
        """Put a mark in the place of each. Raises NotRedacted, also after so many seconds. Not for the loop."""
        until = time.monotonic() + seconds
        for name, pattern in self.patterns.items():
            try:
                text = patterns.replaced(pattern, f"[{name}]", text, until - time.monotonic())
            except patterns.TooSlow:
                raise NotRedacted(f"the pattern {name} of MEMORY_REDACT takes too long on it") from None
        for name, without in BUILT_IN.items():
            text = without(text) if name in self.names else text
        return text


def read(said: str) -> Redaction:
    r"""Read a list such as `email, iban, customer=K-\d+`. Raises Permanent, which names what is wrong."""
    if said.strip().lower() == NOTHING:
        return Redaction(names=())
    names, own = list[str](), dict[str, str]()
    for entry in filter(None, map(str.strip, said.split(","))):
        name, has_pattern, pattern = (part.strip() for part in entry.partition("="))
        # So a comma is written here: within {4\x2c6}, too, it is one then.
        pattern = pattern.replace(r"\x2c", ",")
        if has_pattern:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,19}", name) or name in BUILT_IN or name in own:
                raise Permanent(
                    f"{name[:40]!r} is no name for a pattern: a letter, then up to 19 of a-z, 0-9 and _, once"
                )
            if flaw := patterns.flaw(pattern):
                raise Permanent(f"the pattern {name} cannot be used: {flaw}")
            if patterns.is_in(pattern, "", SECONDS):
                raise Permanent(f"the pattern {name} finds nothing as well as something: it would be everywhere")
            own[name] = pattern
        elif name in BUILT_IN:
            names.append(name)
        else:
            raise Permanent(
                f"{name[:40]!r} is unknown; allowed are {', '.join(BUILT_IN)}, name=pattern, or {NOTHING} alone"
            )
    return Redaction(tuple(names), own)
