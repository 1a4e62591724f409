"""The tables. Constraints that guard money stand in the database itself, so that no code path can get around them."""

from persistence.tables.audit import audit_entries, audit_heads, audit_links
from persistence.tables.base import metadata
from persistence.tables.documents import trusted_documents
from persistence.tables.identity import (
    api_keys,
    credentials,
    identities,
    one_time_tokens,
    recovery_codes,
    refresh_tokens,
    second_factors,
    sessions,
    sign_in_codes,
    sign_ups,
    users,
)
from persistence.tables.ledger import journal_entries, ledger_accounts, ledger_entries
from persistence.tables.messaging import mails, webhook_events
from persistence.tables.payments import attempts, disputes, idempotency_keys, refunds, transaction_edges, transactions
from persistence.tables.reconciliation import discrepancies, reconciliation_findings, reconciliation_runs
from persistence.tables.worker import sweeps

__all__ = [
    "api_keys",
    "attempts",
    "audit_entries",
    "audit_heads",
    "audit_links",
    "credentials",
    "discrepancies",
    "disputes",
    "idempotency_keys",
    "identities",
    "journal_entries",
    "ledger_accounts",
    "ledger_entries",
    "mails",
    "metadata",
    "one_time_tokens",
    "reconciliation_findings",
    "reconciliation_runs",
    "recovery_codes",
    "refresh_tokens",
    "refunds",
    "second_factors",
    "sessions",
    "sign_in_codes",
    "sign_ups",
    "sweeps",
    "transaction_edges",
    "transactions",
    "trusted_documents",
    "users",
    "webhook_events",
]
