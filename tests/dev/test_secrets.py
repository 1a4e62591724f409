"""Every secret is a value found nowhere else, lives a life in production, and is then looked for in all that can be read."""

import asyncio
import base64
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx2
import pyotp
import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from app.embedded_postgres import EmbeddedPostgres
from tests.api.application import payment
from tests.api.people import FORGOT, REFRESH, RESET, SIGN_IN, SIGN_UP, VERIFY
from tests.api.test_api_keys import CREATE as CREATE_KEY
from tests.api.test_second_factor import BEGIN, CONFIRM
from tests.support.mail_server import Handler, mail_server
from tests.support.production import Production, command_lines, durable_server, shop
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("durable_server")

EMAIL, ADMIN = "blaise@shop.example", "margaret@shop.example"
PAY = """mutation ($input: CreatePaymentInput!) {
  createPayment(input: $input) { transaction { id status } errors { code message } }
}"""


def _words() -> str:
    return f"canary {secrets.token_hex(12)}"


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(slots=True)
class Secrets:
    """By name, everything that only its owner may know. What the API makes is added as it comes."""

    shop: str = field(default_factory=lambda: f"shop-{secrets.token_hex(12)}")
    mail: str = field(default_factory=lambda: f"mail-{secrets.token_hex(12)}")
    redis: str = field(default_factory=lambda: f"redis-{secrets.token_hex(12)}")
    client: str = field(default_factory=lambda: f"client-{secrets.token_hex(12)}")
    stripe: str = field(default_factory=lambda: f"sk_test_{secrets.token_hex(16)}")
    webhook: str = field(default_factory=lambda: f"whsec_{secrets.token_hex(24)}")
    signing: str = field(default_factory=_key)
    encryption: str = field(default_factory=_key)
    password: str = field(default_factory=_words)
    new_password: str = field(default_factory=_words)
    mistyped_password: str = field(default_factory=_words)
    foreign_token: str = field(default_factory=lambda: f"eyJ{secrets.token_hex(20)}.eyJ{secrets.token_hex(20)}.x")
    card_number: str = "4000056655665556"
    made: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        yield from ((name, getattr(self, name)) for name in self.__slots__ if name != "made")
        yield from self.made.items()

    def settings(self, server: EmbeddedPostgres, mail_port: int) -> dict[str, str]:
        provider = {"issuer": "https://127.0.0.1:9/", "audience": "https://pay.example", "client_id": "florin"}
        return {
            "DATABASE_URL": shop(server, self.shop),
            "STRIPE_SECRET_KEY": self.stripe,
            "STRIPE_WEBHOOK_SECRET": self.webhook,
            "AUTH_SIGNING_KEY": self.signing,
            "AUTH_ENCRYPTION_KEY": self.encryption,
            "MAIL_HOST": "127.0.0.1",
            "MAIL_PORT": str(mail_port),
            "MAIL_TLS": "none",
            "MAIL_USERNAME": "florin",
            "MAIL_PASSWORD": self.mail,
            # Nobody listens there, so that what is said of a counter that is away is searched as well.
            "REDIS_URL": f"redis://:{self.redis}@127.0.0.1:9/0",
            "IDENTITY_PROVIDERS": json.dumps({"corp": {**provider, "client_secret": self.client}}),
            "PUBLIC_URL": "https://pay.example",
            "SIGN_IN_RETURN_URLS": "https://shop.example/signed-in",
            "LOG_LEVEL": "DEBUG",
        }


