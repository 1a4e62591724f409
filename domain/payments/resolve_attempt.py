"""Resolve an attempt that needs a person. Whatever the person says of money, the processor is asked first."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from domain.access import EVERYTHING, Actor, Capability
from domain.audit import AuditAction, AuditEntry, Origin
from domain.errors import (
    ErrorCode,
    InvalidText,
    NotFound,
    NotResolvable,
    ProcessorUnavailable,
    ResolutionContradicted,
)
from domain.idempotency import KeyedAct, KeyUse, fingerprint, first_use
from domain.ids import AttemptId, IdKind, TransactionId, encode
from domain.payments.answer import Answer
from domain.payments.attempt import Attempt, AttemptKind, pause_before_recheck
from domain.payments.books import Contradiction, Premature, UnknownObject
from domain.payments.gateway import (
    ChargeReport,
    ChargeStatus,
    OutcomeUnknown,
    PaymentGateway,
    RefundReport,
    RefundReportStatus,
    RejectionKind,
    RequestRejected,
)
from domain.payments.outcomes import Outcomes
from domain.payments.refund import Refund
from domain.payments.runner import AttemptRunner
from domain.payments.transaction import UNDECIDED, Failure, Transaction
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork
from domain.text import JsonValue, check_idempotency_key, check_reason, is_processor_id

REASON_LENGTH_MAX = 1000

_TAKEN = frozenset({ChargeStatus.SUCCEEDED, ChargeStatus.AUTHORIZED, ChargeStatus.PROCESSING})
_DECIDED_BY_PERSON = Failure(
    code="resolved_by_staff",
    message="Somebody of the merchant's staff has verified that no money moved.",
    refusal=ErrorCode.PROCESSOR_REFUSED,
)


class AttemptResolution(StrEnum):
    """What a person decides about an attempt."""

    LOOK_UP_AGAIN = "LOOK_UP_AGAIN"
    MARK_FAILED = "MARK_FAILED"
    MARK_NOT_REFUNDED = "MARK_NOT_REFUNDED"
    MARK_REFUNDED = "MARK_REFUNDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewResolution:
    """What is decided, and why. `attempt_id` is None for an id that is none of ours."""

    idempotency_key: str
    attempt_id: AttemptId | None
    resolution: AttemptResolution
    reason: str
    processor_reference: str | None

    def fingerprint(self) -> bytes:
        return fingerprint(
            {
                "attemptId": str(self.attempt_id),
                "resolution": self.resolution.value,
                "reason": self.reason,
                "processorReference": self.processor_reference,
            }
        )


@dataclass(frozen=True, slots=True)
class _Case:
    """An attempt with what it is about, as it was when the processor was asked."""

    attempt: Attempt
    transaction: Transaction
    refund: Refund | None

    @property
    def reference(self) -> str:
        """The charge's id. Raises NotResolvable where there is none, and so nothing that could be asked about."""
        if self.transaction.processor_reference is None:
            raise NotResolvable("The transaction has no charge at the processor.")
        return self.transaction.processor_reference


_Apply = Callable[[UnitOfWork, Attempt], Awaitable[None]]
"""Brings into the books what was decided, inside the unit of work that records the decision."""


