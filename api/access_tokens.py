"""Access tokens: short signed statements of who somebody is (JWT, RFC 9068; EdDSA over Ed25519, RFC 8037).

A token says who, never what they may do: the role is read from the database at each request, so that a change counts at once.
"""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain import ids
from domain.errors import Unauthenticated
from domain.ids import IdKind, UserId
from domain.ports import Clock

_ALGORITHM = "EdDSA"
_TYPE = "at+jwt"
_KEY_BYTES = 32
_TOKEN_LENGTH_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConfig:
    """`signing_key` is 32 bytes in base64 (either alphabet): the private key of Ed25519. Raises ValueError for anything else."""

    signing_key: str = field(repr=False)
    issuer: str = "florin"
    audience: str = "florin"

    def private_key(self) -> Ed25519PrivateKey:
        try:
            text = self.signing_key.replace("-", "+").replace("_", "/")
            seed = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            seed = b""
        if len(seed) != _KEY_BYTES:
            raise ValueError("The signing key is 32 random bytes in base64: make one with `openssl rand -base64 32`.")
        return Ed25519PrivateKey.from_private_bytes(seed)


class AccessTokens:
    """Issues and verifies access tokens with one key."""

    def __init__(self, config: TokenConfig, clock: Clock) -> None:
        self._private_key = config.private_key()
        self._public_key = self._private_key.public_key()
        public = self._public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._key_id = hashlib.sha256(public).hexdigest()[:16]
        self._issuer = config.issuer
        self._audience = config.audience
        self._clock = clock

    def issue(self, user_id: UserId, lifetime: timedelta) -> str:
        now = self._clock.now()
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": ids.encode(IdKind.USER, user_id),
            "iat": now,
            "exp": now + lifetime,
        }
        return jwt.encode(claims, self._private_key, algorithm=_ALGORITHM, headers={"typ": _TYPE, "kid": self._key_id})

    def verify(self, token: str) -> UserId:
        """Whose token it is. Raises Unauthenticated without saying which of its parts was wrong."""
        try:
            if len(token) > _TOKEN_LENGTH_MAX:
                raise Unauthenticated
            header = jwt.get_unverified_header(token)
            if header.get("typ") != _TYPE or header.get("kid") != self._key_id:
                raise Unauthenticated
            claims = jwt.decode(
                token,
                self._public_key,
                algorithms=[_ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
            user_id = ids.decode_as(IdKind.USER, str(claims["sub"]))
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise Unauthenticated from error
        if user_id is None:
            raise Unauthenticated
        return UserId(user_id)
