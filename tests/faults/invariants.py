"""What must hold after every run, whatever went wrong in it."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.payments.gateway import ChargeReport, ChargeStatus, RefundReport, RefundReportStatus
from domain.payments.transaction import CAPTURED, LEGAL_EDGES, TransactionStatus
from tests.faults.books import Books, Row
from tests.faults.processor import FaultyGateway
from tests.faults.scripts import Script
from tests.faults.world import Ask, World


class Invariant(StrEnum):
    """What may never be broken."""

    ONE_CHARGE = "one charge for a key"
    ONE_REFUND = "one refund for a refund's row"
    BOOKS = "the processor's money is the money in the books"
    APPROVED = "nothing is sent that waits for approval, or was rejected"
    LEDGER = "the ledger balances, and says what the processor says"
    END = "the payment ends as its story says"
    EDGES = "only legal edges"
    AUDIT = "an audit entry for each change"
    AT_REST = "nothing is pending that need not be"
    ANSWERED = "the client gets a definite answer"
    KEPT = "what was acknowledged is kept, and told again"
    NO_QUARANTINE = "nothing that is true is put into quarantine"
    NO_SURPRISE = "no error that nobody expects"


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that is broken, and how."""

    invariant: Invariant
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


_TAKES_NO_MONEY = frozenset({ChargeStatus.UNCONFIRMED, ChargeStatus.CANCELED, ChargeStatus.DECLINED})
_WAITS = {
    TransactionStatus.PENDING: ChargeStatus.PROCESSING,
    TransactionStatus.REQUIRES_ACTION: ChargeStatus.REQUIRES_ACTION,
}
# A transaction only ever moves on from what its client was told, but for these.
_MAY_FOLLOW = {status: {status} for status in TransactionStatus}
for _ in TransactionStatus:
    for before, after in LEGAL_EDGES:
        for reachable in _MAY_FOLLOW.values():
            if before in reachable:
                reachable.add(after)


async def violations_of(world: World, script: Script) -> list[Violation]:
    """Everything that does not hold. Asks everything once more, as its clients would."""
    books = await world.books.read([event.id for event in world.gateway.events])
    found = list(_violations(world, books, script))
    found += [violation async for violation in _asked_again(world)]
    return found


def _violations(world: World, books: Books, script: Script) -> Iterator[Violation]:
    yield from _one_of_each(world.gateway, books)
    yield from _approved(world.gateway, books)
    yield from _money(world.gateway, books)
    yield from _ledger(world.gateway, books)
    if not world.decided_by_a_person:
        yield from _ends(books, script)
    yield from _audit(books)
    yield from _at_rest(world.gateway, books)
    for ask in world.asks.values():
        yield from _answered(ask, books)
    for text in world.unexpected:
        yield Violation(Invariant.NO_SURPRISE, text)
    for event in books.events:
        if event["state"] in {"QUARANTINED", "PARKED"}:
            yield Violation(Invariant.NO_QUARANTINE, f"{event['id']} is {event['state']}: {event['reason']}")


def _one_of_each(gateway: FaultyGateway, books: Books) -> Iterator[Violation]:
    takers = [charge for charge in gateway.charges.values() if charge.status not in _TAKES_NO_MONEY]
    if len(takers) > len([key for key in books.keys if key["act"] == "createPayment"]):
        yield Violation(Invariant.ONE_CHARGE, f"{len(takers)} charges take money for one payment")
    for transaction, number in Counter(charge.transaction_id for charge in takers).items():
        if number > 1:
            yield Violation(Invariant.ONE_CHARGE, f"{number} charges take money for the transaction {transaction}")
    refunds = Counter(refund.refund_id for refund in gateway.refunds.values() if refund.refund_id is not None)
    for refund, number in refunds.items():
        if number > 1:
            yield Violation(Invariant.ONE_REFUND, f"{number} refunds were made for {refund}")


def _approved(gateway: FaultyGateway, books: Books) -> Iterator[Violation]:
    sent = {refund.refund_id for refund in gateway.refunds.values()} | {each["refund_id"] for each in books.attempts}
    for refund in books.refunds:
        if refund["status"] in {"PENDING_APPROVAL", "REJECTED"} and refund["id"] in sent:
            yield Violation(Invariant.APPROVED, f"a refund that is {refund['status']} was sent, or was to be")


