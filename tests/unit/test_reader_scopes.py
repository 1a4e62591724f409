"""The condition that keeps reads of what staff alone see empty for everybody else, whichever door they come by."""

from uuid import UUID

import pytest
from sqlalchemy import false, true

from domain.access import Actor, Capability, KeyInUse, Role
from domain.ids import ApiKeyId, UserId
from persistence.batched_reader import seen_with

SOMEBODY = UserId(UUID(int=1))


def by_key(role: Role, *scopes: Capability) -> Actor:
    return Actor(SOMEBODY, role, KeyInUse(ApiKeyId(UUID(int=2)), frozenset(scopes)))


@pytest.mark.parametrize(
    ("actor", "seen"),
    [
        (Actor(SOMEBODY, Role.ADMIN), True),
        (Actor(SOMEBODY, Role.SUPPORT), True),
        (Actor(SOMEBODY, Role.CUSTOMER), False),
        (by_key(Role.ADMIN, Capability.LEDGER_READ), True),
        (by_key(Role.ADMIN, Capability.PAYMENTS_READ), False),
        (by_key(Role.CUSTOMER, Capability.LEDGER_READ), False),
        (Actor(SOMEBODY, Role.ADMIN, within=frozenset()), False),
    ],
)
def test_only_whoever_has_the_capability_and_reaches_everybodys_sees_any(actor: Actor, seen: bool) -> None:
    assert seen_with(Capability.LEDGER_READ, actor).compare(true() if seen else false())


def test_a_capability_over_ones_own_shows_nothing_that_is_nobodys() -> None:
    assert seen_with(Capability.PAYMENTS_READ, Actor(SOMEBODY, Role.CUSTOMER)).compare(false())
