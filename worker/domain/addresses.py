"""Addresses that people write, taken apart."""

import re
from urllib.parse import SplitResult, urlsplit


def split_http(address: str) -> SplitResult | None:
    """Take an address of HTTP apart; None for what is none, whose parts an error text of urllib would quote."""
    try:
        parts = urlsplit(address.strip())
        parts.port  # noqa: B018 - it is parsed on access only
    except ValueError:
        return None
    usable = parts.scheme in {"http", "https"} and parts.hostname and not re.search(r"\s", address.strip())
    return parts if usable else None
