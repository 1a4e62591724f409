"""Alerts as lines in the log: whoever watches it looks for `alert: true`."""

import structlog

from domain.ids import IdKind, encode
from domain.payments.transaction import Transaction
from domain.reconciliation.discrepancies import OpenDiscrepancies

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class LoggedAlerts:
    """The port Alerts."""

    def refunded_and_disputed(self, transaction: Transaction) -> None:
        _log.warning(
            "transaction.refunded_and_disputed",
            alert=True,
            transaction_id=encode(IdKind.TRANSACTION, transaction.id),
            captured_minor=transaction.captured,
            refund_reserved_minor=transaction.refund_reserved,
            disputed_minor=transaction.disputed,
        )

    def discrepancies_open(self, waiting: OpenDiscrepancies) -> None:
        _log.warning(
            "reconciliation.discrepancies_open",
            alert=True,
            number=waiting.number,
            oldest_first_seen_at=waiting.oldest_first_seen_at,
        )
