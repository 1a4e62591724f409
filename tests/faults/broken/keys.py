"""What becomes of keys: the processor's, made fresh on every try, and the client's, forgotten."""

from dataclasses import replace
from itertools import count

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Actor
from domain.audit import Origin
from domain.payments.answer import Answer
from domain.payments.attempt import Attempt
from domain.payments.create_payment import NewPayment
from domain.payments.gateway import RefundReport
from domain.payments.refund import Refund
from domain.payments.runner import AttemptRunner, StepResult
from domain.payments.transaction import Transaction
from tests.faults.acts import FaultyActs, as_it_is
from tests.faults.processor import FaultyGateway
from tests.support.clock import SequentialIds

_numbers = count()


class FreshKeys(AttemptRunner):
    """Asks the processor with another key on every try. A charge's own state still guards it: this one is not broken."""

    async def _charge(self, attempt: Attempt, transaction: Transaction, origin: Origin) -> StepResult:
        return await super()._charge(_FreshAttempt.of(attempt), transaction, origin)


class _FreshAttempt(Attempt):
    """An attempt that names another key whenever it is asked for one."""

    @classmethod
    def of(cls, attempt: Attempt) -> "_FreshAttempt":
        return cls(**{name: getattr(attempt, name) for name in Attempt.__dataclass_fields__})

    def key(self, call: str) -> str:
        return f"{super().key(call)}-{next(_numbers)}"


class RefundsResent(AttemptRunner):
    """Sends a refund again without looking whether the processor has it already."""

    async def _known_refund(self, attempt: Attempt, refund: Refund, charge_reference: str) -> RefundReport | None:
        return None


def client_keys_forgotten(engine: AsyncEngine, processor: FaultyGateway, ids: SequentialIds) -> FaultyActs:
    """Florin that takes every request for a new one, whatever its key."""
    acts = as_it_is(engine, processor, ids)
    create = acts.create_payment

    async def forgetful(actor: Actor, payment: NewPayment) -> Answer:
        return await create(actor, replace(payment, idempotency_key=f"{payment.idempotency_key}-{next(_numbers)}"))

    acts.create_payment = forgetful  # type: ignore[assignment]  # called like the act, which is all that is done with it
    return acts
