"""What was made of assistants' files at a provider: one hash for each engine and provider, without an expiry."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import quote

import structlog

from worker.domain import foreign
from worker.domain.file_stores import FileStore, Kept, Upload
from worker.domain.providers import ProviderSpec
from worker.errors import NewerRecord
from worker.redis.connect import Client
from worker.redis.keys import stem
from worker.redis.runner import Runner, ms
from worker.telemetry.logs import Event

SCHEMA: Final = 1
STORE, UPLOAD = "store", "file"

log = structlog.get_logger()


class RedisFileStores:
    """Implements `ports.file_stores.StoreBook`. `spec` says by which key the provider is asked now."""

    def __init__(self, redis: Client, *, prefix: str, engine: str, spec: Callable[[], ProviderSpec]) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._prefix = prefix
        self._spec = spec
        self._name = f"{stem(prefix, engine)}:files:{quote(spec().name, safe='')}"

    @property
    def account(self) -> str:
        """See `ports.file_stores.StoreBook.account`."""
        return self._spec().account(self._prefix)

    async def everything(self) -> Kept:
        """See `ports.file_stores.StoreBook.everything`."""
        rows = await self._runner.command(self._redis.hgetall(self._name))
        read = [_read(str(field), str(text)) for field, text in sorted(rows.items())]
        stores = [each for each in read if isinstance(each, FileStore)]
        uploads = [each for each in read if isinstance(each, Upload)]
        return Kept(tuple(sorted(stores, key=lambda each: each.made_at)), tuple(uploads))

    async def store(self, digest: str) -> FileStore | None:
        """See `ports.file_stores.StoreBook.store`."""
        return cast("FileStore | None", await self._get(f"{STORE}:{self.account}:{digest}"))

    async def upload(self, sha256: str) -> Upload | None:
        """See `ports.file_stores.StoreBook.upload`."""
        return cast("Upload | None", await self._get(f"{UPLOAD}:{self.account}:{sha256}"))

    async def begin(self, store: FileStore) -> FileStore:
        """See `ports.file_stores.StoreBook.begin`."""
        return cast("FileStore", await self._begin(store))

    async def begin_upload(self, upload: Upload) -> Upload:
        """See `ports.file_stores.StoreBook.begin_upload`."""
        return cast("Upload", await self._begin(upload))

    async def note(self, entry: FileStore | Upload) -> None:
        """See `ports.file_stores.StoreBook.note`."""
        await self._runner.command(self._redis.hset(self._name, _field(entry), _written(entry)))

    async def forget(self, entry: FileStore | Upload) -> bool:
        """See `ports.file_stores.StoreBook.forget`."""
        return bool(await self._runner.run("forget_field", [self._name], _field(entry), _written(entry)))

    async def lock(self, token: str, lease: timedelta) -> bool:
        """See `ports.file_stores.StoreBook.lock`."""
        return bool(await self._runner.run("reserve", [f"{self._name}:lock"], "files", token, ms(lease)))

    async def renew(self, token: str, lease: timedelta) -> bool:
        """See `ports.file_stores.StoreBook.renew`."""
        return bool(await self._runner.run("renew", [f"{self._name}:lock"], token, ms(lease)))

    async def unlock(self, token: str) -> None:
        """See `ports.file_stores.StoreBook.unlock`."""
        await self._runner.run("renew", [f"{self._name}:lock"], token, 1)

    async def _get(self, field: str) -> FileStore | Upload | None:
        text = await self._runner.command(self._redis.hget(self._name, field))
        return None if text is None else _read(field, str(text))

    async def _begin(self, entry: FileStore | Upload) -> FileStore | Upload:
        field = _field(entry)
        if await self._runner.command(self._redis.hsetnx(self._name, field, _written(entry))):
            return entry
        if (known := await self._get(field)) is not None:
            return known
        await self.note(entry)  # what stood there nobody can have written, or it went meanwhile
        return entry


def _field(entry: FileStore | Upload) -> str:
    match entry:
        case FileStore():
            return f"{STORE}:{entry.account}:{entry.digest}"
        case Upload():
            return f"{UPLOAD}:{entry.account}:{entry.sha256}"


def _written(entry: FileStore | Upload) -> str:
    said: dict[str, Any] = {"schema": SCHEMA, "id": entry.id}
    match entry:
        case FileStore():
            at = entry.made_at.isoformat()
            said |= {"leaving": entry.leaving} if entry.leaving else {}
            said |= {"mark": entry.mark, "files": entry.files, "made_at": at, "ready": entry.ready}
        case Upload():
            said |= {"name": entry.name}
    return json.dumps(said)


def _read(field: str, text: str) -> FileStore | Upload | None:
    """Read an entry; None, with a line in the log, for what nobody can have written. Raises NewerRecord."""
    try:
        kind, account, digest = field.split(":")
        said = foreign.read(text)
        if isinstance(said, dict) and isinstance(said.get("schema"), int) and said["schema"] > SCHEMA:
            raise NewerRecord(f"what is known of {field}")
        if kind == UPLOAD:
            return Upload(digest, str(said["name"]), account, str(said["id"]))
        files = tuple((str(name), str(sha256)) for name, sha256 in said["files"])
        at = datetime.fromisoformat(said["made_at"]).astimezone(UTC)
        return FileStore(
            digest,
            str(said["mark"]),
            account,
            files,
            at,
            str(said["id"]),
            said["ready"] is True,
            str(said.get("leaving", "")),
        )
    except (ValueError, TypeError, KeyError) as exc:
        log.error(Event.RECORD_CORRUPT, reason=f"what is known of the files {field}: {type(exc).__name__}")
        return None
