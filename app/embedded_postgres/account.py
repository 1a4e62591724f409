"""The account that PostgreSQL runs under: it refuses to be root (initdb and postgres both check)."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from app.embedded_postgres.errors import EmbeddedPostgresError

# `florin` if the administrator has made one; `nobody` exists everywhere, and this program adds no accounts by itself.
_PREFERRED = ("florin", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An ordinary account to drop to, with no groups but its own."""

    name: str
    uid: int
    gid: int

    def can_enter(self, folder: Path) -> bool:
        """Tell whether this account may pass through `folder` and every folder above it."""
        resolved = folder.resolve()
        return all(self._may(place, stat.S_IXOTH) for place in (resolved, *resolved.parents))

    def can_read(self, file: Path) -> bool:
        """Tell whether this account may read `file`, its folders included."""
        return self.can_enter(file.parent) and self._may(file, stat.S_IROTH)

    def _may(self, path: Path, bit_for_others: int) -> bool:
        status = path.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & (bit_for_others << 6))
        if status.st_gid == self.gid:
            return bool(status.st_mode & (bit_for_others << 3))
        return bool(status.st_mode & bit_for_others)


def account_to_drop_to(cluster: Path) -> Account | None:
    """Return the account to run as, or None when we are an ordinary account already.

    A cluster that exists keeps its owner, so that a folder made by an ordinary user still works when root starts it.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat().st_uid) != 0:
        entry = _entry_of(owner)
        if entry:
            return entry
        raise EmbeddedPostgresError(
            f"{cluster} belongs to user id {owner}, which has no account here; give it to one with chown -R"
        )
    for name in _PREFERRED:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return Account(name, found.pw_uid, found.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and there is no account to drop to: add one named florin, "
        "or run this as an ordinary user"
    )


def _entry_of(uid: int) -> Account | None:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
