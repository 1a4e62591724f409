"""A card processor in memory: the port PaymentGateway with a real one's states, and a script for what goes wrong.

It passes the suite that every gateway passes (tests/contract), so that a domain test may trust it.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from domain.money import Money
from domain.payments.gateway import (
    ChargeOrder,
    ChargeReport,
    ChargeStatus,
    DisputeReport,
    OutcomeUnknown,
    RefundOrder,
    RefundReport,
    RefundReportStatus,
    RejectionKind,
    RequestRejected,
)
from domain.payments.transaction import CaptureMethod, Failure, NextAction, NextActionType, PaymentMethodSummary
from domain.reconciliation.records import BalanceEntryKind
from tests.support.clock import START
from tests.support.fake_disputes import FakeDisputes

_Report = TypeVar("_Report", ChargeReport, RefundReport)

ACCOUNT = "acct_fake"
GENERIC_DECLINE = Failure("card_declined", "Your card was declined.", "generic_decline")
INSUFFICIENT_FUNDS = Failure("card_declined", "Your card has insufficient funds.", "insufficient_funds")
PROCESSING_ERROR = Failure("processing_error", "The card could not be processed.", "processing_error", retryable=True)
AUTHENTICATION_FAILED = Failure("payment_intent_authentication_failure", "The payer could not be authenticated.")

_PROCESSOR_STATUSES = {
    ChargeStatus.UNCONFIRMED: "requires_confirmation",
    ChargeStatus.REQUIRES_ACTION: "requires_action",
    ChargeStatus.PROCESSING: "processing",
    ChargeStatus.AUTHORIZED: "requires_capture",
    ChargeStatus.SUCCEEDED: "succeeded",
    ChargeStatus.DECLINED: "requires_payment_method",
    ChargeStatus.CANCELED: "canceled",
}
_CANCELABLE = frozenset(
    {ChargeStatus.UNCONFIRMED, ChargeStatus.REQUIRES_ACTION, ChargeStatus.AUTHORIZED, ChargeStatus.DECLINED}
)
_VISA = PaymentMethodSummary("visa", "4242", 12, 2040)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeMethod:
    """A payment method and what confirming a charge with it leads to; `summary` is None where it is no card."""

    summary: PaymentMethodSummary | None = _VISA
    declined: Failure | None = None
    asks_payer: bool = False
    stays_processing: bool = False
    inquired: bool = False


METHODS: Mapping[str, FakeMethod] = {
    "pm_card_visa": FakeMethod(),
    "pm_card_visa_chargeDeclined": FakeMethod(declined=GENERIC_DECLINE),
    "pm_card_visa_chargeDeclinedInsufficientFunds": FakeMethod(declined=INSUFFICIENT_FUNDS),
    "pm_card_chargeDeclinedProcessingError": FakeMethod(declined=PROCESSING_ERROR),
    "pm_card_authenticationRequired": FakeMethod(asks_payer=True),
    "pm_card_createDispute": FakeMethod(),
    "pm_card_createDisputeInquiry": FakeMethod(inquired=True),
    "pm_fake_processing": FakeMethod(stays_processing=True),
    "pm_fake_bank_account": FakeMethod(summary=None),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it came in: the port's method and its arguments, `key` among them where it has one."""

    method: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Gate:
    """Holds one call: `reached` is set when it has come, and it goes on when the test sets `released`."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_through(self) -> None:
        self.reached.set()
        await self.released.wait()


@dataclass(frozen=True, slots=True)
class _Script:
    """What happens at one call, before it acts and after."""

    before: Exception | None = None
    after: Exception | None = None
    gate_before: Gate | None = None
    gate_after: Gate | None = None


@dataclass(slots=True)
class _Charge:
    order: ChargeOrder
    report: ChargeReport
    method: FakeMethod


@dataclass(frozen=True, slots=True)
class Booked:
    """A movement of money at the processor, in minor units of its charge's currency."""

    kind: BalanceEntryKind
    source: str
    minor_units: int
    fee: int
    at: datetime


