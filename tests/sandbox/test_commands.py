"""`florin sandbox` with a command, against a sandbox that runs; and every command and document that docs/sandbox.md shows."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from app.cli import app
from app.commands import CommandFailed
from sandbox.faults import OF_EVENTS, FaultKind
from tests.support.commands import FLORIN, clean, florin

_KEY = "sk_test_of_these_tests"
_PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
_CARD = {"payment_method_types[]": "card"}


class _Running:
    """A sandbox in a process of its own, because the commands block while they wait for it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.environment = {"SANDBOX_URL": url, "SANDBOX_API_KEY": _KEY}
        self.client = httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {_KEY}"}, trust_env=False, timeout=60
        )

    def pay(self, payment_method: str = "pm_card_visa") -> dict[str, Any]:
        form = {"amount": "1099", "currency": "usd", "confirm": "true", "payment_method": payment_method, **_CARD}
        return self.post("/v1/payment_intents", form)

    def post(self, path: str, form: dict[str, str]) -> dict[str, Any]:
        response = self.client.post(path, data=form)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.get(path).json()
        return answer

    def run(self, *arguments: str) -> str:
        """What the command prints. Raises CommandFailed as it does."""
        result = CliRunner().invoke(app, ["sandbox", *arguments], env=self.environment, catch_exceptions=True)
        if result.exception is not None:
            raise result.exception
        return result.stdout


@contextmanager
def _listening(state: Path) -> Iterator[_Running]:
    command = [FLORIN, "sandbox", "--port", "0", "--state", str(state)]
    environment = clean({"SANDBOX_API_KEY": _KEY})
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        running = _Running(process.stdout.readline().split()[-1])
        try:
            yield running
        finally:
            running.client.close()
            process.terminate()


@pytest.fixture(scope="module")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture(scope="module")
def started(state_folder: Path) -> Iterator[_Running]:
    with _listening(state_folder / "state.db") as running:
        yield running


@pytest.fixture
def running(started: _Running) -> Iterator[_Running]:
    yield started
    started.client.delete("/_sandbox/faults")


def test_a_fault_is_planned_shown_and_healed(running: _Running) -> None:
    planned = running.run("fault", "payment_intents.create", "rate-limit", "--times", "2")
    assert "payment_intents.create rate-limit: 2 left, happened 0 times" in planned
    assert running.client.post("/v1/payment_intents", data={"amount": "1099", "currency": "usd"}).status_code == 429
    assert "rate-limit: 1 left, happened 1 times" in running.run("faults")
    assert running.run("heal") == "1 faults cleared.\n"
    assert running.run("faults") == "No fault is planned.\n"
    running.pay()


def test_webhooks_are_given_one_fault_for_each_share(running: _Running) -> None:
    running.run("webhooks", "--lose", "0.5", "--late", "0.25", "--seconds", "60", "--event", "charge.*", "--seed", "7")
    planned = running.get("/_sandbox/faults")["data"]
    assert [(each["kind"], each["event"], each["probability"], each["seconds"], each["seed"]) for each in planned] == [
        ("lose", "charge.*", 0.5, None, "7"),
        ("late", "charge.*", 0.25, 60, "7"),
    ]


def test_a_dispute_is_opened_and_decided(running: _Running) -> None:
    intent = running.pay()
    opened = running.run("dispute", intent["id"], "--amount", "500", "--reason", "duplicate").split()
    assert opened[1:] == ["needs_response", "500", "usd"]
    assert running.run("win", opened[0]).split()[1] == "won"
    again = running.run("dispute", intent["latest_charge"], "--inquiry").split()
    assert again[1] == "warning_needs_response"
    assert running.run("escalate", again[0]).split()[1] == "needs_response"
    assert running.run("lose", again[0]).split()[1] == "lost"


def test_a_payment_and_a_refund_are_settled(running: _Running) -> None:
    processing = running.pay("pm_sandbox_processing")
    assert running.run("settle", processing["id"], "succeed").split()[1] == "succeeded"
    refund = running.post("/v1/refunds", {"payment_intent": processing["id"]})
    assert running.run("settle", refund["id"], "fail").split()[1] == "failed"


