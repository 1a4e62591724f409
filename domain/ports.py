"""What the domain needs of the world: a clock, ids, and storage inside one unit of work.

A unit of work is one database transaction. Nothing in it may call the processor, and nothing may await a dataloader.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from domain.access import Scope
from domain.audit import AuditEntry
from domain.idempotency import KeyRepository, KeyUse
from domain.identity.api_keys import ApiKeyRepository
from domain.identity.credentials import CredentialRepository
from domain.identity.one_time import OneTimeTokenRepository
from domain.identity.providers import IdentityRepository
from domain.identity.second_factor import SecondFactorRepository
from domain.identity.sessions import SessionRepository
from domain.identity.sign_in_codes import SignInCodeRepository
from domain.identity.users import User
from domain.ids import AttemptId, RefundId, TransactionId, UserId, WebhookEventId
from domain.ledger.entries import JournalEntry
from domain.messaging.mails import MailRepository
from domain.messaging.webhook_events import EventState, WebhookEvent
from domain.payments.attempt import Alert, Attempt, AttemptKind, AttemptStep
from domain.payments.dispute import Dispute
from domain.payments.gateway import ChargeReport
from domain.payments.refund import Refund
from domain.payments.transaction import Failure, Transaction
from domain.reconciliation.discrepancies import DiscrepancyRepository, OpenDiscrepancies
from domain.reconciliation.runs import RunRepository
from domain.sweeps import SweepRepository


class Clock(Protocol):
    """The time of day, for records; leases go by the database's clock."""

    def now(self) -> datetime:
        """The current time, in UTC."""
        ...


class IdSource(Protocol):
    """Fresh ids."""

    def new(self) -> UUID:
        """A UUID that sorts after those made before it (RFC 9562, version 7)."""
        ...


class Alerts(Protocol):
    """Calls a person to something that Florin cannot settle by itself."""

    def refunded_and_disputed(self, transaction: Transaction) -> None:
        """The same money was refunded and taken back by the payer's bank: the merchant has lost it twice."""
        ...

    def discrepancies_open(self, waiting: OpenDiscrepancies) -> None:
        """The processor and we do not agree, and only a person can settle it."""
        ...


class LeaseLost(Exception):
    """Another process took the attempt over; whatever this one still has to say of it no longer counts."""


class StaleVersion(Exception):
    """The row changed since it was read; nothing was written."""


class EmailTaken(Exception):
    """A user with this address exists already."""


class TransactionRepository(Protocol):
    """Transactions, locked while a unit of work decides about them."""

    async def add(self, transaction: Transaction) -> None: ...

    async def lock(self, transaction_id: TransactionId, scope: Scope) -> Transaction | None:
        """The transaction under its row's lock, or None where there is none in this scope."""
        ...

    async def lock_by_reference(self, processor_reference: str) -> Transaction | None:
        """The same by the processor's id."""
        ...

    async def get(self, transaction_id: TransactionId) -> Transaction | None:
        """The transaction without a lock, for reading only."""
        ...

    async def get_by_reference(self, processor_reference: str) -> Transaction | None:
        """The same by the processor's id."""
        ...

    async def first_created_at(self) -> datetime | None:
        """When the oldest transaction was created; None where there is none."""
        ...

    async def save(self, transaction: Transaction) -> Transaction:
        """Write a changed transaction and return it with its new version. Raises StaleVersion if it changed meanwhile."""
        ...

    async def reserve_refund(
        self, transaction_id: TransactionId, minor_units: int, *, despite_dispute: bool = False
    ) -> bool:
        """Claim captured money for a refund in one statement; False where not so much is left.

        `despite_dispute` is for a refund that the processor has made already: it claims disputed money too.
        """
        ...


class PaymentRepository(Protocol):
    """What belongs together of a payment, stored by one statement: all of it or nothing."""

    async def open(self, use: KeyUse, transaction: Transaction, attempt: Attempt, entry: AuditEntry) -> bool:
        """Store a payment with the use of its key, its attempt, claimed by the caller for one lease, and its first audit entry.

        False where the key was used before. Of two with one key that arrive at once the second waits here until the first has
        committed or rolled back.
        """
        ...

    async def record_charge(self, attempt: Attempt, report: ChargeReport, at: datetime) -> bool:
        """Write down which charge at the processor is the transaction's, and that the attempt has to confirm it; renew its claim.

        False where the transaction has one already, or there is no such transaction. Raises LeaseLost.
        """
        ...

    async def save(self, transaction: Transaction, entry: AuditEntry) -> Transaction:
        """Write a changed transaction with its audit entry and return it with its new version. Raises StaleVersion."""
        ...


