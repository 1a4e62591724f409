"""The figures of a run of the harness: each worker writes its own, and this adds them up.

python -m tests.faults.figures FOLDER [--cases-min N]
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.invariants import Invariant
from tests.faults.runner import Outcome
from tests.faults.timeline import How

FOLDER_VARIABLE = "FLORIN_FAULTS_FIGURES"

_LOST = frozenset({Invariant.KEPT, Invariant.ANSWERED, Invariant.AT_REST, Invariant.END})
_DOUBLED = frozenset({Invariant.ONE_CHARGE, Invariant.ONE_REFUND})


@dataclass(slots=True)
class Figures:
    """What was run, and what was broken. A case counts once for each invariant that it breaks."""

    cases: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)

    def add(self, family: str, outcome: Outcome) -> None:
        self.cases[family] += 1
        for how, _ in outcome.case.strikes:
            self.struck[how.value] += 1
        if outcome.case.fault is not None:
            self.struck["fault"] += 1
        for invariant in {violation.invariant for violation in outcome.violations}:
            self.broken[invariant.value] += 1

    def write(self, file: Path) -> None:
        counters = {"cases": self.cases, "struck": self.struck, "broken": self.broken}
        file.write_text(json.dumps(counters, indent=2, sort_keys=True) + "\n")


def summary(files: Iterable[Path]) -> Mapping[str, int]:
    """The figures of all workers together, in the words of the README."""
    total = Figures()
    for file in files:
        read = json.loads(file.read_text())
        total.cases.update(read["cases"])
        total.struck.update(read["struck"])
        total.broken.update(read["broken"])
    return {
        "cases": total.cases.total(),
        **{f"cases of {family}": number for family, number in sorted(total.cases.items())},
        "processes killed": total.struck[How.KILL.value],
        "connections cut": total.struck[How.CUT.value] + total.struck[How.UNHEARD.value],
        "processor faults": total.struck["fault"],
        "processes overtaken": total.struck[How.STALL.value],
        "double charges": sum(total.broken[invariant.value] for invariant in _DOUBLED),
        "lost payments": sum(total.broken[invariant.value] for invariant in _LOST),
        "invariants broken": total.broken.total(),
    }


def main() -> int:
    """Print the table and write it to summary.json; 1 where something was broken or too little was run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases-min", type=int, default=0)
    arguments = parser.parse_args()
    figures = summary(sorted(arguments.folder.glob("worker-*.json")))
    (arguments.folder / "summary.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name, number in figures.items():
        sys.stdout.write(f"{name:<28}{number:>8,}\n")
    if figures["cases"] < arguments.cases_min:
        sys.stdout.write(f"fewer than {arguments.cases_min:,} cases were run\n")
    return int(figures["invariants broken"] > 0 or figures["cases"] < arguments.cases_min)


if __name__ == "__main__":
    sys.exit(main())
