"""Mails that wait to be sent. They are stored with what caused them, and sent by the worker, so that a crash loses none.

What is stored is whom a mail is for and what it is about, never its text: the token in it is made when it is sent, and kept as a
hash, so that nobody who reads the database can use it.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from domain.ids import MailId, SignUpId, UserId

GIVEN_UP_AFTER = timedelta(hours=24)
"""How long a mail is tried to be sent. Who waits for it has asked again by then."""


class MailKind(StrEnum):
    """What a mail is about."""

    SIGN_UP = "SIGN_UP"
    EMAIL_VERIFICATION = "EMAIL_VERIFICATION"
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105  a kind, and no password
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105  as above


class MailState(StrEnum):
    """Where a mail stands. SKIPPED is one that there was nothing to say in: nobody has the address, for example."""

    WAITING = "WAITING"
    SENT = "SENT"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail as stored. `tries` counts claims."""

    id: MailId
    kind: MailKind
    recipient: str
    sign_up_id: SignUpId | None = None
    user_id: UserId | None = None
    created_at: datetime
    tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail as it is sent. `id` stays the same when it is sent again, so that a mailbox can drop the second."""

    id: MailId
    recipient: str
    subject: str
    text: str = field(repr=False)


class MailNotSent(Exception):
    """The letter did not get out; it may later, unless `for_good` says otherwise. The message holds no address."""

    def __init__(self, message: str, *, for_good: bool) -> None:
        super().__init__(message)
        self.for_good = for_good


class Mailer(Protocol):
    """Sends letters."""

    async def send(self, letter: Letter) -> None:
        """Return once whoever is to deliver it has taken it. Raises MailNotSent."""
        ...


class MailRepository(Protocol):
    """Mails, with leases that go by the database's clock."""

    async def add(self, mail: Mail) -> None: ...

    async def claim_due(self, limit: int) -> list[Mail]:
        """Claim at most `limit` mails that wait to be sent."""
        ...

    async def settle(self, mail: Mail, state: MailState, reason: str | None, at: datetime) -> None:
        """End a mail. One that has ended already stays as it is."""
        ...

    async def defer(self, mail: Mail, pause: timedelta, reason: str) -> None:
        """Release the claim and try again after the pause."""
        ...

    async def prune(self, settled_before: datetime, limit: int) -> int:
        """Delete at most so many mails that had ended by then; how many it were."""
        ...