class AttemptRepository(Protocol):
    """Attempts, with leases that go by the database's clock."""

    async def add(self, attempt: Attempt) -> None:
        """Store an attempt, claimed by the caller for one lease."""
        ...

    async def add_only(self, attempt: Attempt) -> bool:
        """Store a capture or void, unless another one of the transaction is open: then False."""
        ...

    async def get(self, attempt_id: AttemptId) -> Attempt | None:
        """The attempt, for reading only."""
        ...

    async def take_over(self, attempt_id: AttemptId, *, left_only: bool) -> Attempt | None:
        """Claim an attempt for a person; None for one that needs none, or that somebody is working on.

        `left_only` takes only what was left to a person, and not what workers are still looking after in vain.
        """
        ...

    async def is_open(self, transaction_id: TransactionId, kind: AttemptKind) -> bool:
        """Whether an attempt of this kind is still undecided."""
        ...

    async def claim_due(self, limit: int, deaths_max: int) -> list[Attempt]:
        """Claim open attempts whose time has come and whose lease, if any, is over.

        One whose last `deaths_max` claims all ended without a word is parked instead, and answered with as such. The
        oldest come first.
        """
        ...

    async def renew(self, attempt: Attempt) -> timedelta:
        """Hold the claim for another lease; the `key_age` that the attempt has now. Raises LeaseLost."""
        ...

    async def advance(self, attempt: Attempt, step: AttemptStep, failure: Failure | None = None) -> None:
        """Record what comes next, and why where that is a fence, and renew the lease. Raises LeaseLost."""
        ...

    async def defer(self, attempt: Attempt, pause: timedelta, unknown_because: str | None) -> None:
        """Release the claim and look again after the pause.

        `unknown_because` is why the outcome is unknown; None where the processor has answered, and the payer or it has
        still to do something. Raises LeaseLost.
        """
        ...

    async def mark_manual(self, attempt: Attempt, reason: str) -> None:
        """Leave the attempt to a person. Raises LeaseLost."""
        ...

    async def take_alerts(self, limit: int) -> list[Alert]:
        """Attempts that need attention for a reason that nobody was told of yet; from now on it counts as told."""
        ...

    async def finish(self, attempt_id: AttemptId) -> None: ...

    async def finish_all(self, transaction_id: TransactionId, kinds: frozenset[AttemptKind]) -> None:
        """Finish the open attempts of these kinds, because the transaction's state has decided them."""
        ...

    async def finish_refund(self, refund_id: RefundId) -> None: ...

    async def failure_of_charge(self, transaction_id: TransactionId) -> Failure | None:
        """Why the transaction's charge is being fenced off, where it is."""
        ...


class RefundRepository(Protocol):
    """Refunds; the transaction's lock is taken first, always."""

    async def add(self, refund: Refund) -> None: ...

    async def get(self, refund_id: RefundId) -> Refund | None: ...

    async def get_by_reference(self, processor_reference: str) -> Refund | None: ...

    async def save(self, refund: Refund) -> None: ...

    async def waiting_of(self, transaction_id: TransactionId) -> list[Refund]:
        """The transaction's refunds that wait for approval, the latest first."""
        ...


class DisputeRepository(Protocol):
    """Disputes; the transaction's lock is taken first, always."""

    async def add(self, dispute: Dispute) -> None: ...

    async def of_transaction(self, transaction_id: TransactionId) -> list[Dispute]:
        """Every dispute of a transaction."""
        ...

    async def save(self, dispute: Dispute) -> None: ...


class LedgerRepository(Protocol):
    """The ledger: entries are added, and nothing else."""

    async def post(self, entries: Sequence[JournalEntry]) -> None:
        """Add entries, and the accounts that they need, in one statement.

        One whose transaction, kind and source together were posted before is left out.
        """
        ...

    async def of_refund(self, refund_id: RefundId) -> list[JournalEntry]:
        """Everything that was posted for a refund."""
        ...


