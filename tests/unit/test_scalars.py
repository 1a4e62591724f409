"""How values cross the wire."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from api.graphql.scalars import format_moment


@given(
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(0)), timezone(timedelta(hours=-5, minutes=30))]))
)
def test_every_moment_is_told_in_utc_with_its_microseconds(moment: datetime) -> None:
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:
        # It lies before the first year, or after the last, that Python can tell in UTC.
        return
    assert format_moment(moment) == in_utc.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


@given(st.datetimes(timezones=st.just(UTC)))
def test_whole_seconds_have_their_fraction_too(moment: datetime) -> None:
    assert format_moment(moment.replace(microsecond=0)).endswith(".000000Z")
    assert datetime.fromisoformat(format_moment(moment)) == moment
