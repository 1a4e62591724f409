"""`florin dev`: everything on this machine, from the database to GraphiQL, and nothing left behind when it stops."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
from collections.abc import Awaitable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from api.access_tokens import AccessTokens, TokenConfig
from api.signing_keys import fixed_keys
from app.demo import DemoFailed, seed
from app.dev_output import DevOutput
from app.embedded_postgres import APP_ROLE, EmbeddedPostgres, EmbeddedPostgresError
from app.log_lines import configure_logging
from app.processes.ports import PortUnavailable, free_port, require_port_free
from app.processes.ready_file import ready_file
from app.processes.supervisor import Program, ProgramFailed, StopRequested, Supervisor
from app.settings import LogFormat, passed_on
from app.time_and_ids import SystemClock, TimeOrderedIds
from domain.access import Role
from domain.identity.create_user import CreateUser
from domain.identity.issue_session import IssueSession
from domain.identity.sessions import Session
from persistence.engine import DatabaseConfig, open_engine
from persistence.roles import ApplicationRole
from persistence.schema import migrate
from persistence.unit_of_work import SqlUnitsOfWork

T = TypeVar("T")

HOST = "127.0.0.1"
TOKEN_LIFETIME = timedelta(days=30)

# One of each role, and a second customer, so that a test can see that neither sees what is the other's.
PEOPLE = {
    "customer": ("ada@example.com", "Ada Lovelace", Role.CUSTOMER),
    "customer2": ("alan@example.com", "Alan Turing", Role.CUSTOMER),
    "support": ("grace@example.com", "Grace Hopper", Role.SUPPORT),
    "admin": ("margaret@example.com", "Margaret Hamilton", Role.ADMIN),
}
EXAMPLE_QUERY = "{ transactions(first: 3) { nodes { id status money { formatted } user { name } } } }"
# Python reads its libraries from disk at the first start, which takes long on a machine that is busy.
START_SECONDS_MAX = 120.0


class DevFailed(Exception):
    """Something could not be started; the message says what and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """What the command line asked for."""

    port: int
    data: Path
    demo: bool
    ready_file: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Secrets:
    """Made once for a data folder and kept in it, so that tokens survive a restart."""

    signing_key: str
    processor_key: str
    webhook_secret: str

    @property
    def encryption_key(self) -> str:
        """Made of the signing key, so that folders from before need none of their own."""
        digest = hmac.digest(self.signing_key.encode(), b"second factors", hashlib.sha256)
        return base64.b64encode(digest).decode()

    @classmethod
    def in_folder(cls, folder: Path) -> "_Secrets":
        path = folder / "secrets.json"
        if not path.exists():
            fresh = {
                "signing_key": base64.b64encode(secrets.token_bytes(32)).decode(),
                "processor_key": f"sk_test_{secrets.token_hex(16)}",
                "webhook_secret": f"whsec_{secrets.token_hex(24)}",
            }
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(fresh, file)
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise DevFailed(
                f"{path} is damaged. Remove it to get new keys; tokens made with the old ones end."
            ) from error


def run_dev(options: DevOptions) -> int:
    """Run until Ctrl-C or SIGTERM. The exit code is 0 then; raises DevFailed for anything that keeps it from running."""
    configure_logging(LogFormat.CONSOLE, "INFO")
    try:
        asyncio.run(_Development(options).run())
    except (DemoFailed, EmbeddedPostgresError, PortUnavailable, ProgramFailed, OSError) as error:
        raise DevFailed(str(error)) from error
    return 0


class _Development:
    """One run of `florin dev`."""

    def __init__(self, options: DevOptions) -> None:
        self._options = options
        self._folder = options.data.resolve()

    async def run(self) -> None:
        options = self._options
        if options.port:
            require_port_free(HOST, options.port)
        api_port = options.port or free_port(HOST)
        processor_port = _next_port(options.port)
        self._folder.mkdir(parents=True, exist_ok=True)
        keys = _Secrets.in_folder(self._folder)
        with ExitStack() as stack:
            if options.ready_file is not None:
                # An earlier run that was killed may have left it, and somebody may be waiting for it already.
                options.ready_file.unlink(missing_ok=True)
            output = DevOutput(stack.enter_context((self._folder / "florin.log").open("a", encoding="utf-8")))
            async with Supervisor(write_line=output.write_line) as supervisor:
                api_url, processor_url = f"http://{HOST}:{api_port}", f"http://{HOST}:{processor_port}"
                _say("starting PostgreSQL and the sandbox processor")
                await supervisor.start(self._sandbox(keys, processor_port, f"{api_url}/webhooks/stripe"))
                database = EmbeddedPostgres(self._folder / "postgres")
                await asyncio.to_thread(stack.enter_context, database)
                supervisor.watch("PostgreSQL", database.poll, database.restart)
                # Only now, because now the data folder is ours: the file in it may be that of a run that goes on.
                announce = stack.enter_context(ready_file(options.ready_file or self._folder / "ready.json"))
                sessions = await _unless_stopped(supervisor, _prepare_database(database.url))
                tokens = _tokens(keys, sessions)
                _say("starting the worker and the API")
                environment = _environment(keys, database.app_url, processor_url, api_port, tokens) | {
                    "MAIL_FOLDER": str(self._folder / "mails")
                }
                await supervisor.start(_florin("worker", environment | {"LOG_LEVEL": "WARNING"}))
                await supervisor.start(_florin("serve", environment, name="api"))
                await supervisor.until_ready("sandbox", f"{processor_url}/_sandbox/health", seconds=START_SECONDS_MAX)
                await supervisor.until_ready("api", f"{api_url}/readyz", seconds=START_SECONDS_MAX)
                if options.demo:
                    await _unless_stopped(supervisor, seed(f"{api_url}/graphql", tokens, _say))
                _welcome(f"{api_url}/graphql", tokens, options.data / "florin.log")
                output.show()
                announce(
                    {
                        "graphql_url": f"{api_url}/graphql",
                        "webhook_url": f"{api_url}/webhooks/stripe",
                        "processor_url": processor_url,
                        "processor_key": keys.processor_key,
                        "database_url": database.app_url,
                        "migration_database_url": database.url,
                        "tokens": tokens,
                        "mail_folder": str(self._folder / "mails"),
                    }
                )
                # All of it has been up: whatever dies from now on is started again, as it would be in production.
                supervisor.revive()
                await supervisor.wait()
                output.hide()
                _say("stopping")
        _say(f"stopped; the data is in {options.data}")

    def _sandbox(self, keys: _Secrets, port: int, webhook_url: str) -> Program:
        state = self._folder / "sandbox.sqlite"
        arguments = ["--port", str(port), "--state", str(state), "--webhook-url", webhook_url]
        environment = {"SANDBOX_API_KEY": keys.processor_key, "SANDBOX_WEBHOOK_SECRET": keys.webhook_secret}
        return _florin("sandbox", passed_on(environment), *arguments)


