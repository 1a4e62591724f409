"""What was answered is never lost: the sandbox as a process that is killed and started again."""

import asyncio
import signal
import sqlite3
from pathlib import Path

import httpx2
import pytest

from sandbox.server import SandboxConfig, create_app
from sandbox.store import StateFileError
from tests.sandbox.driver import CARD, KEY, driving
from tests.sandbox.programs import running
from tests.sandbox.receiver import DEADLINE_SECONDS

_PAYMENT = {"amount": 1099, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa", **CARD}


async def test_an_answered_payment_survives_sigkill(tmp_path: Path) -> None:
    state_path = tmp_path / "state.db"
    async with running(state_path) as (process, sandbox):
        paid = await sandbox.post("/v1/payment_intents", _PAYMENT, idempotency_key="k")
        await sandbox.pass_time(1_000)
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async with running(state_path) as (_, sandbox):
        assert await sandbox.get(f"/v1/payment_intents/{paid['id']}") == paid
        assert await sandbox.post("/v1/payment_intents", _PAYMENT, idempotency_key="k") == paid
        assert (await sandbox.get("/_sandbox/clock"))["offset_seconds"] == 1_000
        await sandbox.post("/v1/refunds", {"payment_intent": paid["id"]})


async def test_killed_while_working_it_keeps_whole_payments_only(tmp_path: Path) -> None:
    state_path = tmp_path / "state.db"
    answered: list[str] = []
    async with running(state_path) as (process, sandbox):

        async def pay_for_ever(worker: int) -> None:
            for number in range(10_000):
                intent = await sandbox.post("/v1/payment_intents", _PAYMENT, idempotency_key=f"{worker}-{number}")
                answered.append(intent["id"])
                if len(answered) == 60:
                    process.send_signal(signal.SIGKILL)

        results = await asyncio.gather(*(pay_for_ever(worker) for worker in range(4)), return_exceptions=True)
        assert all(isinstance(result, httpx2.HTTPError) for result in results), results

    async with driving(SandboxConfig(state_path=state_path)) as sandbox:
        for intent_id in answered:
            assert (await sandbox.get(f"/v1/payment_intents/{intent_id}"))["status"] == "succeeded"
        connection = sandbox.machine.store.connection
        kinds = dict(connection.execute("SELECT kind, count(*) FROM objects GROUP BY kind").fetchall())
        (answers,) = connection.execute("SELECT count(*) FROM answers").fetchone()
        assert kinds["payment_intent"] == kinds["charge"] == kinds["balance_transaction"] == answers >= len(answered)


def _names_and_modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_cleanly_on_a_signal(tmp_path: Path, sent: signal.Signals) -> None:
    state_path = tmp_path / "state.db"
    async with running(state_path) as (process, sandbox):
        await sandbox.post("/v1/payment_intents", _PAYMENT)
        process.send_signal(sent)
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await process.wait() == 0
    # A clean end leaves one whole file and no journal beside it.
    assert _names_and_modes(tmp_path) == {"state.db": 0o600}


async def test_a_state_file_has_one_owner(tmp_path: Path) -> None:
    config = SandboxConfig(state_path=tmp_path / "state.db")
    async with driving(config):
        with pytest.raises(StateFileError, match="locked"):
            create_app(config)


def test_a_state_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateFileError, match="version 99"):
        create_app(SandboxConfig(state_path=path))
    path.write_text("not a database" * 100)
    with pytest.raises(StateFileError):
        create_app(SandboxConfig(state_path=path))


async def test_it_listens_on_loopback_by_default() -> None:
    assert SandboxConfig().host == "127.0.0.1"
    assert SandboxConfig(public_base_url="https://pay.test/").base_url == "https://pay.test"
    response = httpx2.Request("GET", SandboxConfig().base_url, headers={"Authorization": KEY})
    assert response.url.host == "127.0.0.1"
