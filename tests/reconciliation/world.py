"""A week of payments on both sides: the same everywhere but for the differences that are planted.

The processor's side is made by the sandbox's own operations. Our side is read out of its answers by the gateway, and
written in bulk by the rules that the acts follow: legal edges, and the ledger's own postings.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import bindparam, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.time_and_ids import SystemClock
from domain.audit import Origin
from domain.currencies import Currency
from domain.ids import IdKind, JournalEntryId, RefundId, TransactionId, UserId, encode
from domain.ledger import postings
from domain.ledger.entries import JournalEntry
from domain.money import Money
from domain.payments.gateway import ChargeReport, ChargeStatus, DisputeReport, RefundReport, RefundReportStatus
from domain.payments.outcomes import Outcomes
from domain.payments.refund import Refund, RefundStatus
from domain.payments.transaction import CaptureMethod, Transaction, TransactionStatus
from domain.reconciliation.discrepancies import CURABLE, DiscrepancyKind
from gateways.stripe.disputes import dispute_report
from gateways.stripe.reports import REFUND_LABEL, TRANSACTION_LABEL, charge_report, refund_report
from persistence.tables import attempts, transactions
from persistence.unit_of_work import SqlUnitsOfWork
from tests.reconciliation.processor import Acting, Processor
from tests.support.acts import RecordedAlerts
from tests.support.clock import FakeClock, SequentialIds
from tests.support.records import user

_K = DiscrepancyKind
_S = TransactionStatus
_BATCH = 500

WEEK = timedelta(days=7)
_STORY = timedelta(hours=10)
CURRENCIES = (Currency.USD, Currency.USD, Currency.EUR, Currency.USD, Currency.JPY, Currency.USD, Currency.KWD)

_STATUSES = {
    ChargeStatus.SUCCEEDED: _S.COMPLETED,
    ChargeStatus.AUTHORIZED: _S.AUTHORIZED,
    ChargeStatus.CANCELED: _S.CANCELED,
}

PLANTED: dict[str, tuple[int, DiscrepancyKind]] = {
    "success missed": (6, _K.MISSING_HERE),
    "no such transaction": (3, _K.MISSING_HERE),
    "failed here": (1, _K.MISSING_HERE),
    "unknown there": (4, _K.MISSING_AT_PROCESSOR),
    "captured less there": (3, _K.AMOUNT_DIFFERS),
    "another currency": (2, _K.CURRENCY_DIFFERS),
    "another fee": (4, _K.FEE_DIFFERS),
    "cancellation missed": (2, _K.STATUS_DIFFERS),
    "only held there": (2, _K.STATUS_DIFFERS),
    "charged twice": (3, _K.DUPLICATE_CHARGE),
    "refunded in the dashboard": (5, _K.REFUND_MISSING_HERE),
    "refund unknown there": (3, _K.REFUND_MISSING_AT_PROCESSOR),
    "refunded less here": (2, _K.REFUND_AMOUNT_DIFFERS),
    "refund failed unheard": (3, _K.REFUND_STATUS_DIFFERS),
    "dispute missed": (3, _K.DISPUTE_MISSING_HERE),
    "verdict missed": (1, _K.DISPUTE_DIFFERS),
    "another sum in the ledger": (3, _K.LEDGER_DIFFERS),
}
"""What is planted, how often, and what it is to be found as: fifty in all."""
_NOT_CURED = frozenset({"no such transaction", "failed here", "only held there"})
"""What stays although its kind can be cured: the processor's word contradicts our books, or has no book to go to."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A discrepancy that must be found, and whether it is gone after it was cured."""

    kind: DiscrepancyKind
    reference: str
    cured: bool


@dataclass(slots=True, kw_only=True)
class Payment:
    """One payment's story. `plot` is the difference that is planted in it, or what happens to it in the usual way."""

    plot: str
    at: datetime
    id: TransactionId
    user_id: UserId
    money: Money
    manual: bool = False
    charge: ChargeReport | None = None
    refunds: list[RefundReport] = field(default_factory=list)
    disputes: list[DisputeReport] = field(default_factory=list)

    @property
    def changed_at(self) -> datetime:
        """When the last of its story is over."""
        return self.at + _STORY

    @property
    def reference(self) -> str:
        assert self.charge is not None
        return self.charge.reference


