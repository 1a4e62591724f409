"""The whole application in one process, over a real PostgreSQL and the sandbox processor, and people who use it."""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeAlias

import httpx2
import orjson
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

from api.access_tokens import AccessTokens
from api.graphql.execution import Unfinished
from api.server import create_application
from app.password_hashing import Argon2Passwords
from app.settings import Settings
from app.settings_group import Environment
from app.time_and_ids import SystemClock, TimeOrderedIds
from app.wiring import Parts, assemble, open_worker, services
from domain import ids
from domain.access import Role
from domain.identity.sessions import Session, SessionKind
from domain.identity.users import User
from domain.ids import IdKind
from domain.payments.queries import Reader
from domain.ports import Clock
from gateways.mail.smtp import MailTls
from gateways.stripe.gateway import StripeGateway
from persistence.reader import SqlReader
from persistence.tables import (
    attempts,
    audit_entries,
    disputes,
    idempotency_keys,
    journal_entries,
    refunds,
    transactions,
    webhook_events,
)
from sandbox import webhook_endpoints
from sandbox.machine import Machine
from sandbox.server import SandboxConfig, create_app
from tests.sandbox.driver import Driver
from tests.support.database import rows
from tests.support.serving import serving
from tests.support.waiting import until
from worker.runner import Worker

# Any: a GraphQL answer has the shape of its query.
Json: TypeAlias = dict[str, Any]

SIGNING_KEY = base64.b64encode(bytes(range(32))).decode()
ENCRYPTION_KEY = base64.b64encode(bytes(range(32, 64))).decode()
WEBHOOK_SECRET = "whsec_of_the_api_tests"
STRIPE_KEY = "sk_test_of_the_api_tests"
RETURN_URL = "https://shop.example/paid"

_PEOPLE = (("Ada", Role.CUSTOMER), ("Alan", Role.CUSTOMER), ("Grace", Role.SUPPORT), ("Margaret", Role.ADMIN))
_COUNTED = (
    transactions,
    refunds,
    disputes,
    attempts,
    journal_entries,
    audit_entries,
    idempotency_keys,
    webhook_events,
)

_TRANSACTION = """
    id status description metadata captureMethod processor processorReference processorStatus
    money { amountMinor amount currency } capturedMoney { amountMinor } refundedMoney { amountMinor }
    refundableMoney { amountMinor } feeMoney { amountMinor currency } netMoney { amountMinor }
    paymentMethod { brand last4 expiryMonth expiryYear }
    failure { code declineCode message retryable }
    nextAction { type redirectUrl clientSecret }
"""
_ERRORS = """
    errors { __typename code message path retryable
      ... on CardDeclinedError { declineCode }
      ... on RefundExceedsRemainingError { maxRefundable { amountMinor currency } } }
"""
_REFUND = "id status reason processorReference money { amountMinor currency } failure { code } transaction { id }"

