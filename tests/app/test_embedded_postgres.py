"""The embedded PostgreSQL: durable or thrown away, private, and startable again after every kind of death."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from app.embedded_postgres import (
    BinariesMissing,
    DataFolderInUse,
    DataFolderUnusable,
    EmbeddedPostgres,
    StartFailed,
)
from app.embedded_postgres import binaries as binaries_module
from app.embedded_postgres import data_folder as data_folder_module
from app.embedded_postgres.account import Account, account_to_drop_to
from app.processes.ports import PortUnavailable, free_port
from tests.app.processes_seen import is_running, read_line, running_python, wait_until, wait_until_ended
from tests.support.postgres import throwaway_folder

AS_ROOT = os.geteuid() == 0

# Starts a server in the given folder and says where, until it is killed.
OWNER = """
import sys, time
from pathlib import Path
from app.embedded_postgres import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]), throwaway=sys.argv[2] == "throwaway")
postgres.start()
print(postgres.pid, postgres.url, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    path = throwaway_folder()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def new_cluster() -> Iterator[Path]:
    """A folder with a database in it, to be copied: making one takes far longer than starting it."""
    path = throwaway_folder()
    try:
        with EmbeddedPostgres(path):
            pass
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def kept(folder: Path, new_cluster: Path) -> Path:
    """A folder that has been used before."""
    # shutil.copytree would lose the owner, which is another account than ours when root runs the tests.
    subprocess.run(["cp", "-a", f"{new_cluster}/.", str(folder)], check=True)
    return folder


async def _fetch(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def fetch(url: str, query: str) -> object:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, _fetch(url, query)).result()


def server_pid(postgres: EmbeddedPostgres) -> int:
    assert postgres.pid is not None
    return postgres.pid


def test_what_is_written_is_there_after_a_restart(kept: Path) -> None:
    with EmbeddedPostgres(kept) as postgres:
        fetch(postgres.url, "CREATE TABLE note AS SELECT 'kept' AS text")
        first_pid = server_pid(postgres)
        assert fetch(postgres.url, "SHOW fsync") == "on"
        assert fetch(postgres.url, "SHOW synchronous_commit") == "on"
        assert fetch(postgres.url, "SHOW full_page_writes") == "on"
    assert not is_running(first_pid)
    with EmbeddedPostgres(kept) as postgres:
        assert fetch(postgres.url, "SELECT text FROM note") == "kept"


def test_the_servers_character(folder: Path) -> None:
    with EmbeddedPostgres(folder, throwaway=True) as postgres:
        assert fetch(postgres.url, "SELECT current_user || ' ' || current_database()") == "florin florin"
        assert fetch(postgres.url, "SELECT usesuper FROM pg_user WHERE usename = current_user") is False
        assert fetch(postgres.admin_url, "SELECT usesuper FROM pg_user WHERE usename = current_user") is True
        assert fetch(postgres.url, "SHOW listen_addresses") == "127.0.0.1"
        assert fetch(postgres.url, "SHOW server_encoding") == "UTF8"
        assert fetch(postgres.url, "SHOW timezone") == "UTC"
        assert fetch(postgres.url, "SHOW fsync") == "off"
        # Sorted by code point, and still aware of letters beyond ASCII.
        assert fetch(postgres.url, "SELECT 'Z' < 'a' AND upper('é') = 'É'") is True
    assert not folder.exists()


def test_other_users_of_the_machine_are_kept_out(kept: Path) -> None:
    with EmbeddedPostgres(kept) as postgres:
        passwords = [(kept / file).read_text().strip() for file in ("password", "app_password")]
        assert len(set(passwords)) == 2
        for private in (kept / "password", kept / "app_password", kept / "lock", kept / "server.log"):
            assert stat.S_IMODE(private.stat().st_mode) == 0o600
        assert stat.S_IMODE(postgres.cluster_dir.stat().st_mode) == 0o700
        for role in ("florin", "florin_app", "postgres"):
            with pytest.raises(asyncpg.InvalidPasswordError):
                fetch(f"postgresql://{role}:guess@127.0.0.1:{postgres.port}/florin", "SELECT 1")
        shown = subprocess.run(["ps", "axww", "-o", "args="], capture_output=True, text=True, check=True).stdout
        assert str(postgres.cluster_dir) in shown
        assert not any(password in shown for password in passwords)
    for log in kept.glob("server.log*"):
        assert not any(password in log.read_text() for password in passwords)


def test_a_lost_password_is_replaced(kept: Path) -> None:
    with EmbeddedPostgres(kept) as postgres:
        before = postgres.url, postgres.app_url
    (kept / "password").unlink()
    with EmbeddedPostgres(kept, port=postgres.port) as postgres:
        assert postgres.url != before[0]
        assert postgres.app_url == before[1]
        assert fetch(postgres.url, "SELECT 1") == fetch(postgres.app_url, "SELECT 1") == 1


def test_a_role_that_owns_nothing_is_for_the_application(kept: Path) -> None:
    with EmbeddedPostgres(kept) as postgres:
        assert fetch(postgres.app_url, "SELECT current_user || ' ' || current_database()") == "florin_app florin"
        rights = "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR pg_has_role('florin', 'MEMBER') FROM pg_roles"
        assert fetch(postgres.app_url, f"{rights} WHERE rolname = current_user") is False
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            fetch(postgres.app_url, "CREATE TABLE note (text text)")
        fetch(postgres.url, "CREATE TABLE note AS SELECT 'mine' AS text")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            fetch(postgres.app_url, "SELECT text FROM note")


def test_a_folder_from_before_there_was_that_role_gets_it(kept: Path) -> None:
    with EmbeddedPostgres(kept) as postgres:
        fetch(postgres.admin_url, "DROP ROLE florin_app")
    (kept / "app_password").unlink()
    with EmbeddedPostgres(kept) as postgres:
        assert fetch(postgres.app_url, "SELECT current_user") == "florin_app"


def test_a_folder_in_use_is_refused_with_the_users_process(kept: Path) -> None:
    with EmbeddedPostgres(kept) as postgres:
        with pytest.raises(DataFolderInUse, match=rf"is in use by process {os.getpid()}; stop that"):
            EmbeddedPostgres(kept).start()
        assert postgres.poll() is None
    with EmbeddedPostgres(kept):
        pass


def test_a_killed_owner_leaves_a_folder_that_starts_again(kept: Path) -> None:
    with running_python(OWNER, str(kept), "kept") as owner:
        pid, url = read_line(owner).split()
        fetch(url, "CREATE TABLE note AS SELECT 'kept' AS text")
        owner.kill()
    # At once, while the first server may still be shutting down.
    with EmbeddedPostgres(kept) as postgres:
        assert not is_running(int(pid))
        assert fetch(postgres.url, "SELECT text FROM note") == "kept"


def all_threads_stopped(pid: int) -> bool:
    """Whether every thread is in the state "stopped" (proc(5), /proc/pid/stat)."""
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return set(states) == {"T"}


def test_a_server_that_was_abandoned_is_ended_first(kept: Path) -> None:
    with running_python(OWNER, str(kept), "kept") as owner:
        pid, url = read_line(owner).split()
        fetch(url, "CREATE TABLE note AS SELECT 'kept' AS text")
        # Nobody is left to stop the server: its leash is frozen, then its owner killed.
        leash = int(Path(f"/proc/{pid}/status").read_text().partition("PPid:")[2].split()[0])
        os.kill(leash, signal.SIGSTOP)
        # On a busy machine one of its threads could otherwise still see its owner's end.
        wait_until(lambda: all_threads_stopped(leash), "the leash to be frozen")
        owner.kill()
    assert is_running(int(pid))
    try:
        with EmbeddedPostgres(kept) as postgres:
            assert not is_running(int(pid))
            assert fetch(postgres.url, "SELECT text FROM note") == "kept"
        assert "database system is shut down" in (kept / "server.log.1").read_text()
    finally:
        os.kill(leash, signal.SIGKILL)


def test_a_killed_server_is_noticed_and_starts_again(kept: Path) -> None:
    postgres = EmbeddedPostgres(kept)
    with postgres:
        fetch(postgres.url, "CREATE TABLE note AS SELECT 'kept' AS text")
        os.kill(server_pid(postgres), signal.SIGKILL)
        wait_until(lambda: postgres.poll() is not None, "the server's end to be noticed")
        assert postgres.poll() == 128 + signal.SIGKILL
    assert (postgres.cluster_dir / "postmaster.pid").exists()
    with EmbeddedPostgres(kept) as postgres:
        assert fetch(postgres.url, "SELECT text FROM note") == "kept"


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc shows for certain who works in a folder")
def test_a_pid_that_belongs_to_somebody_else_by_now_is_spared(kept: Path) -> None:
    with EmbeddedPostgres(kept) as postgres:
        cluster = postgres.cluster_dir
    # Of the server's own account: PostgreSQL itself sees through the others.
    account = cluster.stat().st_uid
    with subprocess.Popen(["sleep", "600"], user=account if AS_ROOT else None) as stranger:
        pid_file = f"{stranger.pid}\n{cluster}\n1\n5432\n\n127.0.0.1\n  1  1\nready   \n"
        try:
            (cluster / "postmaster.pid").write_text(pid_file)
            with EmbeddedPostgres(kept) as postgres:
                assert postgres.pid != stranger.pid
                assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_throwaway_server_and_its_folder_go_with_a_killed_owner(folder: Path) -> None:
    with running_python(OWNER, str(folder), "throwaway") as owner:
        pid, _ = read_line(owner).split()
        owner.kill()
    wait_until_ended(int(pid))
    wait_until(lambda: not folder.exists(), "the removal of the folder")


def test_throwing_away_what_somebody_keeps_is_refused(kept: Path) -> None:
    with EmbeddedPostgres(kept):
        pass
    with pytest.raises(DataFolderUnusable, match="is not empty, and a throwaway folder is deleted"):
        EmbeddedPostgres(kept, throwaway=True).start()
    assert (kept / "cluster" / "PG_VERSION").exists()


def test_another_major_version_is_refused_in_one_line(kept: Path) -> None:
    with EmbeddedPostgres(kept) as postgres:
        (postgres.cluster_dir / "PG_VERSION").write_text("14\n")
    with pytest.raises(
        DataFolderUnusable, match=r"was made by PostgreSQL 14 and this is PostgreSQL \d+; move"
    ) as caught:
        EmbeddedPostgres(kept).start()
    assert "\n" not in str(caught.value)


def test_a_server_that_cannot_start_shows_its_log(kept: Path) -> None:
    with EmbeddedPostgres(kept) as postgres, (postgres.cluster_dir / "postgresql.conf").open("a") as settings:
        settings.write("shared_buffers = nonsense\n")
    with pytest.raises(
        StartFailed, match=r'(?s)PostgreSQL stopped \(1\).*invalid value for parameter "shared_buffers"'
    ):
        EmbeddedPostgres(kept).start()


def test_an_interrupted_creation_leaves_nothing_in_the_way(folder: Path) -> None:
    (folder / "partial-abandoned").mkdir()
    (folder / "partial-abandoned" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(folder):
        assert not (folder / "partial-abandoned").exists()


def test_a_port_that_is_asked_for_is_used_or_said_to_be_taken(kept: Path) -> None:
    port = free_port()
    with EmbeddedPostgres(kept, port=port) as postgres:
        assert postgres.port == port
        other = kept / "other"
        with pytest.raises(PortUnavailable, match=rf"^port {port} is taken by "):
            EmbeddedPostgres(other, port=port).start()


def test_a_folder_that_exists_keeps_its_mode(folder: Path) -> None:
    folder.chmod(0o755)
    with EmbeddedPostgres(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755


@pytest.mark.skipif(not AS_ROOT, reason="only root drops to another account")
def test_a_throwaway_folder_that_is_closed_to_the_account_is_refused(folder: Path) -> None:
    folder.chmod(0o700)
    with pytest.raises(DataFolderUnusable, match=r"^the account \w+ cannot enter "):
        EmbeddedPostgres(folder, throwaway=True).start()


def test_missing_programs_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries_module, "_PACKAGE", "no_such_package")
    with pytest.raises(BinariesMissing, match=r"install florin\[dev\], or set DATABASE_URL"):
        binaries_module.find_binaries()


@pytest.mark.skipif(not AS_ROOT, reason="only root drops to another account")
def test_root_runs_the_server_as_somebody_else(kept: Path) -> None:
    with EmbeddedPostgres(kept) as postgres:
        account = account_to_drop_to(postgres.cluster_dir)
        assert account is not None
        assert postgres.cluster_dir.stat().st_uid == account.uid != 0
        status = Path(f"/proc/{postgres.pid}/status").read_text()
        assert f"Uid:\t{account.uid}\t{account.uid}\t{account.uid}\t{account.uid}\n" in status
        assert "Groups:\t \n" in status


@pytest.mark.skipif(not AS_ROOT, reason="only root drops to another account")
def test_folders_closed_to_the_account_are_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere, cache, private = folder / "lib", folder / "cache", folder / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setattr(data_folder_module, "REACHABLE_DATA", elsewhere)
    monkeypatch.setattr(binaries_module, "REACHABLE_CACHE", cache)
    monkeypatch.setattr(binaries_module, "_usable", only_below(cache))
    for expected_clusters in (1, 1):
        with EmbeddedPostgres(private / "data") as postgres:
            assert (private / "data" / "cluster").is_symlink()
            assert postgres.cluster_dir.parent == elsewhere
            assert fetch(postgres.url, "SELECT 1") == 1
            assert Path(f"/proc/{postgres.pid}/exe").readlink().is_relative_to(cache)
        assert len(list(elsewhere.iterdir())) == expected_clusters
    # A folder that was deleted is a new start here as anywhere.
    shutil.rmtree(private / "data")
    with EmbeddedPostgres(private / "data"):
        assert len(list(elsewhere.iterdir())) == 2


def only_below(cache: Path) -> object:
    usable = binaries_module._usable

    def check(binaries: binaries_module.Binaries, account: Account) -> bool:
        return binaries.prefix.is_relative_to(cache) and usable(binaries, account)

    return check
