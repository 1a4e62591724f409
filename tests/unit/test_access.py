"""Who may see and do what."""

from uuid import UUID

import pytest

from domain.access import (
    EVERYTHING,
    FOR_PEOPLE_ALONE,
    MEANINGS,
    NOTHING,
    ROLES,
    Actor,
    ActorKind,
    Capability,
    KeyInUse,
    Reach,
    Role,
    Scope,
)
from domain.errors import Forbidden
from domain.ids import NIL, ApiKeyId, UserId

SOMEBODY = UserId(UUID(int=1))


def by_key(role: Role, *scopes: Capability) -> Actor:
    return Actor(SOMEBODY, role, KeyInUse(ApiKeyId(UUID(int=2)), frozenset(scopes)))


def test_every_role_is_in_the_table_and_every_capability_has_a_meaning_and_somebody_who_has_it() -> None:
    assert set(ROLES) == set(Role)
    assert set(MEANINGS) == set(Capability)
    assert frozenset().union(*(rights.capabilities for rights in ROLES.values())) == set(Capability)


def test_roles_grow() -> None:
    customer, support, admin = (ROLES[role] for role in (Role.CUSTOMER, Role.SUPPORT, Role.ADMIN))
    assert customer.capabilities < support.capabilities < admin.capabilities
    assert [rights.reach for rights in (customer, support, admin)] == [Reach.OWN, Reach.EVERYBODYS, Reach.EVERYBODYS]


def test_a_capability_that_is_missing_is_named() -> None:
    with pytest.raises(Forbidden, match="ledger:read"):
        Actor(SOMEBODY, Role.CUSTOMER).require(Capability.LEDGER_READ)


def test_customers_see_their_own_and_staff_see_all() -> None:
    assert Actor(SOMEBODY, Role.CUSTOMER).scope == Scope(SOMEBODY)
    assert Actor(SOMEBODY, Role.SUPPORT).scope is EVERYTHING
    assert Actor(SOMEBODY, Role.CUSTOMER).people == Scope(SOMEBODY)
    assert Actor(SOMEBODY, Role.SUPPORT).people is EVERYTHING


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("scope", Capability)
def test_a_key_can_do_what_it_and_its_owner_can(role: Role, scope: Capability) -> None:
    actor = by_key(role, scope)
    owner = Actor(SOMEBODY, role)
    assert actor.capabilities == (owner.capabilities & {scope}) - FOR_PEOPLE_ALONE
    assert [each for each in Capability if actor.may(each)] == sorted(actor.capabilities)


def test_a_key_without_a_capability_sees_not_even_its_owners_objects() -> None:
    actor = by_key(Role.ADMIN, Capability.LEDGER_READ)
    assert actor.scope is NOTHING
    assert not NOTHING.covers(SOMEBODY)
    assert NOTHING.owner == NIL
    # But itself: whoever it acts for.
    assert actor.people == Scope(SOMEBODY)
    assert actor.reach is EVERYTHING


def test_who_acted_is_told_apart() -> None:
    assert Actor(SOMEBODY, Role.ADMIN).kind is ActorKind.USER
    assert by_key(Role.ADMIN).kind is ActorKind.API_KEY