class ResolveAttempt:
    """The act behind the mutation resolveAttempt, for whoever may resolve attempts."""

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        gateway: PaymentGateway,
        runner: AttemptRunner,
        outcomes: Outcomes,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._units = units
        self._gateway = gateway
        self._runner = runner
        self._outcomes = outcomes
        self._clock = clock
        self._ids = ids

    async def __call__(self, actor: Actor, wanted: NewResolution) -> Answer:
        """Resolve an attempt, or answer with where an earlier request with the same key has led.

        Raises Forbidden, or a Refusal, and has changed nothing then: where the attempt needs no person, where the processor
        contradicts, and where it cannot be asked.
        """
        actor.require(Capability.ATTEMPTS_RESOLVE)
        _check(wanted)
        digest = wanted.fingerprint()
        async with self._units.autocommit() as uow:
            earlier = await uow.keys.find(actor.user_id, KeyedAct.RESOLVE_ATTEMPT, wanted.idempotency_key)
            if earlier is not None:
                earlier.check_repetition(digest)
                return await self._answer(uow, earlier.transaction_id, replayed=True)
            case = await _find(uow, wanted.attempt_id)
        apply = await self._ask(wanted, case)
        use = KeyUse(
            actor_id=actor.user_id,
            act=KeyedAct.RESOLVE_ATTEMPT,
            key=wanted.idempotency_key,
            fingerprint=digest,
            transaction_id=case.transaction.id,
        )
        try:
            async with self._units.begin() as uow:
                raced = await first_use(uow.keys, use)
                if raced is not None:
                    return await self._answer(uow, raced.transaction_id, replayed=True)
                taken = await self._take(uow, case, left_only=apply is not None)
                await uow.audit.append(self._resolved(actor, wanted, case))
                if apply is not None:
                    await apply(uow, taken)
        except (Contradiction, UnknownObject, Premature) as error:
            raise ResolutionContradicted(str(error)) from error
        if apply is None:
            await self._runner.run(taken, origin=Origin.RECOVERY)
        async with self._units.autocommit() as uow:
            return await self._answer(uow, case.transaction.id, replayed=False)

    async def _take(self, uow: UnitOfWork, case: _Case, *, left_only: bool) -> Attempt:
        """Claim the attempt for the person, if it still is as it was when the processor was asked."""
        locked = await uow.transactions.lock(case.transaction.id, EVERYTHING)
        if locked is None or locked.processor_reference != case.transaction.processor_reference:
            raise NotResolvable("The transaction has changed meanwhile. Look again.", path=("input", "attemptId"))
        taken = await uow.attempts.take_over(case.attempt.id, left_only=left_only)
        if taken is None:
            raise NotResolvable(path=("input", "attemptId"))
        return taken

    async def _ask(self, wanted: NewResolution, case: _Case) -> _Apply | None:
        """Ask the processor whether it can be as the person says; what to do then, or None to look up again.

        Raises ResolutionContradicted where it cannot, ProcessorUnavailable where the processor does not say.
        """
        if wanted.resolution is AttemptResolution.LOOK_UP_AGAIN:
            return None
        if not case.attempt.is_left:
            raise NotResolvable(
                "Florin is still looking for the outcome itself; it can be asked to look now (LOOK_UP_AGAIN).",
                path=("input", "resolution"),
            )
        try:
            match wanted.resolution, case.attempt.kind:
                case AttemptResolution.MARK_FAILED, AttemptKind.CHARGE:
                    return await self._charge_failed(case)
                case AttemptResolution.MARK_FAILED, AttemptKind.CAPTURE | AttemptKind.VOID:
                    return await self._follow_up_failed(case)
                case AttemptResolution.MARK_NOT_REFUNDED, AttemptKind.REFUND:
                    return await self._not_refunded(case)
                case AttemptResolution.MARK_REFUNDED, AttemptKind.REFUND:
                    return await self._refunded(case, wanted.processor_reference or "")
        except (OutcomeUnknown, RequestRejected) as error:
            raise ProcessorUnavailable(
                "The processor does not say how it stands, so nothing was changed. Try again later."
            ) from error
        raise NotResolvable(
            f"{wanted.resolution} is not for attempts of kind {case.attempt.kind}.", path=("input", "resolution")
        )

    async def _charge_failed(self, case: _Case) -> _Apply:
        if case.transaction.status not in UNDECIDED:
            raise NotResolvable(f"The transaction is {case.transaction.status} already.")
        reference = case.transaction.processor_reference
        if reference is not None:
            report = await self._look_up(reference)
            if report is not None and report.status is not ChargeStatus.CANCELED:
                _contradict_if(report.status in _TAKEN, f"The processor says that the charge is {report.status}.")
                # It stays failed only if nobody can confirm it any more.
                key = f"{reference}:resolve:{self._clock.now().isoformat()}"
                report = await self._gateway.cancel_charge(reference, key=key)
                _contradict_if(
                    report.status is not ChargeStatus.CANCELED,
                    f"The processor says that the charge is {report.status}.",
                )

        async def apply(uow: UnitOfWork, taken: Attempt) -> None:
            await self._outcomes.fail_charge(uow, case.transaction, _DECIDED_BY_PERSON, Origin.PERSON)
            await uow.attempts.finish(taken.id)

        return apply

    async def _look_up(self, reference: str) -> ChargeReport | None:
        """The charge as it is; None where the processor says that it does not exist."""
        try:
            return await self._gateway.look_up_charge(reference)
        except RequestRejected as error:
            if error.kind is RejectionKind.NOT_FOUND:
                return None
            raise

    async def _follow_up_failed(self, case: _Case) -> _Apply:
        report = await self._gateway.look_up_charge(case.reference)
        done = ChargeStatus.SUCCEEDED if case.attempt.kind is AttemptKind.CAPTURE else ChargeStatus.CANCELED
        _contradict_if(report.status is done, f"The processor says that the charge is {report.status}.")

        async def apply(uow: UnitOfWork, taken: Attempt) -> None:
            await self._outcomes.apply_charge(uow, report, Origin.PERSON)
            await uow.attempts.finish(taken.id)

        return apply

    async def _not_refunded(self, case: _Case) -> _Apply:
        refund = _refund_of(case)
        for report in await self._gateway.list_refunds(case.reference):
            ours = report.refund_id == refund.id or report.reference == refund.processor_reference
            _contradict_if(
                ours and report.status is not RefundReportStatus.FAILED,
                f"The processor has the refund as {report.reference}, and says that it is {report.status}.",
            )

        async def apply(uow: UnitOfWork, taken: Attempt) -> None:
            await self._outcomes.fail_refund(uow, refund, _DECIDED_BY_PERSON, Origin.PERSON)
            await uow.attempts.finish(taken.id)

        return apply

    async def _refunded(self, case: _Case, reference: str) -> _Apply:
        refund = _refund_of(case)
        try:
            report = await self._gateway.look_up_refund(reference)
        except RequestRejected as error:
            raise ResolutionContradicted(f"The processor knows no refund {reference}.") from error
        _check_refund(report, refund, case.reference)

        async def apply(uow: UnitOfWork, taken: Attempt) -> None:
            known = await uow.refunds.get_by_reference(reference)
            _contradict_if(
                known is not None and known.id != refund.id, f"{reference} is in the books already, as another refund."
            )
            await self._outcomes.apply_refund(uow, replace(report, refund_id=refund.id), Origin.PERSON)
            if report.status is RefundReportStatus.PENDING:
                # Followed to its end by the reference that is known now.
                await uow.attempts.defer(taken, pause_before_recheck(1), None)

        return apply

    def _resolved(self, actor: Actor, wanted: NewResolution, case: _Case) -> AuditEntry:
        details: dict[str, JsonValue] = {
            "attemptId": encode(IdKind.ATTEMPT, case.attempt.id),
            "kind": case.attempt.kind.value,
            "resolution": wanted.resolution.value,
            "reason": wanted.reason,
        }
        if wanted.processor_reference is not None:
            details["processorReference"] = wanted.processor_reference
        return AuditEntry.by(
            actor,
            AuditAction.ATTEMPT_RESOLVED,
            new_id=self._ids.new(),
            transaction_id=case.transaction.id,
            details=details,
            at=self._clock.now(),
        )

    async def _answer(self, uow: UnitOfWork, transaction_id: TransactionId, *, replayed: bool) -> Answer:
        return Answer(transaction=await uow.transactions.get(transaction_id), replayed=replayed)


