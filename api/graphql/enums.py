"""The domain's enums as GraphQL sees them, each value with its meaning."""

from collections.abc import Mapping
from enum import StrEnum

import strawberry
from babel import Locale
from strawberry.types.enum import StrawberryEnumDefinition

from domain.access import MEANINGS, ActorKind, Capability, Role
from domain.currencies import Currency
from domain.errors import ErrorCode, Refusal, catalogue
from domain.identity.sessions import SessionKind
from domain.ledger.accounts import AccountKind
from domain.ledger.entries import EntryKind
from domain.messaging.webhook_events import EventState
from domain.payments.actions import ActionKind
from domain.payments.attempt import AttemptKind
from domain.payments.attempt_queries import RecoveryState
from domain.payments.dispute import DisputeStatus
from domain.payments.queries import OrderDirection, OrderField
from domain.payments.refund import RefundReason, RefundStatus
from domain.payments.resolve_attempt import AttemptResolution
from domain.payments.transaction import CaptureMethod, NextActionType, TransactionStatus
from domain.reconciliation.discrepancies import DiscrepancyKind, Resolution


def _publish(
    enum: type[StrEnum], meanings: Mapping[StrEnum, str], *, name: str | None = None, description: str | None = None
) -> None:
    """Make a domain enum a GraphQL enum. Raises KeyError for a value whose meaning is not told."""
    strawberry.enum(enum, name=name or enum.__name__, description=description or " ".join((enum.__doc__ or "").split()))
    definition: StrawberryEnumDefinition = enum.__strawberry_definition__  # type: ignore[attr-defined]  # set one line above
    for value in definition.values:
        value.description = meanings[enum(value.value)]


