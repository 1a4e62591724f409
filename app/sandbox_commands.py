"""`florin sandbox`: run the sandbox processor, or tell one that runs what to do."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote

import typer

from app.commands import CommandFailed

# Any: what the sandbox answers is open JSON.
Json: TypeAlias = dict[str, Any]

sandbox_app = typer.Typer(
    invoke_without_command=True,
    help="Run the sandbox processor, a strict stand-in that speaks Stripe's protocol; or, with a command, tell one that runs "
    "what to do. See docs/sandbox.md.",
)

_KEY = "sk_test_sandbox"
_TIMEOUT_SECONDS = 60.0

Url: TypeAlias = Annotated[str | None, typer.Option(envvar="SANDBOX_URL", help="Where the sandbox listens.")]
Key: TypeAlias = Annotated[str | None, typer.Option(envvar="SANDBOX_API_KEY", help="Its API key.")]
ReadyFile: TypeAlias = Annotated[
    Path, typer.Option(help="The ready file of `florin dev`, which names both where they are not given.")
]
Times: TypeAlias = Annotated[int | None, typer.Option(min=1, help="How often.")]
Seed: TypeAlias = Annotated[str | None, typer.Option(help="Determines the draws, so that a run can be repeated.")]
_READY_FILE = Path(".florin/ready.json")


@sandbox_app.callback()
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 12111,
    state: Annotated[Path | None, typer.Option(help="The file that keeps the state; without it, memory.")] = None,
    webhook_url: Annotated[str | None, typer.Option(help="Where to send webhooks.")] = None,
    api_key: Annotated[str, typer.Option(envvar="SANDBOX_API_KEY", help="The API key that it takes.")] = _KEY,
    webhook_secret: Annotated[
        str, typer.Option(envvar="SANDBOX_WEBHOOK_SECRET", help="The secret that signs webhooks.")
    ] = "whsec_sandbox",  # noqa: S107  documented: whoever reaches a sandbox may use it
) -> None:
    """Run the sandbox, unless there is a command."""
    if context.invoked_subcommand is not None:
        return
    from sandbox.server import SandboxConfig, WebhookTarget, run  # noqa: PLC0415  as in app/cli.py

    targets = () if webhook_url is None else (WebhookTarget(url=webhook_url, secret=webhook_secret),)
    try:
        config = SandboxConfig(port=port, state_path=state, api_keys=(api_key,), webhooks=targets)
        run(config, lambda url: print(f"The sandbox processor listens on {url}", flush=True))
    except (OSError, ValueError) as error:
        raise CommandFailed(f"The sandbox cannot start: {error}") from error


@sandbox_app.command()
def fault(
    endpoint: Annotated[str, typer.Argument(help="payment_intents.confirm, refunds.create, refunds.*, *, ...")],
    kind: Annotated[
        str, typer.Argument(help="drop-response, error-with-effect, rate-limit, ...: see docs/sandbox.md.")
    ],
    times: Times = None,
    probability: Annotated[float | None, typer.Option(min=0, max=1, help="With which chance, until healed.")] = None,
    seed: Seed = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="How long a delay is, or a drip takes.")] = None,
    url: Url = None,
    key: Key = None,
    ready_file: ReadyFile = _READY_FILE,
) -> None:
    """Let the next request to an endpoint go wrong, or several."""
    planned = {"endpoint": endpoint, "times": times, "probability": probability, "seed": seed, "seconds": seconds}
    _plan(_Sandbox(url, key, ready_file), kind, planned)


@sandbox_app.command()
def webhooks(
    lose: Annotated[float | None, typer.Option(min=0, max=1, help="The share that is never delivered.")] = None,
    double: Annotated[float | None, typer.Option(min=0, max=1, help="The share that is delivered twice.")] = None,
    reorder: Annotated[float | None, typer.Option(min=0, max=1, help="The share that the next one passes.")] = None,
    late: Annotated[float | None, typer.Option(min=0, max=1, help="The share that comes late, by --seconds.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="How late, by the sandbox's clock.")] = None,
    event: Annotated[str, typer.Option(help="Which events: charge.succeeded, charge.dispute.*, ...")] = "*",
    times: Times = None,
    seed: Seed = None,
    url: Url = None,
    key: Key = None,
    ready_file: ReadyFile = _READY_FILE,
) -> None:
    """Let the deliveries of webhooks go wrong, each in its share of cases, until healed."""
    shares = {"lose": lose, "double": double, "reorder": reorder, "late": late}
    if all(share is None for share in shares.values()):
        raise CommandFailed("Say what is to go wrong: --lose, --double, --reorder or --late.")
    if (late is None) is not (seconds is None):
        raise CommandFailed("--late and --seconds go together.")
    sandbox = _Sandbox(url, key, ready_file)
    for kind, share in shares.items():
        if share is not None:
            planned = {"event": event, "times": times, "probability": share, "seed": seed}
            _plan(sandbox, kind, {**planned, "seconds": seconds if kind == "late" else None})


@sandbox_app.command()
def faults(url: Url = None, key: Key = None, ready_file: ReadyFile = _READY_FILE) -> None:
    """Show the faults that were planned, and how often each has happened."""
    listed = _Sandbox(url, key, ready_file).call("GET", "faults")["data"]
    for each in listed:
        print(_line(each))
    if not listed:
        print("No fault is planned.")


@sandbox_app.command()
def heal(url: Url = None, key: Key = None, ready_file: ReadyFile = _READY_FILE) -> None:
    """Clear every fault."""
    print(f"{_Sandbox(url, key, ready_file).call('DELETE', 'faults')['deleted']} faults cleared.")


@sandbox_app.command()
def dispute(
    payment: Annotated[str, typer.Argument(help="The PaymentIntent (pi_...) or charge (ch_...).")],
    amount: Annotated[int | None, typer.Option(min=1, help="In minor units; all of it when absent.")] = None,
    reason: Annotated[str, typer.Option(help="Stripe's word for it.")] = "fraudulent",
    inquiry: Annotated[bool, typer.Option("--inquiry", help="The bank only asks, and takes no money yet.")] = False,
    url: Url = None,
    key: Key = None,
    ready_file: ReadyFile = _READY_FILE,
) -> None:
    """Open a dispute on a payment."""
    named = "charge" if payment.startswith("ch_") else "payment_intent"
    asked = {named: payment, "amount": amount, "reason": reason, "inquiry": inquiry}
    _tell(_Sandbox(url, key, ready_file).call("POST", "disputes", asked))


@sandbox_app.command()
def win(dispute_id: str, url: Url = None, key: Key = None, ready_file: ReadyFile = _READY_FILE) -> None:
    """Decide a dispute for the merchant: the money comes back."""
    _tell(_Sandbox(url, key, ready_file).settle("disputes", dispute_id, "win"))


@sandbox_app.command()
def lose(dispute_id: str, url: Url = None, key: Key = None, ready_file: ReadyFile = _READY_FILE) -> None:
    """Decide a dispute against the merchant."""
    _tell(_Sandbox(url, key, ready_file).settle("disputes", dispute_id, "lose"))


@sandbox_app.command()
def escalate(dispute_id: str, url: Url = None, key: Key = None, ready_file: ReadyFile = _READY_FILE) -> None:
    """Make a dispute of an inquiry: the money is taken."""
    _tell(_Sandbox(url, key, ready_file).settle("disputes", dispute_id, "escalate"))


@sandbox_app.command()
def settle(
    object_id: Annotated[str, typer.Argument(help="A PaymentIntent that is processing, or a refund.")],
    outcome: Annotated[str, typer.Argument(help="succeed or fail; a refund may fail after it has succeeded.")],
    url: Url = None,
    key: Key = None,
    ready_file: ReadyFile = _READY_FILE,
) -> None:
    """Say how a payment ends that is processing, or a refund."""
    resource = "refunds" if object_id.startswith("re_") else "payment_intents"
    _tell(_Sandbox(url, key, ready_file).settle(resource, object_id, outcome))


@sandbox_app.command()
def advance(
    days: Annotated[float, typer.Option(min=0)] = 0,
    hours: Annotated[float, typer.Option(min=0)] = 0,
    minutes: Annotated[float, typer.Option(min=0)] = 0,
    seconds: Annotated[float, typer.Option(min=0)] = 0,
    url: Url = None,
    key: Key = None,
    ready_file: ReadyFile = _READY_FILE,
) -> None:
    """Move the sandbox's clock forward. What becomes due by it happens at once."""
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not total:
        raise CommandFailed("Say how far: --days, --hours, --minutes or --seconds.")
    _tell_clock(_Sandbox(url, key, ready_file).call("POST", "clock", {"advance_seconds": total}))


