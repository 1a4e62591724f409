"""`florin audit`: prove that the audit log is what was written."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.commands import CommandFailed, read_everything

audit_app = typer.Typer(help="The audit log.", no_args_is_help=True)

_ENTRIES_BETWEEN_LINES = 100_000


@audit_app.callback()
def _audit() -> None:
    # Typer would otherwise make a command of its own out of a group with one command in it.
    pass


@audit_app.command()
def verify(
    anchor: Annotated[
        Path | None,
        typer.Option(help="What an earlier verification printed: nothing up to there may have changed since."),
    ] = None,
) -> None:
    """Check that no audit entry was changed, removed or slipped in. See docs/runbook.md.

    Prints the end of each chain: kept where nobody of the database's can write, it is the anchor of a later check.
    """
    from domain.audit_chain import Head, read_anchors  # noqa: PLC0415  as in app/cli.py
    from domain.audit_chain import verify as verify_chains  # noqa: PLC0415  as in app/cli.py
    from persistence.audit_chain import SqlAuditChains  # noqa: PLC0415  as in app/cli.py

    anchors: dict[int, Head] = {}
    if anchor is not None:
        try:
            anchors = read_anchors(anchor.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CommandFailed(f"The anchor {anchor} cannot be read: {error}") from error
    verdict = read_everything(lambda engine: verify_chains(SqlAuditChains(engine), anchors, _tell_progress))
    if verdict.breaches:
        raise CommandFailed("\n".join(["The audit log is not what was written.", *verdict.breaches]))
    print(f"{verdict.entries} entries in {len(verdict.heads)} chains are what was written.")
    for head in verdict.heads:
        print(head)


def _tell_progress(done: int, total: int) -> None:
    if done % _ENTRIES_BETWEEN_LINES == 0:
        # Not among the lines that are kept as an anchor.
        print(f"florin: {done} of {total} entries checked", file=sys.stderr, flush=True)
