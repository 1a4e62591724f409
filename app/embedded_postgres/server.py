"""Starts and stops a PostgreSQL of our own on 127.0.0.1."""

import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from app.embedded_postgres.account import Account, account_to_drop_to
from app.embedded_postgres.binaries import Binaries, binaries_for
from app.embedded_postgres.data_folder import DataFolder
from app.embedded_postgres.errors import DataFolderUnusable, StartFailed
from app.embedded_postgres.leftovers import stop_leftovers
from app.processes.leashed import LeashedProcess
from app.processes.ports import free_port, require_port_free

ROLE = DATABASE = "florin"
APP_ROLE = "florin_app"
ADMIN_ROLE = "postgres"
HOST = "127.0.0.1"

# A kept server writes a checkpoint when it stops, and may have much to write; one thrown away need not.
_STOP_SECONDS_MAX = 60.0
_THROW_AWAY_SECONDS_MAX = 5.0
_POLL_SECONDS = 0.01
_PORT_ATTEMPTS = 5
_LOG_LINES_SHOWN = 15

# Nothing of the caller's environment: PGDATA, PGPORT and their kin would change what the programs do.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

_SETTINGS = {
    "listen_addresses": HOST,
    # No Unix sockets: their path may have 107 bytes, and a data folder's path may have more.
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# PostgreSQL's manual, "Non-Durable Settings": an operating system crash then loses the cluster.
_THROWAWAY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # The folder may be in memory.
    "max_wal_size": "128MB",
    # In the folder, so that it is deleted with it even if the server is killed.
    "dynamic_shared_memory_type": "mmap",
}

# Loopback is open to every user of this machine, so a password is always asked for.
_HOST_BASED_AUTHENTICATION = f"host all all {HOST}/32 scram-sha-256\n"


