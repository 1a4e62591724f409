"""Scalars: how values cross the wire. None of them ever passes a float."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import NewType

import orjson
import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

BigInt = NewType("BigInt", int)

_DIGITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?", re.ASCII)
# RFC 3339, section 5.6, with the offset that makes a time a moment.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_FRACTION = re.compile(r"(\.\d{6})\d+")
_BIGINT_MAX = 2**63 - 1
_WHOLE_SECOND = len("2026-01-31T12:00:00Z")


def _big_int(value: object) -> int:
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and _DIGITS.fullmatch(value):
        number = int(value)
    if number is None or abs(number) > _BIGINT_MAX:
        raise GraphQLError("A BigInt is a whole number of at most 64 bits, as a string of digits or an integer.")
    return number


def _decimal(value: object) -> Decimal:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _BIGINT_MAX:
        return Decimal(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    raise GraphQLError('A Decimal is a string of digits, with a point if need be, such as "10.00"; never a float.')


def _moment(value: object) -> datetime:
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        try:
            return datetime.fromisoformat(_FRACTION.sub(r"\1", value.upper())).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise GraphQLError('A DateTime is an RFC 3339 time with an offset, such as "2026-01-31T12:00:00Z".')


def format_moment(moment: datetime) -> str:
    """RFC 3339 in UTC, with all the microseconds that are stored."""
    if moment.tzinfo is UTC:
        # What the database holds comes so, and a page has hundreds of them. orjson takes a third of the time, and leaves out
        # the fraction of a whole second.
        text = orjson.dumps(moment, None, orjson.OPT_UTC_Z)[1:-1].decode()
        return text if len(text) > _WHOLE_SECOND else f"{text[:-1]}.000000Z"
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


# How the JSON of an answer is written, whose moments it holds as they are.
ANSWER_OPTIONS = orjson.OPT_UTC_Z


def _shown_moment(moment: datetime) -> str | datetime:
    """A moment for orjson to write with ANSWER_OPTIONS, as `format_moment` does; it takes a fourth of the time."""
    # It would leave out the fraction of a whole second.
    return moment if moment.tzinfo is UTC and moment.microsecond else format_moment(moment)


SCALARS: dict[object, ScalarDefinition] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A whole number of up to 64 bits, as a JSON string of digits. Input takes an integer too.",
        serialize=str,
        parse_value=_big_int,
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description='An exact decimal number as a JSON string, such as "10.00". Never a float.',
        serialize=str,
        parse_value=_decimal,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description='A moment, as RFC 3339 in UTC, such as "2026-01-31T12:00:00.000000Z".',
        serialize=_shown_moment,
        parse_value=_moment,
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    ),
}
