"""A worker of its own process, over a processor that kills whoever asks for one particular charge."""

import asyncio
import os
import signal
import sys

from app.alerts import LoggedAlerts
from app.time_and_ids import SystemClock, TimeOrderedIds
from domain.messaging.apply_webhooks import ApplyWebhooks
from domain.payments.gateway import ChargeReport
from domain.payments.outcomes import Outcomes
from domain.payments.recovery import Recovery
from domain.payments.refresh import Refresh
from domain.payments.runner import AttemptRunner
from persistence.engine import open_engine
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.database import patient_config
from tests.support.fake_gateway import FakeGateway
from worker.runner import Worker, WorkerConfig
from worker.sweeps import Sweeper

DEADLY = "ch_deadly"
DEATHS_MAX = 3


class DeadlyGateway(FakeGateway):
    """Knows no charge at all, and kills the process that asks for the deadly one."""

    async def look_up_charge(self, reference: str) -> ChargeReport:
        if reference == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().look_up_charge(reference)


class Silence:
    """Nobody wakes this worker."""

    async def wait(self) -> None:
        await asyncio.Event().wait()


async def main(url: str) -> None:
    """Work until SIGTERM, or until something deadly is taken up."""
    engine, clock, gateway = open_engine(patient_config(url)), SystemClock(), DeadlyGateway()
    units = SqlUnitsOfWork(engine)
    outcomes = Outcomes(clock, TimeOrderedIds(), alerts=LoggedAlerts(), live=False)
    runner = AttemptRunner(units, gateway, outcomes, clock)
    refresh = Refresh(units=units, gateway=gateway, runner=runner, outcomes=outcomes)
    worker = Worker(
        webhooks=ApplyWebhooks(units=units, refresh=refresh, own=gateway, clock=clock, live=False),
        recovery=Recovery(units=units, runner=runner, deaths_max=DEATHS_MAX),
        sweeper=Sweeper(units, []),
        wakeups=Silence(),
        config=WorkerConfig(poll_seconds=0.05),
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
