"""`florin documents`: what frontends may ask."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands import CommandFailed, migration_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.trusted_documents import TrustedDocument

documents_app = typer.Typer(help="Trusted documents: what frontends may ask.", no_args_is_help=True)


@documents_app.callback()
def _documents() -> None:
    # Typer would otherwise make a command of its own out of a group with one command in it.
    pass


@documents_app.command()
def sync(
    folder: Annotated[
        Path, typer.Argument(help="Where the frontend keeps its documents, or its build their manifest.")
    ],
    prune: Annotated[
        bool, typer.Option(help="Remove what is registered and not there: older frontends can no longer ask it.")
    ] = False,
) -> None:
    """Register every document of a folder by its hash, and print the hashes. See docs/access.md.

    Works as the role that owns the tables, that of MIGRATION_DATABASE_URL, as `florin migrate` does.
    """
    from app.document_files import DocumentsUnusable, read_documents  # noqa: PLC0415  as in app/cli.py

    settings = migration_settings()
    try:
        documents = read_documents(folder)
    except DocumentsUnusable as error:
        raise CommandFailed(str(error)) from error
    if not documents:
        raise CommandFailed(
            f"There is no document in {folder}: no .graphql or .gql file, and no manifest in a .json file."
        )
    _check(documents)

    async def go() -> tuple[int, int]:
        from persistence.engine import open_engine  # noqa: PLC0415  as in app/cli.py
        from persistence.trusted_documents import SqlDocumentRegister  # noqa: PLC0415  as in app/cli.py

        engine = open_engine(settings.migration())
        try:
            return await SqlDocumentRegister(engine).register(documents, remove_others=prune)
        finally:
            await engine.dispose()

    changed, removed = asyncio.run(go())
    for document in documents:
        print(f"sha256:{document.digest.hex()}  {document.name}")
    print(f"{len(documents)} documents are registered, {changed} of them new or changed; {removed} were removed.")


def _check(documents: "Sequence[TrustedDocument]") -> None:
    """Raise CommandFailed unless all fit the schema, and need no capability that they were not given."""
    from api.graphql.document_check import complaint_about  # noqa: PLC0415  as in app/cli.py

    complaints = [
        f"{document.name}: {complaint}"
        for document in documents
        if (complaint := complaint_about(document)) is not None
    ]
    if complaints:
        raise CommandFailed("\n".join(["Nothing was registered.", *complaints]))
