"""What operators do on the command line: `threads …`, `transcript …`, `files …`, and `stop`, `resume`, `stops`.

Importing this costs nothing: the adapters are imported when a command runs.
"""

from worker.operate.commands.options import add_to

__all__ = ["add_to"]
