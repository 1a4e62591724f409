"""A look at the ledger past every repository."""

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.ids import TransactionId
from tests.support.database import rows


async def balances(engine: AsyncEngine) -> dict[str, int]:
    """What each account that is not empty holds, by kind and currency: `REVENUE USD`."""
    found = await rows(
        engine,
        "SELECT a.kind || ' ' || a.currency, sum(l.amount)::bigint FROM ledger_entries l"
        " JOIN ledger_accounts a ON a.id = l.account_id GROUP BY 1 HAVING sum(l.amount) <> 0",
    )
    return {str(account): int(str(total)) for account, total in found}


async def journal(engine: AsyncEngine, transaction_id: TransactionId) -> list[tuple[str, str]]:
    """The kinds and sources of a transaction's entries, oldest first."""
    found = await rows(
        engine,
        "SELECT kind, source FROM journal_entries WHERE transaction_id = :id ORDER BY posted_at, id",
        id=transaction_id,
    )
    return [(str(kind), str(source)) for kind, source in found]
