"""A window of reconciliation: whole seconds, and never empty."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.reconciliation.records import Window

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_window_has_a_length() -> None:
    assert Window(NOON, NOON + timedelta(hours=1)).length == timedelta(hours=1)


@pytest.mark.parametrize("length", [timedelta(0), timedelta(seconds=-1)])
def test_a_window_ends_after_it_begins(length: timedelta) -> None:
    with pytest.raises(ValueError, match="ends after it begins"):
        Window(NOON, NOON + length)


def test_a_window_has_whole_seconds() -> None:
    part = timedelta(microseconds=1)
    for start, end in ((NOON + part, NOON + timedelta(hours=1)), (NOON, NOON + part)):
        with pytest.raises(ValueError, match="whole second"):
            Window(start, end)
