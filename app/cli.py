"""The command line: one program, `florin`, for development and production alike."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.api_key_commands import api_keys_app
from app.audit_commands import audit_app
from app.commands import CommandFailed, all_settings, migration_settings, processor_settings
from app.document_commands import documents_app
from app.keys_commands import keys_app
from app.ledger_commands import ledger_app
from app.reconcile_commands import reconcile
from app.sandbox_commands import sandbox_app
from domain.access import Role
from domain.errors import FlorinError

# Each command imports what it needs when it runs: the libraries behind them take seconds to load, and most commands
# need few of them.
if TYPE_CHECKING:
    from app.settings import Settings
    from app.wiring import Parts

T = TypeVar("T")

app = typer.Typer(
    help="Florin: a GraphQL payments API between a frontend and its card processor.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
users_app = typer.Typer(help="Users.", no_args_is_help=True)
app.add_typer(users_app, name="users")
app.add_typer(api_keys_app, name="api-keys")
app.add_typer(audit_app, name="audit")
app.add_typer(keys_app, name="keys")
app.add_typer(documents_app, name="documents")
app.add_typer(ledger_app, name="ledger")
app.command()(reconcile)
app.add_typer(sandbox_app, name="sandbox")


@app.command()
def dev(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The API's port; 0 takes a free one.")] = 8000,
    data: Annotated[Path, typer.Option(help="Where the data is kept between runs.")] = Path(".florin"),
    demo: Annotated[bool, typer.Option(help="Fill an empty database with demo payments.")] = True,
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Where to write addresses and tokens once all is up; in the data folder by default."),
    ] = None,
) -> None:
    """Run everything on this machine: database, sandbox processor, worker and API."""
    from app.dev import DevFailed, DevOptions, run_dev  # noqa: PLC0415  production has no embedded PostgreSQL

    try:
        code = run_dev(DevOptions(port=port, data=data, demo=demo, ready_file=ready_file))
    except DevFailed as error:
        raise CommandFailed(str(error)) from error
    raise typer.Exit(code)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Instead of the setting HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Instead of the setting PORT.")] = None,
) -> None:
    """Serve the API. Settings come from the environment: see docs/settings.md."""
    from app.serve import run, serve_api  # noqa: PLC0415  see the imports above

    settings = all_settings()
    changes = {"host": host, "port": port}
    chosen = settings.model_copy(update={name: value for name, value in changes.items() if value is not None})
    run(lambda: serve_api(chosen))


@app.command()
def worker() -> None:
    """Apply webhooks and resume what a crash or the processor left open. Any number may run side by side."""
    from app.serve import run, work  # noqa: PLC0415  as above

    settings = all_settings()
    run(lambda: work(settings))


@app.command()
def migrate(
    create_app_role: Annotated[
        bool, typer.Option(help="Create the role of DATABASE_URL, with the password in it, if it is not there.")
    ] = False,
) -> None:
    """Bring the database's schema up to date. Safe to run from several places at once.

    Where MIGRATION_DATABASE_URL names another role than DATABASE_URL, it is the one that migrates, and that of
    DATABASE_URL gets the rights that API and worker need, and no others.
    """
    from persistence.engine import open_engine  # noqa: PLC0415  as above
    from persistence.roles import PasswordUnusable, RoleMissing, changeable_by  # noqa: PLC0415  as above
    from persistence.schema import current_revision  # noqa: PLC0415  as above
    from persistence.schema import migrate as bring_to_head  # noqa: PLC0415  as above

    settings = migration_settings()
    role = settings.application()
    if create_app_role and (role is None or role.password is None):
        raise CommandFailed(
            "To create the application's role, DATABASE_URL must hold its name and password, "
            "and MIGRATION_DATABASE_URL those of another role."
        )
    if role is not None and not create_app_role:
        role = replace(role, password=None)

    async def go() -> str | None:
        engine = open_engine(settings.migration())
        try:
            await bring_to_head(engine, lambda step: print(f"migrating: {step}"), application=role)
            if role is not None:
                print(f"{role.name} may do what API and worker need.")
                if tables := await changeable_by(engine, role.name):
                    print(f"Warning: it can do more, and change {', '.join(tables)}: it has the rights of their owner.")
            return await current_revision(engine)
        except RoleMissing as error:
            raise CommandFailed(f"{error} Create it, or run this with --create-app-role.") from error
        except PasswordUnusable as error:
            raise CommandFailed(str(error)) from error
        finally:
            await engine.dispose()

    print(f"The database is at revision {asyncio.run(go())}.")


@app.command()
def schema() -> None:
    """Print the GraphQL schema."""
    from api.graphql.schema import schema as graphql_schema  # noqa: PLC0415  as above

    print(graphql_schema.as_str())


@app.command()
def token(
    email: Annotated[str, typer.Argument(help="Whose token.")],
    hours: Annotated[float, typer.Option(min=0.01, max=720, help="How long it is valid.")] = 1.0,
) -> None:
    """Print an access token for a user. It belongs to a session of its own, which can be revoked before it expires."""
    from api.access_tokens import AccessTokens  # noqa: PLC0415  as above
    from domain.identity.issue_session import IssueSession  # noqa: PLC0415  as above

    settings = all_settings()

    async def issue(parts: "Parts") -> str:
        async with parts.units.autocommit() as uow:
            user = await uow.users.get_by_email(email)
        if user is None:
            raise CommandFailed(f"There is no user {email}. Add one with `florin users add`.")
        if user.disabled_at is not None:
            raise CommandFailed(f"The user {email} is disabled.")
        issue_session = IssueSession(units=parts.units, clock=parts.clock, ids=parts.ids)
        session = await issue_session(user.id, timedelta(hours=hours))
        return AccessTokens(settings.tokens(), parts.clock).issue(user.id, session.id, session.expires_at)

    print(_with_parts(settings, issue))


@users_app.command("add")
def add_user(
    email: Annotated[str, typer.Argument(help="The user's email address.")],
    name: Annotated[str, typer.Option(help="The user's name.")],
    role: Annotated[Role, typer.Option(case_sensitive=False, help="What the user is.")] = Role.CUSTOMER,
) -> None:
    """Add a user and print their id."""
    from domain.identity.create_user import CreateUser, InvalidUser  # noqa: PLC0415  as above
    from domain.ids import IdKind, encode  # noqa: PLC0415  as above
    from domain.ports import EmailTaken  # noqa: PLC0415  as above

    async def add(parts: "Parts") -> str:
        create = CreateUser(units=parts.units, clock=parts.clock, ids=parts.ids)
        try:
            user = await create(email=email, name=name, role=role)
        except (EmailTaken, InvalidUser) as error:
            raise CommandFailed(str(error)) from error
        return encode(IdKind.USER, user.id)

    print(_with_parts(processor_settings(), add))


@users_app.command("remove-second-factor")
def remove_second_factor(email: Annotated[str, typer.Argument(help="Whose.")]) -> None:
    """Turn the second factor off for somebody who has lost the app and the recovery codes. Their sessions end."""
    from app.people import set_up_second_factor  # noqa: PLC0415  as above

    async def remove(parts: "Parts") -> bool:
        async with parts.units.autocommit() as uow:
            user = await uow.users.get_by_email(email)
        if user is None:
            raise CommandFailed(f"There is no user {email}.")
        return await set_up_second_factor(parts).remove(user)

    if not _with_parts(processor_settings(), remove):
        raise CommandFailed(f"The user {email} has no second factor.")
    print(f"The user {email} signs in with the password alone.")


def _with_parts(settings: "Settings", use: "Callable[[Parts], Coroutine[object, object, T]]") -> T:
    from app.wiring import open_parts  # noqa: PLC0415  as above

    async def go() -> T:
        async with open_parts(settings) as parts:
            return await use(parts)

    return asyncio.run(go())


def main() -> None:
    """Run a command; what it cannot do it says in plain words, without a traceback."""
    try:
        app()
    except (CommandFailed, FlorinError) as error:
        for line in str(error).splitlines():
            print(f"florin: {line}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, CommandFailed) else 1)
