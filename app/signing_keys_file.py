"""Signing keys in a file, which `florin keys rotate` changes while API servers run.

One line for each key: the key, 32 bytes in base64, and from when on it signs. A new key is written long before its time
comes, so that every server and everybody who keeps the published keys knows it before the first token is signed with it. An
old one stays for as long as tokens live that it has signed. So nobody has to be started anew, in no order.
"""

import base64
import os
import secrets
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from api.signing_keys import ALWAYS, KeySet, SigningKey

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""How often a running server looks whether the file has changed, at the most."""

OVERLAP_MIN = timedelta(minutes=5)
"""How long before it signs a key must be there: servers look each second, and others may keep what we publish for a minute."""

TOKEN_LIFETIME_MAX = timedelta(days=30)
"""The longest that a token lives (`florin token --hours`): for so long a key that no longer signs must verify."""

_HEAD = "# Signing keys of Florin, kept by `florin keys rotate`. Secret: whoever reads this file can be anybody.\n"


class KeysFileUnusable(Exception):
    """The file is not there, cannot be read, or holds something else; the message never repeats what it holds."""


def read_keys(path: Path) -> KeySet:
    """The keys in a file. Raises KeysFileUnusable."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise KeysFileUnusable(f"The file of signing keys {path} cannot be read: {reason}.") from None
    keys = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            try:
                keys.append(_read_line(line))
            except ValueError:
                raise KeysFileUnusable(f"Line {number} of {path} is no signing key.") from None
    try:
        return KeySet(keys)
    except ValueError as error:
        raise KeysFileUnusable(f"{path}: {error}") from None


def rotate(path: Path, now: datetime, *, overlap: timedelta, before: Iterable[str] = ()) -> KeySet:
    """Add a key that signs after the overlap, and remove those that no living token was signed with; the keys by then.

    `before` are the keys to begin a new file with, as base64: those that have signed so far. Raises KeysFileUnusable.
    """
    old = _lines_of(path) if path.exists() else [(text, ALWAYS) for text in before]
    kept = [(text, signs_from) for text, signs_from in old if not _is_over(signs_from, old, now)]
    fresh = (base64.b64encode(secrets.token_bytes(32)).decode(), now + overlap)
    _replace(path, [*kept, fresh])
    return read_keys(path)


def _is_over(signs_from: datetime, all_of_them: list[tuple[str, datetime]], now: datetime) -> bool:
    """Whether another key has signed for so long that every token of this one has expired."""
    return any(signs_from < later <= now - TOKEN_LIFETIME_MAX for _, later in all_of_them)


class KeysFile:
    """The keys in a file as they are now, read again when it has changed. One that is broken meanwhile changes nothing."""

    def __init__(self, path: Path) -> None:
        """Raises KeysFileUnusable."""
        self._path = path
        self._looked_at = time.monotonic()
        self._seen = self._stamp()
        self._keys = read_keys(path)

    def __call__(self) -> KeySet:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look()
        return self._keys

    def _look(self) -> None:
        seen = self._stamp()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = read_keys(self._path)
        except KeysFileUnusable as error:
            log.error("signing_keys.unusable", reason=str(error))  # noqa: TRY400  a traceback would tell nothing more
        else:
            log.info("signing_keys.read", keys=[key.id for key in self._keys.keys])

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _read_line(line: str) -> SigningKey:
    text, signs_from = _split(line)
    return SigningKey.from_text(text, signs_from)


def _split(line: str) -> tuple[str, datetime]:
    text, _, moment = line.strip().partition(" ")
    signs_from = datetime.fromisoformat(moment) if moment else ALWAYS
    if signs_from.tzinfo is None:
        raise ValueError("a moment without its zone")
    return text, signs_from


def _lines_of(path: Path) -> list[tuple[str, datetime]]:
    read_keys(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_split(line) for line in lines if line.strip() and not line.startswith("#")]


def _replace(path: Path, keys: Iterable[tuple[str, datetime]]) -> None:
    """Write the whole file anew beside itself and put it in its place, so that nobody ever reads half of it."""
    lines = [text if signs_from == ALWAYS else f"{text} {signs_from.isoformat()}" for text, signs_from in keys]
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if path.exists():
                # The servers may run as another account than whoever rotates.
                found = path.stat()
                os.fchmod(file.fileno(), found.st_mode & 0o777)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), found.st_uid, found.st_gid)
            file.write(_HEAD + "\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise KeysFileUnusable(f"The file of signing keys {path} cannot be written: {error.strerror}.") from None