@dataclass(frozen=True, slots=True)
class _Step:
    """Something that happens at the processor at a moment."""

    at: datetime
    act: Callable[[Acting], None]


class World:
    """Both sides. `expected` is what a reconciliation of the window must find.

    `under_way`: some payments are, so that the command waits for them until it can say that nothing is wrong with them.
    """

    def __init__(self, number: int, *, start: datetime, under_way: bool) -> None:
        self.start = start
        self.end = start + WEEK
        self.expected: list[Expected] = []
        self._ids = SequentialIds()
        self._users = [user(self._ids.new()) for _ in range(20)]
        self._payments = [self._payment(index, number, plot) for index, plot in enumerate(_plots(number, under_way))]
        self._steps: list[_Step] = []

    def make_processors_side(self, state: Path) -> None:
        """Let the week happen in the sandbox whose state is kept in the file."""
        for payment in self._payments:
            self._tell(payment)
        self._steps.sort(key=lambda step: step.at)
        with Processor(state, self.start) as processor:
            for first in range(0, len(self._steps), _BATCH):
                with processor.acting() as acting:
                    for step in self._steps[first : first + _BATCH]:
                        processor.go_to(step.at)
                        step.act(acting)

    def _payment(self, index: int, number: int, plot: str) -> Payment:
        currency = Currency.EUR if plot == "another currency" else CURRENCIES[index % len(CURRENCIES)]
        # Dinars are taken in steps of ten.
        minor_units = 1_000 + 10 * (index % 700)
        return Payment(
            plot=plot,
            # The last hours of the week are for what follows.
            at=self.start + (index + 1) * (WEEK - timedelta(hours=12)) / (number + 1),
            id=TransactionId(self._ids.new()),
            user_id=self._users[index % len(self._users)].id,
            money=Money(minor_units, currency),
            manual=plot
            in {"captured less there", "captured", "voided", "held", "cancellation missed", "only held there"},
        )

    # The processor's side.

    def _tell(self, payment: Payment) -> None:
        """Lay down what happens to a payment at the processor, and when."""
        if payment.plot == "unknown there":
            return
        self._at(payment, timedelta(0), lambda acting: self._pay(acting, payment))
        match payment.plot:
            case "captured" | "captured less there":
                less = payment.money.minor_units - 100
                self._at(payment, timedelta(hours=5), lambda acting: acting.capture(payment.reference, less))
            case "voided" | "cancellation missed" | "declined":
                later = timedelta(seconds=2) if payment.plot == "declined" else timedelta(hours=3)
                self._at(payment, later, lambda acting: acting.cancel(payment.reference))
            case (
                "refunded"
                | "refund failed"
                | "refunded in the dashboard"
                | "refund unknown there"
                | ("refunded less here" | "refund failed unheard")
            ):
                self._at(payment, timedelta(hours=7), lambda acting: self._refund(acting, payment))
                if payment.plot.startswith("refund failed"):
                    self._at(payment, timedelta(hours=9), lambda acting: self._fail_refund(acting, payment))
            case "disputed" | "dispute missed" | "verdict missed":
                self._at(payment, timedelta(hours=6), lambda acting: self._dispute(acting, payment))
                if payment.plot != "dispute missed":
                    self._at(payment, timedelta(hours=8), lambda acting: self._decide(acting, payment))
            case "charged twice":
                self._at(payment, timedelta(minutes=1), lambda acting: self._pay_again(acting, payment))
            case _:
                pass
        self._at(payment, _STORY, lambda acting: self._see(acting, payment))

    def _at(self, payment: Payment, later: timedelta, act: Callable[[Acting], None]) -> None:
        self._steps.append(_Step(payment.at + later, act))

    def _pay(self, acting: Acting, payment: Payment) -> None:
        payment.charge = charge_report(acting.pay(self._params(payment)))

    def _pay_again(self, acting: Acting, payment: Payment) -> None:
        second = charge_report(acting.pay(self._params(payment)))
        self._expect(payment, second.reference)

    def _params(self, payment: Payment) -> dict[str, object]:
        method = {"declined": "pm_card_visa_chargeDeclined", "foreign": "pm_card_mastercard"}
        params: dict[str, object] = {
            "amount": payment.money.minor_units,
            "currency": payment.money.currency.lower(),
            "payment_method": method.get(payment.plot, "pm_card_visa"),
            "capture_method": "manual" if payment.manual else "automatic",
        }
        if payment.plot != "foreign":
            params["metadata"] = {TRANSACTION_LABEL: encode(IdKind.TRANSACTION, payment.id)}
        return params

    def _refund(self, acting: Acting, payment: Payment) -> None:
        labels = {}
        if payment.plot != "refunded in the dashboard":
            labels[REFUND_LABEL] = encode(IdKind.REFUND, self._ids.new())
        if payment.plot == "refund unknown there":
            return
        payment.refunds.append(refund_report(acting.refund(payment.reference, 500, labels)))

    def _fail_refund(self, acting: Acting, payment: Payment) -> None:
        [made] = payment.refunds
        payment.refunds.append(refund_report(acting.fail_refund(made.reference)))

    def _dispute(self, acting: Acting, payment: Payment) -> None:
        payment.disputes.append(dispute_report(acting.dispute(payment.reference)))

    def _decide(self, acting: Acting, payment: Payment) -> None:
        [opened] = payment.disputes
        won = payment.money.minor_units % 20 == 0
        payment.disputes.append(dispute_report(acting.decide(opened.reference, won=won)))

    def _see(self, acting: Acting, payment: Payment) -> None:
        """What the processor says of the charge in the end."""
        payment.charge = charge_report(acting.intent(payment.reference))

    def _expect(self, payment: Payment, reference: str) -> None:
        _, kind = PLANTED[payment.plot]
        cured = kind in CURABLE and payment.plot not in _NOT_CURED
        self.expected.append(Expected(kind, reference, cured))

    # Our side.

    async def make_our_side(self, engine: AsyncEngine) -> None:
        """Write what we would have, had nothing been planted, and what was."""
        units = SqlUnitsOfWork(engine)
        async with units.begin() as uow:
            for each in self._users:
                await uow.users.add(each)
        ours = [
            (payment, self._transaction(payment))
            for payment in self._payments
            if payment.plot not in {"foreign", "no such transaction"}
        ]
        for first in range(0, len(ours), _BATCH):
            await self._write(engine, units, ours[first : first + _BATCH])
        for payment, _ in ours:
            await self._write_what_followed(units, payment)
        for payment in self._payments:
            self._expect_planted(payment)

    def _transaction(self, payment: Payment) -> Transaction:
        """The transaction as it stands before its refunds and disputes."""
        charge = payment.charge
        pending = Transaction(
            id=payment.id,
            user_id=payment.user_id,
            status=_S.PENDING,
            money=payment.money,
            capture_method=CaptureMethod.MANUAL if payment.manual else CaptureMethod.AUTOMATIC,
            payment_method_id="pm_card_visa",
            payment_method=None,
            description=None,
            metadata={},
            return_url=None,
            processor="stripe",
            processor_reference=f"pi_gone{payment.id.hex[:8]}{payment.id.hex[-8:]}"
            if charge is None
            else charge.reference,
            created_at=payment.at - timedelta(milliseconds=300),
            updated_at=payment.changed_at,
        )
        captured = payment.money.minor_units
        match payment.plot:
            case "success missed" | "under way":
                record = pending
            case "failed here" | "declined":
                record = replace(pending, status=_S.FAILED)
            case "unknown there" | "only held there":
                record = replace(pending, status=_S.COMPLETED, captured=captured)
            case "cancellation missed":
                record = replace(pending, status=_S.AUTHORIZED)
            case "another currency":
                record = replace(pending, status=_S.COMPLETED, money=Money(captured, Currency.USD), captured=captured)
            case "captured less there":
                record = replace(_as_told(pending, payment), captured=captured)
            case "another fee":
                record = _as_told(pending, payment)
                assert record.fee is not None
                record = replace(record, fee=Money(record.fee.minor_units + 7, record.fee.currency))
            case _:
                record = _as_told(pending, payment)
        return record

    async def _write(
        self, engine: AsyncEngine, units: SqlUnitsOfWork, ours: Sequence[tuple[Payment, Transaction]]
    ) -> None:
        entries: list[JournalEntry] = []
        for payment, record in ours:
            entries += self._entries(payment, record)
        async with engine.begin() as connection:
            await connection.execute(insert(transactions), [_new_row(record) for _, record in ours])
            moved = [_moved(record) for _, record in ours if record.status is not _S.PENDING]
            by_id = update(transactions).where(transactions.c.id == bindparam("row_id"))
            await connection.execute(
                by_id.values({name: bindparam(name) for name in ("status", "captured", "fee", "fee_currency")}), moved
            )
            await connection.execute(insert(attempts), [self._attempt(payment, record) for payment, record in ours])
        async with units.begin() as uow:
            await uow.ledger.post(entries)

    def _attempt(self, payment: Payment, record: Transaction) -> dict[str, object]:
        state = {"success missed": "MANUAL", "under way": "OPEN"}.get(payment.plot, "DONE")
        row: dict[str, object] = {column.name: None for column in attempts.c}
        return row | {
            "id": self._ids.new(),
            "kind": "CHARGE",
            "transaction_id": record.id,
            "step": "CONFIRM",
            "state": state,
            "tries": 1,
            "unreported_claims": 0,
            "first_sent_at": record.created_at,
            "last_checked_at": record.created_at,
            # A payment that is under way is looked at soon.
            "next_check_at": SystemClock().now() + timedelta(minutes=1) if state == "OPEN" else record.created_at,
        }

    def _entries(self, payment: Payment, record: Transaction) -> list[JournalEntry]:
        assert record.processor_reference is not None
        before = replace(record, status=_S.PENDING, captured=0, fee=None)
        after = record
        if payment.plot == "another sum in the ledger":
            after = replace(record, captured=record.captured + 100)
        settled = None if payment.charge is None else payment.charge.settled
        return [
            JournalEntry(
                id=JournalEntryId(self._ids.new()),
                transaction_id=record.id,
                kind=posting.kind,
                source=posting.source,
                lines=posting.lines,
                posted_at=record.updated_at,
            )
            for posting in postings.of_charge(before, after, record.processor_reference, settled)
        ]

    async def _write_what_followed(self, units: SqlUnitsOfWork, payment: Payment) -> None:
        """Refunds and disputes, by the acts that book them."""
        clock = FakeClock(payment.changed_at)
        outcomes = Outcomes(clock, self._ids, alerts=RecordedAlerts(), live=False)
        for report in self._told_refunds(payment):
            async with units.begin() as uow:
                if await uow.refunds.get_by_reference(report.reference) is None:
                    assert report.refund_id is not None
                    await uow.refunds.add(_asked_for(report, report.refund_id, payment, clock.now()))
                    assert await uow.transactions.reserve_refund(payment.id, report.money.minor_units)
                await outcomes.apply_refund(uow, report, Origin.RESPONSE)
        for dispute in payment.disputes[: 1 if payment.plot == "verdict missed" else None]:
            if payment.plot != "dispute missed":
                async with units.begin() as uow:
                    await outcomes.apply_dispute(uow, dispute, Origin.WEBHOOK)

    def _told_refunds(self, payment: Payment) -> Iterable[RefundReport]:
        match payment.plot:
            case "refunded in the dashboard":
                return ()
            case "refund failed unheard":
                return payment.refunds[:1]
            case "refunded less here":
                less = Money(450, payment.money.currency)
                return [replace(report, money=less, settled=less) for report in payment.refunds]
            case "refund unknown there":
                money = Money(500, payment.money.currency)
                return [
                    RefundReport(
                        reference=f"re_gone{payment.id.hex[:8]}{payment.id.hex[-8:]}",
                        charge_reference=payment.reference,
                        status=RefundReportStatus.SUCCEEDED,
                        money=money,
                        settled=money,
                        reason=None,
                        refund_id=RefundId(self._ids.new()),
                    )
                ]
            case _:
                return payment.refunds

    def _expect_planted(self, payment: Payment) -> None:
        match payment.plot:
            case "charged twice":
                # The second charge is what is too much; its reference was noted down when it was made.
                pass
            case "unknown there":
                self._expect(payment, self._transaction(payment).processor_reference or "")
            case "another sum in the ledger":
                self._expect(payment, encode(IdKind.TRANSACTION, payment.id))
            case "refunded in the dashboard" | "refund unknown there" | "refunded less here" | "refund failed unheard":
                told = list(self._told_refunds(payment)) or payment.refunds
                self._expect(payment, told[0].reference)
            case "dispute missed" | "verdict missed":
                self._expect(payment, payment.disputes[0].reference)
            case plot if plot in PLANTED:
                self._expect(payment, payment.reference)


