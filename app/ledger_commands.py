"""`florin ledger`: prove that the ledger adds up and agrees with the transactions."""

import sys

import typer

from app.commands import CommandFailed, read_everything

ledger_app = typer.Typer(help="The ledger.", no_args_is_help=True)

_SHOWN_MAX = 20


@ledger_app.callback()
def _ledger() -> None:
    # Typer would otherwise make a command of its own out of a group with one command in it.
    pass


@ledger_app.command()
def verify() -> None:
    """Compute every balance anew and compare the ledger with every transaction. See docs/ledger.md.

    May run beside a busy service: each comparison is of what one moment holds. Exits with 1 where something differs.
    """
    from domain.ledger.verify import verify as verify_ledger  # noqa: PLC0415  as in app/cli.py
    from persistence.stored_ledger import SqlStoredLedger  # noqa: PLC0415  as in app/cli.py

    verdict = read_everything(lambda engine: verify_ledger(SqlStoredLedger(engine), _tell_progress))
    if verdict.differences:
        shown = verdict.differences[:_SHOWN_MAX]
        more = len(verdict.differences) - len(shown)
        lines = [f"The ledger does not agree. Differences: {len(verdict.differences)}.", *shown]
        raise CommandFailed("\n".join([*lines, f"... and {more} more"] if more else lines))
    print(
        f"{verdict.entries} entries in {verdict.accounts} accounts add up,"
        f" and agree with {verdict.transactions} transactions."
    )


def _tell_progress(what: str, done: int, total: int) -> None:
    print(f"florin: {done} of {total} {what} checked", file=sys.stderr, flush=True)
