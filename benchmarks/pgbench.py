"""PostgreSQL alone: its own benchmark program asks for the same information, which PostgreSQL itself writes as JSON."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from app.embedded_postgres.binaries import find_binaries
from benchmarks.database import PAYER_TRANSACTIONS, Database
from benchmarks.load import Load, LoadFailed
from benchmarks.operations import PAGE

_TRANSACTION = """
    'id', t.id, 'status', t.status, 'description', t.description, 'captureMethod', t.capture_method, 'processor', t.processor,
    'processorReference', t.processor_reference, 'processorStatus', t.processor_status, 'createdAt', t.created_at,
    'updatedAt', t.updated_at, 'amount', t.amount, 'currency', t.currency, 'refunded', t.refunded
"""
_RELATED = """
    'user', json_build_object('id', u.id, 'name', u.name, 'email', u.email),
    'auditLog', (SELECT json_agg(json_build_object('action', a.action, 'actorKind', a.actor_kind, 'at', a.at)) FROM (
        SELECT action, actor_kind, at FROM audit_entries WHERE transaction_id = t.id ORDER BY number LIMIT 3) a)
"""
_ID = "('{prefix}-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid"
_USER_ID = _ID.format(prefix="018d0000", number="CAST(:payer AS bigint)")


def _scripts(payers: int) -> Mapping[str, str]:
    transaction_id = _ID.format(
        prefix="018f0000", number=f"CAST(:number AS bigint) * {payers} + CAST(:payer AS bigint)"
    )
    payer = f"\\set payer random(1, {payers})\n"
    return {
        "Q1": f"""{payer}\\set number random(0, {PAYER_TRANSACTIONS - 1})
            SELECT json_build_object({_TRANSACTION}, {_RELATED}) FROM transactions t JOIN users u ON u.id = t.user_id
            WHERE t.id = {transaction_id};
        """,
        "Q2": f"""{payer}
            SELECT json_agg(page.made) FROM (
                SELECT json_build_object({_TRANSACTION}, {_RELATED}) AS made
                FROM transactions t JOIN users u ON u.id = t.user_id WHERE t.user_id = {_USER_ID}
                ORDER BY t.created_at DESC, t.id DESC LIMIT {PAGE}) page;
        """,
        "M1": f"""\\set payer random({payers + 1}, {2 * payers})
            \\set key random(1, 9000000000000000000)
            WITH fresh AS (SELECT gen_random_uuid() AS id, now() AS at), claimed AS (
                INSERT INTO idempotency_keys (actor_id, act, key, fingerprint, transaction_id, created_at)
                SELECT {_USER_ID}, 'create_payment', 'pgbench-' || CAST(:key AS text), sha256('payment'), id, at FROM fresh
            ), t AS (
                INSERT INTO transactions (id, user_id, status, amount, currency, captured, refunded, refund_reserved, disputed,
                    capture_method, payment_method_id, description, metadata, processor, version, created_at, updated_at)
                SELECT id, {_USER_ID}, 'PENDING', 1000, 'USD', 0, 0, 0, 0, 'AUTOMATIC', 'pm_card_visa', 'An order', '{{}}',
                    'stripe', 1, at, at FROM fresh RETURNING *
            ), noted AS (
                INSERT INTO audit_entries (id, transaction_id, action, actor_kind, actor_id, details, at)
                SELECT gen_random_uuid(), id, 'transaction.created', 'USER', {_USER_ID}, '{{"amount": 1000}}', at FROM fresh
            )
            SELECT json_build_object({_TRANSACTION}) FROM t;
        """,
    }


def _program() -> str:
    # The client needs no account of its own, as the server does, and so runs where it was installed.
    return find_binaries().program("pgbench")


def press_postgres(data: Database, operation: str, *, connections: int, seconds: float) -> Load | None:
    """Load PostgreSQL for so long; None for an operation that it is not asked for. Raises LoadFailed."""
    script = _scripts(data.sizes.payers).get(operation)
    if script is None:
        return None
    target = urlsplit(data.app_url)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "script.sql")
        # A statement ends with its semicolon; pgbench takes line breaks inside of it.
        file.write_text("\n".join(line.strip() for line in script.splitlines()))
        begun = time.perf_counter()
        done = subprocess.run(
            [
                *(_program(), "--no-vacuum", "--protocol=prepared", f"--client={connections}", "--jobs=1"),
                *(f"--time={max(1, round(seconds))}", f"--file={file}", "--log", f"--log-prefix={folder}/times"),
                *("-h", target.hostname or "", "-p", str(target.port), "-U", target.username or "", target.path[1:]),
            ],
            env={**os.environ, "PGPASSWORD": target.password or ""},
            capture_output=True,
            text=True,
            check=False,
        )
        load = Load(seconds=time.perf_counter() - begun)
        if done.returncode != 0:
            raise LoadFailed(done.stderr[-2000:])
        for times in Path(folder).glob("times.*"):
            # client, number, µs, ...: https://www.postgresql.org/docs/current/pgbench.html
            load.latencies += [int(line.split()[2]) / 1e6 for line in times.read_text().splitlines()]
    return load