def _as_told(pending: Transaction, payment: Payment) -> Transaction:
    """The transaction as the processor's word makes it."""
    charge = payment.charge
    assert charge is not None
    return replace(pending, status=_STATUSES[charge.status], captured=charge.captured, fee=charge.fee)


def _plots(number: int, under_way: bool) -> list[str]:
    """What happens to each of so many payments: the planted differences evenly among everything else."""
    planted = [plot for plot, (times, _) in PLANTED.items() for _ in range(times)]
    every = number // len(planted)
    return [
        planted[index // every]
        if index % every == every // 2 and index // every < len(planted)
        else _usual(index, number, under_way)
        for index in range(number)
    ]


def _usual(index: int, number: int, under_way: bool) -> str:
    for each, remainder, plot in (
        (11, 3, "refunded"),
        (23, 7, "captured"),
        (29, 11, "declined"),
        (31, 13, "voided"),
        (37, 17, "refund failed"),
        (41, 19, "disputed"),
        (43, 23, "foreign"),
        (101, 50, "under way" if under_way else "paid"),
    ):
        if index % each == remainder:
            return plot
    # A hold that nobody captures lapses after a week.
    return "held" if index % 47 == 5 and index > number // 2 else "paid"


def _new_row(record: Transaction) -> dict[str, object]:
    """A transaction as every one begins."""
    row: dict[str, object] = {column.name: None for column in transactions.c if column.name != "search"}
    return row | {
        "id": record.id,
        "user_id": record.user_id,
        "status": _S.PENDING.value,
        "amount": record.money.minor_units,
        "currency": record.money.currency.value,
        "captured": 0,
        "refunded": 0,
        "refund_reserved": 0,
        "disputed": 0,
        "capture_method": record.capture_method.value,
        "payment_method_id": record.payment_method_id,
        "metadata": {},
        "processor": record.processor,
        "processor_reference": record.processor_reference,
        "version": 1,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def _moved(record: Transaction) -> dict[str, object]:
    return {
        "row_id": record.id,
        "status": record.status.value,
        "captured": record.captured,
        "fee": None if record.fee is None else record.fee.minor_units,
        "fee_currency": None if record.fee is None else record.fee.currency.value,
    }


def _asked_for(report: RefundReport, refund_id: RefundId, payment: Payment, now: datetime) -> Refund:
    return Refund(
        id=refund_id,
        transaction_id=payment.id,
        status=RefundStatus.PENDING,
        money=report.money,
        reason=None,
        requested_by=payment.user_id,
        created_at=now,
        updated_at=now,
    )