@dataclass(slots=True)
class Life:
    """A shop, the people in it, and what they were told where nothing was theirs to know."""

    production: Production
    http: httpx2.AsyncClient
    secrets: Secrets
    refusals: list[str] = field(default_factory=list)

    async def act(self, document: str, token: str | None = None, /, **input_: object) -> Any:  # Any: the query's shape
        """The payload of a mutation that must succeed."""
        answer = await self._send(document, token, input_)
        assert answer.status_code == 200, answer.text
        (payload,) = answer.json()["data"].values()
        assert payload["errors"] == [], payload
        return payload

    async def fail(self, document: str, token: str | None = None, /, **input_: object) -> None:
        """Ask for something that does not succeed, and keep the answer."""
        answer = await self._send(document, token, input_)
        assert '"code"' in answer.text
        self.refusals.append(answer.text)

    async def mail_token(self, mails: Handler) -> str:
        """The token in the newest mail, once there is a new one."""
        before = len(mails.envelopes)

        async def has_arrived() -> bool:
            return len(mails.envelopes) > before

        await until(has_arrived)
        content = mails.envelopes[-1].content
        assert isinstance(content, bytes)
        found = re.search(rb"florin_mail_[\w-]+", content)
        assert found is not None
        return found[0].decode()

    async def _send(self, document: str, token: str | None, input_: object) -> httpx2.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        body = {"query": document, "variables": {"input": input_}}
        return await self.http.post("/graphql", json=body, headers=headers)


async def sign_up_and_in(life: Life, mails: Handler) -> str:
    """An access token of somebody whose mails first cannot be sent, who forgets the password, and mistypes it."""
    known = life.secrets
    arriving = asyncio.create_task(life.mail_token(mails))
    await life.act(SIGN_UP, email=EMAIL, name="Blaise Pascal", password=known.password)
    known.made["verification"] = await arriving
    await life.act(VERIFY, token=known.made["verification"])
    arriving = asyncio.create_task(life.mail_token(mails))
    await life.act(FORGOT, email=EMAIL)
    known.made["reset"] = await arriving
    await life.act(RESET, token=known.made["reset"], newPassword=known.new_password)
    await life.fail(SIGN_IN, email=EMAIL, password=known.mistyped_password)
    await life.fail(SIGN_IN, email=EMAIL, password={"typed": known.mistyped_password})
    await life.fail(SIGN_IN, email=known.mistyped_password, password=EMAIL)
    tokens = (await life.act(SIGN_IN, email=EMAIL, password=known.new_password))["tokens"]
    known.made["refresh 1"], known.made["access 1"] = tokens["refreshToken"], tokens["accessToken"]
    tokens = (await life.act(REFRESH, refreshToken=tokens["refreshToken"]))["tokens"]
    known.made["refresh 2"], known.made["access 2"] = tokens["refreshToken"], tokens["accessToken"]
    access: str = tokens["accessToken"]
    return access


async def set_up_second_factor(life: Life, access: str) -> None:
    begun = await life.act(BEGIN, access, password=life.secrets.new_password)
    life.secrets.made["second factor"] = begun["secret"]
    code = pyotp.TOTP(begun["secret"]).now()
    for number, code_ in enumerate((await life.act(CONFIRM, access, code=code))["recoveryCodes"]):
        life.secrets.made[f"recovery code {number}"] = code_


async def make_key(life: Life) -> None:
    life.production.run("users add", ADMIN, "--name", "Margaret Hamilton", "--role", "admin")
    admin = life.secrets.made["printed token"] = life.production.run("token", ADMIN)
    made = await life.act(CREATE_KEY, admin, name="shop", scopes=["PAYMENTS_READ"])
    life.secrets.made["api key"] = made["secret"]
    life.secrets.made["printed api key"] = re.findall(
        r"florin_test_\S+",
        life.production.run("api-keys create", ADMIN, "--name", "till", "--scope", "payments:read"),
    )[0]
    for key in (life.secrets.made["api key"], life.secrets.made["printed api key"]):
        assert (await life._send("{ transactions { totalCount } }", key, {})).status_code == 200


