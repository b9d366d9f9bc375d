"""What an issuer publishes: the keys that its tokens are signed with, and where people log in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import jwt

from worker.domain.people import Endpoints

ALGORITHMS: Final = ("RS256", "ES256")
"""What is unsigned, or signed with a secret that both sides know, is none of these: a public key is no secret."""
SHORTEST_RSA: Final = 2048
"""Bits."""
MOST_KEYS: Final = 100


@dataclass(frozen=True, slots=True)
class Published:
    """Keys by their names; a key without a name is there under None."""

    keys: Mapping[str | None, jwt.PyJWK]
    endpoints: Endpoints

    @classmethod
    def read(cls, said: Mapping[str, Any], endpoints: Endpoints) -> Self:
        """Read a set of keys (RFC 7517). What is for another purpose than ours, or cannot be read, is left out."""
        listed = said.get("keys")
        rows = listed[:MOST_KEYS] if isinstance(listed, list) else []
        keys = [key for row in rows if isinstance(row, dict) and (key := _key(row)) is not None]
        return cls({key.key_id: key for key in keys}, endpoints)


def _key(row: dict[str, Any]) -> jwt.PyJWK | None:
    if row.get("use", "sig") != "sig" or not isinstance(row.get("kid"), str | None):
        return None
    try:
        key = jwt.PyJWK(row)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    is_short = row.get("kty") == "RSA" and key.key.key_size < SHORTEST_RSA
    return key if key.algorithm_name in ALGORITHMS and not is_short else None
