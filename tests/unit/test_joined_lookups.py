"""Look-ups that are made together: each begins after it was asked for, and none waits for one that hangs."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from domain import joined_lookups
from domain.errors import Unavailable
from domain.joined_lookups import JoinedLookups
from tests.support.waiting import until


class Register:
    """What is looked up. Each look-up waits until the test lets it go on, and sees what is in the register by then."""

    def __init__(self) -> None:
        self.content: dict[str, int] = {"a": 1, "b": 2, "c": 3}
        self.asked: list[tuple[str, ...]] = []
        self.gates: list[asyncio.Event] = []
        self.errors: dict[int, Exception] = {}
        self.lookups = JoinedLookups(self._fetch)

    async def _fetch(self, keys: Sequence[str]) -> Mapping[str, int]:
        number = len(self.asked)
        self.asked.append(tuple(keys))
        seen = {key: self.content[key] for key in keys if key in self.content}
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        if number in self.errors:
            raise self.errors[number]
        return seen

    def begin(self, *keys: str) -> list["asyncio.Task[int | None]"]:
        return [asyncio.ensure_future(self.lookups.find(key)) for key in keys]

    async def let_go(self, number: int) -> None:
        self.gates[number].set()
        await settle()


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine makes no test impatient."""
    monkeypatch.setattr(joined_lookups, "PATIENCE_SECONDS", 3600)


async def test_those_that_come_at_the_same_time_are_made_together() -> None:
    register = Register()
    tasks = register.begin("a", "b", "a")
    await settle()
    assert register.asked == [("a", "b")]
    await register.let_go(0)
    assert await asyncio.gather(*tasks) == [1, 2, 1]


async def test_those_that_come_meanwhile_are_made_together() -> None:
    register = Register()
    first = register.begin("a")
    await settle()
    others = register.begin("b", "c", "b", "nobody")
    await settle()
    assert register.asked == [("a",)]
    await register.let_go(0)
    assert register.asked == [("a",), ("b", "c", "nobody")]
    await register.let_go(1)
    assert await asyncio.gather(*first, *others) == [1, 2, 3, 2, None]


async def test_nobody_is_told_what_held_before_they_asked() -> None:
    register = Register()
    first = register.begin("a")
    await settle()
    # The first look-up has seen it already, the second request comes later.
    del register.content["a"]
    second = register.begin("a")
    await register.let_go(0)
    await register.let_go(1)
    assert await asyncio.gather(*first, *second) == [1, None]


async def test_afterwards_the_next_is_made_at_once() -> None:
    register = Register()
    for number in range(3):
        (task,) = register.begin("a")
        await settle()
        await register.let_go(number)
        assert task.result() == 1


async def test_one_that_hangs_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined_lookups, "PATIENCE_SECONDS", 0)
    register = Register()
    hanging = register.begin("a")
    await settle()
    others = register.begin("b", "c")

    async def are_asked_for() -> bool:
        return len(register.asked) == 2

    await until(are_asked_for)
    await register.let_go(1)
    assert [task.result() for task in others] == [2, 3]
    assert not hanging[0].done()
    await register.let_go(0)
    assert hanging[0].result() == 1


async def test_a_failure_reaches_all_who_asked_and_nobody_else() -> None:
    register = Register()
    register.errors = {0: Unavailable(), 1: Unavailable()}
    first = register.begin("a")
    await settle()
    others = register.begin("b", "c")
    await register.let_go(0)
    later = register.begin("a")
    await settle()
    await register.let_go(1)
    await register.let_go(2)
    for task in (*first, *others):
        assert isinstance(task.exception(), Unavailable)
    assert later[0].result() == 1


async def test_a_request_that_is_given_up_takes_no_other_with_it() -> None:
    register = Register()
    first = register.begin("a")
    await settle()
    given_up, other = register.begin("b", "b")
    await settle()
    given_up.cancel()
    first[0].cancel()
    await register.let_go(0)
    await register.let_go(1)
    assert given_up.cancelled()
    assert first[0].cancelled()
    assert other.result() == 2
