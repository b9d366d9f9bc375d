"""The tables of an empty record, made by the same statements without working them out anew.

Alembic builds and compiles each statement of every step: a third of a second, of which the database needs a tenth. A
worker does it once in its life, tests do it thousands of times.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, event, inspect

Statement = tuple[str, Any]
Upgrade = Callable[[Connection], None]


class Remembered:
    """Upgrades as `upgrade` does; what made the tables of the first empty database of a kind makes those of later ones.

    `made` has these statements by the names of dialects.
    """

    def __init__(self, upgrade: Upgrade, made: dict[str, list[Statement]]) -> None:
        self._upgrade = upgrade
        self._made = made

    def __call__(self, connection: Connection) -> None:
        """Bring the tables up to date; see `worker.transcript.steps.upgrade`."""
        if inspect(connection).get_table_names():
            self._upgrade(connection)
        elif known := self._made.get(connection.dialect.name):
            for statement, parameters in known:
                connection.exec_driver_sql(statement, parameters or None)
        else:
            self._made[connection.dialect.name] = self._watched(connection)

    def _watched(self, connection: Connection) -> list[Statement]:
        done: list[Statement] = []

        def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
            if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
                done.append((statement, parameters))

        event.listen(connection, "before_cursor_execute", note)
        try:
            self._upgrade(connection)
        finally:
            event.remove(connection, "before_cursor_execute", note)
        return done
