"""The same information without GraphQL: Starlette routes, asyncpg and orjson, with statements made for each address.

It stands for what somebody would write by hand who wants these answers alone, and fast.
"""

import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TRANSACTION = """
    t.id, t.status, t.description, t.capture_method AS "captureMethod", t.processor,
    t.processor_reference AS "processorReference", t.processor_status AS "processorStatus", t.created_at AS "createdAt",
    t.updated_at AS "updatedAt", t.amount, t.currency, t.refunded
"""
_ONE = f"""
    SELECT {_TRANSACTION}, u.id AS user_id, u.name AS user_name, u.email AS user_email
    FROM transactions t JOIN users u ON u.id = t.user_id WHERE t.id = $1
"""
_PAGE = f"""
    SELECT {_TRANSACTION}, u.id AS user_id, u.name AS user_name, u.email AS user_email
    FROM transactions t JOIN users u ON u.id = t.user_id WHERE t.user_id = $1
    ORDER BY t.created_at DESC, t.id DESC LIMIT $2
"""
_AUDIT = """
    SELECT parent.id AS parent, a.action, a.actor_kind AS "actorKind", a.at FROM unnest($1::uuid[]) AS parent(id)
    CROSS JOIN LATERAL (
        SELECT action, actor_kind, at, number FROM audit_entries WHERE transaction_id = parent.id ORDER BY number LIMIT 3
    ) AS a ORDER BY parent.id, a.number
"""
_CLAIM = """
    INSERT INTO idempotency_keys (actor_id, act, key, fingerprint, transaction_id, created_at)
    VALUES ($1, 'create_payment', $2, $3, $4, $5)
"""
_ADD = f"""
    INSERT INTO transactions AS t (id, user_id, status, amount, currency, captured, refunded, refund_reserved, disputed,
        capture_method, payment_method_id, description, metadata, processor, version, created_at, updated_at)
    VALUES ($1, $2, 'PENDING', $3, $4, 0, 0, 0, 0, 'AUTOMATIC', $5, $6, '{{}}', 'stripe', 1, $7, $7) RETURNING {_TRANSACTION}
"""
_NOTE = """
    INSERT INTO audit_entries (id, transaction_id, action, actor_kind, actor_id, details, at)
    VALUES ($1, $2, 'transaction.created', 'USER', $3, $4, $5)
"""


class _Plain:
    """The addresses, over a pool that is opened with the application."""

    pool: asyncpg.Pool

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        size = int(os.environ["POOL_SIZE"])
        url = os.environ["DATABASE_URL"]
        async with asyncpg.create_pool(url, min_size=size, max_size=size, init=_ids_as_text) as pool:
            self.pool = pool
            yield

    async def one(self, request: Request) -> Response:
        asked = orjson.loads(await request.body())
        async with self.pool.acquire() as connection:
            row = await connection.fetchrow(_ONE, asked["id"])
            if row is None:
                return _answer(None)
            audit = await connection.fetch(_AUDIT, [row["id"]])
        return _answer(_shown([row], audit)[0])

    async def page(self, request: Request) -> Response:
        asked = orjson.loads(await request.body())
        async with self.pool.acquire() as connection:
            rows = await connection.fetch(_PAGE, asked["userId"], asked["first"])
            audit = await connection.fetch(_AUDIT, [row["id"] for row in rows])
        return _answer(_shown(rows, audit))

    async def nothing(self, request: Request) -> Response:
        await request.body()
        return _answer("Query")

    async def create(self, request: Request) -> Response:
        body = await request.body()
        asked, now, new_id = orjson.loads(body), datetime.now(UTC), str(uuid.uuid4())  # noqa: TID251  nothing is tested with it
        user_id = asked["userId"]
        details = orjson.dumps({"amount": asked["amount"], "currency": asked["currency"]}).decode()
        async with self.pool.acquire() as connection, connection.transaction():
            fingerprint = hashlib.sha256(body).digest()
            await connection.execute(_CLAIM, user_id, asked["idempotencyKey"], fingerprint, new_id, now)
            row = await connection.fetchrow(
                *(_ADD, new_id, user_id, asked["amount"], asked["currency"]),
                *(asked["paymentMethodId"], asked["description"], now),
            )
            await connection.execute(_NOTE, str(uuid.uuid4()), new_id, user_id, details, now)  # noqa: TID251  as above
        return _answer(dict(row))


async def _ids_as_text(connection: asyncpg.Connection) -> None:
    """Neither is a UUID made of what comes from a client as text, nor of what goes to one."""
    await connection.set_type_codec("uuid", encoder=str, decoder=str, schema="pg_catalog", format="text")


def _shown(rows: list[Any], audit: list[Any]) -> list[dict[str, object]]:  # Any: asyncpg's records are untyped
    entries: dict[str, list[dict[str, object]]] = {row["id"]: [] for row in rows}
    for entry in audit:
        entries[entry["parent"]].append({"action": entry[1], "actorKind": entry[2], "at": entry[3]})
    shown = []
    for row in rows:
        transaction = dict(row)
        transaction["user"] = {name: transaction.pop(f"user_{name}") for name in ("id", "name", "email")}
        transaction["auditLog"] = entries[row["id"]]
        shown.append(transaction)
    return shown


def _answer(data: object) -> Response:
    return Response(orjson.dumps({"data": data}), media_type="application/json")


async def _ready(_: Request) -> Response:
    return _answer("ready")


def main() -> None:
    plain = _Plain()
    app = Starlette(
        routes=[
            Route("/Q1", plain.one, methods=["POST"]),
            Route("/Q2", plain.page, methods=["POST"]),
            Route("/Q3", plain.nothing, methods=["POST"]),
            Route("/M1", plain.create, methods=["POST"]),
            Route("/ready", _ready),
        ],
        lifespan=plain.lifespan,
    )
    config = uvicorn.Config(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False, ws="none")
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
