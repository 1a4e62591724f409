"""An attempt that needs a person is told of once, with what is needed to find it."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.ids import IdKind, encode
from domain.payments.attempt import UNRESOLVED_AFTER
from domain.payments.gateway import OutcomeUnknown
from domain.sweeps import SweepRun
from tests.support.acts import Acts, transaction_in
from tests.support.captured_logs import captured_logs
from tests.support.clock import START
from tests.support.database import age_attempts, rows
from worker import alerts
from worker.alerts import AlertSweep

RUN = SweepRun(name="alerts", runs=1, started_at=START, mark=None)
A_MINUTE = timedelta(minutes=1)


async def told(acts: Acts) -> list[dict[str, object]]:
    """The lines of one run."""
    with captured_logs() as logs:
        await AlertSweep(acts.units)(RUN)
    return logs.lines


async def left_unknown(acts: Acts, key: str = "key-1") -> str:
    acts.gateway.fail_next("confirm_charge", OutcomeUnknown("no answer came"))
    answer = await acts.pay(await acts.add_actor(), key)
    return encode(IdKind.TRANSACTION, transaction_in(answer).id)


async def test_an_outcome_that_is_unknown_for_long_is_told_of_once(acts: Acts) -> None:
    transaction_id = await left_unknown(acts)
    await age_attempts(acts.engine, UNRESOLVED_AFTER - A_MINUTE)
    assert await told(acts) == []
    await age_attempts(acts.engine, A_MINUTE)
    [line] = await told(acts)
    assert (line["event"], line["level"], line["kind"]) == ("alert.unresolved", "error", "CHARGE")
    assert (line["transaction_id"], line["reason"]) == (transaction_id, "no answer came")
    assert 900 <= int(str(line["age_seconds"])) < 1800
    assert await told(acts) == []
    await age_attempts(acts.engine, timedelta(days=1))
    assert await told(acts) == []


@pytest.mark.parametrize("method", ["pm_card_authenticationRequired", "pm_fake_processing", "pm_card_visa"])
async def test_who_waits_for_the_payer_or_is_done_alarms_nobody(acts: Acts, method: str) -> None:
    await acts.pay(await acts.add_actor(), method=method)
    await acts.recover()
    await age_attempts(acts.engine, timedelta(days=1))
    assert await told(acts) == []


async def test_what_nobody_looked_at_when_it_was_time_is_told_of(acts: Acts, engine: AsyncEngine) -> None:
    await acts.pay(await acts.add_actor(), method="pm_fake_processing")
    await rows(engine, "UPDATE attempts SET next_check_at = now() - interval '16 minutes' RETURNING 1")
    assert [line["event"] for line in await told(acts)] == ["alert.unresolved"]


@pytest.mark.parametrize(("state", "event"), [("MANUAL", "alert.manual"), ("PARKED", "alert.parked")])
async def test_another_reason_is_told_of_again(acts: Acts, engine: AsyncEngine, state: str, event: str) -> None:
    await left_unknown(acts)
    await age_attempts(acts.engine, UNRESOLVED_AFTER)
    await told(acts)
    await rows(engine, f"UPDATE attempts SET state = '{state}', reason = 'why' RETURNING 1")  # noqa: S608  constants
    assert [(line["event"], line["reason"]) for line in await told(acts)] == [(event, "why")]
    assert await told(acts) == []


async def test_many_are_told_of_in_bites(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "ALERTS_MAX", 2)
    for number in range(3):
        await left_unknown(acts, f"key-{number}")
    await age_attempts(acts.engine, UNRESOLVED_AFTER)
    sweep = AlertSweep(acts.units)
    results = [await sweep(RUN) for _ in range(2)]
    assert [(result.found, result.more) for result in results] == [({"alerts": 2}, True), ({"alerts": 1}, False)]