@sandbox_app.command()
def clock(
    hold: Annotated[bool | None, typer.Option("--hold/--release", help="Stop it, or let it go on.")] = None,
    url: Url = None,
    key: Key = None,
    ready_file: ReadyFile = _READY_FILE,
) -> None:
    """Show the sandbox's clock; stop it, so that all that happens has the same second."""
    sandbox = _Sandbox(url, key, ready_file)
    _tell_clock(sandbox.call("GET", "clock") if hold is None else sandbox.call("POST", "clock", {"held": hold}))


class _Sandbox:
    """A sandbox that runs somewhere. Every method raises CommandFailed in one line."""

    def __init__(self, url: str | None, key: str | None, ready_file: Path) -> None:
        if url is None:
            ready = _read(ready_file)
            url, key = ready["processor_url"], key or ready["processor_key"]
        self._url, self._key = url.rstrip("/"), key or _KEY

    def call(self, method: str, control: str, parameters: Mapping[str, object] | None = None) -> Json:
        """Parameters that are None are left out."""
        import httpx2  # noqa: PLC0415  as in app/cli.py

        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        try:
            with httpx2.Client(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
                response = client.request(
                    method,
                    f"{self._url}/_sandbox/{control}",
                    headers={"Authorization": f"Bearer {self._key}"},
                    json=given if method == "POST" else None,
                )
        except httpx2.ConnectError as error:
            raise CommandFailed(
                f"Nothing listens on {self._url}. Start it with `florin sandbox` or `florin dev`."
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise CommandFailed(f"{self._url} did not answer: {type(error).__name__}") from error
        return _answer(response.status_code, response.content, self._url)

    def settle(self, resource: str, object_id: str, outcome: str) -> Json:
        return self.call("POST", f"{resource}/{quote(object_id, safe='')}/settle", {"outcome": outcome})


def _read(ready_file: Path) -> Json:
    try:
        ready: object = json.loads(ready_file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CommandFailed(
            f"Which sandbox? There is no {ready_file}, which a running `florin dev` keeps. Give --url, or set SANDBOX_URL."
        ) from error
    except (OSError, ValueError) as error:
        raise CommandFailed(f"{ready_file} cannot be read: {error}") from error
    if not isinstance(ready, dict) or not {"processor_url", "processor_key"} <= set(ready):
        raise CommandFailed(f"{ready_file} is not the ready file of `florin dev`.")
    return ready


def _answer(status: int, content: bytes, url: str) -> Json:
    try:
        answer = json.loads(content)
        if status == 200:
            return dict(answer)
        message: str = answer["error"]["message"]
    except (ValueError, TypeError, KeyError) as error:
        raise CommandFailed(f"What listens on {url} is not a sandbox: it answered {status}.") from error
    raise CommandFailed(message)


def _plan(sandbox: _Sandbox, kind: str, planned: Mapping[str, object]) -> None:
    print(_line(sandbox.call("POST", "faults", {"kind": kind.replace("-", "_"), **planned})))


def _line(planned: Json) -> str:
    remaining = "until healed" if planned["remaining"] is None else f"{planned['remaining']} left"
    chance = "" if planned["probability"] == 1 else f", chance {planned['probability']:g}, seed {planned['seed']}"
    seconds = "" if planned["seconds"] is None else f", {planned['seconds']:g} s"
    target = planned["endpoint"] or planned["event"]
    return (
        f"{planned['id']} {target} {planned['kind'].replace('_', '-')}{seconds}{chance}: "
        f"{remaining}, happened {planned['fired']} times"
    )


def _tell(changed: Json) -> None:
    print(f"{changed['id']} {changed['status']} {changed['amount']} {changed['currency']}")


def _tell_clock(told: Json) -> None:
    now = datetime.fromtimestamp(told["now"], UTC).isoformat()
    print(f"The sandbox's clock {'stands still at' if told['held'] else 'says'} {now}.")