PAY = f"""mutation Pay($input: CreatePaymentInput!) {{
  createPayment(input: $input) {{ replayed transaction {{ {_TRANSACTION} }} {_ERRORS} }}
}}"""
REFUND = f"""mutation GiveBack($input: RefundInput!) {{
  refund(input: $input) {{ replayed refund {{ {_REFUND} }} transaction {{ {_TRANSACTION} }} {_ERRORS} }}
}}"""
CAPTURE = f"""mutation Take($input: CaptureInput!) {{
  capture(input: $input) {{ replayed transaction {{ {_TRANSACTION} }} {_ERRORS} }}
}}"""
VOID = f"""mutation LetGo($input: VoidInput!) {{
  void(input: $input) {{ replayed transaction {{ {_TRANSACTION} }} {_ERRORS} }}
}}"""
SHOW = f"query Show($id: ID!) {{ transaction(id: $id) {{ {_TRANSACTION} }} }}"
AUDIT = """query Audit($id: ID!) {
  transaction(id: $id) { auditLog { nodes { action actorKind details actor { id } } } }
}"""


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the API: with the token of a user, or without any."""

    http: httpx2.AsyncClient
    token: str | None

    async def send(self, query: str, variables: Mapping[str, object] | None = None, **headers: str) -> httpx2.Response:
        """POST an operation. Header names are given with underscores for dashes."""
        return await self.post(orjson.dumps({"query": query, "variables": variables}), **headers)

    async def post(self, body: bytes, **headers: str) -> httpx2.Response:
        """POST whatever it is as JSON."""
        sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        return await self.http.post("/graphql", content=body, headers=sent)

    async def ask(self, query: str, variables: Mapping[str, object] | None = None) -> Json:
        """The data of an operation that must succeed."""
        response = await self.send(query, variables)
        answer: Json = response.json()
        assert response.status_code == 200, answer
        assert "errors" not in answer, answer
        data: Json = answer["data"]
        return data

    async def refused(self, query: str, variables: Mapping[str, object] | None = None) -> Json:
        """The one top-level error of an operation that must fail."""
        answer: Json = (await self.send(query, variables)).json()
        assert len(answer.get("errors", ())) == 1, answer
        error: Json = answer["errors"][0]
        assert set(error["extensions"]) >= {"code", "retryable", "requestId"}
        return error


@dataclass(frozen=True, slots=True)
class Person(Client):
    """A user with a token, and the session that it belongs to."""

    user: User
    session: Session

    @property
    def id(self) -> str:
        return ids.encode(IdKind.USER, self.user.id)

    async def pay(self, key: str = "key-1", /, **changes: object) -> Json:
        """The payload of createPayment: ten dollars by a card that works, unless told otherwise."""
        payload: Json = (await self.ask(PAY, {"input": payment(key, **changes)}))["createPayment"]
        return payload

    async def paid(self, key: str = "key-1", /, **changes: object) -> Json:
        """The transaction of a payment that must succeed."""
        payload = await self.pay(key, **changes)
        assert payload["errors"] == [], payload
        transaction: Json = payload["transaction"]
        return transaction

    async def refund(self, transaction_id: str, key: str = "refund-1", /, **changes: object) -> Json:
        """The payload of refund: all that is left, unless told otherwise."""
        wanted = {"idempotencyKey": key, "transactionId": transaction_id, **changes}
        payload: Json = (await self.ask(REFUND, {"input": wanted}))["refund"]
        return payload

    async def capture(self, transaction_id: str, key: str = "capture-1", /, **changes: object) -> Json:
        wanted = {"idempotencyKey": key, "transactionId": transaction_id, **changes}
        payload: Json = (await self.ask(CAPTURE, {"input": wanted}))["capture"]
        return payload

    async def void(self, transaction_id: str, key: str = "void-1") -> Json:
        wanted = {"idempotencyKey": key, "transactionId": transaction_id}
        payload: Json = (await self.ask(VOID, {"input": wanted}))["void"]
        return payload

    async def transaction(self, transaction_id: str) -> Json:
        """A transaction that must be there, as this person sees it."""
        found: Json = (await self.ask(SHOW, {"id": transaction_id}))["transaction"]
        assert found is not None
        return found

    async def audit(self, transaction_id: str) -> list[Json]:
        """A transaction's audit log, oldest first."""
        entries: list[Json] = (await self.ask(AUDIT, {"id": transaction_id}))["transaction"]["auditLog"]["nodes"]
        return entries


def payment(key: str = "key-1", /, **changes: object) -> Json:
    """The input of createPayment: ten dollars by a card that works. A change to None leaves the field out."""
    wanted = {
        "idempotencyKey": key,
        "money": {"currency": "USD", "amount": "10.00"},
        "paymentMethodId": "pm_card_visa",
        **changes,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def usd(minor_units: int) -> Json:
    return {"currency": "USD", "amountMinor": minor_units}


@dataclass(frozen=True, slots=True, kw_only=True)
class Florin:
    """A running application with everything that a test may want to look at behind it."""

    app: Starlette
    parts: Parts
    unfinished: Unfinished
    http: httpx2.AsyncClient
    sandbox_app: Starlette
    sandbox: Driver
    ada: Person
    alan: Person
    grace: Person
    margaret: Person

    @property
    def anonymous(self) -> Client:
        return Client(self.http, None)

    async def traces(self) -> Mapping[str, int]:
        """Everything that an act may leave behind: rows and changes of ours, and objects at the processor."""
        # Any: what a query finds is untyped.
        columns: list[Any] = [select(func.count()).select_from(table).scalar_subquery() for table in _COUNTED]
        columns.append(select(func.coalesce(func.sum(transactions.c.version), 0)).scalar_subquery())
        async with self.parts.engine.begin() as connection:
            ours = (await connection.execute(select(*columns))).one()
        found = dict(zip([*(table.name for table in _COUNTED), "versions"], map(int, ours), strict=True))
        return found | {f"sandbox {kind}": number for kind, number in self.at_the_sandbox().items()}

    def at_the_sandbox(self) -> Mapping[str, int]:
        """How many objects of each kind the sandbox holds; payment methods aside, which looking one up may make."""
        counted = "SELECT kind, count(*) FROM objects WHERE kind <> 'payment_method' GROUP BY kind"
        return dict(self.sandbox.machine.store.connection.execute(counted))

    async def charged(self) -> list[int]:
        """What the sandbox has taken, in minor units, one number for each charge that went through."""
        charges = await self.sandbox.get("/v1/charges", {"limit": 100})
        return [charge["amount_captured"] for charge in charges["data"] if charge["captured"]]

    async def given_back(self) -> list[int]:
        """What the sandbox has refunded, in minor units, one number for each refund."""
        made = await self.sandbox.get("/v1/refunds", {"limit": 100})
        return [refund["amount"] for refund in made["data"] if refund["status"] in {"succeeded", "pending"}]


def quick_passwords() -> Argon2Passwords:
    """The real hash with the least work that it can be asked for: no test tries to guess a password by its hash."""
    return Argon2Passwords(Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1))


