"""Drives an attempt to its outcome, from whatever step it stands at.

The request runs it first; after a crash or an unknown outcome the worker runs the same code. No unit of work is open while
the processor is called, and every call carries a key that is derived from the attempt's row.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from domain.audit import Origin
from domain.errors import ErrorCode, Unavailable
from domain.leases import kept
from domain.payments.attempt import RESEND_WINDOW, Attempt, AttemptKind, AttemptStep, pause_before_recheck
from domain.payments.books import Contradiction, UnknownObject
from domain.payments.gateway import (
    ChargeOrder,
    ChargeReport,
    ChargeStatus,
    OutcomeUnknown,
    PaymentGateway,
    RefundOrder,
    RefundReport,
    RefundReportStatus,
    RejectionKind,
    RequestRejected,
)
from domain.payments.outcomes import Outcomes
from domain.payments.refund import Refund, RefundStatus
from domain.payments.transaction import UNDECIDED, Failure, Transaction, TransactionStatus
from domain.ports import Clock, LeaseLost, UnitsOfWork

_REFUSAL_OF_REJECTION = {
    RejectionKind.AMOUNT: ErrorCode.INVALID_AMOUNT,
    RejectionKind.CURRENCY: ErrorCode.INVALID_CURRENCY,
    RejectionKind.PAYMENT_METHOD: ErrorCode.INVALID_PAYMENT_METHOD,
    RejectionKind.ALREADY_REFUNDED: ErrorCode.ALREADY_REFUNDED,
}


class StepResult(NamedTuple):
    """What a step came to: whether the processor has still to decide, and the transaction as the step left it, if it knows."""

    undecided: bool
    transaction: Transaction | None


class Undecidable(Exception):
    """Neither sending again nor looking can tell what happened; a person has to."""


class AttemptRunner:
    """Takes attempts through their steps. Every method ends in `Outcomes` or raises OutcomeUnknown."""

    def __init__(self, units: UnitsOfWork, gateway: PaymentGateway, outcomes: Outcomes, clock: Clock) -> None:
        self._units = units
        self._gateway = gateway
        self._outcomes = outcomes
        self._clock = clock

    async def run(
        self, attempt: Attempt, *, origin: Origin, transaction: Transaction | None = None
    ) -> Transaction | None:
        """Drive an attempt that the caller has claimed; on an unknown outcome, schedule the next look.

        `transaction` is the attempt's, from a caller who has stored both this very moment. Answers with the transaction as
        this run has written it; with None where that may not be how it stands.

        The claim is renewed for as long as this takes. Where another process has finished the attempt or taken it over
        meanwhile, there is nothing left to do here.
        """
        with suppress(LeaseLost):
            async with kept(lambda: self._renew(attempt)):
                return await self._drive(attempt, origin, transaction)
        return None

    async def _drive(self, attempt: Attempt, origin: Origin, stored: Transaction | None) -> Transaction | None:
        try:
            taken = await self._step(attempt, origin, stored)
            if taken.undecided:
                await self._defer(attempt, unknown_because=None)
        except (OutcomeUnknown, RequestRejected) as error:
            # What gets here rejected is a question (a look-up, a list, a cancellation): it says nothing of the money.
            await self._defer(attempt, unknown_because=str(error))
        except (Undecidable, Contradiction, UnknownObject) as error:
            async with self._units.autocommit() as uow:
                await uow.attempts.mark_manual(attempt, str(error))
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:
            # A mistake of ours. It must not be made again at once, and must not pass for a worker that died.
            await self._defer(attempt, unknown_because=f"an error in Florin: {type(error).__name__}")
            raise
        else:
            return taken.transaction
        return None

    async def _defer(self, attempt: Attempt, *, unknown_because: str | None) -> None:
        async with self._units.autocommit() as uow:
            await uow.attempts.defer(attempt, pause_before_recheck(attempt.tries), unknown_because)

    async def _renew(self, attempt: Attempt) -> None:
        async with self._units.autocommit() as uow:
            await uow.attempts.renew(attempt)

    async def look_up_charge(self, reference: str, *, undecided: bool) -> ChargeReport:
        """Fetch a charge; one that was declined while its outcome was still open is fenced off first.

        The payer may hold the client secret and could confirm a declined charge again, so that it is only called failed
        once the processor has answered that it is canceled.
        """
        report = await self._gateway.look_up_charge(reference)
        if undecided and report.status is ChargeStatus.DECLINED and report.failure is not None:
            return await self._fence(reference, report.failure)
        return report

    async def _step(self, attempt: Attempt, origin: Origin, stored: Transaction | None) -> StepResult:
        """Do what the attempt asks for."""
        transaction, refund = stored, None
        if transaction is None:
            async with self._units.autocommit() as uow:
                transaction = await uow.transactions.get(attempt.transaction_id)
                refund = await uow.refunds.get(attempt.refund_id) if attempt.refund_id else None
        if transaction is None:
            raise Undecidable("The attempt's transaction does not exist.")
        match attempt.kind:
            case AttemptKind.CHARGE:
                return await self._charge(attempt, transaction, origin)
            case AttemptKind.CAPTURE | AttemptKind.VOID:
                return await self._follow_up(attempt, transaction, origin)
            case AttemptKind.REFUND:
                if refund is None:
                    raise Undecidable("The attempt's refund does not exist.")
                return await self._refund(attempt, transaction, refund, origin)

    async def _charge(self, attempt: Attempt, transaction: Transaction, origin: Origin) -> StepResult:
        reference = transaction.processor_reference
        if reference is None:
            try:
                reference = await self._create(attempt, transaction)
            except RequestRejected as error:
                async with self._units.begin() as uow:
                    failed = await self._outcomes.fail_charge(uow, transaction, _with_refusal(error), origin)
                return StepResult(undecided=False, transaction=failed)
        elif origin is not Origin.RESPONSE:
            report = await self.look_up_charge(reference, undecided=transaction.status in UNDECIDED)
            if report.status is not ChargeStatus.UNCONFIRMED:
                return await self._apply_charge(report, origin)
        return await self._apply_charge(await self._confirm_or_fence(attempt, transaction, reference), origin)

    async def _confirm_or_fence(self, attempt: Attempt, transaction: Transaction, reference: str) -> ChargeReport:
        if attempt.failure is not None:
            return await self._fence(reference, attempt.failure)
        try:
            return await self._gateway.confirm_charge(
                reference, return_url=transaction.return_url, key=attempt.key("confirm")
            )
        except RequestRejected as error:
            failure = _with_refusal(error)
        # On disk before the charge is canceled: the processor keeps no word of why, and whoever finds it canceled must
        # know that it failed.
        async with self._units.autocommit() as uow:
            await uow.attempts.advance(attempt, AttemptStep.FENCE, failure)
        return await self._fence(reference, failure)

    async def _create(self, attempt: Attempt, transaction: Transaction) -> str:
        order = ChargeOrder(
            transaction_id=transaction.id,
            money=transaction.money,
            payment_method_id=transaction.payment_method_id,
            capture_method=transaction.capture_method,
            description=transaction.description,
        )
        report = await self._gateway.create_charge(order, key=attempt.key("create"))
        async with self._units.autocommit() as uow:
            # The charge's id is on disk before it is confirmed: from here on its own state guards against a second one.
            if await uow.payments.record_charge(attempt, report, self._clock.now()):
                return report.reference
            known = await uow.transactions.get(transaction.id)
        if known is None or known.processor_reference is None:
            raise Undecidable("The attempt's transaction does not exist.")
        return known.processor_reference

    async def _follow_up(self, attempt: Attempt, transaction: Transaction, origin: Origin) -> StepResult:
        """Capture or void; both are guarded by the charge's own state, so that repeating them is safe."""
        reference = transaction.processor_reference
        if reference is None:
            raise Undecidable("The transaction has no charge at the processor to capture or void.")
        try:
            if attempt.kind is AttemptKind.CAPTURE:
                amount = attempt.amount if attempt.amount is not None else transaction.money.minor_units
                money = transaction.in_own_currency(amount)
                report = await self._gateway.capture_charge(reference, money, key=attempt.key("capture"))
            else:
                report = await self._gateway.cancel_charge(reference, key=attempt.key("cancel"))
        except RequestRejected:
            # Refused for good: the charge stays as it is, and that is what the transaction must show.
            report = await self.look_up_charge(reference, undecided=transaction.status in UNDECIDED)
        applied = await self._apply_charge(report, origin)
        async with self._units.autocommit() as uow:
            await uow.attempts.finish(attempt.id)
        return StepResult(undecided=False, transaction=applied.transaction)

    async def _refund(self, attempt: Attempt, transaction: Transaction, refund: Refund, origin: Origin) -> StepResult:
        reference = transaction.processor_reference
        if reference is None:
            raise Undecidable("The transaction has no charge at the processor to refund.")
        if refund.status is not RefundStatus.PENDING:
            async with self._units.autocommit() as uow:
                await uow.attempts.finish(attempt.id)
            return StepResult(undecided=False, transaction=None)
        report = await self._known_refund(attempt, refund, reference) if origin is not Origin.RESPONSE else None
        if report is None:
            order = RefundOrder(
                refund_id=refund.id,
                transaction_id=transaction.id,
                charge_reference=reference,
                money=refund.money,
                reason=refund.reason,
            )
            try:
                report = await self._gateway.refund_charge(order, key=attempt.key("refund"))
            except RequestRejected as error:
                # Only this rejection is definite: one of a look-up does not tell that no refund was made.
                async with self._units.begin() as uow:
                    _, changed = await self._outcomes.fail_refund(uow, refund, _with_refusal(error), origin)
                return StepResult(undecided=False, transaction=changed)
        async with self._units.begin() as uow:
            _, changed = await self._outcomes.apply_refund(uow, report, origin)
        return StepResult(undecided=report.status is RefundReportStatus.PENDING, transaction=changed)

    async def _known_refund(self, attempt: Attempt, refund: Refund, charge_reference: str) -> RefundReport | None:
        """The refund as the processor has it already; None where it has none and the same key may be sent again.

        Raises Undecidable where the key may have expired: a refund, unlike a charge, has no state to guard against a second.
        """
        if refund.processor_reference is not None:
            return await self._gateway.look_up_refund(refund.processor_reference)
        for report in await self._gateway.list_refunds(charge_reference):
            if report.refund_id == refund.id:
                return report
        # Right before it is sent again: whoever was held up for a day after the claim must not go by the age of then.
        async with self._units.autocommit() as uow:
            key_age = await uow.attempts.renew(attempt)
        if key_age > RESEND_WINDOW:
            hours = RESEND_WINDOW // timedelta(hours=1)
            raise Undecidable(f"The processor lists no such refund {hours} h after it was first sent.")
        return None

    async def _fence(self, reference: str, failure: Failure) -> ChargeReport:
        """Cancel a charge that failed, so that it stays failed. If it succeeded meanwhile, that is what is reported.

        Raises OutcomeUnknown where it was neither canceled nor has gone on: it must not be called failed yet. The key names
        the moment, because the processor repeats a refusal under the same key even when it would cancel by now; a second
        cancellation changes nothing.
        """
        report = await self._gateway.cancel_charge(reference, key=f"{reference}:fence:{self._clock.now().isoformat()}")
        if report.status is ChargeStatus.CANCELED:
            return replace(report, failure=failure)
        if report.status in {ChargeStatus.DECLINED, ChargeStatus.UNCONFIRMED}:
            raise OutcomeUnknown("the charge that failed is not canceled yet")
        return report

    async def _apply_charge(self, report: ChargeReport, origin: Origin) -> StepResult:
        async with self._units.begin() as uow:
            transaction = await self._outcomes.apply_charge(uow, report, origin)
        undecided = transaction.status in {TransactionStatus.PENDING, TransactionStatus.REQUIRES_ACTION}
        return StepResult(undecided, transaction)


def _with_refusal(error: RequestRejected) -> Failure:
    return replace(error.failure, refusal=_REFUSAL_OF_REJECTION.get(error.kind, ErrorCode.PROCESSOR_REFUSED))