class EmbeddedPostgres:
    """A PostgreSQL server that lives no longer than this process.

    `data_dir` is created when it does not exist and holds everything (see data_folder.py); as root the server runs
    under an ordinary account, and when that cannot reach `data_dir`, `cluster_dir` leads elsewhere. `port` 0 means any
    free one. A `throwaway` server trades durability for speed, and its `data_dir` is deleted when it stops.

    The role `florin` owns the database `florin`, and may create databases and roles; it is no superuser, because a
    hosted server gives out none and code that needs one should fail here first. The role `florin_app` owns nothing: it
    is for programs that need no more than what they are granted.
    """

    def __init__(
        self, data_dir: Path, *, port: int = 0, throwaway: bool = False, startup_seconds_max: float = 60.0
    ) -> None:
        self.port = port
        self.pid: int | None = None
        self._any_port = port == 0
        self._throwaway = throwaway
        self._startup_seconds_max = startup_seconds_max
        self._folder = DataFolder(data_dir)
        self._passwords: dict[str, str] = {}
        self._process: LeashedProcess | None = None
        # `restart` and `stop` may be called in different threads.
        self._changing = threading.Lock()

    @property
    def url(self) -> str:
        """The address of the database `florin`, as `postgresql://...` with the password in it: keep it out of logs."""
        return self._url(ROLE, DATABASE)

    @property
    def app_url(self) -> str:
        """The same database as `florin_app`."""
        return self._url(APP_ROLE, DATABASE)

    @property
    def admin_url(self) -> str:
        """The same server as a superuser, for what only a superuser can do."""
        return self._url(ADMIN_ROLE, ADMIN_ROLE)

    @property
    def cluster_dir(self) -> Path:
        """Where PostgreSQL's files are in the end."""
        return self._folder.cluster.resolve()

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self._folder.log

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return when it takes connections; about half a second for a new folder.

        Raises EmbeddedPostgresError: BinariesMissing, DataFolderInUse, DataFolderUnusable or StartFailed; and
        PortUnavailable (app/processes/ports.py) when a certain port was asked for and is taken.
        """
        if self._throwaway and self._folder.path.exists() and any(self._folder.path.iterdir()):
            raise DataFolderUnusable(f"{self._folder.path} is not empty, and a throwaway folder is deleted in the end")
        self._folder.lock()
        try:
            account = account_to_drop_to(self._folder.cluster)
            binaries = binaries_for(account)
            stop_leftovers(self._folder.cluster)
            if not self._folder.cluster.exists():
                self._create(binaries, account)
            self._folder.check_cluster(account, binaries.major)
            password, app_password = (
                self._recover_password(binaries, account, file, statements)
                for file, statements in (("password", _password_statements), ("app_password", _app_role_statements))
            )
            self._passwords = {ROLE: password, ADMIN_ROLE: password, APP_ROLE: app_password}
            self._launch(binaries, account)
        except BaseException:
            self.stop()
            raise

    def restart(self) -> None:
        """Start the server again on the same port after it has ended by itself; nothing is done once `stop` was called.

        Raises as `start` does.
        """
        with self._changing:
            if self._process is None:
                return
            self._process.stop()
            account = account_to_drop_to(self._folder.cluster)
            stop_leftovers(self._folder.cluster)
            self._any_port = False
            self._launch(binaries_for(account), account)

    def stop(self) -> None:
        """Disconnect everybody, stop the server and give the data folder free. May be called again."""
        with self._changing:
            self._stop()

    def _stop(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None
            self.pid = None
        if self._throwaway:
            # The leash has done so already, unless the server never started or ended by itself.
            shutil.rmtree(self._folder.path, ignore_errors=True)
        self._folder.unlock()

    def poll(self) -> int | None:
        """Return the server's exit code if it has ended by itself, else None."""
        return self._process.poll() if self._process else None

    @property
    def _pid_file(self) -> Path:
        return self.cluster_dir / "postmaster.pid"

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self._passwords[role]}@{HOST}:{self.port}/{database}"

    def _create(self, binaries: Binaries, account: Account | None) -> None:
        if self._throwaway and account and not account.can_enter(self._folder.path):
            # Elsewhere it would not be deleted with its folder.
            raise DataFolderUnusable(
                f"the account {account.name} cannot enter {self._folder.path}; choose another folder"
            )
        password, app_password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        statements = [
            f"CREATE ROLE {ROLE} LOGIN CREATEDB CREATEROLE",
            f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
            *_password_statements(password),
            *_app_role_statements(app_password),
        ]
        if self._throwaway:
            # Lets a test suite empty tables whose triggers forbid it (PostgreSQL 15 and newer know this grant), also one that
            # works as the other role, which has the owner's rights only where it takes its role on.
            statements.append(f"GRANT SET ON PARAMETER session_replication_role TO {ROLE}")
            statements.append(f"GRANT {ROLE} TO {APP_ROLE} WITH INHERIT FALSE")

        def fill(cluster: Path) -> None:
            _run(
                [
                    *(binaries.program("initdb"), "--pgdata", str(cluster), "--username", ADMIN_ROLE),
                    # The built-in provider sorts by code point, the same on every operating system.
                    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                    # Overwritten below: initdb would want the password in a file that its account can read.
                    *("--auth=reject", "--no-instructions"),
                    *(("--no-sync", "--no-data-checksums") if self._throwaway else ()),
                ],
                account,
            )
            self._run_statements(binaries, account, cluster, statements)
            (cluster / "pg_hba.conf").write_text(_HOST_BASED_AUTHENTICATION)

        self._folder.forget_passwords()
        self._folder.create_cluster(account, fill)
        self._folder.store_password("password", password)
        self._folder.store_password("app_password", app_password)

    def _recover_password(
        self, binaries: Binaries, account: Account | None, file: str, statements: Callable[[str], Sequence[str]]
    ) -> str:
        """Return a stored password; if it is lost, or from before there was such a role, make another."""
        stored = self._folder.stored_password(file)
        if stored:
            return stored
        made = secrets.token_urlsafe(24)
        self._run_statements(binaries, account, self.cluster_dir, statements(made))
        self._folder.store_password(file, made)
        return made

    def _run_statements(
        self, binaries: Binaries, account: Account | None, cluster: Path, statements: Sequence[str]
    ) -> None:
        """Execute SQL in PostgreSQL's single-user mode, which needs no server and asks for no password."""
        _run(
            [
                *(binaries.program("postgres"), "--single", "-D", str(cluster)),
                # A statement that fails must not be shown, for a password may be in it; and one failure ends it all.
                *("-c", "log_min_error_statement=panic", "-c", "exit_on_error=on"),
                *(("-c", "fsync=off") if self._throwaway else ()),
                ADMIN_ROLE,
            ],
            account,
            given="".join(f"{statement}\n" for statement in statements),
        )

    def _launch(self, binaries: Binaries, account: Account | None) -> None:
        """Start the server; if any port will do and ours is taken meanwhile, try another."""
        if not self._any_port:
            require_port_free(HOST, self.port, option=None)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            if self._any_port:
                self.port = free_port(HOST)
            stale = _read_lines(self._pid_file)
            self._process = self._leash_server(binaries, account)
            try:
                self.pid = self._wait_until_ready(self._process, stale)
            except StartFailed as error:
                if self._any_port and attempt < _PORT_ATTEMPTS and "could not bind" in str(error):
                    self._process.stop()
                    continue
                raise
            return

    def _leash_server(self, binaries: Binaries, account: Account | None) -> LeashedProcess:
        settings = {**_SETTINGS, "port": str(self.port), **(_THROWAWAY_SETTINGS if self._throwaway else {})}
        self._folder.keep_previous_log()
        # The log is opened here, so that the server's account needs no right to the folder.
        descriptor = os.open(self._folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as log:
            return LeashedProcess(
                [
                    *(binaries.program("postgres"), "-D", str(self.cluster_dir)),
                    *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
                ],
                env=_ENVIRONMENT,
                output=log,
                # PostgreSQL's manual, "Shutting Down the Server": SIGINT is the fast mode, SIGQUIT the immediate one.
                stop_signal=signal.SIGQUIT if self._throwaway else signal.SIGINT,
                grace_seconds=_THROW_AWAY_SECONDS_MAX if self._throwaway else _STOP_SECONDS_MAX,
                run_as=(account.uid, account.gid) if account else None,
                remove_afterwards=str(self._folder.path) if self._throwaway else None,
            )

    def _wait_until_ready(self, process: LeashedProcess, stale: list[str]) -> int:
        """Return the server's process id once its pid file says that it takes connections, as pg_ctl does.

        `stale` is what the file held before the start; a server that was killed leaves its last status behind.
        """
        deadline = time.monotonic() + self._startup_seconds_max
        while (code := process.poll()) is None:
            status = _read_lines(self._pid_file)
            if status != stale and len(status) >= 8 and status[7].strip() == "ready":
                return int(status[0])
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        why = f"stopped ({code})" if code is not None else f"was not ready within {self._startup_seconds_max:g} s"
        said = "\n".join(_read_lines(self._folder.log)[-_LOG_LINES_SHOWN:])
        raise StartFailed(f"PostgreSQL {why}; the end of {self._folder.log}:\n{said}")


def _password_statements(password: str) -> list[str]:
    return [f"ALTER ROLE {role} PASSWORD '{password}'" for role in (ROLE, ADMIN_ROLE)]


def _app_role_statements(password: str) -> list[str]:
    """A line each, as the single-user mode wants it; the role may be there already."""
    missing = f"NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP_ROLE}')"
    return [
        f"DO $$ BEGIN IF {missing} THEN CREATE ROLE {APP_ROLE} LOGIN; END IF; END $$",
        f"ALTER ROLE {APP_ROLE} PASSWORD '{password}'",
    ]


def _read_lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _run(argv: Sequence[str], account: Account | None, *, given: str = "") -> None:
    """Run one of PostgreSQL's programs to its end. Raises StartFailed with what it said when it fails."""
    leashed = LeashedProcess(
        argv,
        env=_ENVIRONMENT,
        stdin=subprocess.PIPE,
        output=subprocess.PIPE,
        run_as=(account.uid, account.gid) if account else None,
    )
    try:
        said, _ = leashed.process.communicate(given.encode())
    finally:
        code = leashed.stop()
    if code != 0:
        raise StartFailed(f"{Path(argv[0]).name} failed ({code}):\n{said.decode(errors='replace').strip()}")
