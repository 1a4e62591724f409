"""`florin dev`: everything on this machine, from the database to GraphiQL, and nothing left behind when it stops."""

import asyncio
import base64
import json
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from api.access_tokens import AccessTokens, TokenConfig
from app.demo import seed
from app.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from app.log_lines import configure_logging
from app.processes.ports import PortUnavailable, free_port, require_port_free
from app.processes.ready_file import ready_file
from app.processes.supervisor import Program, ProgramFailed, Supervisor
from app.settings import LogFormat, passed_on
from app.time_and_ids import SystemClock, TimeOrderedIds
from domain.access import Role
from domain.identity.create_user import CreateUser
from domain.identity.users import User
from persistence.engine import DatabaseConfig, open_engine
from persistence.schema import migrate
from persistence.unit_of_work import SqlUnitsOfWork

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
    except (EmbeddedPostgresError, PortUnavailable, ProgramFailed, OSError) as error:
        raise DevFailed(str(error)) from error
    return 0


class _Output:
    """What the programs print: all of it goes to a file, and to the terminal once there is nothing more to announce."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._shown = False

    def show(self) -> None:
        self._shown = True

    def write_line(self, name: str, line: str) -> None:
        text = f"{name:<8} | {line}"
        print(text, file=self._file, flush=True)
        if self._shown:
            print(text, flush=True)


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
            announce = stack.enter_context(ready_file(options.ready_file)) if options.ready_file else None
            output = _Output(stack.enter_context((self._folder / "florin.log").open("a", encoding="utf-8")))
            async with Supervisor(write_line=output.write_line) as supervisor:
                _say("starting PostgreSQL")
                database = EmbeddedPostgres(self._folder / "postgres")
                await asyncio.to_thread(stack.enter_context, database)
                supervisor.watch("PostgreSQL", database.poll)
                users = await _prepare_database(database.url)
                tokens = _tokens(keys, users)
                api_url, processor_url = f"http://{HOST}:{api_port}", f"http://{HOST}:{processor_port}"
                _say("starting the sandbox processor, the worker and the API")
                await supervisor.start(self._sandbox(keys, processor_port, f"{api_url}/webhooks/stripe"))
                environment = _environment(keys, database.url, processor_url, api_port, tokens)
                await supervisor.start(_florin("worker", environment | {"LOG_LEVEL": "WARNING"}))
                await supervisor.start(_florin("serve", environment, name="api"))
                await supervisor.until_ready("sandbox", f"{processor_url}/_sandbox/health")
                await supervisor.until_ready("api", f"{api_url}/readyz")
                if options.demo:
                    await seed(f"{api_url}/graphql", tokens, _say)
                if announce is not None:
                    announce(
                        {
                            "graphql_url": f"{api_url}/graphql",
                            "webhook_url": f"{api_url}/webhooks/stripe",
                            "processor_url": processor_url,
                            "processor_key": keys.processor_key,
                            "database_url": database.url,
                            "tokens": tokens,
                        }
                    )
                _welcome(f"{api_url}/graphql", tokens)
                output.show()
                await supervisor.wait()
                _say("stopping")

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
            # With it a 3-D Secure challenge is a page to redirect to, which is what one wants to see without a frontend.
            "PAYMENT_RETURN_URL": f"http://{HOST}:{api_port}/graphiql",
            "GRAPHIQL_TOKENS": json.dumps(dict(tokens)),
            "HOST": HOST,
            "PORT": str(api_port),
            "LOG_FORMAT": "console",
        }
    )


async def _prepare_database(url: str) -> dict[str, User]:
    """Bring the schema up to date and make sure that everybody is there."""
    engine = open_engine(DatabaseConfig(url=url, pool_size=1))
    try:
        await migrate(engine, lambda step: _say(f"migrating the database: {step}"))
        units = SqlUnitsOfWork(engine)
        create = CreateUser(units=units, clock=SystemClock(), ids=TimeOrderedIds())
        users = {}
        for label, (email, name, role) in PEOPLE.items():
            async with units.begin() as uow:
                known = await uow.users.get_by_email(email)
            users[label] = known or await create(email=email, name=name, role=role)
        return users
    finally:
        await engine.dispose()


def _tokens(keys: _Secrets, users: Mapping[str, User]) -> dict[str, str]:
    tokens = AccessTokens(TokenConfig(signing_key=keys.signing_key), SystemClock())
    return {label: tokens.issue(user.id, TOKEN_LIFETIME) for label, user in users.items()}


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


def _welcome(url: str, tokens: Mapping[str, str]) -> None:
    lines = [
        "",
        "Florin is up.",
        "",
        f"  GraphiQL   {url}",
        "",
        "  Access tokens",
        *(f"    {label:<10} {token}" for label, token in tokens.items()),
        "",
        "  Try",
        f"    curl -s {url} -H 'Content-Type: application/json' \\",
        f"      -H 'Authorization: Bearer {tokens['customer']}' \\",
        f"      -d '{json.dumps({'query': EXAMPLE_QUERY})}'",
        "",
        "Ctrl-C stops everything; the data stays. Requests are shown below and kept in florin.log.",
        "",
    ]
    print("\n".join(lines), flush=True)