def test_the_clock_is_moved_and_stopped(running: _Running) -> None:
    before = running.get("/_sandbox/clock")["now"]
    running.run("advance", "--days", "1", "--hours", "1")
    assert running.get("/_sandbox/clock")["now"] >= before + 25 * 3_600
    assert "stands still at" in running.run("clock", "--hold")
    held = running.get("/_sandbox/clock")
    assert held["held"] is True
    assert "says" in running.run("clock", "--release")
    assert running.get("/_sandbox/clock")["held"] is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fault", "refunds.make", "rate-limit"], "No endpoint is called refunds.make"),
        (["fault", "refunds.create", "bad-mood"], "Invalid kind"),
        (["dispute", "pi_none"], "No such payment_intent: 'pi_none'"),
        (["win", "du_none"], "No such dispute"),
        (["settle", "re_none", "succeed"], "No such refund"),
        (["settle", "re_none", "perhaps"], "Invalid outcome"),
        (["webhooks"], "Say what is to go wrong"),
        (["webhooks", "--late", "1"], "--late and --seconds go together"),
        (["advance"], "Say how far"),
        (["faults", "--key", "sk_test_wrong"], "Invalid API Key"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(running: _Running, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandFailed, match=re.escape(said)) as refused:
        running.run(*arguments)
    assert len(str(refused.value).splitlines()) == 1
    assert running.get("/_sandbox/faults")["data"] == []


def test_the_ready_file_names_the_sandbox(running: _Running, tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    ready_file.write_text(json.dumps({"processor_url": running.url, "processor_key": _KEY}))
    result = CliRunner().invoke(app, ["sandbox", "faults", "--ready-file", str(ready_file)])
    assert result.stdout == "No fault is planned.\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "There is no"), ("{", "cannot be read"), ("{}", "is not the ready file"), ("[]", "is not the ready file")],
)
def test_a_ready_file_that_names_none_is_told(tmp_path: Path, content: str | None, said: str) -> None:
    ready_file = tmp_path / "ready.json"
    if content is not None:
        ready_file.write_text(content)
    with pytest.raises(CommandFailed, match=said):
        raise (
            CliRunner().invoke(app, ["sandbox", "faults", "--ready-file", str(ready_file)]).exception or AssertionError
        )


def test_where_nothing_listens_the_program_says_so_and_fails() -> None:
    done = florin("sandbox", {"SANDBOX_URL": "http://127.0.0.1:9"}, "faults")
    said = "florin: Nothing listens on http://127.0.0.1:9. Start it with `florin sandbox` or `florin dev`.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _PAGE, re.DOTALL)


def test_the_commands_of_the_documentation_work(running: _Running) -> None:
    values = {
        "PAYMENT": running.pay()["id"],
        "REFUND": running.post("/v1/refunds", {"payment_intent": running.pay()["id"]})["id"],
        "PROCESSING": running.pay("pm_sandbox_processing")["id"],
        "DISPUTE": "",
        "INQUIRY": "",
    }
    shown = [line for block in _blocks("sh") for line in block.splitlines() if not line.startswith("florin sandbox --")]
    assert len(shown) > 30
    for line in shown:
        program, group, *arguments = shlex.split(Template(line).substitute(values))
        assert (program, group) == ("florin", "sandbox")
        said = running.run(*arguments)
        if arguments[0] == "dispute":
            values["INQUIRY" if "--inquiry" in arguments else "DISPUTE"] = said.split()[0]


def test_the_documents_of_the_documentation_are_taken(running: _Running) -> None:
    for document in _blocks("json"):
        response = running.client.post("/_sandbox/faults", json=json.loads(document))
        assert response.status_code == 200, response.text


def test_every_kind_of_fault_is_documented_with_a_command() -> None:
    commands = "\n".join(_blocks("sh"))
    for kind in FaultKind:
        assert f"| `{kind}` |" in _PAGE
        assert (f"--{kind} " if kind in OF_EVENTS else f" {kind.replace('_', '-')}") in commands
