"""Why the processor did not do what was asked."""

import strawberry

from domain.payments.transaction import Failure


@strawberry.type(description="Why the processor did not do it.")
class PaymentFailure:
    """A failure on the wire."""

    code: str = strawberry.field(description='The processor\'s own code, such as "card_declined".')
    decline_code: str | None = strawberry.field(
        description='The card issuer\'s reason, such as "insufficient_funds". Do not show it to the payer as it is.'
    )
    message: str = strawberry.field(description="A sentence for people.")
    retryable: bool = strawberry.field(description="Whether the same card may work later.")


def failure_type(failure: Failure | None) -> PaymentFailure | None:
    if failure is None:
        return None
    return PaymentFailure(
        code=failure.code,
        decline_code=failure.decline_code,
        message=failure.message,
        retryable=failure.retryable,
    )
