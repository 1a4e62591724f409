"""The mutations that move money. Each turns its input into domain values, calls one act, and shows what came of it."""

from collections.abc import Awaitable
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from api.graphql.accounts import AccountMutations
from api.graphql.administration import UserMutations
from api.graphql.api_keys import ApiKeyMutations
from api.graphql.approvals import ApprovalMutations
from api.graphql.context import Info
from api.graphql.discrepancies import DiscrepancyMutations
from api.graphql.money import MoneyInput
from api.graphql.mutations import REPLAYED, answer_of
from api.graphql.problems import UserError, user_errors
from api.graphql.provider_sessions import ProviderSessionMutations
from api.graphql.recovery import RecoveryMutations
from api.graphql.refunds import Refund, refund_type
from api.graphql.rules import needs
from api.graphql.second_factors import SecondFactorMutations
from api.graphql.sessions import SessionMutations
from api.graphql.transactions import Transaction, transaction_type
from api.graphql.webhooks import WebhookMutations
from domain import ids
from domain.access import Actor, Capability
from domain.ids import IdKind, TransactionId
from domain.payments.answer import Answer
from domain.payments.authorized import NewCapture, NewVoid
from domain.payments.create_payment import NewPayment
from domain.payments.refund import RefundReason
from domain.payments.refund_payment import NewRefund
from domain.payments.transaction import CaptureMethod

_KEY = (
    "A name of your own for this act, 1 to 255 characters: the same key with the same input answers with the first "
    "result, so that a request may be repeated safely."
)


@strawberry.input(description="A payment to take.")
class CreatePaymentInput:
    """What createPayment takes."""

    idempotency_key: str = strawberry.field(description=_KEY)
    money: MoneyInput = strawberry.field(description="How much to take.")
    payment_method_id: str = strawberry.field(
        description="The processor's token for the card (\"pm_...\"), made in the payer's browser. Never a card number."
    )
    description: str | None = strawberry.field(
        default=None, description="Your own words for it, at most 1000 characters."
    )
    metadata: JSON | None = strawberry.field(
        default=None, description="Your own data: a JSON object of at most 8 KiB, nested at most 5 levels."
    )
    capture_method: CaptureMethod = strawberry.field(
        default=CaptureMethod.AUTOMATIC, description="When the money is taken."
    )
    return_url: str | None = strawberry.field(
        default=None, description="Where the processor sends the payer's browser after a 3-D Secure challenge."
    )


@strawberry.input(description="Money to give back.")
class RefundInput:
    """What refund takes."""

    idempotency_key: str = strawberry.field(description=_KEY)
    transaction_id: strawberry.ID = strawberry.field(description="The transaction whose money goes back.")
    money: MoneyInput | None = strawberry.field(default=None, description="How much: all that is left, when absent.")
    reason: RefundReason | None = strawberry.field(default=None, description="Why.")


@strawberry.input(description="Authorized money to take.")
class CaptureInput:
    """What capture takes."""

    idempotency_key: str = strawberry.field(description=_KEY)
    transaction_id: strawberry.ID = strawberry.field(description="The authorized transaction.")
    money: MoneyInput | None = strawberry.field(
        default=None, description="How much: all of it, when absent. The rest is released to the payer."
    )


@strawberry.input(description="An authorized payment to let go.")
class VoidInput:
    """What void takes."""

    idempotency_key: str = strawberry.field(description=_KEY)
    transaction_id: strawberry.ID = strawberry.field(description="The transaction, whose money has not been taken.")


_ERRORS = "Why it was refused or failed; empty when all is well."


@strawberry.type(description="What came of createPayment.")
class CreatePaymentPayload:
    """The transaction, and what the client should know beside it."""

    transaction: Transaction | None = strawberry.field(
        description="The transaction as it stands; null when the input was refused."
    )
    errors: list[UserError] = strawberry.field(description=_ERRORS)
    replayed: bool = strawberry.field(description=REPLAYED)


@strawberry.type(description="What came of refund.")
class RefundPayload:
    """The refund with its transaction."""

    refund: Refund | None = strawberry.field(description="The refund as it stands; null when the input was refused.")
    transaction: Transaction | None = strawberry.field(description="The transaction after the refund.")
    errors: list[UserError] = strawberry.field(description=_ERRORS)
    replayed: bool = strawberry.field(description=REPLAYED)


@strawberry.type(description="What came of capture.")
class CapturePayload:
    """The transaction after the capture."""

    transaction: Transaction | None = strawberry.field(description="The transaction as it stands.")
    errors: list[UserError] = strawberry.field(description=_ERRORS)
    replayed: bool = strawberry.field(description=REPLAYED)


