"""The inbox of webhook events, for administrators: what came in, how it ended, and the mutation that tries it again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar

import strawberry
import structlog
from strawberry.scalars import JSON

from api.graphql.compiled import batched
from api.graphql.context import Info
from api.graphql.mutations import ERRORS, KEY, REPLAYED
from api.graphql.nodes import Node
from api.graphql.paging import After, Before, Connection, First, Last, Ordering, connection, page_request
from api.graphql.problems import UserError, user_errors
from api.graphql.rules import needs
from api.graphql.transaction_links import transactions_with
from api.graphql.transactions import Transaction
from domain import ids
from domain.access import Capability
from domain.errors import BadInput, Refusal
from domain.ids import IdKind, WebhookEventId
from domain.messaging.inbox import ANY_EVENT, InboxEntry
from domain.messaging.inbox import InboxFilter as Filter
from domain.messaging.reapply_webhook import NewReapplication
from domain.messaging.webhook_events import EventState
from domain.text import check_text

LATEST_FIRST = Ordering("webhookEvents", datetime)
NAME_LENGTH_MAX = 255

log = structlog.get_logger(__name__)


@strawberry.type(description="Something that the processor told us of, once: a hint to look at an object of its again.")
class WebhookEvent(Node):
    """A webhook event on the wire."""

    seen_with: ClassVar[Capability | None] = Capability.WEBHOOKS_READ
    record: strawberry.Private[InboxEntry]

    @strawberry.field(description="The event's opaque global id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.WEBHOOK_EVENT, self.record.id))

    @strawberry.field(description="The processor's own id of the event.")
    def processor_event_id(self) -> str:
        return self.record.event_id

    @strawberry.field(description='The processor\'s word for what happened, such as "payment_intent.succeeded".')
    def type(self) -> str:
        return self.record.type

    @strawberry.field(description="Where the event stands.")
    def state(self) -> EventState:
        return self.record.state

    @strawberry.field(description="Why it was not applied, or not yet; null where it was.")
    def reason(self) -> str | None:
        return self.record.reason

    @strawberry.field(description="How often it was taken up.")
    def tries(self) -> int:
        return self.record.tries

    @strawberry.field(description="The processor's id of the object that changed; null where the event names none.")
    def processor_reference(self) -> str | None:
        return self.record.reference

    @strawberry.field(
        description="The processor's account that it is of; null where it says nothing, and so is of ours."
    )
    def processor_account(self) -> str | None:
        return self.record.account

    @strawberry.field(description="Whether it is about real money.")
    def live(self) -> bool:
        return self.record.live

    @batched(description="The transaction that it is about, as far as one is known. Batched.")
    @staticmethod
    async def transaction(events: "Sequence[WebhookEvent]", info: Info) -> list[Transaction | None]:
        return await transactions_with(info, [each.record.transaction_id for each in events])

    @strawberry.field(
        description="The processor's message as far as it may be seen: ids, states, amounts and times. Secrets, cards, names "
        "and addresses are left out."
    )
    def payload(self) -> JSON:
        return JSON(dict(self.record.payload))

    @strawberry.field(description="When it happened, as the processor says, to the second.")
    def occurred_at(self) -> datetime:
        return self.record.created_at

    @strawberry.field(description="When it came in.")
    def received_at(self) -> datetime:
        return self.record.received_at

    @strawberry.field(description="When it came to its state; null while it is RECEIVED.")
    def settled_at(self) -> datetime | None:
        return self.record.settled_at


def webhook_event_type(record: InboxEntry) -> WebhookEvent:
    return WebhookEvent(record=record)


@strawberry.input(description="Which webhook events a list holds; all conditions must hold.")
class WebhookEventFilter:
    """The domain's filter as it comes in."""

    state: list[EventState] | None = strawberry.field(default=None, description="In one of these states.")
    type: list[str] | None = strawberry.field(default=None, description="Of one of these types, word for word.")
    reference: str | None = strawberry.field(
        default=None, description="About the object with this id of the processor's."
    )
    received_from: datetime | None = strawberry.field(default=None, description="Received at this moment or later.")
    received_to: datetime | None = strawberry.field(default=None, description="Received before this moment.")

    def to_filter(self) -> Filter:
        """Raises BadInput for a text that cannot be searched for."""
        for name, texts in (("type", self.type or ()), ("reference", (self.reference or "",))):
            for each in texts:
                try:
                    check_text(each, path=("filter", name), length_max=NAME_LENGTH_MAX)
                except Refusal as error:
                    raise BadInput(f"filter.{name}: {error.message}") from error
        return Filter(
            states=None if self.state is None else frozenset(self.state),
            types=None if self.type is None else frozenset(self.type),
            reference=self.reference or None,
            received_from=self.received_from,
            received_to=self.received_to,
        )


