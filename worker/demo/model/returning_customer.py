"""The step of the sample customer: a complaint is settled, by what is remembered of earlier ones if there is any."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

Inputs = Mapping[str, str]
Said = Sequence[str]

FIRST: Final = "a technician puts rubber mounts under the heat pump within a week, free of charge"
AGAIN: Final = "a technician replaces the bearing of the fan within three days, free of charge"


def settle(inputs: Inputs, _said: Said) -> str:
    """A settlement with its reason, and what of it was known before."""
    before = re.findall(r"Settlement: ([^\n]+?)\.?$", inputs.get("Remembered from before", ""), re.MULTILINE)
    known = [f"- {each}." for each in before] or ["- Nothing: this customer has not been here before."]
    why = (
        "The mounts were put in after the earlier complaint, and the noise is back: so it does not come from the "
        "ground. The customer need not explain it again."
        if before
        else "The noise comes at night and through the wall, as it does where a heat pump stands without mounts."
    )
    settlement = AGAIN if before else FIRST
    return "\n\n".join([f"Settlement: {settlement}.", why, "## Known before", "\n".join(known)])


STEPS: Final[Mapping[str, Callable[[Inputs, Said], str]]] = {r"^Settle the complaint$": settle}
"""The step by its heading."""
