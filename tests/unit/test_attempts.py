from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.ids import TransactionId
from domain.payments.attempt import FIRST_RECHECK, LONGEST_PAUSE, pause_before_recheck
from tests.support.clock import SequentialIds
from tests.support.records import attempt


def test_the_first_recheck_comes_after_five_seconds() -> None:
    assert pause_before_recheck(1) == timedelta(seconds=5)


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_a_pause_is_never_shorter_than_the_first_nor_longer_than_the_longest(tries: int) -> None:
    assert FIRST_RECHECK <= pause_before_recheck(tries) <= LONGEST_PAUSE


@given(st.integers(min_value=1, max_value=10**9))
def test_pauses_double_until_they_are_longest(tries: int) -> None:
    assert pause_before_recheck(tries + 1) == min(pause_before_recheck(tries) * 2, LONGEST_PAUSE)


def test_the_processors_keys_tell_attempts_and_calls_apart() -> None:
    ids = SequentialIds()
    transaction_id = TransactionId(UUID(int=1))
    attempts = [attempt(ids.new(), transaction_id) for _ in range(2)]
    keys = {one.key(call) for one in attempts for call in ("create", "confirm")}
    assert len(keys) == 4
    assert attempts[0].key("create") == attempts[0].key("create")
