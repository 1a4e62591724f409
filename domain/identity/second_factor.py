"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes for whoever has lost it."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import pyotp

from domain.identity.one_time import TokenDigest
from domain.ids import SessionId, UserId

SECRET_BYTES = 20
"""As long as the output of the hash, which RFC 4226 (section 4, R6) recommends."""

STEP_SECONDS = 30
DRIFT_STEPS = 1
"""How many steps a code may be early or late: clocks differ, and people take their time (RFC 6238, section 5.2)."""

RECOVERY_CODES = 10
_RECOVERY_BYTES = 15
_DIGITS = 6


class Sealer(Protocol):
    """Encrypts what must be read again, with a key that is not in the database."""

    def seal(self, plain: bytes, about: UserId) -> bytes: ...

    def open(self, sealed: bytes, about: UserId) -> bytes:
        """Raises SealBroken for what was sealed about somebody else, with a key that is gone, or changed since."""
        ...


class SealBroken(Exception):
    """What was sealed cannot be opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor:
    """A second factor as stored. It counts once it is confirmed; `last_step` is that of the last code that was taken."""

    user_id: UserId
    sealed_secret: bytes = field(repr=False)
    created_at: datetime
    confirmed_at: datetime | None = None
    last_step: int = -1


@dataclass(frozen=True, slots=True)
class NewSecondFactor:
    """A second factor to set up: its secret in base 32, and the same as an address for a QR code."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class SecondFactorRepository(Protocol):
    """Second factors and recovery codes. The user's row is locked before any of them is changed."""

    async def find(self, user_id: UserId) -> SecondFactor | None: ...

    async def put(self, factor: SecondFactor) -> None:
        """Store a factor, in the place of one that was not confirmed."""
        ...

    async def confirm(self, user_id: UserId, at: datetime, step: int) -> None: ...

    async def take_step(self, user_id: UserId, step: int) -> bool:
        """Note the step of a code; False where that or a later one was taken before."""
        ...

    async def remove(self, user_id: UserId) -> None:
        """Remove the factor and its recovery codes."""
        ...

    async def put_codes(self, user_id: UserId, digests: list[TokenDigest]) -> None: ...

    async def take_code(self, user_id: UserId, digest: TokenDigest) -> bool:
        """Use a recovery code up; False where there is none such."""
        ...

    async def mark_session(self, session_id: SessionId, *, second_factor: bool) -> None:
        """Note whether whoever holds a session has proved the second factor."""
        ...


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes, *, account: str, issuer: str) -> NewSecondFactor:
    """A secret as authenticator apps take it."""
    text = base64.b32encode(secret).decode()
    return NewSecondFactor(text, pyotp.TOTP(text).provisioning_uri(name=account, issuer_name=issuer))


def step_of(secret: bytes, code: str, now: datetime) -> int | None:
    """The step that a code is of, if it is one of now; every candidate is compared, so that the time tells nothing."""
    totp = pyotp.TOTP(base64.b32encode(secret).decode(), digits=_DIGITS, interval=STEP_SECONDS)
    current = int(now.timestamp()) // STEP_SECONDS
    found = None
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            found = step
    return found


def is_totp_code(code: str) -> bool:
    return len(code) == _DIGITS and code.isascii() and code.isdigit()


def new_recovery_codes() -> list[str]:
    """Codes of 120 random bits each, in groups that can be copied by hand."""
    texts = (base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES))
    return ["-".join(text[n : n + 6] for n in range(0, len(text), 6)) for text in texts]


def recovery_digest(code: str) -> TokenDigest:
    """What is stored of a recovery code. With 112 bits or more a plain hash is right (NIST SP 800-63B, section 3.1.2.2)."""
    return TokenDigest(hashlib.sha256(tidied(code).encode("utf-8", "replace")).digest())


def tidied(code: str) -> str:
    """A code as it is compared: without the spaces and dashes that people copy or leave out."""
    return "".join(code.upper().replace("-", "").split())
