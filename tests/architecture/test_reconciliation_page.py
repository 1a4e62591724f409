"""The page about reconciliation says of each kind what the code does."""

import re
from pathlib import Path

from domain.reconciliation.discrepancies import CURABLE, SETTLING_TIME, DiscrepancyKind
from domain.reconciliation.sweeps import REACH, ReconcileAll, ReconcileRecent

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reconciliation.md").read_text()

_ROW = re.compile(r"^\| `([A-Z_]+)` \| .+ \| (yes|no) \|$", re.MULTILINE)


def test_the_table_has_every_kind_and_says_which_are_cured() -> None:
    rows = dict(_ROW.findall(PAGE))
    assert list(rows) == [kind.value for kind in DiscrepancyKind]
    assert {DiscrepancyKind(kind) for kind, cured in rows.items() if cured == "yes"} == CURABLE


def test_the_runbook_says_what_to_do_about_every_kind_that_is_not_cured() -> None:
    table = (DOCS / "runbook.md").read_text().partition("## Discrepancies")[2]
    assert set(DiscrepancyKind) - CURABLE <= set(re.findall(r"`([A-Z_]+)`", table))


def test_the_times_on_the_page_are_those_of_the_code() -> None:
    assert f"everything of the last {REACH.days} days once a day" in PAGE
    assert (ReconcileRecent.interval.total_seconds(), ReconcileAll.interval.days) == (60, 1)
    assert SETTLING_TIME.total_seconds() == 120
    assert "less than two minutes ago" in PAGE
