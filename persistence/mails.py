"""Mails that wait to be sent, in PostgreSQL."""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update

from domain.ids import MailId, SignUpId, UserId
from domain.leases import LEASE
from domain.messaging.mails import Mail, MailKind, MailState
from persistence.connection import Connection
from persistence.tables import mails

SENDING = LEASE * 4
"""How long a claim holds. A mail is not claimed anew before its server has had the time to take it or not."""


class SqlMails:
    """The repository behind `domain.messaging.mails.MailRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, mail: Mail) -> None:
        await self._connection.execute(
            insert(mails).values(
                id=mail.id,
                kind=mail.kind.value,
                recipient=mail.recipient,
                sign_up_id=mail.sign_up_id,
                user_id=mail.user_id,
                state=MailState.WAITING.value,
                tries=0,
                created_at=mail.created_at,
                # By the database's clock, as all that is claimed.
                next_try_at=func.clock_timestamp(),
            )
        )

    async def claim_due(self, limit: int) -> list[Mail]:
        c = mails.c
        now = func.statement_timestamp()
        due = (
            select(c.id)
            .where(c.state == MailState.WAITING.value, c.next_try_at <= now)
            .order_by(c.next_try_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        statement = (
            update(mails)
            .where(c.id.in_(select(due.c.id)))
            .values(tries=c.tries + 1, next_try_at=now + SENDING)
            .returning(c.id, c.kind, c.recipient, c.sign_up_id, c.user_id, c.created_at, c.tries)
        )
        return [
            Mail(
                id=MailId(row["id"]),
                kind=MailKind(row["kind"]),
                recipient=row["recipient"],
                sign_up_id=None if row["sign_up_id"] is None else SignUpId(row["sign_up_id"]),
                user_id=None if row["user_id"] is None else UserId(row["user_id"]),
                created_at=row["created_at"],
                tries=row["tries"],
            )
            for row in await self._connection.fetch(statement)
        ]

    async def settle(self, mail: Mail, state: MailState, reason: str | None, at: datetime) -> None:
        await self._change(mail, state=state.value, reason=reason, settled_at=at)

    async def defer(self, mail: Mail, pause: timedelta, reason: str) -> None:
        await self._change(mail, reason=reason, next_try_at=func.clock_timestamp() + pause)

    async def prune(self, settled_before: datetime, limit: int) -> int:
        over = select(mails.c.id).where(mails.c.settled_at < settled_before).limit(limit)
        statement = delete(mails).where(mails.c.id.in_(over.with_for_update(skip_locked=True)))
        return await self._connection.execute(statement)

    async def _change(self, mail: Mail, **values: object) -> None:
        waits = mails.c.state == MailState.WAITING.value
        await self._connection.execute(update(mails).where(mails.c.id == mail.id, waits).values(values))
