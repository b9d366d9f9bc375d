"""The command that exports takes the formats that there are."""

import argparse

import pytest

from worker.export import FORMATS
from worker.operate.commands import options


@pytest.mark.parametrize("name", FORMATS)
def test_export_takes_each_format(name: str) -> None:
    parser = argparse.ArgumentParser()
    options.add_to(parser.add_subparsers())

    assert parser.parse_args(["threads", "export", "instance-1", "--format", name]).format == name


def test_export_takes_no_other_format() -> None:
    assert tuple(FORMATS) == options.FORMATS
