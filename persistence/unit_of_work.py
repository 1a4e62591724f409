"""A unit of work: one database transaction on one connection, with the repositories that write in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.api_keys import SqlApiKeys
from persistence.attempts import SqlAttempts
from persistence.audit import SqlAudit
from persistence.connection import Connection
from persistence.credentials import SqlCredentials
from persistence.discrepancies import SqlDiscrepancies
from persistence.disputes import SqlDisputes
from persistence.engine import working
from persistence.identities import SqlIdentities
from persistence.keys import SqlKeys
from persistence.ledger import SqlLedger
from persistence.mails import SqlMails
from persistence.one_time_tokens import SqlOneTimeTokens
from persistence.payments import SqlPayments
from persistence.reconciliation_runs import SqlReconciliationRuns
from persistence.refunds import SqlRefunds
from persistence.second_factors import SqlSecondFactors
from persistence.sessions import SqlSessions
from persistence.sign_in_codes import SqlSignInCodes
from persistence.sweeps import SqlSweeps
from persistence.transactions import SqlTransactions
from persistence.users import SqlUsers
from persistence.webhook_events import SqlWebhookEvents


class SqlUnitOfWork:
    """The repositories of one open database transaction."""

    def __init__(self, connection: Connection) -> None:
        self.transactions = SqlTransactions(connection)
        self.payments = SqlPayments(connection)
        self.attempts = SqlAttempts(connection)
        self.refunds = SqlRefunds(connection)
        self.disputes = SqlDisputes(connection)
        self.ledger = SqlLedger(connection)
        self.audit = SqlAudit(connection)
        self.keys = SqlKeys(connection)
        self.webhook_events = SqlWebhookEvents(connection)
        self.users = SqlUsers(connection)
        self.api_keys = SqlApiKeys(connection)
        self.sessions = SqlSessions(connection)
        self.credentials = SqlCredentials(connection)
        self.one_time_tokens = SqlOneTimeTokens(connection)
        self.mails = SqlMails(connection)
        self.second_factors = SqlSecondFactors(connection)
        self.identities = SqlIdentities(connection)
        self.sign_in_codes = SqlSignInCodes(connection)
        self.sweeps = SqlSweeps(connection)
        self.discrepancies = SqlDiscrepancies(connection)
        self.reconciliation_runs = SqlReconciliationRuns(connection)


class SqlUnitsOfWork:
    """Begins units of work on an engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlUnitOfWork]:
        async with working(self._engine) as connection:
            yield SqlUnitOfWork(connection)

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[SqlUnitOfWork]:
        async with working(self._engine, alone=True) as connection:
            yield SqlUnitOfWork(connection)
