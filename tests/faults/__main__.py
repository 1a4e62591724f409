"""Runs one case and shows everything that happened in it.

python -m tests.faults pay/after/lost@2/kill@17
"""

import argparse
import shutil
import sys

import uvloop

from app.embedded_postgres import EmbeddedPostgres
from tests.faults.cases import Case
from tests.faults.runner import Outcome, open_runner
from tests.support.postgres import throwaway_folder


async def _run(database_url: str, case: Case) -> Outcome:
    async with open_runner(database_url) as runner:
        return await runner.run(case)


def main() -> int:
    """Print the run; 1 where it breaks an invariant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", type=Case.parse, help="the case's name, as a failing test prints it")
    case = parser.parse_args().case
    folder = throwaway_folder()
    try:
        with EmbeddedPostgres(folder, throwaway=True) as postgres:
            outcome = uvloop.run(_run(postgres.url, case))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(f"{outcome.report()}\n")
    return int(bool(outcome.violations))


if __name__ == "__main__":
    sys.exit(main())
