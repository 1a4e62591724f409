"""`florin api-keys`: keys for programs, made and revoked by whoever runs the server."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.commands import CommandFailed, processor_settings
from domain.access import Capability

# As in app/cli.py: what is imported here is loaded for every command.
if TYPE_CHECKING:
    from app.wiring import Parts
    from domain.identity.api_keys import ApiKey

T = TypeVar("T")

api_keys_app = typer.Typer(help="API keys: what programs show instead of access tokens.", no_args_is_help=True)


@api_keys_app.command()
def create(
    email: Annotated[str, typer.Argument(help="For whom the key acts.")],
    name: Annotated[str, typer.Option(help="The program that will use it.")],
    scope: Annotated[list[Capability], typer.Option(help="What it can do; may be given several times.")],
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="How long it holds; for ever without it.")] = None,
) -> None:
    """Create a key and print it: this once, and never again. See docs/access.md for what each scope allows."""
    from app.wiring import create_api_key_over  # noqa: PLC0415  as in app/cli.py
    from domain.errors import Refusal  # noqa: PLC0415  as in app/cli.py
    from domain.identity.create_api_key import NewApiKey  # noqa: PLC0415  as in app/cli.py

    async def go(parts: "Parts") -> str:
        async with parts.units.autocommit() as uow:
            owner = await uow.users.get_by_email(email)
        if owner is None:
            raise CommandFailed(f"There is no user {email}. Add one with `florin users add`.")
        expires_at = None if days is None else parts.clock.now() + timedelta(days=days)
        wanted = NewApiKey(name=name, scopes=scope, expires_at=expires_at)
        try:
            return (await create_api_key_over(parts).for_user(owner, wanted)).text
        except Refusal as refusal:
            raise CommandFailed(refusal.message) from refusal

    print(_with_parts(go))


@api_keys_app.command("list")
def list_keys() -> None:
    """Print every key that is not revoked: id, beginning, owner, scopes, expiry, last use and name."""
    from persistence.api_keys import keys_in_use  # noqa: PLC0415  as in app/cli.py

    async def go(parts: "Parts") -> "Sequence[tuple[ApiKey, str]]":
        return await keys_in_use(parts.engine)

    for key, email in _with_parts(go):
        print(_line(key, email))


@api_keys_app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="Which: its id, such as key_0190...")]) -> None:
    """Refuse every request by a key from now on, everywhere."""
    from domain.errors import NotFound  # noqa: PLC0415  as in app/cli.py
    from domain.identity.revoke_api_key import RevokeApiKey  # noqa: PLC0415  as in app/cli.py
    from domain.ids import ApiKeyId, IdKind, decode_as  # noqa: PLC0415  as in app/cli.py

    async def go(parts: "Parts") -> "ApiKey":
        act = RevokeApiKey(units=parts.units, clock=parts.clock, ids=parts.ids)
        value = decode_as(IdKind.API_KEY, key_id)
        try:
            return await act(None, None if value is None else ApiKeyId(value))
        except NotFound as error:
            raise CommandFailed(f"There is no API key {key_id}. `florin api-keys list` tells their ids.") from error

    key = _with_parts(go)
    print(f"{key.prefix}... ({key.name}) is revoked.")


def _line(key: "ApiKey", email: str) -> str:
    from domain.ids import IdKind, encode  # noqa: PLC0415  as in app/cli.py

    used = "never used" if key.last_used_at is None else f"used {key.last_used_at:%Y-%m-%d %H:%M}"
    ends = "no expiry" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d %H:%M}"
    scopes = ",".join(sorted(key.scopes))
    return f"{encode(IdKind.API_KEY, key.id)}  {key.prefix}...  {email}  {scopes}  {ends}  {used}  {key.name}"


def _with_parts(use: "Callable[[Parts], Awaitable[T]]") -> T:
    from app.wiring import open_parts  # noqa: PLC0415  as in app/cli.py

    settings = processor_settings()

    async def go() -> T:
        async with open_parts(settings) as parts:
            return await use(parts)

    return asyncio.run(go())
