"""Whether the time of a refused sign-in tells if there is an account: the four kinds of refusal, turn by turn.

Passwords are hashed with cheap parameters here, so that a difference in the rest cannot hide behind the hash's own noise. For
each kind: the median, and the chance that a try takes longer than one with an unknown address. 50% says nothing about
anybody; with as many tries as here, chance alone stays within the margin that is printed (three standard errors of the
Mann-Whitney statistic).
"""

import asyncio
import math
import statistics
import time
from dataclasses import replace
from urllib.parse import urlsplit

from app.embedded_postgres import EmbeddedPostgres
from app.log_lines import configure_logging
from app.settings import LogFormat
from domain.identity import attempts
from persistence.engine import open_engine
from persistence.roles import ApplicationRole
from persistence.schema import migrate
from tests.api.application import Florin, running
from tests.api.people import PASSWORD, SIGN_IN, act, add_person
from tests.support.database import patient_config, rows
from tests.support.postgres import throwaway_folder

TRIES = 400
ACCOUNT = "a wrong password"
UNKNOWN = "an unknown address"
DISABLED = "a disabled account"
WITHOUT_PASSWORD = "an account without a password"  # noqa: S105  a kind of try
PEOPLE = 20


async def main() -> None:
    # Nobody gets to try so often.
    attempts.OF_ACCOUNT = replace(attempts.OF_ACCOUNT, amount=10 * TRIES)
    attempts.OF_ADDRESS = replace(attempts.OF_ADDRESS, amount=10 * TRIES)
    configure_logging(LogFormat.JSON, "CRITICAL")
    with EmbeddedPostgres(throwaway_folder(), throwaway=True) as postgres:
        owner = open_engine(patient_config(postgres.url))
        await migrate(owner, application=ApplicationRole(name=urlsplit(postgres.app_url).username or ""))
        await owner.dispose()
        engine = open_engine(patient_config(postgres.app_url))
        async with running(engine) as florin:
            times = await measured(florin)
        await engine.dispose()
    unknown = times[UNKNOWN]
    margin = 300 * math.sqrt((2 * TRIES + 1) / (12 * TRIES * TRIES))
    print(f"{TRIES} tries of each kind; chance alone stays within 50% ± {margin:.1f}%")
    for kind, seconds in times.items():
        slower = sum((one > other) + (one == other) / 2 for one in seconds for other in unknown) / TRIES**2
        print(f"{kind}: {statistics.median(seconds) * 1e6:.0f} µs, slower than {UNKNOWN} in {100 * slower:.1f}%")


async def measured(florin: Florin) -> dict[str, list[float]]:
    """The seconds of each try, by its kind."""
    for number in range(PEOPLE):
        await add_person(florin, f"known-{number}@example.com")
        disabled = await add_person(florin, f"disabled-{number}@example.com")
        await rows(
            florin.parts.engine, "UPDATE users SET disabled_at = now() WHERE id = :id RETURNING 1", id=disabled.id
        )
    times: dict[str, list[float]] = {UNKNOWN: [], ACCOUNT: [], DISABLED: [], WITHOUT_PASSWORD: []}
    for number in range(-PEOPLE, TRIES):
        tries = {
            UNKNOWN: (f"nobody-{number % PEOPLE}@example.com", PASSWORD),
            ACCOUNT: (f"known-{number % PEOPLE}@example.com", "wrong words"),
            DISABLED: (f"disabled-{number % PEOPLE}@example.com", PASSWORD),
            WITHOUT_PASSWORD: (florin.ada.user.email, PASSWORD),
        }
        # In another order each time, so that none always follows the same one.
        for kind in list(tries)[number % 4 :] + list(tries)[: number % 4]:
            email, password = tries[kind]
            begun = time.perf_counter()
            payload = await act(florin.anonymous, SIGN_IN, email=email, password=password)
            seconds = time.perf_counter() - begun
            if [error["code"] for error in payload["errors"]] != ["INVALID_CREDENTIALS"]:
                raise RuntimeError(payload)
            if number >= 0:
                times[kind].append(seconds)
        if number % 50 == 0:
            print(f"{number} of {TRIES}", flush=True)
    return times


if __name__ == "__main__":
    asyncio.run(main())
