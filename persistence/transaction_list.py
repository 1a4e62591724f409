"""The list of transactions: its filters and orders as conditions, each of them with an index to go by."""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from sqlalchemy import BigInteger, ColumnElement, FromClause, and_, bindparam, func, literal_column, not_, or_
from sqlalchemy.dialects.postgresql import ARRAY

from domain.access import Scope
from domain.currencies import Currency
from domain.payments.queries import Order, OrderDirection, OrderField, TransactionFilter
from persistence.attention import TRANSACTIONS_NEEDING_ATTENTION
from persistence.batched_reader import Selection, any_of
from persistence.paging import Keyset
from persistence.statements import Values
from persistence.tables import transactions
from persistence.transactions import COLUMNS

_BIGINT_MAX = 2**63 - 1
_WORD = re.compile(r"[^\W_]+")
_c = transactions.c
_EXPONENTS = sorted({currency.exponent for currency in Currency})

KEYSETS = {
    (field, direction): Keyset(column, _c.id, descending=direction is OrderDirection.DESC)
    for field, column in ((OrderField.CREATED_AT, _c.created_at), (OrderField.AMOUNT, _c.amount))
    for direction in OrderDirection
}
NEWEST_FIRST = KEYSETS[OrderField.CREATED_AT, OrderDirection.DESC]


def _amounts() -> ColumnElement[bool]:
    """Major units mean different minor units in different currencies: one branch for each number of decimals."""
    return or_(
        *(
            and_(
                literal_column(f"transactions.currency IN ({_listed(exponent)})"),
                _c.amount.between(
                    bindparam(f"least_{exponent}", type_=BigInteger), bindparam(f"most_{exponent}", type_=BigInteger)
                ),
            )
            for exponent in _EXPONENTS
        )
    )


def _listed(exponent: int) -> str:
    return ", ".join(f"'{currency.value}'" for currency in sorted(Currency) if currency.exponent == exponent)


_needing = _c.id.in_(TRANSACTIONS_NEEDING_ATTENTION)
_CONDITIONS: dict[str, ColumnElement[bool]] = {
    "owner": _c.user_id == bindparam("owner"),
    "statuses": any_of(_c.status, "statuses"),
    "currencies": any_of(_c.currency, "currencies"),
    "user_id": _c.user_id == bindparam("user_id"),
    "created_from": _c.created_at >= bindparam("created_from"),
    "created_to": _c.created_at < bindparam("created_to"),
    "amounts": _amounts(),
    "text": _c.search.bool_op("@@")(func.to_tsquery(literal_column("'simple'"), bindparam("text"))),
    "needing_attention": _needing,
    "not_needing_attention": not_(_needing),
}
TRANSACTIONS = Selection(transactions, COLUMNS, _c.id, _CONDITIONS)


def _branching(conditions: Mapping[str, ColumnElement[bool]], branches: FromClause) -> Selection:
    return Selection(transactions, COLUMNS, _c.id, {**_CONDITIONS, **conditions}, branches)


# Several values of a column that an index begins with: see `persistence.batched_reader`.
_status = func.unnest(bindparam("statuses", type_=ARRAY(_c.status.type))).table_valued("value", name="wanted")
_currency = func.unnest(bindparam("currencies", type_=ARRAY(_c.currency.type))).table_valued("value", name="wanted")
_range = func.unnest(
    bindparam("currencies", type_=ARRAY(_c.currency.type)),
    bindparam("least", type_=ARRAY(BigInteger)),
    bindparam("most", type_=ARRAY(BigInteger)),
).table_valued("currency", "least", "most", name="wanted")
_status, _currency, _range = (each.render_derived() for each in (_status, _currency, _range))
_BY_STATUS = _branching({"statuses": _c.status == _status.c.value}, _status)
_BY_CURRENCY = _branching({"currencies": _c.currency == _currency.c.value}, _currency)
_BY_AMOUNT = _branching(
    {"currencies": and_(_c.currency == _range.c.currency, _c.amount.between(_range.c.least, _range.c.most))}, _range
)


def selection_of(scope: Scope, where: TransactionFilter, order: Order) -> Selection:
    """By which index a page is best cut, of those that the planner cannot come upon by itself.

    One user's transactions lie together in the order asked for. What words are found in, and what needs attention, is looked up
    first. Amounts in major units are another range in each currency.
    """
    if scope.owner is not None or where.user_id is not None or where.text is not None or where.needs_attention:
        return TRANSACTIONS
    if order.field is OrderField.AMOUNT and _has_amounts(where):
        return _BY_AMOUNT
    if where.statuses is not None:
        return _BY_STATUS
    return TRANSACTIONS if where.currencies is None else _BY_CURRENCY


def values_of_page(selection: Selection, where: TransactionFilter) -> Values:
    """What the selection's statement of a page takes for a filter."""
    if selection is not _BY_AMOUNT:
        return values_of(where)
    currencies = sorted(Currency if where.currencies is None else where.currencies)
    return {
        **_values_but_amounts(where),
        "currencies": currencies,
        "least": [_least(where.amount_min, currency.exponent) for currency in currencies],
        "most": [_most(where.amount_max, currency.exponent) for currency in currencies],
    }


def values_of(where: TransactionFilter) -> Values:
    """What TRANSACTIONS takes for a filter."""
    values = _values_but_amounts(where)
    if _has_amounts(where):
        values["amounts"] = True
        for exponent in _EXPONENTS:
            values[f"least_{exponent}"] = _least(where.amount_min, exponent)
            values[f"most_{exponent}"] = _most(where.amount_max, exponent)
    return values


def _values_but_amounts(where: TransactionFilter) -> dict[str, object]:
    values: dict[str, object] = {}
    if where.statuses is not None:
        values["statuses"] = sorted(where.statuses)
    if where.currencies is not None:
        values["currencies"] = sorted(where.currencies)
    if where.user_id is not None:
        values["user_id"] = where.user_id
    if where.created_from is not None:
        values["created_from"] = where.created_from
    if where.created_to is not None:
        values["created_to"] = where.created_to
    if where.text is not None:
        values |= _values_of_text(where.text)
    if where.needs_attention is not None:
        values["needing_attention" if where.needs_attention else "not_needing_attention"] = True
    return values


def _has_amounts(where: TransactionFilter) -> bool:
    return where.amount_min is not None or where.amount_max is not None


def _least(amount: Decimal | None, exponent: int) -> int:
    return -_BIGINT_MAX if amount is None else _minor_units(amount, exponent, ROUND_CEILING)


def _most(amount: Decimal | None, exponent: int) -> int:
    return _BIGINT_MAX if amount is None else _minor_units(amount, exponent, ROUND_FLOOR)


def _minor_units(amount: Decimal, exponent: int, rounding: str) -> int:
    # Bounded first: an integer made of 1E+999999 takes minutes.
    bounded = max(Decimal(-_BIGINT_MAX), min(amount, Decimal(_BIGINT_MAX)))
    scaled = int(bounded.scaleb(exponent).to_integral_value(rounding))
    return max(-_BIGINT_MAX, min(scaled, _BIGINT_MAX))


def _values_of_text(words: str) -> Values:
    """Every word must begin a word of the description or of the processor's reference, in any order and case."""
    found = _WORD.findall(words)
    if not found:
        return {"nobody": True}
    return {"text": " & ".join(f"'{word}':*" for word in found)}