@strawberry.type
class WebhookQueries:
    """The queries of the inbox."""

    @strawberry.field(
        description="The inbox: every webhook event that is kept, the latest first. For administrators.",
        metadata=needs(Capability.WEBHOOKS_READ),
    )
    async def webhook_events(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Annotated[WebhookEventFilter | None, strawberry.argument(description="Which ones.")] = None,
    ) -> Connection[WebhookEvent]:
        actor = info.context.require_actor()
        where = ANY_EVENT if filter is None else filter.to_filter()
        page = page_request(first, after, last, before, ordering=LATEST_FIRST)
        inbox = info.context.readers.inbox
        return connection(
            await inbox.events(actor, where, page),
            LATEST_FIRST,
            webhook_event_type,
            lambda: inbox.count(actor, where),
        )


@strawberry.input(description="A webhook event that was put aside, to be applied after all.")
class ReapplyWebhookEventInput:
    """What reapplyWebhookEvent takes."""

    idempotency_key: str = strawberry.field(description=KEY)
    webhook_event_id: strawberry.ID = strawberry.field(description="Which: QUARANTINED, IGNORED or PARKED.")
    reason: str = strawberry.field(description="Why, for the audit log: 1 to 500 characters.")


@strawberry.type(description="What came of reapplyWebhookEvent.")
class ReapplyWebhookEventPayload:
    """The event in the state that it came to."""

    webhook_event: WebhookEvent | None = strawberry.field(
        description="The event as it stands now: it may have been put aside again. Null when the input was refused."
    )
    errors: list[UserError] = strawberry.field(description=ERRORS)
    replayed: bool = strawberry.field(description=REPLAYED)


@strawberry.type
class WebhookMutations:
    """The mutations of the inbox."""

    @strawberry.mutation(
        description="Put a webhook event back that was quarantined, ignored or parked, and apply it now. For administrators.",
        metadata=needs(Capability.WEBHOOKS_REAPPLY),
    )
    async def reapply_webhook_event(
        self,
        info: Info,
        input: Annotated[ReapplyWebhookEventInput, strawberry.argument(description="Which event, and why.")],
    ) -> ReapplyWebhookEventPayload:
        context = info.context
        actor = context.require_actor()
        value = ids.decode_as(IdKind.WEBHOOK_EVENT, input.webhook_event_id)
        event_id = None if value is None else WebhookEventId(value)
        wanted = NewReapplication(idempotency_key=input.idempotency_key, event_id=event_id, reason=input.reason)
        try:
            applied = await context.acts.reapply_webhook(actor, wanted)
        except Refusal as refusal:
            return ReapplyWebhookEventPayload(webhook_event=None, errors=user_errors([refusal]), replayed=False)
        finally:
            context.forget_loaded()
        if applied is not None and applied.error is not None:
            log.error("webhook.failed", webhook_event_id=input.webhook_event_id, exc_info=applied.error)
        record = None if event_id is None else await context.loaders.webhook_events.load(event_id)
        return ReapplyWebhookEventPayload(
            webhook_event=None if record is None else webhook_event_type(record), errors=[], replayed=applied is None
        )
