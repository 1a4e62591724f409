"""Find a Chromium for the browser tests, or install one.

Prints the path of the executable on standard output, and what it is doing on standard error, so that a shell can write
`FLORIN_CHROMIUM="$(python scripts/ensure_chromium.py)"`. The tests call `find_chromium` themselves and need no variable.
Only the standard library is used: this runs while a machine is being set up, when little else may be there.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

OVERRIDE_VARIABLE = "FLORIN_CHROMIUM"
PROGRAM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACOS_APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
# Where each platform's archive from Playwright holds the executable, below `chromium-<revision>/`.
PLAYWRIGHT_EXECUTABLES = (
    "chrome-linux*/chrome",
    "chrome-mac*/Chromium.app/Contents/MacOS/Chromium",
    "chrome-mac*/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing",
)
# A mirror that neither answers nor refuses would otherwise hold up a machine's set-up for as long as it likes.
PLAYWRIGHT_INSTALL_TIMEOUT_S = 300
APT_TIMEOUT_S = 900
START_TIMEOUT_S = 30


class ChromiumMissingError(Exception):
    """No usable Chromium is here and none could be installed; the message says what to do about it."""


def find_chromium() -> Path | None:
    """Where a Chromium is installed, or None. Starts no process, so it is quick enough to call from a test.

    Raises ChromiumMissingError if FLORIN_CHROMIUM names something that cannot be run: a wrong setting should be heard
    of, not quietly replaced by another browser.
    """
    override = os.environ.get(OVERRIDE_VARIABLE)
    if override:
        if not _is_executable(Path(override)):
            raise ChromiumMissingError(
                f"{OVERRIDE_VARIABLE} is {override!r}, which is no executable file: correct it or unset it."
            )
        return Path(override)
    return next(_installed(), None)


def ensure_chromium() -> Path:
    """The path of a Chromium, installed first if none is here.

    Tries Playwright's own download, then Debian's package. Raises ChromiumMissingError when neither can be had.
    """
    found = find_chromium()
    if found is not None:
        return found
    refusals: list[str] = []
    for install in (_install_from_playwright, _install_from_debian):
        try:
            install()
            return _first_that_starts()
        except ChromiumMissingError as refusal:
            _say(f"  {refusal}")
            refusals.append(str(refusal))
    raise ChromiumMissingError(
        "No Chromium for the browser tests. Install one (Debian: `apt-get install chromium`; macOS: `brew install --cask "
        f"chromium`), or set {OVERRIDE_VARIABLE} to the path of a Chromium or Chrome. Tried: " + " ".join(refusals)
    )


def _installed() -> Iterator[Path]:
    for name in PROGRAM_NAMES:
        path = shutil.which(name)
        if path is not None:
            yield Path(path)
    yield from filter(_is_executable, map(Path, MACOS_APPLICATIONS))
    yield from _playwright_builds()


def _playwright_builds() -> Iterator[Path]:
    """Chromium builds in Playwright's cache, newest revision first."""
    builds = sorted(_playwright_cache().glob("chromium-*"), key=_revision, reverse=True)
    for build in builds:
        for pattern in PLAYWRIGHT_EXECUTABLES:
            yield from filter(_is_executable, build.glob(pattern))


def _playwright_cache() -> Path:
    chosen = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    if chosen and chosen != "0":
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ms-playwright"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ms-playwright"


def _revision(build: Path) -> int:
    number = re.search(r"\d+$", build.name)
    return int(number.group()) if number else 0


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _first_that_starts() -> Path:
    """Playwright's download unpacks on machines that lack the libraries it is linked against, so it is started once."""
    for path in _installed():
        try:
            _run([str(path), "--version"], timeout_s=START_TIMEOUT_S)
        except ChromiumMissingError:
            continue
        return path
    raise ChromiumMissingError("The Chromium that was installed does not start.")


def _install_from_playwright() -> None:
    _say("Fetching Chromium with Playwright (a download of about 180 MB) ...")
    _run([sys.executable, "-m", "playwright", "install", "chromium"], timeout_s=PLAYWRIGHT_INSTALL_TIMEOUT_S)


def _install_from_debian() -> None:
    if shutil.which("apt-get") is None:
        raise ChromiumMissingError("There is no apt-get here.")
    as_root = _root_prefix()
    apt_get = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    _say("Reading Debian's package lists ...")
    _run([*apt_get, "update"], timeout_s=APT_TIMEOUT_S)
    _say("Installing Debian's chromium (a download of about 80 MB) ...")
    _run([*apt_get, "install", "--yes", "--no-install-recommends", "chromium"], timeout_s=APT_TIMEOUT_S)


def _root_prefix() -> list[str]:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        raise ChromiumMissingError("apt-get needs root, and there is no sudo.")
    # -n: a password prompt would hang a set-up that nobody is watching.
    _run(["sudo", "-n", "true"], timeout_s=START_TIMEOUT_S)
    return ["sudo", "-n"]


def _run(command: Sequence[str], *, timeout_s: int) -> None:
    """Run a command to its end. Raises ChromiumMissingError, with the command's own reason, if it fails or takes too long."""
    name = " ".join(command)
    # A file, not a pipe: a grandchild that outlived the command would hold a pipe open and us with it.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        except OSError as failure:
            raise ChromiumMissingError(f"`{name}` cannot be started: {failure.strerror}.") from failure
        try:
            status = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired as slow:
            # What sudo started belongs to root, and is not ours to end.
            with contextlib.suppress(PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            raise ChromiumMissingError(f"`{name}` took more than {timeout_s} s.") from slow
        if status != 0:
            output.seek(0)
            raise ChromiumMissingError(f"`{name}` ended with status {status}: {_reason(output)}")


def _reason(output: Iterable[str]) -> str:
    """The line that says what went wrong: the first that calls itself an error, as Playwright's and apt's do, or the last."""
    lines = [line.strip() for line in output if line.strip()]
    errors = [line for line in lines if line.startswith(("Error", "E: "))]
    return (errors or lines[-1:] or ["it said nothing"])[0]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    description = (__doc__ or "").partition("\n")[0]
    argparse.ArgumentParser(description=description).parse_args()
    try:
        print(ensure_chromium())
    except ChromiumMissingError as missing:
        _say(str(missing))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
