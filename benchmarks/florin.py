"""Florin as it is measured: `florin serve` with the settings of production, and who asks it."""

import base64
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import asyncpg

from api.access_tokens import AccessTokens, TokenConfig
from api.signing_keys import fixed_keys
from app.processes.ports import free_port
from app.time_and_ids import SystemClock, TimeOrderedIds
from benchmarks.database import Database, Payer
from benchmarks.programs import HOST, ROOT, Running, running
from domain.access import GRANTABLE
from domain.identity.key_text import digest_of, new_key, visible_part

_SIGNING_KEY = base64.b64encode(bytes(range(32))).decode()
_STRIPE_KEY = "sk_test_of_the_benchmarks"
_WEBHOOK_SECRET = "whsec_of_the_benchmarks"  # noqa: S105  it opens a server that nobody else can reach
# Every limit counts, and none is ever reached: a limit that refuses would make a server look fast.
_WIDE = "1000000000"

POOL_SIZE = 10


@contextmanager
def sandbox() -> Iterator[Running]:
    """The stand-in processor, which forgets everything in the end. Its webhooks go nowhere."""
    port = free_port(HOST)
    argv = [sys.executable, "-c", "from app.cli import main; main()", "sandbox", "--port", str(port)]
    env = {"SANDBOX_API_KEY": _STRIPE_KEY, "SANDBOX_WEBHOOK_SECRET": _WEBHOOK_SECRET}
    with running("sandbox", argv, env, ready="/_sandbox/health", port=port) as server:
        yield server


def environment(database: Database, processor_url: str, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The settings of a server in production. `changes` are to them."""
    return {
        "ENVIRONMENT": "production",
        "DATABASE_URL": database.app_url,
        "DATABASE_POOL_SIZE": str(POOL_SIZE),
        # Where more clients ask than there are connections, all are to be answered in the end, as its rivals answer them.
        "DATABASE_WAIT_SECONDS": "10",
        "STRIPE_SECRET_KEY": _STRIPE_KEY,
        "STRIPE_WEBHOOK_SECRET": _WEBHOOK_SECRET,
        "STRIPE_API_BASE": processor_url,
        "AUTH_SIGNING_KEY": _SIGNING_KEY,
        "METRICS_PORT": "0",
        "REQUESTS_PER_MINUTE": _WIDE,
        "ADDRESS_REQUESTS_PER_MINUTE": _WIDE,
        "MONEY_MUTATIONS_PER_MINUTE": _WIDE,
        "QUERY_COST_PER_SECOND": _WIDE,
        "CONNECTIONS_MAX": "2000",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
        **(changes or {}),
    }


@contextmanager
def serving(
    name: str,
    database: Database,
    processor_url: str,
    *,
    program: str | None = None,
    changes: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """`florin serve` on a port, or one of the programs of benchmarks/ that run it changed."""
    argv = [sys.executable, "-c", "from app.cli import main; main()", "serve"]
    if program is not None:
        argv = [sys.executable, "-m", f"benchmarks.{program}"]
    env = environment(database, processor_url, changes) | {"PYTHONPATH": str(ROOT)}
    with running(name, argv, env, ready="/readyz") as server:
        yield server


def access_tokens(payers: Sequence[Payer]) -> list[str]:
    """An access token for each of them, as `signIn` gives them out."""
    tokens = AccessTokens(TokenConfig(keys=fixed_keys(_SIGNING_KEY)), SystemClock())
    expires_at = _now() + timedelta(days=1)
    return [tokens.issue(payer.user_id, payer.session_id, expires_at) for payer in payers]


async def api_keys(database: Database, payers: Sequence[Payer]) -> list[str]:
    """A fresh API key for each of them, with every scope that there is."""
    keys, new_ids, now = [new_key(live=False) for _ in payers], TimeOrderedIds(), _now()
    connection = await asyncpg.connect(database.admin_url)
    try:
        await connection.executemany(
            "INSERT INTO api_keys (id, owner_id, name, digest, prefix, scopes, created_at)"
            " VALUES ($1, $2, 'benchmark', $3, $4, $5, $6)",
            [
                (new_ids.new(), payer.user_id, digest_of(key), visible_part(key), sorted(GRANTABLE), now)
                for payer, key in zip(payers, keys, strict=True)
            ],
        )
    finally:
        await connection.close()
    return keys


async def introduce(database: Database, issuer: str, payers: Sequence[Payer]) -> list[str]:
    """The subjects by which an identity provider knows them, who have signed in by it before."""
    subjects = [f"benchmark-{payer.number}" for payer in payers]
    connection = await asyncpg.connect(database.admin_url)
    try:
        await connection.executemany(
            "INSERT INTO identities (issuer, subject, user_id, granted_at, created_at) VALUES ($1, $2, $3, $4, $4)"
            " ON CONFLICT DO NOTHING",
            [(issuer, subject, payer.user_id, _now()) for payer, subject in zip(payers, subjects, strict=True)],
        )
    finally:
        await connection.close()
    return subjects


def providers(issuer: str, audience: str) -> dict[str, str]:
    """The settings of a server that takes the tokens of an issuer on this machine, which only development allows."""
    provider = {"issuer": issuer, "audience": audience, "creates_users": False}
    return {"ENVIRONMENT": "development", "IDENTITY_PROVIDERS": json.dumps({"benchmark": provider})}


def _now() -> datetime:
    return SystemClock().now().astimezone(UTC)
