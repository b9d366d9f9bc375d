"""Links that come with what somebody says. Neither worker nor provider ever follows them, and no log has them."""

from typing import Annotated

from pydantic import Field

from worker.domain.conversations import MOST_ATTACHMENTS

LONGEST_LINK = 2048
# Without user and password, and with nothing in it that browsers would read as another host.
LINK = r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?#][!-\[\]-~]*)?$"

Link = Annotated[str, Field(max_length=LONGEST_LINK, pattern=LINK)]
Links = Annotated[list[Link], Field(max_length=MOST_ATTACHMENTS)]