def _check(wanted: NewResolution) -> None:
    check_idempotency_key(wanted.idempotency_key)
    check_reason(wanted.reason, length_max=REASON_LENGTH_MAX)
    path = ("input", "processorReference")
    given = wanted.processor_reference
    if (given is not None) is not (wanted.resolution is AttemptResolution.MARK_REFUNDED):
        raise InvalidText("The processor's id of the refund goes with MARK_REFUNDED, and with nothing else.", path=path)
    if given is not None and not is_processor_id(given):
        raise InvalidText("A processor's id holds letters, digits and underscores only.", path=path)


async def _find(uow: UnitOfWork, attempt_id: AttemptId | None) -> _Case:
    attempt = None if attempt_id is None else await uow.attempts.get(attempt_id)
    transaction = None if attempt is None else await uow.transactions.get(attempt.transaction_id)
    if attempt is None or transaction is None:
        raise NotFound(path=("input", "attemptId"))
    refund = None if attempt.refund_id is None else await uow.refunds.get(attempt.refund_id)
    return _Case(attempt, transaction, refund)


def _refund_of(case: _Case) -> Refund:
    if case.refund is None:
        raise NotResolvable("The attempt has no refund.")
    return case.refund


def _check_refund(report: RefundReport, refund: Refund, charge_reference: str) -> None:
    _contradict_if(report.charge_reference != charge_reference, f"{report.reference} is a refund of another charge.")
    _contradict_if(
        report.refund_id not in {None, refund.id}, f"{report.reference} is another refund of ours, by its metadata."
    )
    _contradict_if(
        report.money != refund.money, f"{report.reference} is over {report.money}, ours over {refund.money}."
    )
    _contradict_if(report.status is RefundReportStatus.FAILED, f"The processor says that {report.reference} failed.")


def _contradict_if(condition: bool, message: str) -> None:
    if condition:
        raise ResolutionContradicted(message)
