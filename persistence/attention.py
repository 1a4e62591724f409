"""Which attempts need a person: those left to one, those unknown for long, those that nobody looked at when it was time.

The conditions are texts, so that PostgreSQL can tell that they are those of the partial indexes, which hold little more
than what is looked for.
"""

from sqlalchemy import ColumnElement, and_, case, func, literal_column, select, union, union_all

from domain.payments.attempt import UNRESOLVED_AFTER, Attention
from persistence.tables import attempts

LEFT: ColumnElement[bool] = literal_column("attempts.state IN ('MANUAL', 'PARKED')")
OPEN: ColumnElement[bool] = literal_column("attempts.state = 'OPEN'")
_LONG_AGO = func.statement_timestamp() - UNRESOLVED_AFTER
_UNKNOWN = and_(OPEN, attempts.c.unknown_since.is_not(None), attempts.c.unknown_since < _LONG_AGO)
_OVERDUE = and_(OPEN, attempts.c.next_check_at < _LONG_AGO)

ATTENTION = case((OPEN, Attention.UNRESOLVED.value), else_=attempts.c.state)
"""Why an attempt that needs attention does."""

UNRESOLVED = _UNKNOWN | _OVERDUE
NEEDS_ATTENTION = LEFT | UNRESOLVED

# One branch for each index: of conditions joined by OR the planner may look for none in an index.
_branches = union_all(
    *(select(attempts.c.id, attempts.c.transaction_id).where(condition) for condition in (LEFT, _UNKNOWN, _OVERDUE))
).subquery("needing_attention")
ATTEMPTS_NEEDING_ATTENTION = select(_branches.c.id)
TRANSACTIONS_NEEDING_ATTENTION = select(_branches.c.transaction_id)
OPEN_NEEDING_ATTENTION = union(
    *(select(attempts.c.id).where(condition) for condition in (_UNKNOWN, _OVERDUE))
).subquery("open_needing_attention")
