"""Moments on the wire: RFC 3339 in UTC, and always with all six digits of a microsecond."""

import re
from datetime import UTC, datetime, timedelta, timezone

import orjson
from hypothesis import given
from hypothesis.strategies import datetimes, just, one_of, timedeltas

from api.graphql.scalars import ANSWER_OPTIONS, SCALARS, format_moment

_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_OFFSETS = timedeltas(min_value=timedelta(hours=-14), max_value=timedelta(hours=14)).map(timezone)


@given(
    datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=one_of(just(UTC), _OFFSETS))  # noqa: DTZ001
)
def test_a_moment_is_told_in_utc_to_the_microsecond(moment: datetime) -> None:
    told = format_moment(moment)
    assert _FORM.fullmatch(told)
    assert datetime.fromisoformat(told) == moment
    # Some are left for whoever writes the answer, who writes the same.
    serialize = SCALARS[datetime].serialize
    assert serialize is not None
    assert orjson.loads(orjson.dumps(serialize(moment), option=ANSWER_OPTIONS)) == told


@given(datetimes(timezones=just(UTC)).map(lambda moment: moment.replace(microsecond=0)))
def test_a_whole_second_is_written_with_its_digits(moment: datetime) -> None:
    serialize = SCALARS[datetime].serialize
    assert serialize is not None
    assert serialize(moment) == format_moment(moment)


def test_a_whole_second_has_its_digits_too() -> None:
    assert format_moment(datetime(2026, 1, 31, 12, tzinfo=UTC)) == "2026-01-31T12:00:00.000000Z"
