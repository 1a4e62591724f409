"""Mutations for the comparison: they do nothing and answer with payloads that are made up, as often as they are called."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from graphql import GraphQLResolveInfo, GraphQLSchema

from api.graphql.administration import DisableUserPayload
from api.graphql.context import Context
from api.graphql.payments import CreatePaymentPayload, RefundPayload
from api.graphql.problems import UserError, user_errors
from api.graphql.refunds import refund_type
from api.graphql.transactions import transaction_type
from api.graphql.users import user_type
from domain.currencies import Currency
from domain.errors import CardDeclined, NotFound, RefundExceedsRemaining, Refusal
from domain.identity.users import User
from domain.money import Money
from domain.payments.refund import Refund
from domain.payments.transaction import Transaction
from tests.compiled.made_up import MadeUp

_REFUSALS: tuple[Refusal, ...] = (
    CardDeclined(path=("input", "money"), decline_code="expired_card"),
    NotFound(),
    RefundExceedsRemaining(max_refundable=Money(5, Currency.JPY)),
)


def _errors(made: MadeUp) -> list[UserError]:
    return user_errors(_REFUSALS[: made.value(int) % 4])


def _created(made: MadeUp) -> object:
    record = made.value(Transaction | None)
    shown = None if record is None else transaction_type(record)
    return CreatePaymentPayload(transaction=shown, errors=_errors(made), replayed=made.value(bool | None))


def _refunded(made: MadeUp) -> object:
    refund, transaction = made.value(Refund), made.value(Transaction)
    return RefundPayload(
        refund=refund_type(refund, transaction),
        transaction=transaction_type(transaction),
        errors=_errors(made),
        replayed=False,
    )


def _disabled(made: MadeUp) -> object:
    return DisableUserPayload(user=user_type(made.value(User)), errors=_errors(made))


PAYLOADS: Mapping[str, Callable[[MadeUp], object]] = {
    "createPayment": _created,
    "refund": _refunded,
    "disableUser": _disabled,
}


@contextmanager
def made_up_mutations(schema: GraphQLSchema, calls: list[str]) -> Iterator[None]:
    """Let some mutations answer with made-up payloads. Each call is noted in `calls`."""
    mutation = schema.mutation_type
    assert mutation is not None
    kept = {name: mutation.fields[name].resolve for name in PAYLOADS}

    def resolver(name: str) -> Callable[..., object]:
        def resolve(_: object, info: GraphQLResolveInfo[Context], **__: Any) -> object:
            calls.append(str(info.path.key))
            reader = info.context.readers.payments
            # The reader's own seed, so that both executors get the same payload.
            return PAYLOADS[name](MadeUp(f"{reader._seed}/{name}", reader._oddity))  # type: ignore[attr-defined]

        return resolve

    for name in PAYLOADS:
        mutation.fields[name].resolve = resolver(name)
    try:
        yield
    finally:
        for name, resolve in kept.items():
            mutation.fields[name].resolve = resolve
