"""Which version of the worker this is."""

from importlib.metadata import version
from typing import Final

VERSION: Final = version("assistant-worker")
USER_AGENT: Final = f"assistant-worker/{VERSION}"