class FakeGateway:
    """The processor. `calls` holds every call in order; `charges` and `refunds` say what is really there.

    `name` is a part of every reference, so that several processors may be used with one database.
    `made_at` and `booked` are what tests/support/fake_records.py makes lists of; `now` is the processor's clock.
    """

    def __init__(
        self,
        *,
        methods: Mapping[str, FakeMethod] = METHODS,
        live: bool = False,
        now: Callable[[], datetime] = lambda: START,
        name: str = "fake",
    ) -> None:
        self.calls: list[Call] = []
        self._name = name
        self.made_at: dict[str, datetime] = {}
        self.booked: list[Booked] = []
        self._now = now
        self._methods = methods
        self._live = live
        self._charges: dict[str, _Charge] = {}
        self._refunds: dict[str, RefundReport] = {}
        self.disputes = FakeDisputes(now, name=name)
        self._kept: dict[str, tuple[Call, str]] = {}
        self._scripts: defaultdict[str, deque[_Script]] = defaultdict(deque)

    # What a test says beforehand. Each line is for one call of the method; calls without a line go as usual.

    def fail_next(self, method: str, error: Exception) -> None:
        """The next call raises, and nothing has happened at the processor."""
        self._scripts[method].append(_Script(before=error))

    def lose_next_answer(self, method: str) -> None:
        """The next call does its work, but the caller learns nothing: OutcomeUnknown."""
        self._scripts[method].append(_Script(after=OutcomeUnknown("the answer was lost")))

    def hold_next(self, method: str) -> Gate:
        """The next call waits at the gate before it does anything."""
        gate = Gate()
        self._scripts[method].append(_Script(gate_before=gate))
        return gate

    def hold_next_answer(self, method: str) -> Gate:
        """The next call does its work and waits at the gate before it answers."""
        gate = Gate()
        self._scripts[method].append(_Script(gate_after=gate))
        return gate

    # What happens at the processor without a call of ours.

    def authenticate(self, reference: str, *, success: bool = True) -> ChargeReport:
        """The payer does, or fails, what REQUIRES_ACTION asked for."""
        charge = self._charge(reference)
        if charge.report.status is not ChargeStatus.REQUIRES_ACTION:
            raise ValueError(f"{reference} asks for no action")
        if success:
            return self._take(charge)
        return self._become(charge, ChargeStatus.DECLINED, failure=AUTHENTICATION_FAILED)

    def settle(self, reference: str) -> ChargeReport:
        """A charge that is still PROCESSING succeeds."""
        charge = self._charge(reference)
        if charge.report.status is not ChargeStatus.PROCESSING:
            raise ValueError(f"{reference} is not being processed")
        return self._take(charge)

    def settle_refund(self, reference: str, status: RefundReportStatus, failure: Failure | None = None) -> RefundReport:
        """A refund changes: one that had succeeded may still fail."""
        before = self._refunds[reference]
        if status is RefundReportStatus.FAILED and before.status is not status:
            self._book(BalanceEntryKind.REFUND_FAILURE, reference, before.money.minor_units)
        self._refunds[reference] = replace(self._refunds[reference], status=status, failure=failure)
        return self._refunds[reference]

    def dispute(self, reference: str, minor_units: int | None = None) -> DisputeReport:
        """The payer's bank takes a charge back, in part or in full; with a method made for that it only asks."""
        charge = self._charge(reference)
        return self.disputes.open(charge.report, minor_units or charge.report.captured, inquiry=charge.method.inquired)

    def forget_keys(self) -> None:
        """The idempotency keys are too old: from now on a repeated call acts again."""
        self._kept.clear()

    @property
    def charges(self) -> dict[str, ChargeReport]:
        return {reference: charge.report for reference, charge in self._charges.items()}

    @property
    def refunds(self) -> dict[str, RefundReport]:
        return dict(self._refunds)

    def calls_of(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method]

    # The port.

    async def find_payment_method(self, payment_method_id: str) -> PaymentMethodSummary | None:
        script = await self._arrive(Call("find_payment_method", {"payment_method_id": payment_method_id}))
        summary = self._method(payment_method_id).summary
        await self._leave(script)
        return summary

    async def create_charge(self, order: ChargeOrder, *, key: str) -> ChargeReport:
        call = Call("create_charge", {"order": order, "key": key})
        return await self._charge_call(call, lambda: self._create(order))

    async def confirm_charge(self, reference: str, *, return_url: str | None, key: str) -> ChargeReport:
        call = Call("confirm_charge", {"reference": reference, "return_url": return_url, "key": key})
        return await self._charge_call(call, lambda: self._confirm(self._charge(reference), return_url))

    async def capture_charge(self, reference: str, money: Money, *, key: str) -> ChargeReport:
        call = Call("capture_charge", {"reference": reference, "money": money, "key": key})
        return await self._charge_call(call, lambda: self._capture(self._charge(reference), money))

    async def cancel_charge(self, reference: str, *, key: str) -> ChargeReport:
        call = Call("cancel_charge", {"reference": reference, "key": key})
        return await self._charge_call(call, lambda: self._cancel(self._charge(reference)))

    async def look_up_charge(self, reference: str) -> ChargeReport:
        script = await self._arrive(Call("look_up_charge", {"reference": reference}))
        report = self._charge(reference).report
        await self._leave(script)
        return report

    async def refund_charge(self, order: RefundOrder, *, key: str) -> RefundReport:
        call = Call("refund_charge", {"order": order, "key": key})
        script = await self._arrive(call)
        reference = self._once(call, lambda: self._refund(order))
        report = self._refunds[reference]
        await self._leave(script)
        return report

    async def look_up_refund(self, reference: str) -> RefundReport:
        script = await self._arrive(Call("look_up_refund", {"reference": reference}))
        if reference not in self._refunds:
            raise _rejected(RejectionKind.NOT_FOUND, "resource_missing")
        report = self._refunds[reference]
        await self._leave(script)
        return report

    async def list_refunds(self, charge_reference: str) -> list[RefundReport]:
        script = await self._arrive(Call("list_refunds", {"charge_reference": charge_reference}))
        reports = [refund for refund in self._refunds.values() if refund.charge_reference == charge_reference]
        await self._leave(script)
        return reports[::-1]

    async def look_up_dispute(self, reference: str) -> DisputeReport:
        script = await self._arrive(Call("look_up_dispute", {"reference": reference}))
        report = self.disputes.get(reference)
        if report is None:
            raise _rejected(RejectionKind.NOT_FOUND, "resource_missing")
        await self._leave(script)
        return report

    # The port OwnAccount.

    async def account(self) -> str:
        await self._leave(await self._arrive(Call("account", {})))
        return ACCOUNT

    # How it works.

    async def _charge_call(self, call: Call, act: Callable[[], ChargeReport]) -> ChargeReport:
        script = await self._arrive(call)
        reference = self._once(call, act)
        report = self._charges[reference].report
        await self._leave(script)
        return report

    async def _arrive(self, call: Call) -> _Script:
        self.calls.append(call)
        scripts = self._scripts[call.method]
        script = scripts.popleft() if scripts else _Script()
        if script.gate_before is not None:
            await script.gate_before.pass_through()
        if script.before is not None:
            raise script.before
        return script

    async def _leave(self, script: _Script) -> None:
        if script.gate_after is not None:
            await script.gate_after.pass_through()
        if script.after is not None:
            raise script.after

    def _once(self, call: Call, act: Callable[[], _Report]) -> str:
        """The reference of what a call touched; acting only where its key is new, as long as keys are kept."""
        key = str(call.arguments["key"])
        if key not in self._kept:
            self._kept[key] = (call, act().reference)
        first, reference = self._kept[key]
        if first != call:
            # A real processor answers with an error that says nothing of what the first call did.
            raise OutcomeUnknown("the idempotency key belongs to another request")
        return reference

    def _method(self, payment_method_id: str) -> FakeMethod:
        if payment_method_id not in self._methods:
            raise _rejected(RejectionKind.PAYMENT_METHOD, "resource_missing")
        return self._methods[payment_method_id]

    def _charge(self, reference: str) -> _Charge:
        if reference not in self._charges:
            raise _rejected(RejectionKind.NOT_FOUND, "resource_missing")
        return self._charges[reference]

    def _create(self, order: ChargeOrder) -> ChargeReport:
        method = self._method(order.payment_method_id)
        if order.money.minor_units < order.money.currency.smallest_charge:
            raise _rejected(RejectionKind.AMOUNT, "amount_too_small")
        report = ChargeReport(
            reference=f"ch_{self._name}_{len(self._charges) + 1}",
            status=ChargeStatus.UNCONFIRMED,
            processor_status=_PROCESSOR_STATUSES[ChargeStatus.UNCONFIRMED],
            money=order.money,
            captured=0,
            live=self._live,
            transaction_id=order.transaction_id,
            payment_method=method.summary,
        )
        self._charges[report.reference] = _Charge(order, report, method)
        self.made_at[report.reference] = self._now()
        return report

    def _confirm(self, charge: _Charge, return_url: str | None) -> ChargeReport:
        if charge.report.status is not ChargeStatus.UNCONFIRMED:
            return charge.report
        if charge.method.declined is not None:
            return self._become(charge, ChargeStatus.DECLINED, failure=charge.method.declined)
        if charge.method.asks_payer:
            return self._become(
                charge, ChargeStatus.REQUIRES_ACTION, next_action=_next_action(charge.report.reference, return_url)
            )
        if charge.method.stays_processing:
            return self._become(charge, ChargeStatus.PROCESSING)
        return self._take(charge)

    def _take(self, charge: _Charge) -> ChargeReport:
        if charge.order.capture_method is CaptureMethod.MANUAL:
            return self._become(charge, ChargeStatus.AUTHORIZED)
        return self._settle(charge, charge.order.money.minor_units)

    def _settle(self, charge: _Charge, minor_units: int) -> ChargeReport:
        settled = Money(minor_units, charge.order.money.currency)
        fee = _fee(settled)
        charge.report = replace(charge.report, captured=minor_units, settled=settled, fee=fee)
        self._book(BalanceEntryKind.CHARGE, charge.report.reference, minor_units, fee.minor_units)
        return self._become(charge, ChargeStatus.SUCCEEDED)

    def _capture(self, charge: _Charge, money: Money) -> ChargeReport:
        if charge.report.status is not ChargeStatus.AUTHORIZED:
            return charge.report
        if not 0 < money.minor_units <= charge.order.money.minor_units:
            raise _rejected(RejectionKind.AMOUNT, "amount_too_large")
        return self._settle(charge, money.minor_units)

    def _cancel(self, charge: _Charge) -> ChargeReport:
        if charge.report.status in _CANCELABLE:
            return self._become(charge, ChargeStatus.CANCELED, failure=charge.report.failure)
        return charge.report

    def _become(
        self,
        charge: _Charge,
        status: ChargeStatus,
        *,
        failure: Failure | None = None,
        next_action: NextAction | None = None,
    ) -> ChargeReport:
        charge.report = replace(
            charge.report,
            status=status,
            processor_status=_PROCESSOR_STATUSES[status],
            failure=failure,
            next_action=next_action,
        )
        return charge.report

    def _refund(self, order: RefundOrder) -> RefundReport:
        charge = self._charge(order.charge_reference).report
        self._check_refund(charge, order)
        report = RefundReport(
            reference=f"re_{self._name}_{len(self._refunds) + 1}",
            charge_reference=charge.reference,
            status=RefundReportStatus.SUCCEEDED,
            money=order.money,
            reason=order.reason,
            refund_id=order.refund_id,
            settled=order.money,
        )
        self._refunds[report.reference] = report
        self.made_at[report.reference] = self._now()
        self._book(BalanceEntryKind.REFUND, report.reference, -order.money.minor_units)
        return report

    def _check_refund(self, charge: ChargeReport, order: RefundOrder) -> None:
        given = sum(
            refund.money.minor_units
            for refund in self._refunds.values()
            if refund.charge_reference == charge.reference and refund.status is not RefundReportStatus.FAILED
        )
        if charge.captured == 0:
            raise _rejected(RejectionKind.WRONG_STATE, "payment_intent_unexpected_state")
        if self.disputes.bar_refunds_of(charge.reference):
            raise _rejected(RejectionKind.WRONG_STATE, "charge_disputed")
        if given == charge.captured:
            raise _rejected(RejectionKind.ALREADY_REFUNDED, "charge_already_refunded")
        if not 0 < order.money.minor_units <= charge.captured - given:
            raise _rejected(RejectionKind.AMOUNT, "amount_too_large")

    def _book(self, kind: BalanceEntryKind, source: str, minor_units: int, fee: int = 0) -> None:
        self.booked.append(Booked(kind, source, minor_units, fee, self._now()))


def _rejected(kind: RejectionKind, code: str) -> RequestRejected:
    return RequestRejected(kind, Failure(code, f"The fake processor refused: {code}."))


def _next_action(reference: str, return_url: str | None) -> NextAction:
    if return_url is None:
        return NextAction(NextActionType.USE_SDK, None, f"{reference}_secret_fake")
    return NextAction(
        NextActionType.REDIRECT, f"https://processor.test/authenticate/{reference}", f"{reference}_secret_fake"
    )


def _fee(money: Money) -> Money:
    """2.9 % and 30 minor units, in the currency of the charge."""
    return Money(money.minor_units * 29 // 1000 + 30, money.currency)
