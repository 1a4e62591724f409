"""Florin as it runs in production: a database that forgets nothing, the API, a worker and a processor, each a process."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from app.embedded_postgres import EmbeddedPostgres
from app.processes.ports import free_port
from tests.support.commands import FLORIN, clean, florin
from tests.support.postgres import throwaway_folder
from tests.support.waiting import until

SHOP_PASSWORD = "secret-of-the-shop"


@contextmanager
def durable_server(shop_password: str = SHOP_PASSWORD) -> Iterator[EmbeddedPostgres]:
    """A server that forgets nothing, migrated as its documentation says; the role `shop` is the application's."""
    folder = throwaway_folder()
    try:
        with EmbeddedPostgres(folder / "server") as server:
            addresses = {"MIGRATION_DATABASE_URL": server.url, "DATABASE_URL": shop(server, shop_password)}
            migrated = florin("migrate", addresses, "--create-app-role")
            assert migrated.returncode == 0, migrated.stderr
            assert "shop may do what API and worker need.\n" in migrated.stdout
            assert "Warning" not in migrated.stdout
            yield server
    finally:
        shutil.rmtree(folder)


def shop(server: EmbeddedPostgres, password: str = SHOP_PASSWORD) -> str:
    """The address as a role of the application that is neither of the server's own."""
    return urlsplit(server.url)._replace(netloc=f"shop:{password}@127.0.0.1:{server.port}").geturl()


class Production:
    """The programs, which write what they say into files of `folder`."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self._port, self._processor_port, self._metrics_port = free_port(), free_port(), free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._settings = {
            **settings,
            "PORT": str(self._port),
            "STRIPE_API_BASE": f"http://127.0.0.1:{self._processor_port}",
        }
        self.url = f"http://127.0.0.1:{self._port}"
        self.metrics_url = f"http://127.0.0.1:{self._metrics_port}/metrics"

    def start_processor(self) -> None:
        settings = {
            "SANDBOX_API_KEY": self._settings["STRIPE_SECRET_KEY"],
            "SANDBOX_WEBHOOK_SECRET": self._settings["STRIPE_WEBHOOK_SECRET"],
        }
        state = ("--state", str(self._folder / "sandbox.db"))
        webhooks = ("--webhook-url", f"{self.url}/webhooks/stripe")
        self._start("sandbox", settings, "--port", str(self._processor_port), *state, *webhooks)

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def start(self) -> None:
        self.start_processor()
        self._start("serve", {**self._settings, "METRICS_PORT": str(self._metrics_port)})
        self._start("worker", self._settings)

    async def until_ready(self) -> None:
        async def is_ready() -> bool:
            assert self._processes["serve"].poll() is None, self.said("serve")
            try:
                async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
                    return (await client.get(f"{self.url}/readyz")).status_code == 200
            except httpx2.TransportError:
                return False

        await until(is_ready, seconds_max=120)

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

    def said(self, name: str) -> str:
        """Everything that a program has written, to whichever stream."""
        return (self._folder / f"{name}.log").read_text()

    def events(self, name: str) -> list[str]:
        """What the lines of a program's log are about."""
        return [json.loads(line)["event"] for line in self.said(name).splitlines()]

    def run(self, command: str, *arguments: str) -> str:
        """What one of Florin's commands prints, with the settings of the API."""
        ended = florin(command, self._settings, *arguments)
        assert ended.returncode == 0, ended.stderr
        with (self._folder / "commands.log").open("a") as log:
            log.write(ended.stderr)
        return ended.stdout.strip()

    def _start(self, name: str, settings: Mapping[str, str], *arguments: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [FLORIN, name, *arguments],
                env=clean(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def command_lines() -> str:
    """The command line of every process of this machine that its user can see."""
    shown = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in shown.splitlines() if int(line.split()[0]) != os.getpid())
