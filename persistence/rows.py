"""Columns that several tables share, and how they become values."""

from sqlalchemy import RowMapping

from domain.errors import ErrorCode
from domain.payments.transaction import Failure


def failure_columns(failure: Failure | None) -> dict[str, str | bool | None]:
    return {
        "failure_code": failure.code if failure else None,
        "failure_message": failure.message if failure else None,
        "failure_decline_code": failure.decline_code if failure else None,
        "failure_retryable": failure.retryable if failure else None,
        "failure_refusal": failure.refusal.value if failure else None,
    }


def failure_of(row: RowMapping) -> Failure | None:
    if row["failure_code"] is None:
        return None
    return Failure(
        code=row["failure_code"],
        message=row["failure_message"],
        decline_code=row["failure_decline_code"],
        retryable=row["failure_retryable"],
        refusal=ErrorCode(row["failure_refusal"]),
    )
