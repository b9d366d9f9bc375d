"""Keys by which a record's rows are signed: Ed25519. Pure.

A row that is signed has `signed` beside what is hashed: the key's id, its public key, and two signatures, of the row's
hash and of the content's. So what was signed is what the chain says, and who reads the row alone can check it, too.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from worker.errors import Permanent

_ID_DIGITS: Final = 16

Row = Mapping[str, Any]
PublicKeys = Mapping[str, bytes]
"""Public keys, 32 bytes each, by their ids."""


class SigningKey:
    """A private key. `id` and `public` are those of its public half."""

    def __init__(self, private: Any) -> None:
        self._private = private
        self.public: bytes = private.public_key().public_bytes_raw()
        self.id = key_id(self.public)

    def sign(self, row: Row) -> dict[str, Any]:
        """Return the row with what it is signed by."""
        of_row, of_content = (base64.b64encode(self._private.sign(each)).decode() for each in _messages(row))
        public = base64.b64encode(self.public).decode()
        return {**row, "signed": {"key": self.id, "public_key": public, "row": of_row, "content": of_content}}


def key_id(public: bytes) -> str:
    """Name a key: 16 hex digits of its public half's SHA-256."""
    return hashlib.sha256(public).hexdigest()[:_ID_DIGITS]


def read_private(pem: str) -> SigningKey:
    """Read a private key of PKCS #8. Raises Permanent, which quotes none of it, and where cryptography is missing."""
    with _needed():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    try:
        private: Any = load_pem_private_key(pem.encode(errors="surrogatepass"), password=None)
    except Exception:  # noqa: BLE001 - it raises many kinds, and a text of it may quote the key
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise Permanent("must be a private Ed25519 key in PEM, without a password: openssl genpkey -algorithm ed25519")
    return SigningKey(private)


def read_public(pem: str) -> tuple[str, bytes]:
    """Read a public key; returns its id with it. Raises Permanent as above."""
    with _needed():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    try:
        public: Any = load_pem_public_key(pem.encode(errors="surrogatepass"))
    except Exception:  # noqa: BLE001 - as above
        public = None
    if not isinstance(public, Ed25519PublicKey):
        raise Permanent("must be a public Ed25519 key in PEM: openssl pkey -in record-key.pem -pubout")
    raw = public.public_bytes_raw()
    return key_id(raw), raw


def flaw(row: Row, known: PublicKeys) -> str:
    """Say what is wrong with a row's signature; empty if nothing is. Raises Permanent where cryptography is missing.

    A key that is not `known` is taken as it stands there: then the signature is good if its holder made it, whoever
    that is.
    """
    with _needed():
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    said = row["signed"]
    try:
        named, brought = str(said["key"]), base64.b64decode(said["public_key"], validate=True)
        signatures = [base64.b64decode(said[each], validate=True) for each in ("row", "content")]
        if key_id(brought) != named:
            return f"its key {named[:_ID_DIGITS]} has another id than its public key"
        public = Ed25519PublicKey.from_public_bytes(known.get(named, brought))
        for signature, message in zip(signatures, _messages(row), strict=True):
            public.verify(signature, message)
    except InvalidSignature:
        return f"it is not what the key {named} signed"
    except (KeyError, TypeError, ValueError, binascii.Error):
        return "its signature cannot be read"
    return ""


def _messages(row: Row) -> Iterator[bytes]:
    """Say what is signed: the row's hash, which is over all of it, and the content's, each as what it is."""
    yield f"decision-record/1 row {row['row_sha256']}".encode()
    yield f"decision-record/1 content {row['record']} {row['revision']} {row['content_sha256']}".encode()


@contextmanager
def _needed() -> Iterator[None]:
    try:
        yield
    except ImportError as exc:
        raise Permanent(
            f"signatures need cryptography, and {exc.name} is missing: pip install 'assistant-worker[oidc]' has it"
        ) from exc
