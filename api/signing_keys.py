"""The keys that sign access tokens: Ed25519 (RFC 8032), of which the newest signs and all verify (RFC 7517, section 5)."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ALGORITHM = "EdDSA"
ALWAYS = datetime.min.replace(tzinfo=UTC)
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key. It signs from `signs_from` on, unless a later one does by then; it verifies for as long as it is there."""

    private: Ed25519PrivateKey = field(repr=False, compare=False)
    signs_from: datetime = ALWAYS
    public: Ed25519PublicKey = field(init=False, repr=False, compare=False)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        public = self.private.public_key()
        object.__setattr__(self, "public", public)
        # The thumbprint of RFC 7638: the members that make the key, in the order of their names.
        members = f'{{"crv":"Ed25519","kty":"OKP","x":"{_x(public)}"}}'
        object.__setattr__(self, "id", _base64url(hashlib.sha256(members.encode()).digest()))

    @classmethod
    def from_text(cls, text: str, signs_from: datetime = ALWAYS) -> "SigningKey":
        """A key from 32 bytes in base64 (either alphabet). Raises ValueError, which does not repeat the text."""
        try:
            standard = text.replace("-", "+").replace("_", "/")
            seed = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        except ValueError:
            seed = b""
        if len(seed) != _KEY_BYTES:
            raise ValueError("A signing key is 32 random bytes in base64: make one with `openssl rand -base64 32`.")
        return cls(Ed25519PrivateKey.from_private_bytes(seed), signs_from)

    def as_jwk(self) -> dict[str, str]:
        """The public half, as RFC 8037 writes it."""
        return {"kty": "OKP", "crv": "Ed25519", "x": _x(self.public), "kid": self.id, "use": "sig", "alg": ALGORITHM}


class KeySet:
    """Keys of which one signs and all verify."""

    def __init__(self, keys: Iterable[SigningKey]) -> None:
        """Raises ValueError for none at all. Of keys that sign from the same moment the first one signs."""
        self.keys = tuple(keys)
        if not self.keys:
            raise ValueError("There is no signing key.")
        self._by_id: Mapping[str, SigningKey] = {key.id: key for key in self.keys}

    def find(self, key_id: object) -> SigningKey | None:
        return self._by_id.get(key_id) if isinstance(key_id, str) else None

    def signing(self, now: datetime) -> SigningKey:
        """The key that signs now: the latest of those whose time has come, or else the one whose time comes first."""
        begun = [key for key in self.keys if key.signs_from <= now]
        if begun:
            return max(begun, key=lambda key: key.signs_from)
        return min(self.keys, key=lambda key: key.signs_from)


KeySource: TypeAlias = Callable[[], KeySet]
"""The keys as they are now: those in a file may change while the program runs."""


def fixed_keys(*texts: str) -> KeySource:
    """Keys that do not change: the first signs. Raises ValueError."""
    keys = KeySet([SigningKey.from_text(text) for text in texts])
    return lambda: keys


def _x(public: Ed25519PublicKey) -> str:
    return _base64url(public.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
