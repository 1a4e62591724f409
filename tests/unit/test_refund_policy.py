"""Which refunds wait for a second person."""

from uuid import UUID

import pytest

from domain.access import GRANTABLE, Actor, KeyInUse, Role
from domain.currencies import Currency
from domain.errors import Forbidden
from domain.ids import ApiKeyId, UserId
from domain.money import Money
from domain.payments.refund_policy import RefundPolicy
from domain.payments.transaction import TransactionStatus
from tests.support.records import transaction

SOMEBODY = UserId(UUID(int=1))
POLICY = RefundPolicy(approval_above={Currency.USD: 500, Currency.JPY: 70_000})
BY_KEY = KeyInUse(ApiKeyId(UUID(int=2)), GRANTABLE)


def waits(actor: Actor, money: Money, *, reserved: int = 0, policy: RefundPolicy = POLICY) -> bool:
    of = transaction(
        UUID(int=3),
        SOMEBODY,
        money=Money(100_000, money.currency),
        status=TransactionStatus.COMPLETED,
        refund_reserved=reserved,
    )
    return policy.waits(actor, of, money)


@pytest.mark.parametrize(
    ("money", "expected"),
    [
        (Money(500, Currency.USD), False),
        (Money(501, Currency.USD), True),
        (Money(70_000, Currency.JPY), False),
        (Money(70_001, Currency.JPY), True),
        # In a currency that nobody thought of.
        (Money(1, Currency.EUR), True),
    ],
)
def test_a_large_refund_by_the_support_waits(money: Money, expected: bool) -> None:
    assert waits(Actor(SOMEBODY, Role.SUPPORT), money) is expected


def test_a_large_refund_cannot_be_made_of_small_ones() -> None:
    support = Actor(SOMEBODY, Role.SUPPORT)
    assert not waits(support, Money(200, Currency.USD), reserved=300)
    assert waits(support, Money(201, Currency.USD), reserved=300)
    assert waits(support, Money(1, Currency.USD), reserved=900)


@pytest.mark.parametrize("actor", [Actor(SOMEBODY, Role.ADMIN), Actor(SOMEBODY, Role.CUSTOMER)])
def test_whoever_can_approve_and_whoever_pays_does_not_wait(actor: Actor) -> None:
    assert not waits(actor, Money(50_000, Currency.USD))


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.ADMIN])
def test_an_api_key_of_staff_waits_whoever_owns_it(role: Role) -> None:
    assert waits(Actor(SOMEBODY, role, BY_KEY), Money(501, Currency.USD))


def test_nothing_waits_where_nothing_is_set() -> None:
    assert not waits(Actor(SOMEBODY, Role.SUPPORT), Money(50_000, Currency.EUR), policy=RefundPolicy())


def test_customers_refund_where_the_policy_says_so() -> None:
    strict = RefundPolicy(customers_may_refund=False)
    RefundPolicy().check_may_refund(Actor(SOMEBODY, Role.CUSTOMER))
    strict.check_may_refund(Actor(SOMEBODY, Role.SUPPORT))
    with pytest.raises(Forbidden):
        strict.check_may_refund(Actor(SOMEBODY, Role.CUSTOMER))
    with pytest.raises(Forbidden):
        strict.check_may_refund(Actor(SOMEBODY, Role.CUSTOMER, BY_KEY))
