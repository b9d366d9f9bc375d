"""A question taken apart, as an assistant would read it."""

import re
import textwrap
from collections.abc import Mapping

from tests.flow.rig import Rig


def inputs(question: str) -> Mapping[str, str]:
    """The inputs in their order: by name what stands under it. The name's type is left out."""
    _, _, section = question.partition("\n## Inputs\n")
    found = re.findall(r"^### (\S+)(?: \(\w+\))?$\n\n((?:    .*\n?|\n)+)", section, re.MULTILINE)
    return {name: textwrap.dedent(value).strip("\n") for name, value in found}


def about(rig: Rig, title: str) -> list[str]:
    """What was asked under this heading, in order."""
    return [question for question in rig.questions() if question.startswith(f"# {title}\n")]