class AuditRepository(Protocol):
    """The audit log."""

    async def append(self, entry: AuditEntry) -> None: ...


class WebhookEventRepository(Protocol):
    """Webhook events."""

    async def store(self, event: WebhookEvent, received_at: datetime) -> bool:
        """Keep an event; False where it is known already."""
        ...

    async def claim_due(self, limit: int) -> list[WebhookEvent]:
        """Claim at most `limit` events that wait to be handled, and the others that are due about the same objects.

        The oldest come first.
        """
        ...

    async def known(self, event_ids: Collection[str]) -> Collection[str]:
        """Those of the processor's event ids that are stored already."""
        ...

    async def prune(self, received_before: datetime, limit: int) -> int:
        """Delete at most so many events that were received and applied or ignored before then; how many it were."""
        ...

    async def find(self, event_id: WebhookEventId) -> WebhookEvent | None: ...

    async def reopen(self, event_id: WebhookEventId) -> WebhookEvent | None:
        """Put an event back that was put aside, claimed by the caller; None where it is in another state."""
        ...

    async def renew(self, events: Sequence[WebhookEvent]) -> None:
        """Hold the claim for another lease."""
        ...

    async def settle(
        self,
        events: Sequence[WebhookEvent],
        state: EventState,
        reason: str | None,
        *,
        transaction_id: TransactionId | None,
        at: datetime,
    ) -> None:
        """End the events. Those that have ended already stay as they are."""
        ...

    async def defer(self, events: Sequence[WebhookEvent], pause: timedelta, reason: str, *, failed: bool) -> None:
        """Release the claim and try again after the pause. `failed` tells that the cause is an error of ours, which counts."""
        ...


class UserRepository(Protocol):
    """Users."""

    async def add(self, user: User) -> None:
        """Raises EmailTaken."""
        ...

    async def get(self, user_id: UserId) -> User | None: ...

    async def get_by_email(self, email: str) -> User | None: ...

    async def lock_by_email(self, email: str) -> User | None:
        """The user with an address, under their row's lock."""
        ...

    async def lock_administrators(self) -> set[UserId]:
        """Every administrator who is not disabled, locked, always in one order."""
        ...

    async def lock(self, user_id: UserId) -> User | None:
        """The user under the row's lock."""
        ...

    async def save(self, user: User) -> None:
        """Write a changed user, whose row the caller has locked."""
        ...


class UnitOfWork(Protocol):
    """One database transaction and everything that can be done in it."""

    @property
    def transactions(self) -> TransactionRepository: ...
    @property
    def payments(self) -> PaymentRepository: ...
    @property
    def attempts(self) -> AttemptRepository: ...
    @property
    def refunds(self) -> RefundRepository: ...
    @property
    def disputes(self) -> DisputeRepository: ...
    @property
    def ledger(self) -> LedgerRepository: ...
    @property
    def audit(self) -> AuditRepository: ...
    @property
    def keys(self) -> KeyRepository: ...
    @property
    def webhook_events(self) -> WebhookEventRepository: ...
    @property
    def users(self) -> UserRepository: ...
    @property
    def api_keys(self) -> ApiKeyRepository: ...
    @property
    def sessions(self) -> SessionRepository: ...
    @property
    def credentials(self) -> CredentialRepository: ...
    @property
    def one_time_tokens(self) -> OneTimeTokenRepository: ...
    @property
    def mails(self) -> MailRepository: ...
    @property
    def second_factors(self) -> SecondFactorRepository: ...
    @property
    def identities(self) -> IdentityRepository: ...
    @property
    def sign_in_codes(self) -> SignInCodeRepository: ...
    @property
    def sweeps(self) -> SweepRepository: ...
    @property
    def discrepancies(self) -> DiscrepancyRepository: ...
    @property
    def reconciliation_runs(self) -> RunRepository: ...


class UnitsOfWork(Protocol):
    """Where units of work come from."""

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit of work that commits when its block ends, and rolls back when the block raises.

        Raises domain.errors.Unavailable when the database cannot be reached or no connection comes free in time.
        """
        ...

    def autocommit(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """The same repositories without a transaction around them: every statement commits by itself.

        For single statements, which need no more, and which it spares the round trips of BEGIN and COMMIT. Locks end with
        the statement that takes them. Raises as `begin` does.
        """
        ...
