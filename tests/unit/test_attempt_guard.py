"""What a try counts against: the account however it is written, and the network that it comes from."""

from collections.abc import Awaitable, Callable

import pytest

from domain.errors import RateLimited
from domain.identity.attempts import MAILS, MAILS_FROM, OF_ACCOUNT, OF_ADDRESS, SIGN_UPS, AttemptGuard
from domain.limits import Limit, RateLimits
from gateways.counters.memory import MemoryCounters

Act = Callable[[AttemptGuard, int], Awaitable[None]]


def address(number: int) -> str:
    """One of very many that whoever has a /64 can send from."""
    return f"2001:db8:1:2::{number:x}"


def elsewhere(number: int) -> str:
    return f"2001:db8:1:{number:x}::1"


def spelled(number: int) -> str:
    """One account, written in other letters each time."""
    name = "blaisepascal@example.com"
    return "".join(c.upper() if number >> place & 1 else c for place, c in enumerate(name))


LIMITS: list[tuple[Limit, Act]] = [
    (OF_ADDRESS, lambda guard, n: guard.prove(f"somebody{n}@example.com", address(n))),
    (OF_ACCOUNT, lambda guard, n: guard.prove(spelled(n), elsewhere(n))),
    (SIGN_UPS, lambda guard, n: guard.sign_up(f"somebody{n}@example.com", address(n))),
    (MAILS, lambda guard, n: guard.sign_up(spelled(n), elsewhere(n))),
    (MAILS_FROM, lambda guard, n: guard.mail(f"somebody{n}@example.com", address(n))),
    (MAILS, lambda guard, n: guard.mail(spelled(n), elsewhere(n))),
]


@pytest.mark.parametrize(("limit", "act"), LIMITS)
async def test_nobody_gets_more_tries_by_another_spelling_or_address(limit: Limit, act: Act) -> None:
    guard = AttemptGuard(RateLimits(MemoryCounters(), lambda: 0.0))
    for number in range(limit.amount):
        await act(guard, number)
    with pytest.raises(RateLimited, match=limit.name):
        await act(guard, limit.amount)


async def test_a_right_try_is_taken_back_from_the_account_and_from_no_address() -> None:
    guard = AttemptGuard(RateLimits(MemoryCounters(), lambda: 0.0))
    for _ in range(OF_ADDRESS.amount):
        await guard.prove("blaise@example.com", address(1))
        await guard.forgive("BLAISE@example.com")
    with pytest.raises(RateLimited, match=OF_ADDRESS.name):
        await guard.prove("blaise@example.com", address(2))
    await guard.prove("blaise@example.com", elsewhere(7))
