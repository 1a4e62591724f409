"""The list of transactions: its filters and orders as conditions, each of them with an index to go by."""

import re
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, false, func, literal_column, not_, or_
from sqlalchemy.dialects.postgresql import ARRAY

from domain.access import Scope
from domain.currencies import Currency
from domain.payments.queries import Order, OrderDirection, OrderField, TransactionFilter
from persistence.attention import TRANSACTIONS_NEEDING_ATTENTION
from persistence.batched_reader import Selection, one_of_one
from persistence.paging import Keyset
from persistence.statements import Values
from persistence.stored_records import with_json_as_text
from persistence.tables import transactions
from persistence.transactions import COLUMNS

_BIGINT_MAX = 2**63 - 1
_WORD = re.compile(r"[^\W_]+")
_c = transactions.c
_EXPONENTS = sorted({currency.exponent for currency in Currency})

_COLUMNS = {OrderField.CREATED_AT: _c.created_at, OrderField.AMOUNT: _c.amount}
OF_EVERYBODY = {
    (field, direction): Keyset(column, _c.id, descending=direction is OrderDirection.DESC)
    for field, column in _COLUMNS.items()
    for direction in OrderDirection
}
# By the user first, although there is only one: of all indexes theirs alone has that order. Where a filter leaves few of a
# frequent payer's transactions, the planner would else go through everybody's.
OF_ONE_USER = {which: replace(keyset, within=_c.user_id) for which, keyset in OF_EVERYBODY.items()}
NEWEST_FIRST = OF_EVERYBODY[OrderField.CREATED_AT, OrderDirection.DESC]


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


_found = _c.search.bool_op("@@")(func.to_tsquery(literal_column("'simple'"), bindparam("text")))
# The beginning of a word is thought to be in half a percent of all rows at the least (PostgreSQL's DEFAULT_TS_MATCH_SEL). With so
# many the planner would look through the list. Said twice they are thought to be few; the second time no index is asked.
_SOUGHT = {"text": and_(_found, _found.is_not(false()))}
_needing = _c.id.in_(TRANSACTIONS_NEEDING_ATTENTION)
_CONDITIONS: dict[str, ColumnElement[bool]] = {
    "owner": one_of_one(_c.user_id, "owner"),
    "user_id": one_of_one(_c.user_id, "user_id"),
    "created_from": _c.created_at >= bindparam("created_from"),
    "created_to": _c.created_at < bindparam("created_to"),
    "amounts": _amounts(),
    "text": _found,
    "needing_attention": _needing,
    "not_needing_attention": not_(_needing),
}
_LISTS = {"statuses": _c.status, "currencies": _c.currency}
TRANSACTIONS = Selection(transactions, with_json_as_text(COLUMNS), _c.id, _CONDITIONS, _LISTS, sought=_SOUGHT)

_range = (
    func.unnest(
        bindparam("currencies", type_=ARRAY(_c.currency.type)),
        bindparam("least", type_=ARRAY(BigInteger)),
        bindparam("most", type_=ARRAY(BigInteger)),
    )
    .table_valued("currency", "least", "most")
    .render_derived("wanted")
)
_within = and_(_c.currency == _range.c.currency, _c.amount.between(_range.c.least, _range.c.most))
_BY_AMOUNT = replace(
    TRANSACTIONS,
    conditions={**_CONDITIONS, "currencies": _within},
    lists={"statuses": _c.status},
    branches=_range,
)


def cut_of(scope: Scope, where: TransactionFilter, order: Order) -> tuple[Selection, Keyset, str | None]:
    """How a page is cut, in which order, and the list of whose values each is cut by itself.

    One user's transactions lie together in the order asked for. What words are found in, and what needs attention, is looked up
    first. Amounts in major units are another range in each currency.
    """
    which = order.field, order.direction
    if scope.owner is not None or where.user_id is not None:
        return TRANSACTIONS, OF_ONE_USER[which], None
    keyset = OF_EVERYBODY[which]
    if where.text is not None or where.needs_attention:
        return TRANSACTIONS, keyset, None
    if order.field is OrderField.AMOUNT and _has_amounts(where):
        return _BY_AMOUNT, keyset, None
    if where.statuses is not None:
        return TRANSACTIONS, keyset, "statuses"
    return TRANSACTIONS, keyset, None if where.currencies is None else "currencies"


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