def _money(gateway: FaultyGateway, books: Books) -> Iterator[Violation]:
    known = {row["processor_reference"] for row in books.transactions}
    for charge in gateway.charges.values():
        if charge.reference not in known and charge.captured:
            yield Violation(Invariant.BOOKS, f"{charge.captured} were taken by a charge that is in no book")
        if _given_back(gateway, charge.reference) > charge.captured:
            yield Violation(Invariant.BOOKS, "more was refunded than was captured")
    for row in books.transactions:
        charge_or_none = gateway.charges.get(row["processor_reference"])
        captured = charge_or_none.captured if charge_or_none else 0
        if row["captured"] != captured:
            yield Violation(Invariant.BOOKS, f"captured: {row['captured']} in the books, {captured} at the processor")
        if (
            charge_or_none is not None
            and charge_or_none.fee is not None
            and row["fee"] != charge_or_none.fee.minor_units
        ):
            yield Violation(Invariant.BOOKS, f"the fee is {row['fee']}, at the processor {charge_or_none.fee}")
        given = _given_back(gateway, row["processor_reference"])
        if row["refunded"] != given:
            yield Violation(Invariant.BOOKS, f"refunded: {row['refunded']} in the books, {given} at the processor")
        open_refunds = [
            one
            for one in books.refunds
            if one["transaction_id"] == row["id"] and one["status"] not in {"FAILED", "REJECTED"}
        ]
        if row["refund_reserved"] != sum(one["amount"] for one in open_refunds):
            yield Violation(Invariant.BOOKS, f"{row['refund_reserved']} are reserved for refunds of another sum")
        if TransactionStatus(row["status"]) in CAPTURED and row["status"] != _status_of(row):
            yield Violation(Invariant.BOOKS, f"the transaction is {row['status']} with {row['refunded']} refunded")
        if (TransactionStatus(row["status"]) in CAPTURED) != (row["captured"] > 0):
            yield Violation(Invariant.BOOKS, f"the transaction is {row['status']} with {row['captured']} captured")
        if row["status"] == "AUTHORIZED" and (
            charge_or_none is None or charge_or_none.status is not ChargeStatus.AUTHORIZED
        ):
            yield Violation(Invariant.BOOKS, "the transaction is AUTHORIZED, the charge is not")


def _ledger(gateway: FaultyGateway, books: Books) -> Iterator[Violation]:
    sums: Counter[tuple[object, object]] = Counter()
    balances: Counter[object] = Counter()
    for line in books.ledger:
        sums[line["entry_id"], line["currency"]] += line["amount"]
        if line["account"] == "PROCESSOR_BALANCE":
            balances[line["transaction_id"]] += line["amount"]
    if any(sums.values()):
        yield Violation(Invariant.LEDGER, "a journal entry does not balance")
    for row in books.transactions:
        net = _net_of(gateway, row["processor_reference"])
        if balances[row["id"]] != net:
            yield Violation(Invariant.LEDGER, f"{balances[row['id']]} in the ledger, {net} at the processor")


def _net_of(gateway: FaultyGateway, charge_reference: str | None) -> int:
    """What a charge and everything that came of it has left in our balance at the processor."""
    sources = {charge_reference}
    sources |= {one.reference for one in gateway.refunds.values() if one.charge_reference == charge_reference}
    moved = [
        movement
        for dispute in gateway.disputes.all
        if dispute.charge_reference == charge_reference
        for movement in dispute.movements
    ]
    booked = sum(one.minor_units - one.fee for one in gateway.booked if one.source in sources)
    return booked + sum(one.amount.minor_units - one.fee.minor_units for one in moved)


def _status_of(row: Row) -> TransactionStatus:
    """The status that a captured transaction's amounts call for."""
    if row["refunded"] == 0:
        return TransactionStatus.COMPLETED
    return TransactionStatus.REFUNDED if row["refunded"] == row["captured"] else TransactionStatus.PARTIALLY_REFUNDED


def _given_back(gateway: FaultyGateway, charge_reference: str | None) -> int:
    return sum(
        refund.money.minor_units
        for refund in gateway.refunds.values()
        if refund.charge_reference == charge_reference and refund.status is RefundReportStatus.SUCCEEDED
    )


def _ends(books: Books, script: Script) -> Iterator[Violation]:
    for row in books.transactions:
        if row["status"] not in script.ends:
            yield Violation(Invariant.END, f"the payment is {row['status']}, not {' or '.join(sorted(script.ends))}")


def _audit(books: Books) -> Iterator[Violation]:
    told: dict[object, str] = {}
    for entry in books.audit:
        noun, _, what = str(entry["action"]).partition(".")
        if noun != "transaction":
            continue
        after = what.upper()
        if after == "CREATED":
            told[entry["transaction_id"]] = "PENDING"
            continue
        before = told.get(entry["transaction_id"])
        if entry["came_from"] != before:
            yield Violation(
                Invariant.AUDIT, f"an entry tells of a change from {entry['came_from']}, but it was {before}"
            )
        if (entry["came_from"], after) not in LEGAL_EDGES:
            yield Violation(Invariant.EDGES, f"from {entry['came_from']} to {after}")
        told[entry["transaction_id"]] = after
    for row in books.transactions:
        if told.get(row["id"]) != row["status"]:
            yield Violation(Invariant.AUDIT, f"the log ends with {told.get(row['id'])}, the row says {row['status']}")
    counted = Counter(str(entry["action"]) for entry in books.audit)
    for action, number in _expected_entries(books).items():
        if counted[action] < number:
            yield Violation(Invariant.AUDIT, f"{counted[action]} entries {action}, {number} are due")


