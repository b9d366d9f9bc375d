"""Files that the demo reads and that have their place elsewhere in a checkout; the wheel has them beside this one."""

from importlib import resources
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
"""The checkout, or the folder that packages are installed in: with it in PYTHONPATH, Python finds this package."""


def path(name: str, in_checkout: str) -> Path:
    """Where an installed package has `name`; if there is none, the place below a checkout's root."""
    installed = resources.files(__package__) / name
    return installed if isinstance(installed, Path) and installed.exists() else ROOT / in_checkout


BPMN: Final = path("bpmn", "bpmn")
"""A folder for each process application, and one of their assistants."""
SMALL_MODEL: Final = path("small-model.txt", "docker/requirements/small-model.txt")
"""Pins of the small model."""
