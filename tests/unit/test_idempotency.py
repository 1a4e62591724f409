import random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.currencies import Currency
from domain.errors import IdempotencyInProgress, IdempotencyKeyReused
from domain.idempotency import KeyedAct, KeyUse, fingerprint
from domain.ids import TransactionId, UserId
from domain.money import Money
from domain.payments.create_payment import NewPayment
from domain.payments.refund import RefundReason
from domain.payments.refund_payment import NewRefund
from domain.payments.transaction import CaptureMethod
from domain.text import JsonValue
from tests.support.acts import new_payment

names = st.text(max_size=5)
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
contents = st.dictionaries(names, values, max_size=4)


def shuffled(value: Any, chance: random.Random) -> Any:  # Any: any JSON
    if isinstance(value, dict):
        items = [(name, shuffled(inner, chance)) for name, inner in value.items()]
        chance.shuffle(items)
        return dict(items)
    return [shuffled(inner, chance) for inner in value] if isinstance(value, list) else value


@given(contents, st.randoms(use_true_random=False))
def test_the_order_of_names_does_not_count(content: dict[str, JsonValue], chance: random.Random) -> None:
    assert fingerprint(shuffled(content, chance)) == fingerprint(content)


@given(contents, names, values)
def test_one_more_name_counts(content: dict[str, JsonValue], name: str, value: JsonValue) -> None:
    assert (fingerprint({name: value} | content) == fingerprint(content)) is (name in content)


@given(contents, names, values)
def test_nesting_counts(content: dict[str, JsonValue], name: str, value: JsonValue) -> None:
    assert fingerprint({name: content}) != fingerprint({name: [content]})
    assert fingerprint({name: value}) != fingerprint({name: {name: value}})


def test_every_part_of_a_payment_but_the_key_counts() -> None:
    plain = new_payment()
    variants: list[NewPayment] = [
        plain,
        new_payment(money=Money(1001, Currency.USD)),
        new_payment(money=Money(1000, Currency.EUR)),
        new_payment(method="pm_other"),
        new_payment(capture=CaptureMethod.MANUAL),
        _with(plain, description="Tea"),
        _with(plain, return_url="https://shop.test/"),
    ]
    digests = [payment.fingerprint({}) for payment in variants] + [plain.fingerprint({"a": 1})]
    assert len(set(digests)) == len(digests)
    assert new_payment("another key").fingerprint({}) == plain.fingerprint({})


def test_every_part_of_a_refund_but_the_key_counts() -> None:
    first, second = TransactionId(UUID(int=1)), TransactionId(UUID(int=2))
    money = Money(500, Currency.USD)
    variants = [
        NewRefund(idempotency_key="k", transaction_id=transaction_id, money=amount, reason=reason)
        for transaction_id in (first, second)
        for amount in (None, money, Money(501, Currency.USD))
        for reason in (None, *RefundReason)
    ]
    assert len({refund.fingerprint() for refund in variants}) == len(variants)
    again = NewRefund(idempotency_key="other", transaction_id=first, money=money, reason=None)
    assert again.fingerprint() in {refund.fingerprint() for refund in variants}


@pytest.mark.parametrize(
    ("digest", "running", "refusal"),
    [
        (b"same", True, IdempotencyInProgress),
        (b"other", True, IdempotencyKeyReused),
        (b"other", False, IdempotencyKeyReused),
    ],
)
def test_a_repetition_that_cannot_be_answered(digest: bytes, running: bool, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        _use(running=running).check_repetition(digest)


def test_a_repetition_of_a_finished_act_is_fine() -> None:
    _use(running=False).check_repetition(b"same")


def _use(*, running: bool) -> KeyUse:
    return KeyUse(
        actor_id=UserId(UUID(int=1)),
        act=KeyedAct.REFUND,
        key="k",
        fingerprint=b"same",
        transaction_id=TransactionId(UUID(int=2)),
        running=running,
    )


def _with(payment: NewPayment, *, description: str | None = None, return_url: str | None = None) -> NewPayment:
    return NewPayment(
        idempotency_key=payment.idempotency_key,
        money=payment.money,
        payment_method_id=payment.payment_method_id,
        description=description,
        metadata=None,
        capture_method=payment.capture_method,
        return_url=return_url,
    )
