"""The tables. Constraints that guard money stand in the database itself, so that no code path can get around them."""

from persistence.tables.audit import audit_entries, audit_heads, audit_links
from persistence.tables.base import metadata
from persistence.tables.identity import users
from persistence.tables.messaging import webhook_events
from persistence.tables.payments import attempts, idempotency_keys, refunds, transaction_edges, transactions
from persistence.tables.worker import sweeps

__all__ = [
    "attempts",
    "audit_entries",
    "audit_heads",
    "audit_links",
    "idempotency_keys",
    "metadata",
    "refunds",
    "sweeps",
    "transaction_edges",
    "transactions",
    "users",
    "webhook_events",
]