def _florin(command: str, environment: Mapping[str, str], *arguments: str, name: str | None = None) -> Program:
    argv = [sys.executable, "-c", "from app.cli import main; main()", command, *arguments]
    return Program(name=name or command, argv=argv, env=environment)


def _environment(
    keys: _Secrets, database_url: str, processor_url: str, api_port: int, tokens: Mapping[str, str]
) -> dict[str, str]:
    return passed_on(
        {
            "ENVIRONMENT": "development",
            "DATABASE_URL": database_url,
            "STRIPE_SECRET_KEY": keys.processor_key,
            "STRIPE_WEBHOOK_SECRET": keys.webhook_secret,
            "STRIPE_API_BASE": processor_url,
            "AUTH_SIGNING_KEY": keys.signing_key,
            "AUTH_ENCRYPTION_KEY": keys.encryption_key,
            # With it a 3-D Secure challenge is a page to redirect to, which is what one wants to see without a frontend.
            "PAYMENT_RETURN_URL": f"http://{HOST}:{api_port}/graphiql",
            "GRAPHIQL_TOKENS": json.dumps(dict(tokens)),
            "HOST": HOST,
            "PORT": str(api_port),
            "LOG_FORMAT": "json",
        }
    )


async def _prepare_database(url: str) -> dict[str, Session]:
    """Bring the schema up to date, let the role of API and worker use it, and begin a session for everybody."""
    engine = open_engine(DatabaseConfig(url=url, pool_size=1))
    try:
        await migrate(
            engine,
            lambda step: _say(f"migrating the database: {step}"),
            application=ApplicationRole(name=APP_ROLE),
        )
        units = SqlUnitsOfWork(engine)
        clock, new_ids = SystemClock(), TimeOrderedIds()
        create = CreateUser(units=units, clock=clock, ids=new_ids)
        issue = IssueSession(units=units, clock=clock, ids=new_ids)
        sessions = {}
        for label, (email, name, role) in PEOPLE.items():
            async with units.autocommit() as uow:
                known = await uow.users.get_by_email(email)
            user = known or await create(email=email, name=name, role=role)
            sessions[label] = await issue(user.id, TOKEN_LIFETIME)
        return sessions
    finally:
        await engine.dispose()


def _tokens(keys: _Secrets, sessions: Mapping[str, Session]) -> dict[str, str]:
    tokens = AccessTokens(TokenConfig(keys=fixed_keys(keys.signing_key)), SystemClock())
    return {label: tokens.issue(each.user_id, each.id, each.expires_at) for label, each in sessions.items()}


def _next_port(api_port: int) -> int:
    """The port after the API's, so that links to the sandbox's pages stay the same; any free one where it is taken."""
    if api_port and api_port < 65535:
        try:
            require_port_free(HOST, api_port + 1)
        except PortUnavailable:
            return free_port(HOST)
        return api_port + 1
    return free_port(HOST)


def _say(line: str) -> None:
    print(f"florin: {line}", flush=True)


async def _unless_stopped(supervisor: Supervisor, work: Awaitable[T]) -> T:
    """Await `work`, but give it up when we are told to stop or a program ends. Raises what the supervisor says then."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(supervisor.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            await stopping
            raise StopRequested
        return await working
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


def _welcome(url: str, tokens: Mapping[str, str], log: Path) -> None:
    """What a person needs to begin. The tokens stand as assignments, so that a line pasted into a shell can be used."""
    lines = ["", f"Florin is up. Access tokens, valid for {TOKEN_LIFETIME.days} days:", ""]
    for label, token in tokens.items():
        email, name, role = PEOPLE[label]
        lines += [f"# {name}, {email}, {role.value.lower()}", f"{label.upper()}={token}", ""]
    lines += [
        "A query to try, once the lines above are pasted into a shell:",
        "",
        f'curl -s {url} -H "Authorization: Bearer $CUSTOMER" -H "Content-Type: application/json" \\',
        f"  -d '{json.dumps({'query': EXAMPLE_QUERY})}'",
        "",
        f"GraphiQL, with examples: {url}",
        "",
        f"Requests are shown below, and everything is kept in {log}. Ctrl-C stops it all; the data stays.",
        "",
    ]
    print("\n".join(lines), flush=True)
