"""One step: the charge is created and confirmed by one call, with nothing written down in between.

The processor's key is then all that stands between a repetition and a second charge. With a fresh key on each try nothing
stands there; with the same key, nothing once the processor has forgotten it.
"""

from itertools import count

from domain.audit import Origin
from domain.payments.attempt import Attempt
from domain.payments.gateway import ChargeOrder, RequestRejected
from domain.payments.runner import AttemptRunner, StepResult, _with_refusal
from domain.payments.transaction import Transaction
from tests.faults.processor import FaultyGateway


class OneStep(AttemptRunner):
    """Creates and confirms at once, with the attempt's own key."""

    _numbers = count()

    def _key(self, attempt: Attempt) -> str:
        return attempt.key("charge")

    async def _charge(self, attempt: Attempt, transaction: Transaction, origin: Origin) -> StepResult:
        gateway = self._gateway
        assert isinstance(gateway, FaultyGateway)
        if transaction.processor_reference is not None:
            return await super()._charge(attempt, transaction, origin)
        order = ChargeOrder(
            transaction_id=transaction.id,
            money=transaction.money,
            payment_method_id=transaction.payment_method_id,
            capture_method=transaction.capture_method,
            description=transaction.description,
        )
        try:
            report = await gateway.charge_at_once(order, return_url=transaction.return_url, key=self._key(attempt))
        except RequestRejected as error:
            async with self._units.begin() as uow:
                failed = await self._outcomes.fail_charge(uow, transaction, _with_refusal(error), origin)
            return StepResult(undecided=False, transaction=failed)
        return await self._apply_charge(report, origin)


class OneStepFreshKeys(OneStep):
    """The same, with another key on every try."""

    def _key(self, attempt: Attempt) -> str:
        return f"{attempt.key('charge')}-{next(self._numbers)}"