@strawberry.type(description="What came of void.")
class VoidPayload:
    """The transaction after the void."""

    transaction: Transaction | None = strawberry.field(description="The transaction as it stands.")
    errors: list[UserError] = strawberry.field(description=_ERRORS)
    replayed: bool = strawberry.field(description=REPLAYED)


@strawberry.type(
    description="Everything that changes something. What takes an idempotency key can be repeated safely with the same one."
)
class Mutation(
    SessionMutations,
    ProviderSessionMutations,
    AccountMutations,
    SecondFactorMutations,
    UserMutations,
    RecoveryMutations,
    WebhookMutations,
    DiscrepancyMutations,
    ApiKeyMutations,
    ApprovalMutations,
):
    """The mutations."""

    @strawberry.mutation(
        description="Take a payment. A declined card is an answer too: the transaction is FAILED then.",
        metadata=needs(Capability.PAYMENTS_CREATE),
    )
    async def create_payment(
        self,
        info: Info,
        input: Annotated[CreatePaymentInput, strawberry.argument(description="What is to be paid, and with what.")],
    ) -> CreatePaymentPayload:
        def act(actor: Actor) -> Awaitable[Answer]:
            payment = NewPayment(
                idempotency_key=input.idempotency_key,
                money=input.money.to_money(),
                payment_method_id=input.payment_method_id,
                description=input.description,
                metadata=input.metadata,
                capture_method=input.capture_method,
                return_url=input.return_url,
            )
            return info.context.acts.create_payment(actor, payment)

        answer = await answer_of(info.context, act)
        return CreatePaymentPayload(
            transaction=_transaction(answer), errors=user_errors(answer.refusals), replayed=answer.replayed
        )

    @strawberry.mutation(
        description="Give money back, in part or in full, as often as something is left. For the transaction's owner and staff. "
        "A large one by the support may wait for a second person, PENDING_APPROVAL.",
        metadata=needs(Capability.PAYMENTS_REFUND),
    )
    async def refund(
        self,
        info: Info,
        input: Annotated[RefundInput, strawberry.argument(description="What is to be given back.")],
    ) -> RefundPayload:
        def act(actor: Actor) -> Awaitable[Answer]:
            wanted = NewRefund(
                idempotency_key=input.idempotency_key,
                transaction_id=_transaction_id(input.transaction_id),
                money=None if input.money is None else input.money.to_money(),
                reason=input.reason,
            )
            return info.context.acts.refund_payment(actor, wanted)

        answer = await answer_of(info.context, act)
        return RefundPayload(
            refund=None if answer.refund is None else refund_type(answer.refund, answer.transaction),
            transaction=_transaction(answer),
            errors=user_errors(answer.refusals),
            replayed=answer.replayed,
        )

    @strawberry.mutation(
        description="Take the money of an AUTHORIZED transaction, or a part of it. Staff only.",
        metadata=needs(Capability.PAYMENTS_CAPTURE),
    )
    async def capture(
        self,
        info: Info,
        input: Annotated[CaptureInput, strawberry.argument(description="What is to be taken.")],
    ) -> CapturePayload:
        def act(actor: Actor) -> Awaitable[Answer]:
            wanted = NewCapture(
                idempotency_key=input.idempotency_key,
                transaction_id=_transaction_id(input.transaction_id),
                money=None if input.money is None else input.money.to_money(),
            )
            return info.context.acts.authorized.capture(actor, wanted)

        answer = await answer_of(info.context, act)
        return CapturePayload(
            transaction=_transaction(answer), errors=user_errors(answer.refusals), replayed=answer.replayed
        )

    @strawberry.mutation(
        description="Call off a payment whose money has not been taken. Staff only.",
        metadata=needs(Capability.PAYMENTS_CAPTURE),
    )
    async def void(
        self,
        info: Info,
        input: Annotated[VoidInput, strawberry.argument(description="What is to be let go.")],
    ) -> VoidPayload:
        def act(actor: Actor) -> Awaitable[Answer]:
            wanted = NewVoid(
                idempotency_key=input.idempotency_key, transaction_id=_transaction_id(input.transaction_id)
            )
            return info.context.acts.authorized.void(actor, wanted)

        answer = await answer_of(info.context, act)
        return VoidPayload(
            transaction=_transaction(answer), errors=user_errors(answer.refusals), replayed=answer.replayed
        )


def _transaction(answer: Answer) -> Transaction | None:
    return None if answer.transaction is None else transaction_type(answer.transaction)


def _transaction_id(text: str) -> TransactionId | None:
    value = ids.decode_as(IdKind.TRANSACTION, text)
    return None if value is None else TransactionId(value)
