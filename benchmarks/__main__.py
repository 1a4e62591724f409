"""Measure Florin beside others, and write what was found to .benchmarks/results.json; `--write` makes docs/performance.md of it.

Each part measured replaces what an earlier run found of it, so that parts can be measured by themselves.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import orjson
import uvloop

from app.time_and_ids import SystemClock
from benchmarks import growth, protection, side_by_side
from benchmarks.contestants import CONTESTANTS, NODE
from benchmarks.database import Database, Sizes, database, postgres
from benchmarks.florin_statements import captured
from benchmarks.layers import take_apart
from benchmarks.programs import RESULTS, processor_name, version_of
from benchmarks.report import Results, page, plot, side_by_side_table

PARTS = ("side-by-side", "protection", "layers", "growth", "mixed")
FILE = RESULTS / "results.json"
DOCS = Path(__file__).resolve().parent.parent / "docs"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all of them by default")
    parser.add_argument(
        "--only", nargs="*", default=[], choices=[each.key for each in CONTESTANTS], help="whom to compare"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each turn is")
    parser.add_argument(
        "--mixed-seconds", type=float, default=60.0, help="how long the mixed load is; 1800 for half an hour"
    )
    parser.add_argument(
        "--large", action="store_true", help="also tables of ten million rows, which take minutes to be made"
    )
    parser.add_argument("--write", action="store_true", help="measure nothing, and write docs/performance.md")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return options


async def _measure(parts: Sequence[str], options: argparse.Namespace) -> Results:
    """What was found, written down after each part: one that fails takes nothing with it."""
    found = _read() if FILE.exists() else {}
    if "protection" in parts:
        costs = await protection.run(rounds=options.rounds, seconds=options.seconds / 2)
        _keep(found, "protection", [asdict(cost) for cost in costs])
    with postgres() as server:
        data = await database(server, Sizes())
        _keep(found, "machine", await _machine(data))
        if "side-by-side" in parts:
            given = replace(data, florin_statements=await captured(server, data))
            figures = await side_by_side.compare(
                given, only=options.only, rounds=options.rounds, seconds=options.seconds
            )
            _keep(found, "side-by-side", [asdict(each) for each in figures])
        if "layers" in parts:
            layers = await take_apart(data, seconds=5 * options.seconds)
            _keep(found, "layers", [asdict(each) for each in layers])
        if "growth" in parts:
            points = await growth.grow(server, data, seconds=options.seconds, large=options.large)
            _keep(found, "growth", [asdict(point) for point in points])
        if "mixed" in parts:
            _keep(found, "mixed", asdict(await growth.mix(data, seconds=options.mixed_seconds)))
    return found


def _keep(found: Results, part: str, figures: object) -> None:
    found[part] = figures
    RESULTS.mkdir(exist_ok=True)
    FILE.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))


async def _machine(data: Database) -> dict[str, str]:
    """What it was measured on: nothing that would tell whose machine it is."""
    return {
        "date": SystemClock().now().date().isoformat(),
        "processor": f"{os.cpu_count()} cores of {processor_name()}",
        "Python": platform.python_version(),
        "Node": version_of([NODE, "--version"]).removeprefix("v"),
        "PostgreSQL": await data.version(),
    }


def _read() -> Results:
    results: Results = orjson.loads(FILE.read_bytes())
    return results


def main() -> int:
    options = _options()
    if options.write:
        results = _read()
        (DOCS / "performance.md").write_text(page(results))
        (DOCS / "performance.svg").write_text(plot(results))
        return 0
    results = uvloop.run(_measure(options.parts or PARTS, options))
    if "side-by-side" in results:
        print(side_by_side_table(results))
    print(f"written to {FILE.relative_to(DOCS.parent)}; --write makes docs/performance.md of it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
