"""The data folder: what is in it, who may use it, and where its cluster is when root's own folders are closed.

lock         held for as long as somebody uses the folder, with that process's id in it
password     of the owner's and the administrator's role, for this user's eyes only
app_password of the application's role, likewise
server.log   and server.log.1, that of the run before
cluster      PostgreSQL's files, or a link to them
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from app.embedded_postgres.account import Account
from app.embedded_postgres.errors import DataFolderInUse, DataFolderUnusable

# Where root keeps a cluster whose account cannot reach the folder that was asked for.
REACHABLE_DATA = Path("/var/lib/florin")


class DataFolder:
    """A folder that one process at a time works in, from `lock` to `unlock`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.cluster = self.path / "cluster"
        self.log = self.path / "server.log"
        self._lock_fd: int | None = None

    def lock(self) -> None:
        """Create the folder if need be and take it. Raises DataFolderInUse, naming the process that has it."""
        try:
            # As root's, it must let the server's account pass; the account has no business with the names in it.
            make_folder(self.path, 0o711 if os.geteuid() == 0 else 0o700)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataFolderUnusable(f"cannot write to the database folder {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise DataFolderInUse(
                f"the database folder {self.path} is in use by process {holder}; stop that, or choose another folder"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock_fd = descriptor

    def unlock(self) -> None:
        """Let others have the folder. The file stays: removing it would let two processes lock two different files."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def create_cluster(self, account: Account | None, fill: Callable[[Path], None]) -> None:
        """Make the cluster by calling `fill` with a new folder. A cluster is there complete or not at all."""
        parent = self._parent_for_cluster(account)
        for abandoned in parent.glob("partial-*") if parent == self.path else ():
            shutil.rmtree(abandoned)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=parent))
        try:
            if account:
                os.chown(partial, account.uid, account.gid)
            fill(partial)
            if self.cluster.is_symlink():
                # What it led to is gone, or there would be no need for a new cluster.
                self.cluster.unlink()
            if parent == self.path:
                partial.rename(self.cluster)
            else:
                # A random name: once the link is deleted the cluster is not found again, as if its folder were deleted.
                elsewhere = partial.with_name(f"{self.path.name}-{partial.name.removeprefix('partial-')}")
                partial.rename(elsewhere)
                self.cluster.symlink_to(elsewhere)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def check_cluster(self, account: Account | None, major: int) -> None:
        """Raise DataFolderUnusable if the cluster has another owner or version than this program can work with."""
        owner, expected = self.cluster.stat().st_uid, account.uid if account else os.geteuid()
        if owner != expected:
            raise DataFolderUnusable(
                f"the database in {self.path} belongs to user id {owner}, not {expected}; start this as its owner"
            )
        version = (self.cluster / "PG_VERSION").read_text().strip()
        if version != str(major):
            raise DataFolderUnusable(
                f"the database in {self.path} was made by PostgreSQL {version} and this is PostgreSQL {major}; move the "
                f"folder away to begin with an empty one, or carry the data over with pg_dump from PostgreSQL {version}"
            )

    def stored_password(self, file: str) -> str | None:
        """Return the password in one of the two files, if it is known."""
        try:
            return (self.path / file).read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None

    def store_password(self, file: str, password: str) -> None:
        """Keep a password; call this once the roles have it, since one that is not stored is simply replaced."""
        descriptor = os.open(self.path / file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stored:
            stored.write(f"{password}\n")

    def forget_passwords(self) -> None:
        """Drop the passwords of a cluster that is no more."""
        for file in ("password", "app_password"):
            (self.path / file).unlink(missing_ok=True)

    def keep_previous_log(self) -> None:
        """Move the last run's log aside, so that a crash can still be explained after the next start."""
        if self.log.exists():
            self.log.replace(self.log.with_name("server.log.1"))

    def _parent_for_cluster(self, account: Account | None) -> Path:
        if account is None or account.can_enter(self.path):
            return self.path
        try:
            make_folder(REACHABLE_DATA, 0o711)
        except OSError as error:
            raise DataFolderUnusable(
                f"the account {account.name} cannot reach {self.path}, and {REACHABLE_DATA} cannot be used instead "
                f"({error.strerror}); choose another folder"
            ) from error
        return REACHABLE_DATA


def make_folder(path: Path, mode: int) -> None:
    """Create a folder with exactly this mode, whatever the umask; one that exists keeps the mode it has."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return
    path.chmod(mode)
