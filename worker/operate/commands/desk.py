"""What a command works with."""

import getpass
import socket
from typing import TYPE_CHECKING

from worker import settings

if TYPE_CHECKING:  # the adapters behind it take a second, which --help need not pay
    from worker.bootstrap import Adapters


class Desk:
    """A command's settings and adapters."""

    def __init__(self, chosen: settings.Settings, adapters: "Adapters") -> None:
        self.settings = chosen
        self.adapters = adapters


def me() -> str:
    """Name who gives an order, for those who see it later."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "somebody"
    return f"{user} on {socket.gethostname()}"