def settings_for(database_url: str, **changes: object) -> Settings:
    """The settings of a development server, as a mapping of the environment would give them."""
    # Any: pydantic checks what it is given.
    values: dict[str, Any] = {
        "environment": Environment.DEVELOPMENT,
        "database_url": SecretStr(database_url),
        "stripe_secret_key": SecretStr(STRIPE_KEY),
        "stripe_webhook_secret": (SecretStr(WEBHOOK_SECRET),),
        "stripe_api_base": SandboxConfig().base_url,
        "auth_signing_key": SecretStr(SIGNING_KEY),
        "auth_encryption_key": (SecretStr(ENCRYPTION_KEY),),
        "mail_host": "127.0.0.1",
        "mail_tls": MailTls.NONE,
        "mail_from": "shop@florin.example",
        **changes,
    }
    return Settings(**values)


@asynccontextmanager
async def running(
    engine: AsyncEngine, *, reader: Reader | None = None, clock: Clock | None = None, **changes: object
) -> AsyncIterator[Florin]:
    """The application over an empty database. `changes` are to its settings; `reader` is read from instead of the tables.

    The sandbox answers, and its time passes when a test moves its clock; it sends webhooks only inside of `delivering`.
    """
    settings = settings_for(engine.url.render_as_string(hide_password=False), **changes)
    sandbox_app = create_app(SandboxConfig(api_keys=(STRIPE_KEY, "sk_test_sandbox")))
    machine: Machine = sandbox_app.state.machine
    transport = httpx2.ASGITransport(app=sandbox_app)
    gateway = StripeGateway(settings.stripe(), transport=transport)
    parts = assemble(settings, engine, gateway, clock or SystemClock(), TimeOrderedIds(), passwords=quick_passwords())
    wired = services(_reading(parts, reader), settings.graphiql())
    app = create_application(wired)
    tokens = AccessTokens(settings.tokens(), parts.clock)
    async with (
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://florin.example") as http,
        httpx2.AsyncClient(transport=transport, base_url=SandboxConfig().base_url) as payer,
    ):
        people = []
        async with parts.units.begin() as uow:
            for name, role in _PEOPLE:
                user = User(
                    id=ids.UserId(parts.ids.new()),
                    email=f"{name.lower()}@example.com",
                    name=name,
                    role=role,
                    created_at=parts.clock.now(),
                )
                await uow.users.add(user)
                session = session_of(parts, user)
                await uow.sessions.add(session)
                people.append(Person(http, tokens.issue(user.id, session.id, session.expires_at), user, session))
        ada, alan, grace, margaret = people
        yield Florin(
            app=app,
            parts=parts,
            unfinished=wired.unfinished,
            http=http,
            sandbox_app=sandbox_app,
            sandbox=Driver(payer, machine),
            ada=ada,
            alan=alan,
            grace=grace,
            margaret=margaret,
        )
        await parts.providers.close()
        await gateway.close()
    machine.close()


def session_of(parts: Parts, user: User) -> Session:
    """A session of an hour, as `florin token` begins one."""
    now = parts.clock.now()
    return Session(
        id=ids.SessionId(parts.ids.new()),
        user_id=user.id,
        kind=SessionKind.COMMAND_LINE,
        second_factor=True,
        created_at=now,
        last_used_at=now,
        expires_at=now + timedelta(hours=1),
    )


def _reading(parts: Parts, reader: Reader | None) -> Parts:
    if reader is None:
        return parts
    assert isinstance(reader, SqlReader)
    return replace(parts, reader=reader)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The sandbox's webhooks on their way: over a real port, into the database, and through a worker."""

    florin: Florin
    worker: Worker

    async def apply(self) -> None:
        """Wait until everything that the sandbox has told by now has arrived, then let the worker apply it."""
        told = {str(row[0]) for row in self._connection.execute("SELECT id FROM objects WHERE kind = 'event'")}
        assert told, "The sandbox has nothing to tell."

        async def all_arrived() -> bool:
            arrived = await rows(self.florin.parts.engine, "SELECT id FROM webhook_events")
            return told <= {str(event_id) for (event_id,) in arrived}

        await until(all_arrived)
        while await self.worker.work_once():
            pass

    async def states(self) -> Mapping[str, str]:
        """The state of each event that was stored, by its type; of several of one type, that of the latest."""
        found = await rows(self.florin.parts.engine, "SELECT type, state FROM webhook_events ORDER BY created_at, id")
        return {str(kind): str(state) for kind, state in found}

    @property
    def _connection(self) -> Any:  # Any: sqlite3's rows are untyped
        return self.florin.sandbox.machine.store.connection


@asynccontextmanager
async def delivering(florin: Florin) -> AsyncIterator[Webhooks]:
    """Let the sandbox send its webhooks to the application."""
    sandbox = florin.sandbox_app
    async with (
        serving(florin.app) as base_url,
        open_worker(florin.parts) as worker,
        sandbox.router.lifespan_context(sandbox),
    ):
        endpoint = {"url": f"{base_url}/webhooks/stripe", "enabled_events": ["*"]}
        with florin.sandbox.machine.begin() as op:
            webhook_endpoints.add(op, endpoint, WEBHOOK_SECRET)
        yield Webhooks(florin, worker)
