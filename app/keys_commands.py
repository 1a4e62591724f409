"""`florin keys`: the keys that sign access tokens, in the file of AUTH_SIGNING_KEYS_FILE."""

from datetime import timedelta
from typing import Annotated

import typer

from app.commands import CommandFailed

keys_app = typer.Typer(help="The keys that sign access tokens.", no_args_is_help=True)


@keys_app.command("rotate")
def rotate_keys(
    overlap_minutes: Annotated[
        int, typer.Option(min=5, max=1440, help="How long the new key is only published before it signs.")
    ] = 60,
) -> None:
    """Add a key that signs from later on, and remove those that no living token was signed with.

    Servers that run see the file change; none has to be started anew. Where the file is not there yet, it begins with the keys
    of AUTH_SIGNING_KEY, so that tokens go on.
    """
    from app.settings import InvalidSettings, KeySettings  # noqa: PLC0415  slow to load, and most commands do without
    from app.signing_keys_file import KeysFileUnusable, rotate  # noqa: PLC0415  as above
    from app.time_and_ids import SystemClock  # noqa: PLC0415  as above

    try:
        settings = KeySettings.load()
        path = settings.keys_file()
        now = SystemClock().now()
        before = [key.get_secret_value() for key in settings.auth_signing_key]
        keys = rotate(path, now, overlap=timedelta(minutes=overlap_minutes), before=before)
    except (InvalidSettings, KeysFileUnusable) as error:
        raise CommandFailed(str(error)) from error
    newest = keys.keys[-1]
    print(f"{newest.id} signs from {newest.signs_from.isoformat(timespec='seconds')} on.")


@keys_app.command("list")
def list_keys() -> None:
    """Print the id of each key, and since or from when on it signs. No secret is printed."""
    from app.settings import InvalidSettings, KeySettings  # noqa: PLC0415  as above
    from app.signing_keys_file import KeysFileUnusable  # noqa: PLC0415  as above
    from app.time_and_ids import SystemClock  # noqa: PLC0415  as above

    try:
        keys = KeySettings.load().keys()()
    except (InvalidSettings, KeysFileUnusable, ValueError) as error:
        raise CommandFailed(str(error)) from error
    now = SystemClock().now()
    signing = keys.signing(now)
    for key in keys.keys:
        if key is signing:
            print(f"{key.id} signs")
        elif key.signs_from > now:
            print(f"{key.id} signs from {key.signs_from.isoformat(timespec='seconds')} on")
        else:
            print(f"{key.id} only verifies")
