"""A record as JSON that fits its published schema, and can be verified where it came to. Pure."""

import json
from collections.abc import Mapping
from typing import Any


def write(record: Mapping[str, Any]) -> bytes:
    """Write all that is kept of a record: what is hashed, the texts beside it, and its rows if it has them."""
    return json.dumps(record, indent=1).encode() + b"\n"