_publish(
    TransactionStatus,
    {
        TransactionStatus.PENDING: "Accepted by us; the outcome is not known yet. It is being looked up.",
        TransactionStatus.REQUIRES_ACTION: "The payer must do something (3-D Secure): see nextAction.",
        TransactionStatus.AUTHORIZED: "Money is reserved on the card, to be captured or voided.",
        TransactionStatus.COMPLETED: "The money has been taken.",
        TransactionStatus.PARTIALLY_REFUNDED: "Some of the money has gone back.",
        TransactionStatus.REFUNDED: "All of the money has gone back.",
        TransactionStatus.FAILED: "Definitely no money moved: see failure.",
        TransactionStatus.CANCELED: "Called off before any money was taken.",
    },
)
_publish(
    RefundStatus,
    {
        RefundStatus.PENDING_APPROVAL: "A second person has to approve it; its money is set aside, and nothing was sent.",
        RefundStatus.PENDING: "Accepted by us; the processor has not completed it yet.",
        RefundStatus.COMPLETED: "The money is on its way to the payer.",
        RefundStatus.FAILED: "The money did not go back and can be refunded again: see failure.",
        RefundStatus.REJECTED: "It was not approved, or gave way to a refund made at the processor; nothing was sent.",
    },
)
_publish(
    RefundReason,
    {
        RefundReason.DUPLICATE: "The payer was charged twice for the same thing.",
        RefundReason.FRAUDULENT: "The payment was not made by the card's owner.",
        RefundReason.REQUESTED_BY_CUSTOMER: "The payer asked for the money back.",
    },
)
_publish(
    ActionKind,
    {
        ActionKind.CAPTURE: "Take authorized money: the mutation capture.",
        ActionKind.VOID: "Call the payment off: the mutation void.",
        ActionKind.REFUND: "Give money back: the mutation refund.",
    },
    name="TransactionActionKind",
)
_publish(
    DisputeStatus,
    {
        DisputeStatus.INQUIRY: "The bank only asks; no money has been taken, and a refund may settle it.",
        DisputeStatus.INQUIRY_CLOSED: "The bank has stopped asking.",
        DisputeStatus.NEEDS_RESPONSE: "The money has been taken; evidence can be given to the processor.",
        DisputeStatus.UNDER_REVIEW: "The bank looks at the evidence.",
        DisputeStatus.WON: "Decided for the merchant: the money comes back.",
        DisputeStatus.LOST: "Decided for the payer: the money is lost.",
    },
)
_publish(
    AccountKind,
    {
        AccountKind.PROCESSOR_BALANCE: "What the processor holds for the merchant.",
        AccountKind.CUSTOMER: "What a customer owes: nothing, but for a refund on its way to them.",
        AccountKind.REVENUE: "What was sold.",
        AccountKind.REFUNDS: "What was given back.",
        AccountKind.PROCESSOR_FEES: "What the processor keeps, for payments and for disputes.",
        AccountKind.DISPUTES: "What banks have taken back while it is not decided who keeps it.",
        AccountKind.DISPUTE_LOSSES: "What was lost for good in disputes.",
        AccountKind.CURRENCY_CONVERSION: "What the processor exchanged into the currency in which it settles.",
    },
    name="LedgerAccountKind",
)
_publish(
    EntryKind,
    {
        EntryKind.CHARGE: "Money was taken at once.",
        EntryKind.CAPTURE: "Authorized money was taken.",
        EntryKind.PROCESSOR_FEE: "The processor's fee became known.",
        EntryKind.PROCESSOR_FEE_CORRECTION: "The processor changed its fee.",
        EntryKind.CONVERSION: "The processor exchanged money into the currency in which it settles.",
        EntryKind.REFUND: "A refund's money left the processor's balance.",
        EntryKind.REFUND_SETTLED: "A refund is complete.",
        EntryKind.REFUND_FAILED: "A refund failed: what was posted for it is reversed.",
        EntryKind.DISPUTE: "Disputed money was taken.",
        EntryKind.DISPUTE_WON: "Disputed money was put back.",
        EntryKind.DISPUTE_FEE: "The processor's fee for a dispute, or its return.",
        EntryKind.DISPUTE_LOST: "A lost dispute's money is written off.",
        EntryKind.DISPUTE_LOSS_REVERSED: "A lost dispute was overturned: the write-off is reversed.",
    },
    name="JournalEntryKind",
)
_publish(
    CaptureMethod,
    {
        CaptureMethod.AUTOMATIC: "Take the money at once.",
        CaptureMethod.MANUAL: "Reserve it now, and take it later with the mutation capture.",
    },
)
_publish(
    NextActionType,
    {
        NextActionType.REDIRECT: "Send the payer's browser to redirectUrl.",
        NextActionType.USE_SDK: "Hand clientSecret to the processor's own JavaScript library.",
    },
)
_publish(
    EventState,
    {
        EventState.RECEIVED: "It waits to be applied, for the first time or again.",
        EventState.APPLIED: "Its object was looked up, and what that said was applied. It may have changed nothing.",
        EventState.IGNORED: "It is about something that Florin does not keep, or of another program.",
        EventState.QUARANTINED: "What it is about contradicts us, claims to be ours, or cannot be read: a person should look.",
        EventState.PARKED: "A mistake of Florin kept it from being applied, several times in a row: a person should look.",
    },
    name="WebhookEventState",
    description="Where a webhook event stands. Only one that is APPLIED has changed anything.",
)
_publish(
    AttemptKind,
    {
        AttemptKind.CHARGE: "Create a charge and confirm it.",
        AttemptKind.CAPTURE: "Take authorized money.",
        AttemptKind.VOID: "Let an authorization go.",
        AttemptKind.REFUND: "Give captured money back.",
    },
)
_publish(
    RecoveryState,
    {
        RecoveryState.DONE: "The outcome is known.",
        RecoveryState.IN_PROGRESS: "The processor is being asked right now.",
        RecoveryState.WAITING: "It is looked at again at nextCheckAt, until the outcome is known.",
        RecoveryState.UNRESOLVED: "The outcome is unknown for over 15 minutes. It is still looked for.",
        RecoveryState.MANUAL: "Neither asking nor repeating can tell the outcome: a person has to decide, by resolveAttempt.",
        RecoveryState.PARKED: "Whoever worked on it died, several times in a row: a person has to look, and resolveAttempt.",
    },
)
_publish(
    AttemptResolution,
    {
        AttemptResolution.LOOK_UP_AGAIN: "Ask the processor now, and go on from what it says.",
        AttemptResolution.MARK_FAILED: "No money moved, and none will: a charge is canceled and FAILED; another act is given up.",
        AttemptResolution.MARK_NOT_REFUNDED: "The money did not go back: the refund is FAILED, and can be made again.",
        AttemptResolution.MARK_REFUNDED: "The money went back, by the refund that processorReference names.",
    },
)
_publish(
    DiscrepancyKind,
    {
        DiscrepancyKind.MISSING_HERE: "The processor took money that carries our mark, and we have not booked it.",
        DiscrepancyKind.MISSING_AT_PROCESSOR: "We say that money was taken or held; the processor knows no such charge.",
        DiscrepancyKind.AMOUNT_DIFFERS: "The amount that was asked for, captured or received is not the same.",
        DiscrepancyKind.CURRENCY_DIFFERS: "The charge is in another currency than the transaction.",
        DiscrepancyKind.FEE_DIFFERS: "The processor's fee is another, or was told later.",
        DiscrepancyKind.STATUS_DIFFERS: "The charge stands elsewhere than the transaction.",
        DiscrepancyKind.DUPLICATE_CHARGE: "The processor holds money for a transaction twice.",
        DiscrepancyKind.FOREIGN_CHARGE: "The processor took money that Florin did not ask for, on an account that is ours alone.",
        DiscrepancyKind.REFUND_MISSING_HERE: "The processor has refunded money, and we have not booked it.",
        DiscrepancyKind.REFUND_MISSING_AT_PROCESSOR: "We say that money went back; the processor knows no such refund.",
        DiscrepancyKind.REFUND_AMOUNT_DIFFERS: "The refund is over another amount.",
        DiscrepancyKind.REFUND_STATUS_DIFFERS: "The refund stands elsewhere: it failed, for example, after it had succeeded.",
        DiscrepancyKind.DUPLICATE_REFUND: "The processor has made one refund of ours twice.",
        DiscrepancyKind.DISPUTE_MISSING_HERE: "The payer's bank disputes a payment, and we have not booked it.",
        DiscrepancyKind.DISPUTE_MISSING_AT_PROCESSOR: "We say that a payment is disputed; the processor knows no such dispute.",
        DiscrepancyKind.DISPUTE_DIFFERS: "The dispute is over another amount, stands elsewhere or has moved other money.",
        DiscrepancyKind.LEDGER_DIFFERS: "The ledger does not say of a transaction what the transaction itself says.",
    },
)
_publish(
    Resolution,
    {
        Resolution.CURED: "The processor's word was applied, as a webhook would have done.",
        Resolution.NO_LONGER_SEEN: "It was gone when it was looked at again.",
        Resolution.BY_PERSON: "An administrator has settled it: see reason.",
    },
    name="DiscrepancyResolution",
)
_publish(
    Role,
    {
        Role.CUSTOMER: "Pays, and sees only what is their own.",
        Role.SUPPORT: "Works for the merchant; sees every transaction and may refund.",
        Role.ADMIN: "Runs the service for the merchant.",
    },
)
_publish(
    Capability,
    {capability: f"{capability}: {MEANINGS[capability]}" for capability in Capability},
    description="Something that may be seen or done, by a role or an API key.",
)
_publish(
    SessionKind,
    {
        SessionKind.SIGN_IN: "By signIn.",
        SessionKind.COMMAND_LINE: "On the server's command line, by `florin token`.",
    },
)
_publish(
    ActorKind,
    {
        ActorKind.USER: "A person, with an access token of their own.",
        ActorKind.API_KEY: "A program, with an API key.",
        ActorKind.PROCESSOR: "The card processor, by an answer or a webhook.",
        ActorKind.SYSTEM: "Florin itself.",
    },
)
_publish(
    OrderField,
    {
        OrderField.CREATED_AT: "By time of creation.",
        OrderField.AMOUNT: "By amount in minor units, whatever the currency.",
    },
    name="TransactionOrderField",
)
_publish(
    OrderDirection,
    {OrderDirection.ASC: "Smallest or oldest first.", OrderDirection.DESC: "Largest or newest first."},
)
_publish(
    Currency,
    {currency: Locale("en").currencies[currency.value] for currency in Currency},
    name="CurrencyCode",
    description="Every currency that the processor takes, by its ISO 4217 code.",
)
_publish(ErrorCode, {ErrorCode(error.code): error.default_message() for error in catalogue(Refusal)})
