"""What is deployed at an engine, and how files are deployed together."""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from worker.domain import foreign
from worker.domain.deployments import Bundle, Deployed, Kind, Problem, Versioned
from worker.engine.failures import Reply, describe
from worker.engine.lists import Lists
from worker.engine.transport import Form, Transport
from worker.errors import EngineDown, Refused

MOST_BYTES: Final = 64_000_000
"""Of one file that is read back."""
_KINDS: Final[Mapping[Kind, str]] = {"process": "process-definition", "decision": "decision-definition"}


class NotDeployed(Refused):
    """The engine refuses files; `problems` say which and why, where it does."""

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message)
        self.problems = problems


class RestDeployments:
    """Deploys to one engine. All methods may raise EngineDown."""

    def __init__(self, transport: Transport, lists: Lists) -> None:
        self._transport = transport
        self._lists = lists

    async def latest(self, bundle: Bundle) -> Deployed | None:
        """Return the latest deployment of this name, source and tenant with its files; None where there is none."""
        whose = {"withoutTenantId": "true"} if bundle.tenant is None else {"tenantIdIn": bundle.tenant}
        wanted = {"name": bundle.name, "source": bundle.source, "sortBy": "deploymentTime", "sortOrder": "desc"}
        rows = [row async for row in self._lists.rows("/deployment", wanted | whose, most=1)]
        if not rows:
            return None
        id_ = str(rows[0].get("id"))
        return Deployed(id_, await self._definitions(id_), await self._files(id_))

    async def create(self, bundle: Bundle) -> Deployed:
        """Deploy the files together, unless the latest deployment has them all as they are: then return that one.

        Files are not read back. Raises NotDeployed where the engine does not take them.
        """
        fields = {
            "deployment-name": bundle.name,
            "deployment-source": bundle.source,
            # Not deploy-changed-only: a model finds its schemas and forms in its own deployment alone.
            "enable-duplicate-filtering": "true",
        }
        if bundle.tenant is not None:
            fields["tenant-id"] = bundle.tenant
        reply = await self._transport.upload("/deployment/create", _form(fields, bundle.files))
        if reply.status != HTTPStatus.OK:
            raise NotDeployed(f"the engine does not take them: {describe(reply)}", list(_problems(reply)))
        said = reply.value(dict)
        # Where nothing is new engines name their latest deployment of this name, whosever it is.
        is_ours = (said.get("tenantId"), said.get("source")) == (bundle.tenant, bundle.source)
        if not is_ours and (there := await self.latest(bundle)):
            return there
        id_ = str(said.get("id"))
        return Deployed(id_, await self._definitions(id_))

    async def _definitions(self, deployment: str) -> list[Versioned]:
        return [
            Versioned(kind, str(row.get("key")), row.get("version") or 0, str(row.get("resource")))
            for kind, path in _KINDS.items()
            async for row in self._lists.rows(f"/{path}", {"deploymentId": deployment})
        ]

    async def _files(self, deployment: str) -> dict[str, bytes]:
        path = f"/deployment/{quote(deployment, safe='')}/resources"
        rows = (await self._transport.send("GET", path)).value(list)
        found = {}
        for row in rows:
            content = await self._transport.download(f"{path}/{quote(str(row.get('id')), safe='')}/data", MOST_BYTES)
            if isinstance(content, Reply):
                raise EngineDown(f"what was deployed before cannot be read: {describe(content)}")
            if content is not None:
                found[str(row.get("name"))] = content
        return found


def _form(fields: Mapping[str, str], files: Mapping[str, bytes]) -> Form:
    """Write a form with files: names as they are, in UTF-8, where aiohttp's own form would quote their slashes."""
    boundary = uuid4().hex
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    # By a field's name engines tell files apart, by the file's they call the resource.
    parts += [(f'name="file-{number}"; filename="{name}"', text) for number, (name, text) in enumerate(files.items())]
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    )
    return Form(body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}")


def _problems(reply: Reply) -> Iterator[Problem]:
    """Read what engines say of models that they cannot parse; nothing where it is something else."""
    try:
        said = foreign.read(reply.body.decode(errors="replace"))
    except ValueError:
        return
    details = said.get("details") if isinstance(said, dict) else None
    for file, of_file in (details if isinstance(details, dict) else {}).items():
        rows: Any = of_file.get("errors") if isinstance(of_file, dict) else None
        for row in rows if isinstance(rows, list) else []:
            elements = [each for each in row.get("elementIds") or [] if isinstance(each, str)]
            line = row.get("line")
            said = " ".join(str(row.get("message")).split())
            yield Problem(file, line if isinstance(line, int) else 0, elements, said)
