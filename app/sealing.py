"""The port Sealer, by AES-256-GCM (NIST SP 800-38D). The first key seals, all open."""

import base64
import hashlib
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.identity.second_factor import SealBroken
from domain.ids import UserId

_VERSION = b"\x01"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_BYTES = 8


class AesSealer:
    """What is sealed says by which key, and belongs to one user: in another's row it does not open."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Keys are 32 bytes in base64 each. Raises ValueError, which does not repeat one."""
        decoded = [_key(text) for text in keys]
        if not decoded:
            raise ValueError("There is no key to encrypt with.")
        self._by_id = {_id(key): AESGCM(key) for key in decoded}
        self._first = _id(decoded[0])

    def seal(self, plain: bytes, about: UserId) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._by_id[self._first].encrypt(nonce, plain, about.bytes)
        return _VERSION + self._first + nonce + sealed

    def open(self, sealed: bytes, about: UserId) -> bytes:
        version, rest = sealed[:1], sealed[1:]
        key = self._by_id.get(rest[:_ID_BYTES])
        if version != _VERSION or key is None:
            raise SealBroken("It was sealed with a key that AUTH_ENCRYPTION_KEY does not hold.")
        nonce, content = rest[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], rest[_ID_BYTES + _NONCE_BYTES :]
        try:
            return key.decrypt(nonce, content, about.bytes)
        except InvalidTag:
            raise SealBroken("It was changed, or is about somebody else.") from None


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ValueError("An encryption key is 32 random bytes in base64: make one with `openssl rand -base64 32`.")
    return key


def _id(key: bytes) -> bytes:
    return hashlib.sha256(b"florin encryption key" + key).digest()[:_ID_BYTES]