async def suffer(life: Life, server: EmbeddedPostgres, access: str) -> None:
    """Everything goes wrong once: input, credentials, webhooks, the processor, the identity provider, the database."""
    known = life.secrets
    await life.fail(PAY, access, **payment("card", description=f"my card is {known.card_number}"))
    await life.fail("{ me { id } }", known.foreign_token)
    await life.fail("{ me { id } }", f"{known.made['access 2']}x")
    await life.fail("{ me { id } }", f"{known.made['api key']}x")
    for path in ("/graphql", "/nowhere", "/auth/corp/start"):
        answer = await life.http.get(path, params={"access_token": known.foreign_token, "return_to": known.password})
        life.refusals.append(answer.text)
    for signature in ("t=1,v1=00", f"t=1,v1={known.webhook}"):
        answer = await life.http.post("/webhooks/stripe", content=b"{}", headers={"Stripe-Signature": signature})
        assert answer.status_code == 400
        life.refusals.append(answer.text)
    life.production.kill("sandbox")
    await life.fail(PAY, access, **payment("away"))
    life.production.start_processor()
    await execute(
        server,
        "ALTER ROLE shop NOLOGIN",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'",
    )
    await life.fail("{ me { id } }", access)
    life.refusals.append((await life.http.get("/readyz")).text)
    await execute(server, "ALTER ROLE shop LOGIN")
    await life.production.until_ready()


async def execute(server: EmbeddedPostgres, *statements: str) -> None:
    connection = await asyncpg.connect(server.admin_url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def database_of(server: EmbeddedPostgres) -> str:
    """Every row of every table as text."""
    connection = await asyncpg.connect(server.url)
    try:
        tables = await connection.fetch(
            "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        found = [await connection.fetch(f"SELECT t::text AS row FROM {table['name']} t") for table in tables]  # noqa: S608  our own tables' names
    finally:
        await connection.close()
    return "\n".join(row["row"] for rows in found for row in rows)


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[tuple[Life, EmbeddedPostgres, Handler]]:
    known, mails = Secrets(), Handler()
    sessions: list[tuple[object, bytes]] = []

    # Any: aiosmtpd hands over its own server and session.
    def authenticate(_: Any, session: Any, ___: Any, ____: Any, data: LoginPassword) -> AuthResult:
        sessions.append((session, data.password))
        # Not the first time, as a server does whose list of passwords is behind.
        return AuthResult(success=session is not sessions[0][0], handled=False)

    with durable_server(known.shop) as server:
        async with mail_server(mails, authenticator=authenticate, auth_require_tls=False) as mail_port:
            production = Production(tmp_path, known.settings(server, mail_port))
            production.start()
            try:
                await production.until_ready()
                async with httpx2.AsyncClient(base_url=production.url, trust_env=False, timeout=60) as http:
                    yield Life(production, http, known), server, mails
            finally:
                await asyncio.to_thread(production.stop)
        assert sessions[0][1] == known.mail.encode()


async def test_no_secret_is_left_where_others_look(life: tuple[Life, EmbeddedPostgres, Handler]) -> None:
    shop_, server, mails = life
    access = await sign_up_and_in(shop_, mails)
    await shop_.act(PAY, access, **payment("first"))
    await set_up_second_factor(shop_, access)
    await make_key(shop_)
    await suffer(shop_, server, access)
    await shop_.act(PAY, access, **payment("last"))
    metrics = await shop_.http.get(shop_.production.metrics_url)
    places = {
        "the API's log": shop_.production.said("serve"),
        "the worker's log": shop_.production.said("worker"),
        "what the commands logged": shop_.production.said("commands"),
        "the processes": command_lines(),
        "the database": await database_of(server),
        "the metrics": metrics.text,
        "the refusals": "\n".join(shop_.refusals),
    }
    # Each place is what it is called, and what happened left its traces there.
    for place, trace in {
        "the API's log": '"event":"request"',
        "the worker's log": "The mail server answered 535",
        "the processes": "florin serve",
        "the database": EMAIL,
        "the metrics": "florin_",
        "the refusals": "UNAUTHENTICATED",
    }.items():
        assert trace in places[place], place
    found = [
        (name, place)
        for name, secret in shop_.secrets
        for place, text in places.items()
        if any(form in text for form in forms(secret))
    ]
    assert found == []


def forms(secret: str) -> set[str]:
    """The secret as it is, and as it is written in an address, in JSON, in base64 and in hexadecimal digits."""
    octets = secret.encode()
    return {
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        base64.b64encode(octets).decode().rstrip("="),
        octets.hex(),
    }
