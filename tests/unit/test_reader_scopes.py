"""The condition that keeps reads of what staff alone see empty for everybody else, whichever door they come by."""

from uuid import UUID

import pytest
from sqlalchemy import bindparam

from domain.access import Actor, Capability, KeyInUse, Role
from domain.ids import ApiKeyId, UserId
from persistence.batched_reader import Selection, seen_with
from persistence.tables import users

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
    assert seen_with(Capability.LEDGER_READ, actor) == ({} if seen else {"nobody": True})


def test_a_capability_over_ones_own_shows_nothing_that_is_nobodys() -> None:
    assert seen_with(Capability.PAYMENTS_READ, Actor(SOMEBODY, Role.CUSTOMER)) == {"nobody": True}


def test_a_read_with_nobody_in_its_scope_has_a_condition_that_nothing_meets() -> None:
    named = Selection(users, tuple(users.c), users.c.id, {"owner": users.c.id == bindparam("owner")})
    assert "false" in named.compiled(named.where(frozenset({"nobody"})), frozenset({"nobody"})).text


def test_a_scope_that_a_read_has_no_condition_for_is_never_left_out() -> None:
    unscoped = Selection(users, tuple(users.c), users.c.id, {})
    names = frozenset({"owner"})
    with pytest.raises(KeyError, match="owner"):
        unscoped.compiled(unscoped.where(names), names)
