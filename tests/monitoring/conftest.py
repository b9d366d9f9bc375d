"""A Prometheus that scrapes workers and evaluates the alert rules."""

from tests.flow.conftest import rig

__all__ = ["rig"]
