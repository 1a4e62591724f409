"""What is true in the end: the processor's own objects and our rows, and everything in which they differ."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
import httpx2

from domain.ids import IdKind, encode
from gateways.stripe.reports import REFUND_LABEL, TRANSACTION_LABEL
from tests.faults.soak.shop import Shop, Wish
from tests.support.development import Ready

Json: TypeAlias = dict[str, Any]  # Any: the processor's objects, and rows

_TAKES_MONEY = frozenset({"succeeded", "processing", "requires_capture"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Both sides, as they are when everything has come to rest."""

    intents: Sequence[Json]
    refunds: Sequence[Json]
    balance: int
    transactions: Mapping[str, Json]
    refund_rows: Mapping[str, Json]
    ledger: int
    open: int
    put_aside: int


async def unfinished(database_url: str) -> int:
    """How many attempts and events are still open. Raises what asyncpg raises while the database is away."""
    connection = await asyncpg.connect(database_url)
    try:
        return int(
            await connection.fetchval(
                "SELECT (SELECT count(*) FROM attempts WHERE state = 'OPEN')"
                " + (SELECT count(*) FROM webhook_events WHERE state = 'RECEIVED')"
            )
        )
    finally:
        await connection.close()


async def read(ready: Ready) -> Truth:
    """Read everything, from both."""
    async with httpx2.AsyncClient(
        base_url=ready["processor_url"],
        headers={"Authorization": f"Bearer {ready['processor_key']}"},
        timeout=60,
        trust_env=False,
    ) as http:
        intents = await _all(http, "/v1/payment_intents")
        refunds = await _all(http, "/v1/refunds")
        balance = sum(entry["net"] for entry in await _all(http, "/v1/balance_transactions"))
    connection = await asyncpg.connect(ready["database_url"])
    try:
        transactions = await connection.fetch("SELECT * FROM transactions")
        refund_rows = await connection.fetch("SELECT * FROM refunds")
        ledger = await connection.fetchval(
            "SELECT coalesce(sum(line.amount), 0)::bigint FROM ledger_entries AS line"
            " JOIN ledger_accounts AS account ON account.id = line.account_id WHERE account.kind = 'PROCESSOR_BALANCE'"
        )
        put_aside = await connection.fetchval(
            "SELECT (SELECT count(*) FROM webhook_events WHERE state IN ('QUARANTINED', 'PARKED'))"
            " + (SELECT count(*) FROM attempts WHERE state = 'MANUAL')"
        )
    finally:
        await connection.close()
    return Truth(
        intents=intents,
        refunds=refunds,
        balance=balance,
        transactions={encode(IdKind.TRANSACTION, row["id"]): dict(row) for row in transactions},
        refund_rows={encode(IdKind.REFUND, row["id"]): dict(row) for row in refund_rows},
        ledger=ledger,
        open=await unfinished(ready["database_url"]),
        put_aside=put_aside,
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be: of which kind, and what it is."""

    kind: str
    text: str


def findings(truth: Truth, wishes: Sequence[Wish]) -> Iterator[Finding]:
    """Everything that must not be."""
    yield from _doubled(truth)
    yield from _lost(truth, wishes)
    yield from _sums(truth)
    if truth.open:
        yield Finding("pending", f"{truth.open} attempts or events are open")
    if truth.put_aside:
        yield Finding("pending", f"{truth.put_aside} events or attempts were put aside for a person")


async def told_otherwise(shop: Shop, wishes: Sequence[Wish]) -> list[Finding]:
    """Ask everything again, one after the other: whoever was answered must be told of the same object."""
    found = []
    for wish in wishes:
        for name in ("transaction", "refund"):
            if (told := wish.payload.get(name)) is None:
                continue
            now = (await shop.ask_again(wish)).get(name)
            if now is None or now["id"] != told["id"]:
                found.append(Finding("lost", f"{wish.act} was answered with {told['id']}, and now with {now}"))
    return found


def _doubled(truth: Truth) -> Iterator[Finding]:
    takers = Counter(one["metadata"].get(TRANSACTION_LABEL) for one in truth.intents if one["status"] in _TAKES_MONEY)
    refunds = Counter(one["metadata"].get(REFUND_LABEL) for one in truth.refunds)
    for what, number in (takers + refunds).items():
        if number > 1:
            yield Finding("doubled", f"{number} objects at the processor for {what}")


def _lost(truth: Truth, wishes: Sequence[Wish]) -> Iterator[Finding]:
    by_reference = {one["id"]: one for one in (*truth.intents, *truth.refunds)}
    payments: dict[str, list[str]] = defaultdict(list)
    for wish in wishes:
        transaction, refund = wish.payload.get("transaction"), wish.payload.get("refund")
        if not wish.payload:
            yield Finding("lost", f"{wish.act} never got an answer")
        if wish.act == "createPayment" and transaction is not None:
            payments[transaction["id"]].append(str(wish.variables["input"]["idempotencyKey"]))
        if transaction is not None:
            row = truth.transactions.get(transaction["id"])
            charge = by_reference.get("" if row is None else row["processor_reference"] or "")
            if row is None:
                yield Finding("lost", f"{transaction['id']} was acknowledged and is not there")
            elif transaction["status"] in {"COMPLETED", "PARTIALLYREFUND_LABELED", "REFUNDED"} and (
                charge is None or charge["status"] != "succeeded"
            ):
                yield Finding("lost", f"{transaction['id']} was called {transaction['status']}; no money was taken")
        if refund is not None:
            row = truth.refund_rows.get(refund["id"])
            if row is None:
                yield Finding("lost", f"{refund['id']} was acknowledged and is not there")
            elif refund["status"] == "COMPLETED" and row["processor_reference"] not in by_reference:
                yield Finding("lost", f"{refund['id']} was called COMPLETED; no money went back")
    for transaction_id, keys in payments.items():
        if len(keys) > 1:
            yield Finding("lost", f"{transaction_id} answers several keys: {keys}")


def _sums(truth: Truth) -> Iterator[Finding]:
    for intent in truth.intents:
        row = truth.transactions.get(intent["metadata"].get(TRANSACTION_LABEL, ""))
        if row is None or (intent["amount_received"] and row["processor_reference"] != intent["id"]):
            if intent["amount_received"]:
                yield Finding("lost", f"{intent['id']} took {intent['amount_received']} and is in no book")
        elif row["processor_reference"] == intent["id"] and row["captured"] != intent["amount_received"]:
            yield Finding("sums", f"{intent['id']}: {row['captured']} captured, {intent['amount_received']} there")
    for refund in truth.refunds:
        row = truth.refund_rows.get(refund["metadata"].get(REFUND_LABEL, ""))
        if row is None or row["status"] != "COMPLETED":
            yield Finding("lost", f"{refund['id']} over {refund['amount']} is {row and row['status']} in the books")
    ours = sum(row["refunded"] for row in truth.transactions.values())
    theirs = sum(refund["amount"] for refund in truth.refunds if refund["status"] == "succeeded")
    if ours != theirs:
        yield Finding("sums", f"{ours} refunded in the books, {theirs} at the processor")
    if truth.ledger != truth.balance:
        yield Finding("sums", f"{truth.ledger} in the ledger, {truth.balance} at the processor")


async def _all(http: httpx2.AsyncClient, path: str) -> list[Json]:
    found: list[Json] = []
    while True:
        after = {"starting_after": found[-1]["id"]} if found else {}
        page = (await http.get(path, params={"limit": "100", **after})).raise_for_status().json()
        found += page["data"]
        if not page["has_more"]:
            return found
