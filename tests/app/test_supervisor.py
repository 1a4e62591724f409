"""The supervisor with real programs: readiness, failure, signals, and nothing left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from app.processes.ports import free_port
from app.processes.supervisor import Program, ProgramFailed, StopRequested, Supervisor
from tests.app.processes_seen import is_running, read_line, running_python, wait_until_ended

SLEEPER = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
# Answers 503 twice before it answers 200, as a server does that is still connecting to its database.
SLOW_TO_BE_READY = """
import http.server, itertools, sys
answers = itertools.chain([503, 503], itertools.repeat(200))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(next(answers)); self.end_headers()
    def log_message(self, *arguments):
        print("asked", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
# `florin dev` in small: two programs under a supervisor, until it is told to stop.
SUPERVISING = """
import asyncio, sys
from app.processes.supervisor import Program, ProgramFailed, Supervisor
async def main():
    async with Supervisor(grace_seconds=float(sys.argv[1])) as supervisor:
        for source in sys.argv[2:]:
            await supervisor.start(Program(name="child", argv=[sys.executable, "-c", source]))
        await supervisor.wait()
try:
    asyncio.run(main())
except ProgramFailed as error:
    print(error)
    sys.exit(error.exit_code)
"""


class Lines:
    """Keeps what the programs print."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.seen.append((name, line))

    def of(self, name: str) -> list[str]:
        return [line for other, line in self.seen if other == name]


def python(name: str, source: str, *arguments: str) -> Program:
    return Program(name=name, argv=[sys.executable, "-c", source, *arguments])


async def failure_of(steps: Callable[[Supervisor], Awaitable[None]]) -> ProgramFailed:
    async def supervise() -> None:
        async with Supervisor(write_line=Lines()) as supervisor:
            await steps(supervisor)

    with pytest.raises(ProgramFailed) as caught:
        await supervise()
    return caught.value


async def test_output_is_passed_on_by_name_and_line() -> None:
    lines = Lines()
    async with Supervisor(write_line=lines) as supervisor:
        await supervisor.run(
            python("speaker", "print('one'); print('zwei \\u20ac', flush=True); print('no newline', end='')")
        )
    assert lines.seen == [("speaker", "one"), ("speaker", "zwei €"), ("speaker", "no newline")]


async def test_a_line_without_an_end_is_cut_up() -> None:
    lines = Lines()
    async with Supervisor(write_line=lines) as supervisor:
        await supervisor.run(python("endless", "print('x' * 1_000_000)"))
    assert len(lines.seen) > 2
    assert "".join(line for _, line in lines.seen) == "x" * 1_000_000


async def test_until_ready_waits_for_200() -> None:
    lines, port = Lines(), free_port()
    async with Supervisor(write_line=lines) as supervisor:
        await supervisor.start(python("server", SLOW_TO_BE_READY, str(port)))
        await supervisor.until_ready("server", f"http://127.0.0.1:{port}/healthz")
        assert lines.seen == [("server", "asked")] * 3


async def test_until_ready_tells_what_a_program_said_that_ended_before() -> None:
    async def steps(supervisor: Supervisor) -> None:
        await supervisor.start(python("server", "print('no database'); raise SystemExit(4)"))
        await supervisor.until_ready("server", f"http://127.0.0.1:{free_port()}/healthz")

    failure = await failure_of(steps)
    assert str(failure) == "server exited (4); its last lines:\n  no database"
    assert failure.exit_code == 4


async def test_until_ready_gives_up_with_the_last_answer() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/healthz"
    never_ready = SLOW_TO_BE_READY.replace("[503, 503]", "itertools.repeat(503)")

    async def steps(supervisor: Supervisor) -> None:
        await supervisor.start(python("server", never_ready, str(port)))
        await supervisor.until_ready("server", url, seconds=4)

    failure = await failure_of(steps)
    assert str(failure).startswith(f"server was not ready within 4 s ({url}: status 503):\n  asked")


async def test_a_program_that_is_killed_stops_the_others() -> None:
    async def steps(supervisor: Supervisor) -> None:
        await supervisor.start(python("api", SLEEPER))
        await supervisor.start(python("worker", "import os; os.kill(os.getpid(), 9)"))
        await supervisor.wait()

    failure = await failure_of(steps)
    assert str(failure) == "worker was ended by SIGKILL without a word"
    assert failure.exit_code == 128 + signal.SIGKILL


async def test_a_program_that_ends_with_0_is_a_failure_too() -> None:
    async def steps(supervisor: Supervisor) -> None:
        await supervisor.start(python("worker", "pass"))
        await supervisor.wait()

    assert (await failure_of(steps)).exit_code == 1


async def test_something_that_others_started_can_be_watched() -> None:
    async def steps(supervisor: Supervisor) -> None:
        supervisor.watch("database", iter([None, None, 5]).__next__, never)
        await supervisor.wait()

    failure = await failure_of(steps)
    assert str(failure) == "database stopped unexpectedly (5)"
    assert failure.exit_code == 5


def never() -> None:
    raise AssertionError("it was started again")


async def test_after_revive_what_ends_is_started_again() -> None:
    lines, restarts = Lines(), list[str]()
    ends = iter([None, 5, None, None])
    async with Supervisor(write_line=lines) as supervisor:
        await supervisor.start(python("worker", SLEEPER))
        supervisor.watch("database", lambda: next(ends, None), lambda: restarts.append("again"))
        supervisor.revive()
        while not (pids := lines.of("worker")):
            await supervisor.run(python("marker", "pass"))
        os.kill(int(pids[0]), signal.SIGKILL)
        while len(pids := lines.of("worker")) < 2 or not restarts:
            await supervisor.run(python("marker", "pass"))
        assert is_running(int(pids[1]))
    assert restarts == ["again"]
    assert sorted(lines.of("florin")) == [
        "database stopped unexpectedly (5); starting it again",
        "worker was ended by SIGKILL; starting it again",
    ]
    assert not is_running(int(pids[1]))


async def test_what_cannot_be_started_again_stops_the_others() -> None:
    def broken() -> None:
        raise OSError("no space left on device")

    async def steps(supervisor: Supervisor) -> None:
        supervisor.revive()
        supervisor.watch("database", iter([5]).__next__, broken)
        await supervisor.wait()

    assert str(await failure_of(steps)) == (
        "database stopped unexpectedly (5), and cannot be started again: no space left on device"
    )


async def test_what_ends_again_and_again_stops_the_others() -> None:
    async def steps(supervisor: Supervisor) -> None:
        supervisor.revive()
        await supervisor.start(python("worker", "print('no database'); raise SystemExit(4)"))
        await supervisor.wait()

    failure = await failure_of(steps)
    assert str(failure) == "worker exited (4); its last lines:\n  no database"
    assert failure.exit_code == 4


async def test_run_wants_0() -> None:
    failure = await failure_of(
        lambda supervisor: supervisor.run(python("migrate", "print('no such revision'); raise SystemExit(2)"))
    )
    assert str(failure) == "migrate exited (2); its last lines:\n  no such revision"
    assert failure.exit_code == 2


async def test_programs_are_stopped_last_started_first() -> None:
    lines = Lines()
    source = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('stopped', flush=True), sys.exit()))\n"
        "print('up', flush=True)\n"
        "time.sleep(600)"
    )
    supervisor = Supervisor(write_line=lines)
    async with supervisor:
        for name in ("first", "second", "third"):
            await supervisor.start(python(name, source))
        await supervisor.run(python("marker", "pass"))
        while len(lines.seen) < 3:
            await supervisor.run(python("marker", "pass"))
    assert [name for name, line in lines.seen if line == "stopped"] == ["third", "second", "first"]


async def test_a_stop_ends_what_is_waited_for() -> None:
    async with Supervisor(write_line=Lines()) as supervisor:
        supervisor.request_stop()
        with pytest.raises(StopRequested):
            await supervisor.start(python("late", SLEEPER))
        await supervisor.run(python("never", SLEEPER))
    # The block swallowed StopRequested.


async def test_output_that_nobody_reads_means_stop() -> None:
    def closed(name: str, line: str) -> None:
        raise BrokenPipeError

    async with Supervisor(write_line=closed) as supervisor:
        await supervisor.start(python("speaker", SLEEPER))
        await supervisor.wait()


@contextmanager
def supervising(*sources: str, grace_seconds: float = 30.0) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Run a supervising process of its own; the block gets it and its children's process ids."""
    with running_python(SUPERVISING, str(grace_seconds), *sources) as process:
        yield process, [int(read_line(process).partition("|")[2]) for _ in sources]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(number: signal.Signals) -> None:
    with supervising(SLEEPER, SLEEPER) as (process, children):
        process.send_signal(number)
        assert process.wait(30) == 0
        assert not any(is_running(child) for child in children)


def test_a_second_signal_kills_what_would_not_stop() -> None:
    with supervising(STUBBORN, grace_seconds=600) as (process, children):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not any(is_running(child) for child in children)


def test_killing_the_supervisor_ends_the_programs() -> None:
    with supervising(SLEEPER, SLEEPER) as (process, children):
        process.kill()
        wait_until_ended(*children)


def test_killing_a_program_ends_the_supervisor_with_its_code() -> None:
    with supervising(SLEEPER, SLEEPER) as (process, children):
        os.kill(children[0], signal.SIGKILL)
        assert process.wait(30) == 128 + signal.SIGKILL
        assert not any(is_running(child) for child in children)
