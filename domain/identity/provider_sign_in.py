"""Sign in by an identity provider: what the browser brings back, and how a frontend gets its tokens for it.

The browser comes back to the frontend with a code, which is good once, for a minute, and only for whoever knows the verifier
that the sign-in was begun with (RFC 7636, between the frontend and Florin this time). So neither the browser's history nor a log
holds anything that lets somebody in, and nobody can be made to sign in as somebody else by a link.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from domain.audit import AuditAction, AuditEntry
from domain.errors import InvalidToken
from domain.identity.admit_person import AdmitPerson
from domain.identity.one_time import can_be_token, digest_of, new_token
from domain.identity.open_session import OpenSession
from domain.identity.providers import Vouched
from domain.identity.sessions import OpenedSession
from domain.identity.sign_in_codes import SignInCode
from domain.ids import IdKind, encode
from domain.ports import Clock, IdSource, UnitsOfWork

CODE_MARK = "florin_code_"
LIFETIME = timedelta(minutes=1)
"""A frontend exchanges a code as soon as its page is loaded."""

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSignIn:
    """A browser's way to a provider and back. `state`, `nonce` and `verifier` are fresh for each, and secret."""

    redirect_uri: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


class SignInProvider(Protocol):
    """A provider that people sign in with (OpenID Connect Core 1.0, by authorization code with PKCE)."""

    async def address(self, sign_in: ProviderSignIn) -> str:
        """Where the browser goes. Raises Unavailable."""
        ...

    async def person(self, sign_in: ProviderSignIn, code: str, issuer: str | None) -> Vouched:
        """Who came back with a code. `issuer` is what the answer says of itself (RFC 9207).

        Raises Unauthenticated or Unavailable.
        """
        ...


def is_challenge(text: str) -> bool:
    """Whether a text can be the challenge of a verifier by S256 (RFC 7636, section 4.2)."""
    return _CHALLENGE.fullmatch(text) is not None


class WelcomePerson:
    """The act when a browser comes back from a provider."""

    def __init__(self, *, units: UnitsOfWork, clock: Clock, admit: AdmitPerson) -> None:
        self._units = units
        self._clock = clock
        self._admit = admit

    async def __call__(self, vouched: Vouched, challenge: str) -> str:
        """The code for the frontend. Raises NotAdmitted."""
        holder = await self._admit(vouched)
        code, now = new_token(CODE_MARK), self._clock.now()
        stored = SignInCode(
            digest=digest_of(code),
            user_id=holder.user_id,
            provider=vouched.provider,
            challenge=challenge,
            second_factor=vouched.second_factor,
            expires_at=now + LIFETIME,
        )
        async with self._units.begin() as uow:
            await uow.sign_in_codes.add(stored, now)
        return code


class ExchangeSignInCode:
    """The act behind the mutation signInWithProvider."""

    def __init__(self, *, units: UnitsOfWork, open_session: OpenSession, clock: Clock, ids: IdSource) -> None:
        self._units = units
        self._open_session = open_session
        self._clock = clock
        self._ids = ids

    async def __call__(self, code: str, verifier: str, *, address: str, client: str | None) -> OpenedSession:
        """A new session. Raises InvalidToken; the code is used up then too, if it was one."""
        refused = InvalidToken(
            "The code does not hold: it was used before, or is over a minute old.", path=("input", "code")
        )
        if not can_be_token(code, CODE_MARK):
            raise refused
        # The refusal is raised when the unit of work has committed: a code that was tried must stay used up.
        async with self._units.begin() as uow:
            now = self._clock.now()
            found = await uow.sign_in_codes.take(digest_of(code), now)
            locked = None if found is None or not _belongs(verifier, found.challenge) else found
            # Under lock, or else a user who is disabled at this moment would keep the session.
            user = None if locked is None else await uow.users.lock(locked.user_id)
            opened = None
            if locked is not None and user is not None and user.disabled_at is None:
                opened = await self._open_session(uow, user.id, client=client, second_factor=locked.second_factor)
                details = {
                    "sessionId": encode(IdKind.SESSION, opened.session.id),
                    "address": address,
                    "provider": locked.provider,
                }
                started = AuditEntry.by_person(
                    user.id, AuditAction.SESSION_STARTED, new_id=self._ids.new(), details=details, at=now
                )
                await uow.audit.append(started)
        if opened is None:
            raise refused
        return opened


def _belongs(verifier: str, challenge: str) -> bool:
    if _VERIFIER.fullmatch(verifier) is None:
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return hmac.compare_digest(digest, challenge)
