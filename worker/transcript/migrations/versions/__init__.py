"""One file for each step, whose functions are given Alembic's operations; a released step never changes."""
