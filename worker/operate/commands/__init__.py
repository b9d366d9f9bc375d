"""What operators do with conversations on the command line: `threads …` and `transcript …`.

Importing this costs nothing: the adapters are imported when a command runs.
"""

from worker.operate.commands.options import add_to

__all__ = ["add_to"]
