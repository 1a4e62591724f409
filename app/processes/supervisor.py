"""The supervisor: starts programs, shows what they print, waits until they answer, and stops them together."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from app.processes import leash

Result = TypeVar("Result")

_LINES_KEPT = 20
_LINE_BYTES_MAX = 256 * 1024
_POLL_SECONDS = 0.1
# The leash kills what does not stop in time; this is how much longer the leash itself may take.
_LEASH_GRACE_SECONDS = 5.0
# A program that dies more often than this cannot be helped by starting it again.
_REVIVALS_MAX = 10
_REVIVAL_WINDOW_SECONDS = 60.0
# What has just died may still hold its port for a moment.
_REVIVAL_PAUSE_SECONDS = 0.2


class ProgramFailed(Exception):
    """A program ended by itself, or was never ready; `exit_code` is what our own process should end with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StopRequested(Exception):
    """SIGINT or SIGTERM came while something was being waited for. `async with Supervisor()` ends quietly with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run. `env` is the whole environment; None passes ours on."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: str | None = None


class _Child:
    """A running program: its leash, the lifeline that holds it, and the last lines it printed."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process, lifeline: int) -> None:
        self.program = program
        self.process = process
        self.last_lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self.reader: asyncio.Task[None] | None = None
        self._lifeline: int | None = lifeline

    def cut(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    async def ended(self) -> int:
        code = await self.process.wait()
        self.cut()
        if self.reader is not None:
            # A grandchild may keep the output open for ever; what the program itself printed is here at once.
            await asyncio.wait([self.reader], timeout=1.0)
            self.reader.cancel()
        return code

    def describe_end(self, code: int) -> str:
        how = f"was ended by {signal.Signals(code - 128).name}" if code - 128 in _SIGNAL_NUMBERS else f"exited ({code})"
        return f"{self.program.name} {how}"

    def describe_failure(self, code: int) -> str:
        said = "".join(f"\n  {line}" for line in self.last_lines)
        return self.describe_end(code) + (f"; its last lines:{said}" if said else " without a word")


_SIGNAL_NUMBERS = frozenset(int(number) for number in signal.Signals)


def _print_line(name: str, line: str) -> None:
    sys.stdout.write(f"{name:<8} | {line}\n")
    sys.stdout.flush()


class Supervisor:
    """Runs programs side by side; when one ends by itself, or we are told to stop, all of them stop.

    After `revive` one that ends by itself is started again instead, unless it does so again and again.

    Use it as `async with Supervisor() as supervisor:` in the main thread. Inside the block SIGINT and SIGTERM mean
    "stop": `wait` returns, and any other method that is waiting raises StopRequested, which the block swallows. On
    leaving the block the programs are stopped, last started first: SIGTERM, and SIGKILL after `grace_seconds`; a second
    SIGINT or SIGTERM kills at once. Each program runs in a process group of its own, so that Ctrl-C in a terminal
    reaches us alone, and on a leash, so that it ends even when we are killed.
    """

    def __init__(self, *, grace_seconds: float = 10.0, write_line: Callable[[str, str], None] = _print_line) -> None:
        self._grace_seconds = grace_seconds
        self._write_line = write_line
        self._children: list[_Child] = []
        self._watchers: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._in_a_hurry = asyncio.Event()
        self._failure: ProgramFailed | None = None
        self._leaving = False
        self._reviving = False
        self._deaths: defaultdict[str, deque[float]] = defaultdict(deque)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._leaving = True
        try:
            await self._stop_all()
        finally:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
        return isinstance(error, StopRequested)

    def request_stop(self) -> None:
        """Ask for what SIGTERM asks for."""
        self._stop.set()

    def revive(self) -> None:
        """From now on, start again what ends by itself: all of it has been up once, so that it can be."""
        self._reviving = True

    async def start(self, program: Program) -> None:
        """Start a program that is meant to run until it is stopped; that it ends earlier, `wait` will tell."""
        child = await self._spawn(program)
        self._keep(self._notice_end(child))

    async def run(self, program: Program) -> None:
        """Run a program that is meant to end. Raises ProgramFailed unless it exits with 0."""
        child = await self._spawn(program)
        code = await self._unless_stopped(child.ended())
        self._children.remove(child)
        if code != 0:
            raise ProgramFailed(child.describe_failure(code), code)

    async def until_ready(self, name: str, url: str, *, seconds: float = 30.0) -> None:
        """Return once a GET of `url` answers 200.

        Raises ProgramFailed when `seconds` have passed, or when any program ends before; `name` is for the message.
        """
        last_answer = "no answer"
        try:
            async with asyncio.timeout(seconds):
                # Proxies that the environment names are not for addresses on this machine.
                async with httpx2.AsyncClient(trust_env=False, timeout=2.0) as client:
                    while True:
                        try:
                            response = await self._unless_stopped(client.get(url))
                        except httpx2.TransportError as error:
                            last_answer = type(error).__name__
                        else:
                            if response.status_code == 200:
                                return
                            last_answer = f"status {response.status_code}"
                        await self._unless_stopped(asyncio.sleep(_POLL_SECONDS))
        except TimeoutError:
            said = "".join(f"\n  {line}" for line in self._last_lines(name))
            raise ProgramFailed(
                f"{name} was not ready within {seconds:g} s ({url}: {last_answer})" + (f":{said}" if said else ""), 1
            ) from None

    def watch(self, name: str, poll: Callable[[], int | None], restart: Callable[[], None]) -> None:
        """Treat something that others started as one of the programs; `poll` returns its exit code once it has ended.

        `restart` starts it again and may take its time, in a thread of its own; stopping it stays with whoever started it.
        """

        async def until_it_ends() -> None:
            while True:
                while (code := poll()) is None:  # noqa: ASYNC110 - its end can be asked for, but not waited on.
                    await asyncio.sleep(_POLL_SECONDS)
                how = f"{name} stopped unexpectedly ({code})"
                if not self._may_revive(name, how):
                    self._fail(ProgramFailed(how, code or 1))
                    return
                try:
                    await asyncio.to_thread(restart)
                except Exception as error:  # noqa: BLE001 - whatever keeps it from starting, all the others stop with it.
                    self._fail(ProgramFailed(f"{how}, and cannot be started again: {error}", code or 1))
                    return

        self._keep(until_it_ends())

    async def wait(self) -> None:
        """Return when a stop is requested. Raises ProgramFailed when a program ends by itself."""
        await self._stop.wait()
        if self._failure:
            raise self._failure

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._in_a_hurry.set()
        self._stop.set()

    def _keep(self, coroutine: "Awaitable[None]") -> None:
        # The event loop holds its tasks weakly, so somebody has to hold them.
        task = asyncio.ensure_future(coroutine)
        self._watchers.add(task)

    async def _spawn(self, program: Program) -> _Child:
        if self._stop.is_set():
            raise self._failure or StopRequested
        reading_end, lifeline = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *leash.command(program.argv, lifeline=reading_end, grace_seconds=self._grace_seconds),
                env=program.env,
                cwd=program.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(reading_end,),
                start_new_session=True,
            )
        except BaseException:
            os.close(lifeline)
            raise
        finally:
            os.close(reading_end)
        child = _Child(program, process, lifeline)
        child.reader = asyncio.ensure_future(self._show_output(child))
        self._children.append(child)
        return child

    async def _show_output(self, child: _Child) -> None:
        output = child.process.stdout
        if output is None:
            return
        pending = b""
        while chunk := await output.read(64 * 1024):
            *lines, pending = (pending + chunk).split(b"\n")
            if len(pending) > _LINE_BYTES_MAX:
                # A line without an end must not fill our memory.
                lines, pending = [*lines, pending], b""
            for line in lines:
                self._show_line(child, line)
        if pending:
            self._show_line(child, pending)

    def _show_line(self, child: _Child, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").rstrip("\r")
        child.last_lines.append(text)
        try:
            self._write_line(child.program.name, text)
        except OSError:
            # Nobody reads our output any more, as in `florin dev | head`.
            self.request_stop()

    async def _notice_end(self, child: _Child) -> None:
        code = await child.ended()
        while self._may_revive(child.program.name, child.describe_end(code)):
            self._children.remove(child)
            await asyncio.sleep(_REVIVAL_PAUSE_SECONDS)
            if self._stop.is_set():
                return
            child = await self._spawn(child.program)
            code = await child.ended()
        self._fail(ProgramFailed(child.describe_failure(code), code or 1))

    def _may_revive(self, name: str, how: str) -> bool:
        """Whether what has just ended is to be started again; if so, say it."""
        if not self._reviving or self._leaving or self._stop.is_set():
            return False
        deaths, now = self._deaths[name], time.monotonic()
        deaths.append(now)
        while now - deaths[0] > _REVIVAL_WINDOW_SECONDS:
            deaths.popleft()
        if len(deaths) > _REVIVALS_MAX:
            return False
        self._write_line("florin", f"{how}; starting it again")
        return True

    def _fail(self, failure: ProgramFailed) -> None:
        if not self._leaving and not self._stop.is_set():
            self._failure = failure
            self._stop.set()

    async def _unless_stopped(self, work: Awaitable[Result]) -> Result:
        """Await `work`, but give it up as soon as a stop is requested or a program has failed."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
            if working.done() and not self._stop.is_set():
                return working.result()
            raise self._failure or StopRequested
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def _stop_all(self) -> None:
        for child in reversed(self._children):
            child.cut()
            await self._wait_for_end(child)
        for task in self._watchers:
            task.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        readers = [child.reader for child in self._children if child.reader]
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    async def _wait_for_end(self, child: _Child) -> None:
        """Wait until the leash has stopped its program; in a hurry, or when it takes too long, have it killed."""
        ending = asyncio.ensure_future(child.ended())
        hurrying = asyncio.ensure_future(self._in_a_hurry.wait())
        deadline_seconds = self._grace_seconds + _LEASH_GRACE_SECONDS
        await asyncio.wait([ending, hurrying], timeout=deadline_seconds, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not ending.done():
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(leash.KILL_NOW)
        await ending

    def _last_lines(self, name: str) -> list[str]:
        return [line for child in self._children if child.program.name == name for line in child.last_lines]
