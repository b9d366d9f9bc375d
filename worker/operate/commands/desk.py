"""What a command works with."""

from typing import TYPE_CHECKING

from worker import settings

if TYPE_CHECKING:  # the adapters behind it take a second, which --help need not pay
    from worker.bootstrap import Adapters


class Desk:
    """A command's settings and adapters."""

    def __init__(self, chosen: settings.Settings, adapters: "Adapters") -> None:
        self.settings = chosen
        self.adapters = adapters
