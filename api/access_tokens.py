"""Access tokens: short signed statements of who somebody is (JWT, RFC 9068; EdDSA over Ed25519, RFC 8037).

A token says who, and by which session, never what they may do: user and session are read at each request, so that a changed
role or a revoked session counts at once.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt

from api.signing_keys import ALGORITHM, KeySource
from domain import ids
from domain.errors import Unauthenticated
from domain.identity.verified_tokens import VerifiedTokens
from domain.ids import IdKind, SessionId, UserId
from domain.ports import Clock

LIFETIME = timedelta(minutes=15)
"""How long a token lives that a person gets. It bounds for how long a stolen one is of use to whoever is not seen."""

_TYPE = "at+jwt"
_TOKEN_LENGTH_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConfig:
    """With which keys tokens are signed and verified, and what stands in them as issuer and audience."""

    keys: KeySource
    issuer: str = "florin"
    audience: str = "florin"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says that holds: whose it is, and to which of their sessions it belongs."""

    user_id: UserId
    session_id: SessionId


@dataclass(frozen=True, slots=True)
class _Verified:
    """What a token said whose signature held, and by which of our keys."""

    claims: Claims
    key_id: str


class AccessTokens:
    """Issues and verifies access tokens.

    A signature is verified once, which takes longer than most of what a request takes: what the token said is remembered, and
    holds for as long as the token has not expired and its key is among ours.
    """

    def __init__(self, config: TokenConfig, clock: Clock) -> None:
        self._verified = VerifiedTokens[_Verified]()
        self._keys = config.keys
        self._issuer = config.issuer
        self._audience = config.audience
        self._clock = clock

    def issue(self, user_id: UserId, session_id: SessionId, expires_at: datetime) -> str:
        """A token of a session. `expires_at` is the token's own end, to the second; the session's may come before it."""
        now = self._clock.now()
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": ids.encode(IdKind.USER, user_id),
            "sid": ids.encode(IdKind.SESSION, session_id),
            "iat": now,
            "exp": expires_at,
        }
        key = self._keys().signing(now)
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"typ": _TYPE, "kid": key.id})

    def verify(self, token: str) -> Claims:
        """What a token says. Raises Unauthenticated without saying which of its parts was wrong.

        Nothing that a token says of itself is believed before its signature holds, except which of our keys to try: the
        algorithm is ours (RFC 8725, section 3.1), and a key's id is only looked up among those we have.
        """
        # By the same clock as PyJWT.
        remembered = self._verified.find(token, time.time())
        if remembered is not None and self._keys().find(remembered.key_id) is not None:
            return remembered.claims
        verified, expires_at = self._verify(token)
        self._verified.keep(token, verified, expires_at)
        return verified.claims

    def _verify(self, token: str) -> tuple[_Verified, int]:
        try:
            if len(token) > _TOKEN_LENGTH_MAX:
                raise Unauthenticated
            header = jwt.get_unverified_header(token)
            key = self._keys().find(header.get("kid"))
            if key is None or header.get("typ") != _TYPE:
                raise Unauthenticated
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["exp", "iat", "sub", "sid", "iss", "aud"]},
            )
            user_id = ids.decode_as(IdKind.USER, str(claims["sub"]))
            session_id = ids.decode_as(IdKind.SESSION, str(claims["sid"]))
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise Unauthenticated from error
        if user_id is None or session_id is None:
            raise Unauthenticated
        # As PyJWT reads it: a number of seconds, however it was written.
        return _Verified(Claims(UserId(user_id), SessionId(session_id)), key.id), int(claims["exp"])

    def published(self) -> dict[str, object]:
        """The keys that verify, as a JWK Set (RFC 7517): the public halves, for whoever else is to trust these tokens."""
        return {"keys": [key.as_jwk() for key in self._keys().keys]}
