"""Resolve a discrepancy, because a person has looked at it and says why it is settled."""

from dataclasses import dataclass

from domain.access import EVERYTHING, Actor, Capability
from domain.audit import AuditAction, AuditEntry
from domain.errors import AlreadyResolved, NotFound
from domain.idempotency import KeyedAct, KeyUse, fingerprint, first_use
from domain.ids import NIL, DiscrepancyId, IdKind, TransactionId, encode
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork
from domain.reconciliation.discrepancies import Discrepancy
from domain.text import JsonValue, check_idempotency_key, check_reason

REASON_LENGTH_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class NewResolution:
    """What is asked for: which discrepancy, and why it is settled."""

    idempotency_key: str
    discrepancy_id: DiscrepancyId | None
    reason: str


class ResolveDiscrepancy:
    """The act behind the mutation resolveDiscrepancy, for whoever may resolve discrepancies."""

    def __init__(self, *, units: UnitsOfWork, clock: Clock, ids: IdSource) -> None:
        self._units = units
        self._clock = clock
        self._ids = ids

    async def __call__(self, actor: Actor, wanted: NewResolution) -> bool:
        """Resolve it; False where an earlier request with the same key has done so.

        It moves no money and changes no record but the discrepancy itself. Raises Forbidden, or a Refusal, and has changed
        nothing then, where the discrepancy is resolved already or does not exist.
        """
        actor.require(Capability.RECONCILIATION_RESOLVE)
        check_idempotency_key(wanted.idempotency_key)
        check_reason(wanted.reason, length_max=REASON_LENGTH_MAX)
        if wanted.discrepancy_id is None:
            raise NotFound(path=("input", "discrepancyId"))
        async with self._units.begin() as uow:
            return await self._resolve(uow, actor, wanted.discrepancy_id, wanted)

    async def _resolve(
        self, uow: UnitOfWork, actor: Actor, discrepancy_id: DiscrepancyId, wanted: NewResolution
    ) -> bool:
        found = await uow.discrepancies.get(discrepancy_id)
        transaction_id = None if found is None else found.difference.transaction_id
        use = KeyUse(
            actor_id=actor.user_id,
            act=KeyedAct.RESOLVE_DISCREPANCY,
            key=wanted.idempotency_key,
            fingerprint=fingerprint({"discrepancyId": str(discrepancy_id), "reason": wanted.reason}),
            transaction_id=transaction_id or TransactionId(NIL),
        )
        if await first_use(uow.keys, use) is not None:
            return False
        if transaction_id is not None:
            # The audit entry locks the transaction; whoever applies an outcome locks it first, and so does this.
            await uow.transactions.lock(transaction_id, EVERYTHING)
        locked = await uow.discrepancies.lock(discrepancy_id)
        if locked is None:
            raise NotFound(path=("input", "discrepancyId"))
        if locked.resolution is not None:
            raise AlreadyResolved(
                f"The discrepancy was resolved: {locked.resolution}.", path=("input", "discrepancyId")
            )
        now = self._clock.now()
        await uow.discrepancies.resolve_by_person(discrepancy_id, actor.user_id, wanted.reason, now)
        await uow.audit.append(
            AuditEntry.by(
                actor,
                AuditAction.DISCREPANCY_RESOLVED,
                new_id=self._ids.new(),
                transaction_id=transaction_id,
                details=_told(locked, wanted.reason),
                at=now,
            )
        )
        return True


def _told(discrepancy: Discrepancy, reason: str) -> dict[str, JsonValue]:
    difference = discrepancy.difference
    return {
        "discrepancyId": encode(IdKind.DISCREPANCY, discrepancy.id),
        "kind": difference.kind.value,
        "processorReference": difference.subject.reference,
        "summary": difference.summary,
        "reason": reason,
    }
