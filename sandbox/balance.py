"""The ledger: one balance transaction for each movement of money. https://docs.stripe.com/api/balance_transactions

Money is kept in the currency that was charged; nothing is converted.
"""

from sandbox.currencies import HOME, processing_fee
from sandbox.listing import PAGING_AND_CREATED, find_page, links_asked_for
from sandbox.operation import Answer, Call, Endpoint, Operation
from sandbox.parameters import Fields, Text
from sandbox.store import Record
from sandbox.wire import Json

# How long the money of a charge is pending before it is available: Stripe's usual two days.
_PENDING_SECONDS = 2 * 86_400


def book(
    op: Operation,
    *,
    source: Record,
    entry_type: str,
    amount: int,
    fee: int = 0,
    fee_description: str = "Stripe processing fees",
    available_at_once: bool = False,
) -> Record:
    """Add a movement of `amount` minor units, negative when money leaves; `fee` is what Stripe keeps of it."""
    currency = source.body["currency"]
    details: list[Json] = []
    if fee:
        details.append(
            {
                "amount": fee,
                "application": None,
                "currency": currency,
                "description": fee_description,
                "type": "stripe_fee",
            }
        )
    body: Json = {
        "amount": amount,
        "available_on": op.now() + (0 if available_at_once or amount < 0 else _PENDING_SECONDS),
        "balance_type": "payments",
        "currency": currency,
        "description": source.body.get("description"),
        "exchange_rate": None,
        "fee": fee,
        "fee_details": details,
        "net": amount - fee,
        "reporting_category": _reporting_category(entry_type, amount),
        "source": source.id,
        "status": "pending",
        "type": entry_type,
    }
    return op.add("balance_transaction", body, links={"source": source.id, "type": entry_type, "currency": currency})


def _reporting_category(entry_type: str, amount: int) -> str:
    """https://docs.stripe.com/reports/reporting-categories. Disputes are the only adjustments that the sandbox makes."""
    if entry_type != "adjustment":
        return entry_type
    return "dispute" if amount < 0 else "dispute_reversal"


def book_charge(op: Operation, charge: Record, *, available_at_once: bool) -> Record:
    captured = charge.body["amount_captured"]
    return book(
        op,
        source=charge,
        entry_type="charge",
        amount=captured,
        fee=processing_fee(captured, charge.body["currency"]),
        available_at_once=available_at_once,
    )


def _retrieve(op: Operation, call: Call) -> Answer:
    return op.require("balance_transaction", call.path["id"], "id")


def _list(op: Operation, call: Call) -> Answer:
    links = links_asked_for(call.params, "source", "type", "currency")
    return find_page(op, "balance_transaction", "/v1/balance_transactions", call.params, links)


def _retrieve_balance(op: Operation, _call: Call) -> Answer:
    rows = op.store.connection.execute(
        "SELECT body ->> 'currency', body ->> 'available_on' <= ?, sum(body ->> 'net') FROM objects "
        "WHERE kind = 'balance_transaction' GROUP BY 1, 2",
        (op.now(),),
    ).fetchall()
    available = {currency: net for currency, is_available, net in rows if is_available}
    pending = {currency: net for currency, is_available, net in rows if not is_available}
    currencies = sorted({HOME, *available, *pending})

    def amounts(side: dict[str, int]) -> list[Json]:
        return [
            {"amount": side.get(each, 0), "currency": each, "source_types": {"card": side.get(each, 0)}}
            for each in currencies
        ]

    return {
        "object": "balance",
        "available": amounts(available),
        "connect_reserved": [{"amount": 0, "currency": each} for each in currencies],
        "livemode": False,
        "pending": amounts(pending),
    }


ENDPOINTS = (
    Endpoint("GET", "/v1/balance", _retrieve_balance, "balance"),
    Endpoint(
        "GET",
        "/v1/balance_transactions",
        _list,
        "balance_transaction",
        Fields({**PAGING_AND_CREATED, "source": Text(), "type": Text(), "currency": Text()}),
        answers_list=True,
    ),
    Endpoint("GET", "/v1/balance_transactions/{id}", _retrieve, "balance_transaction"),
)
