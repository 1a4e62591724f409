"""`florin reconcile`: compare what the processor says with what we say."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands import CommandFailed, processor_settings

# As in app/cli.py.
if TYPE_CHECKING:
    from domain.money import Money
    from domain.reconciliation.discrepancies import Difference
    from domain.reconciliation.reconcile import DryReport, Progress, RunReport
    from domain.reconciliation.records import Window

SETTLED, OPEN, UNFINISHED = 0, 1, 2
"""The exit codes: nothing is left open, some wait for a person, or the run did not come to its end."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A line of the result; `settled` says how it ended, None while it is open."""

    id: str | None
    difference: "Difference"
    settled: str | None
    first_seen_at: datetime | None


def reconcile(
    start: Annotated[
        str, typer.Option("--from", help="The first moment: a date, or RFC 3339 such as 2026-11-17T12:00:00Z.")
    ],
    end: Annotated[str, typer.Option("--to", help="The moment before which to stop, in the same way.")],
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, where a run of the same window was not finished.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Cure nothing, and store nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare the processor's charges, refunds, disputes and balance with ours. See docs/reconciliation.md.

    Run again with the same window after it was stopped, it goes on where it stopped. Exit code 0: nothing is left open; 1: some
    wait for a person; 2: it did not come to its end.
    """
    from app.wiring import open_parts, open_reconcile  # noqa: PLC0415  slow to load, and most commands do without
    from domain.errors import Unavailable  # noqa: PLC0415  as above
    from domain.payments.gateway import OutcomeUnknown, RequestRejected  # noqa: PLC0415  as above
    from domain.reconciliation.runs import RunAbandoned  # noqa: PLC0415  as above

    window = _window(start, end)
    # A line of the log for each page would drown the progress.
    try:
        settings = processor_settings(log_level="WARNING")
    except CommandFailed as error:
        raise CommandFailed(str(error), exit_code=UNFINISHED) from error

    async def go(show: "Callable[[Progress], None]") -> "RunReport | DryReport":
        async with open_parts(settings) as parts, open_reconcile(parts) as run:
            if dry_run:
                return await run.dry_run(window, on_slice=show, on_wait=_print_wait)
            return await run(window, restart=restart, on_slice=show, on_wait=_print_wait)

    try:
        with _progress() as show:
            report = asyncio.run(go(show))
    except (OutcomeUnknown, RequestRejected, Unavailable, RunAbandoned) as error:
        message = f"The run did not come to its end: {error}\nThe same command goes on where it stopped."
        raise CommandFailed(message, exit_code=UNFINISHED) from error
    found = _found(report)
    if as_json:
        print(json.dumps(_document(window, report, found, dry_run=dry_run), indent=2))
    else:
        _print_table(window, report, found)
    raise typer.Exit(SETTLED if all(each.settled for each in found) else OPEN)


def _window(start: str, end: str) -> "Window":
    from domain.reconciliation.records import Window  # noqa: PLC0415  as above

    try:
        return Window(_moment("--from", start), _moment("--to", end))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _moment(option: str, text: str) -> datetime:
    """A date, which begins at midnight, or a moment; UTC where no offset says otherwise. Raises typer.BadParameter."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option} {text} is neither a date nor a moment.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@contextmanager
def _progress() -> "Iterator[Callable[[Progress], None]]":
    """A bar on a terminal, or a line for each slice; always apart from the result."""
    if not sys.stderr.isatty():
        yield _print_line
        return
    from rich.console import Console  # noqa: PLC0415  as above
    from rich.progress import Progress as Bar  # noqa: PLC0415  as above

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reconciling", total=None)

        def show(progress: "Progress") -> None:
            window, reached = progress.window, progress.slice.end
            bar.update(
                task,
                total=window.length.total_seconds(),
                completed=(reached - window.start).total_seconds(),
                description=f"{reached:%Y-%m-%d %H:%M} · {_counted(progress)}",
            )

        yield show


def _print_line(progress: "Progress") -> None:
    print(f"until {_told(progress.slice.end)}: {_counted(progress)}", file=sys.stderr, flush=True)


def _print_wait(number: int) -> None:
    from domain.reconciliation.discrepancies import SETTLING_TIME  # noqa: PLC0415  as above

    minutes = SETTLING_TIME.total_seconds() / 60
    print(
        f"{number} that do not agree may still be under way; they are looked at again in {minutes:g} minutes",
        file=sys.stderr,
        flush=True,
    )


def _counted(progress: "Progress") -> str:
    counts = progress.counts
    return (
        f"{counts.charges} charges, {counts.refunds} refunds, {counts.disputes} disputes, {counts.balance_entries} balance"
        f" entries, {counts.transactions} transactions; {progress.found} found, {progress.cured} cured"
    )


def _found(report: "RunReport | DryReport") -> list[_Found]:
    from domain.ids import IdKind, encode  # noqa: PLC0415  as above
    from domain.reconciliation.reconcile import DryReport  # noqa: PLC0415  as above

    if isinstance(report, DryReport):
        return [_Found(None, difference, None, None) for difference in report.differences]
    return [
        _Found(
            encode(IdKind.DISCREPANCY, each.id),
            each.difference,
            None if each.resolution is None else each.resolution.value,
            each.first_seen_at,
        )
        for each in report.discrepancies
    ]


def _document(
    window: "Window", report: "RunReport | DryReport", found: Sequence[_Found], *, dry_run: bool
) -> dict[str, object]:
    return {
        "from": _told(window.start),
        "to": _told(window.end),
        "dryRun": dry_run,
        "counts": asdict(report.counts),
        "open": sum(each.settled is None for each in found),
        "discrepancies": [
            {
                "id": each.id,
                "kind": each.difference.kind.value,
                "processorReference": each.difference.subject.reference,
                "transactionId": _transaction(each.difference),
                "processor": _amount(each.difference.processor),
                "ours": _amount(each.difference.ours),
                "summary": each.difference.summary,
                "firstSeenAt": None if each.first_seen_at is None else _told(each.first_seen_at),
                "resolution": each.settled,
            }
            for each in found
        ],
    }


def _print_table(window: "Window", report: "RunReport | DryReport", found: Sequence[_Found]) -> None:
    from rich.console import Console  # noqa: PLC0415  as above
    from rich.table import Table  # noqa: PLC0415  as above

    counts = report.counts
    print(
        f"{_told(window.start)} until {_told(window.end)}: {counts.charges} charges, {counts.refunds} refunds,"
        f" {counts.disputes} disputes, {counts.balance_entries} balance entries; {counts.transactions} transactions."
    )
    if counts.foreign:
        print(f"{counts.foreign} charges of the account are none of Florin's.")
    if found:
        table = Table("kind", "reference", "processor", "ours", "resolved", "what")
        for each in found:
            difference = each.difference
            table.add_row(
                difference.kind.value,
                difference.subject.reference,
                "" if difference.processor is None else str(difference.processor),
                "" if difference.ours is None else str(difference.ours),
                each.settled or "",
                difference.summary,
            )
        # To a file or a pipe nothing is cut off.
        Console(width=None if sys.stdout.isatty() else 240).print(table)
    waiting = sum(each.settled is None for each in found)
    print(f"{len(found)} differences, {len(found) - waiting} of them settled, {waiting} open.")


def _transaction(difference: "Difference") -> str | None:
    from domain.ids import IdKind, encode  # noqa: PLC0415  as above

    return None if difference.transaction_id is None else encode(IdKind.TRANSACTION, difference.transaction_id)


def _amount(money: "Money | None") -> dict[str, object] | None:
    return None if money is None else {"amountMinor": money.minor_units, "currency": money.currency.value}


def _told(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
