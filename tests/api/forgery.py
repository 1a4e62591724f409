"""Access tokens as an attacker would make them: put together by hand, because no library makes most of them."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.signing_keys import SigningKey
from domain import ids
from domain.ids import IdKind
from tests.api.application import SIGNING_KEY, Person

# Any: a header or claim may be of any type, and an attacker's mostly is.
Part: TypeAlias = Mapping[str, Any]
Sign: TypeAlias = Callable[[bytes], bytes]

OURS = SigningKey.from_text(SIGNING_KEY)


def good_header(**changes: object) -> dict[str, object]:
    """The header that Florin writes. A change to None leaves the member out."""
    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": OURS.id} | changes
    return {name: value for name, value in header.items() if value is not None}


def good_claims(whose: Person, **changes: object) -> dict[str, object]:
    """The claims that Florin writes, for an hour. A change to None leaves the claim out."""
    now = int(datetime.now(UTC).timestamp())  # noqa: TID251  the server goes by the real time
    claims: dict[str, object] = {
        "iss": "florin",
        "aud": "florin",
        "sub": whose.id,
        "sid": ids.encode(IdKind.SESSION, whose.session.id),
        "iat": now,
        "exp": now + 3600,
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def forged(header: Part, claims: Part, sign: Sign = OURS.private.sign) -> str:
    """A token of these parts, signed with our own key unless told otherwise."""
    signed = b".".join(_base64url(orjson.dumps(part)) for part in (header, claims))
    return b".".join((signed, _base64url(sign(signed)))).decode()


def unsigned(_: bytes) -> bytes:
    return b""


def by_another_key(data: bytes) -> bytes:
    return Ed25519PrivateKey.generate().sign(data)


def by_hmac(secret: bytes) -> Sign:
    """HMAC-SHA-256 with a secret, such as a public key, which is no secret."""
    return lambda data: hmac.digest(secret, data, hashlib.sha256)


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def counted_verifications(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The tokens whose signatures are verified from now on."""
    verified: list[object] = []
    decode = jwt.decode

    # Any: PyJWT's own parameters, passed on.
    def counting(token: str, *arguments: Any, **named: Any) -> Any:
        verified.append(token)
        return decode(token, *arguments, **named)

    monkeypatch.setattr(jwt, "decode", counting)
    return verified
