"""Every filter of a list has an index that finds its rows in the list's order."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_transactions_status_amount_id": "transactions (status, amount, id)",
    "ix_transactions_currency_amount_id": "transactions (currency, amount, id)",
    "ix_attempts_not_done": "attempts (first_sent_at, id) WHERE state IN ('OPEN', 'MANUAL', 'PARKED')",
    "ix_refunds_status_created_at_id": "refunds (status, created_at, id)",
    "ix_users_role_created_at_id": "users (role, created_at, id)",
    "ix_users_disabled": "users (created_at, id) WHERE disabled_at IS NOT NULL",
    "ix_discrepancies_kind_first_seen_at_id": "discrepancies (kind, first_seen_at, id)",
    "ix_discrepancies_open": "discrepancies (first_seen_at, id) WHERE resolved_at IS NULL",
}


def upgrade() -> None:
    # Payments go on meanwhile: an index that is built otherwise keeps everybody from writing until it is there.
    with op.get_context().autocommit_block():
        for name, of in _INDEXES.items():
            # One that was broken off half-way is left behind, and is no good.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {of}")


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