def _expected_entries(books: Books) -> dict[str, int]:
    """How many entries there must be at least: a refund that failed after it was completed has left one of each."""
    kinds = Counter(attempt["kind"] for attempt in books.attempts)
    statuses = Counter(refund["status"] for refund in books.refunds)
    return {
        "transaction.created": len(books.transactions),
        "capture.requested": kinds["CAPTURE"],
        "void.requested": kinds["VOID"],
        "refund.requested": len(books.refunds),
        "refund.approved": len([one for one in books.refunds if one["decided_by"] and one["status"] != "REJECTED"]),
        "refund.rejected": statuses["REJECTED"],
        "refund.completed": statuses["COMPLETED"],
        "refund.failed": statuses["FAILED"],
    }


def _at_rest(gateway: FaultyGateway, books: Books) -> Iterator[Violation]:
    for row in books.transactions:
        waits_for = _WAITS.get(TransactionStatus(row["status"]))
        charge = gateway.charges.get(row["processor_reference"])
        if waits_for is not None and (charge is None or charge.status is not waits_for):
            yield Violation(Invariant.AT_REST, f"the payment is {row['status']}, its charge {charge and charge.status}")
    refunds = {row["id"]: row for row in books.refunds}
    for attempt in books.attempts:
        if attempt["state"] == "DONE":
            continue
        refund = refunds.get(attempt["refund_id"])
        if attempt["state"] == "OPEN" and _processor_works_on(gateway, attempt, books, refund):
            continue
        yield Violation(
            Invariant.AT_REST, f"the attempt to {attempt['kind']} is {attempt['state']} ({attempt['reason']})"
        )
    for refund in refunds.values():
        report = gateway.refunds.get(refund["processor_reference"])
        if refund["status"] == "PENDING" and not _is_pending(report):
            yield Violation(Invariant.AT_REST, f"the refund is PENDING, at the processor {report and report.status}")
    for charge in gateway.charges.values():
        if charge.status is ChargeStatus.UNCONFIRMED:
            yield Violation(Invariant.AT_REST, f"{charge.reference} lies open at the processor")
    for event in books.events:
        if event["state"] == "RECEIVED":
            yield Violation(Invariant.AT_REST, f"{event['id']} has not been applied: {event['reason']}")


def _processor_works_on(gateway: FaultyGateway, attempt: Row, books: Books, refund: Row | None) -> bool:
    if refund is not None:
        return _is_pending(gateway.refunds.get(refund["processor_reference"]))
    row = next(one for one in books.transactions if one["id"] == attempt["transaction_id"])
    return TransactionStatus(row["status"]) in _WAITS


def _is_pending(report: RefundReport | None) -> bool:
    return report is not None and report.status is RefundReportStatus.PENDING


def _answered(ask: Ask, books: Books) -> Iterator[Violation]:
    if not ask.decided:
        yield Violation(Invariant.ANSWERED, f"{ask.key} never got a definite answer")
        return
    if ask.answer is None:
        return
    transaction, refund = ask.answer.transaction, ask.answer.refund
    if transaction is None:
        yield Violation(Invariant.KEPT, f"{ask.key} was answered without a transaction")
        return
    rows = [row for row in books.transactions if row["id"] == transaction.id]
    if not rows or rows[0]["status"] not in _MAY_FOLLOW[transaction.status]:
        yield Violation(Invariant.KEPT, f"{ask.key} was told {transaction.status}, of which nothing is left")
    if refund is not None and not any(row["id"] == refund.id for row in books.refunds):
        yield Violation(Invariant.KEPT, f"{ask.key} was told of a refund that does not exist")


async def _asked_again(world: World) -> AsyncIterator[Violation]:
    """Ask everything again: the same must be answered, and nothing may move."""
    before = _at_the_processor(world.gateway)
    for ask in list(world.asks.values()):
        if ask.answer is None:
            continue
        again = Ask(ask.key, ask.act)
        await world.ask_again(again)
        if again.answer is None or again.answer.transaction is None:
            yield Violation(Invariant.KEPT, f"{ask.key} was answered, and is not answered again")
            continue
        for earlier, now in (
            (ask.answer.transaction, again.answer.transaction),
            (ask.answer.refund, again.answer.refund),
        ):
            if (earlier and earlier.id) != (now and now.id):
                yield Violation(Invariant.KEPT, f"{ask.key} is answered with another object")
        if not again.answer.replayed:
            yield Violation(Invariant.KEPT, f"{ask.key} is done once more")
    if _at_the_processor(world.gateway) != before:
        yield Violation(Invariant.KEPT, "asking again has moved money")


def _at_the_processor(gateway: FaultyGateway) -> Sequence[dict[str, ChargeReport] | dict[str, RefundReport]]:
    return gateway.charges, gateway.refunds
