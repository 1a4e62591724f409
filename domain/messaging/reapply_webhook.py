"""Apply a webhook event again that had been put aside, because a person has looked at it and says so."""

from dataclasses import dataclass

from domain.access import EVERYTHING, Actor, Capability
from domain.audit import AuditAction, AuditEntry
from domain.errors import NotFound, NotReapplicable
from domain.idempotency import KeyedAct, KeyUse, fingerprint, first_use
from domain.ids import NIL, IdKind, TransactionId, WebhookEventId, encode
from domain.messaging.apply_webhooks import Applied, ApplyWebhooks
from domain.messaging.webhook_events import WebhookEvent
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork
from domain.text import check_idempotency_key, check_reason

REASON_LENGTH_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReapplication:
    """What is asked for: which event, and why it is to be applied after all."""

    idempotency_key: str
    event_id: WebhookEventId | None
    reason: str


class ReapplyWebhook:
    """The act behind the mutation reapplyWebhookEvent, for whoever may apply events again."""

    def __init__(self, *, units: UnitsOfWork, webhooks: ApplyWebhooks, clock: Clock, ids: IdSource) -> None:
        self._units = units
        self._webhooks = webhooks
        self._clock = clock
        self._ids = ids

    async def __call__(self, actor: Actor, wanted: NewReapplication) -> Applied | None:
        """Put the event back and apply it now; None where an earlier request with the same key has done so.

        Raises Forbidden, or a Refusal, and has changed nothing then, where the event is not put aside or does not exist.
        """
        actor.require(Capability.WEBHOOKS_REAPPLY)
        check_idempotency_key(wanted.idempotency_key)
        check_reason(wanted.reason, length_max=REASON_LENGTH_MAX)
        if wanted.event_id is None:
            raise NotFound(path=("input", "webhookEventId"))
        async with self._units.begin() as uow:
            event = await self._put_back(uow, actor, wanted.event_id, wanted)
        return None if event is None else await self._webhooks.apply([event])

    async def _put_back(
        self, uow: UnitOfWork, actor: Actor, event_id: WebhookEventId, wanted: NewReapplication
    ) -> WebhookEvent | None:
        found = await uow.webhook_events.find(event_id)
        use = KeyUse(
            actor_id=actor.user_id,
            act=KeyedAct.REAPPLY_WEBHOOK_EVENT,
            key=wanted.idempotency_key,
            fingerprint=fingerprint({"webhookEventId": str(event_id), "reason": wanted.reason}),
            transaction_id=(found and found.transaction_id) or TransactionId(NIL),
        )
        if await first_use(uow.keys, use) is not None:
            return None
        if found is None:
            raise NotFound(path=("input", "webhookEventId"))
        if found.transaction_id is not None:
            # Whoever applies an event locks the transaction first, and the audit entry locks it too: the same order here.
            await uow.transactions.lock(found.transaction_id, EVERYTHING)
        event = await uow.webhook_events.reopen(event_id)
        if event is None:
            raise NotReapplicable(f"The event is {found.state}.", path=("input", "webhookEventId"))
        await uow.audit.append(
            AuditEntry.by(
                actor,
                AuditAction.WEBHOOK_EVENT_REAPPLIED,
                new_id=self._ids.new(),
                transaction_id=found.transaction_id,
                details={
                    "webhookEventId": encode(IdKind.WEBHOOK_EVENT, event_id),
                    "eventId": found.id,
                    "type": found.type,
                    "from": found.state.value,
                    "reason": wanted.reason,
                },
                at=self._clock.now(),
            )
        )
        return event
