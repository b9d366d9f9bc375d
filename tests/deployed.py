"""What files that start a worker tell it, held against what it can be told."""

from collections.abc import Collection, Mapping

from worker.settings import Settings

FILE = "_FILE"
"""A secret may come from a file: its setting's name with this behind it, and the file's path."""

MARGIN_SECONDS = 15
"""What is given beyond GRACE_SECONDS: connections are closed and the last lines are written then."""

WITHIN = {
    "engine_password": "secret",
    "engine_token": "secret",
    "openai_api_key": "secret",
    "redis_url": "redis://valkey:6379/0",
    "transcript_url": "postgresql://assistant@postgres/assistant",
    "api_tokens": '{"secret": "operator"}',
}
"""What may stand in the files."""


def unknown(names: Collection[str]) -> list[str]:
    """Names that are neither a setting's nor a secret's file's."""
    ours = {name.upper() for name in Settings.model_fields} | {f"{name.upper()}{FILE}" for name in WITHIN}
    return sorted(set(names) - ours)


def read(told: Mapping[str, str]) -> Settings:
    """The settings that a worker makes of this, with something that fits in each secret's file. May raise."""
    files = {f"{name}{FILE}".lower(): {name: text} for name, text in WITHIN.items()}
    here: dict[str, str] = {}
    for name, text in told.items():
        here |= files.get(name.lower(), {name.lower(): text}) if text else {}
    return Settings.model_validate(here)
