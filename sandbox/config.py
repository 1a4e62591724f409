"""How a sandbox is started."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """An endpoint that exists from the start, with a secret (whsec_...) that its receiver already knows."""

    url: str
    secret: str
    enabled_events: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """`port` 0 takes a free one. `state_path` None keeps everything in memory. `public_base_url` is what payers'
    browsers are sent to, without a trailing slash; None means the address that is listened on.

    `settlement_delay_seconds` is how long, by the sandbox's clock, pending refunds, failing refunds, disputes and
    asynchronous captures take. `latency_seconds` is how long a POST with an idempotency key executes before it has any
    effect: while it does, the same key is answered 409.
    """

    host: str = "127.0.0.1"
    port: int = 12111
    state_path: Path | None = None
    api_keys: tuple[str, ...] = ("sk_test_sandbox",)
    public_base_url: str | None = None
    webhooks: tuple[WebhookTarget, ...] = ()
    settlement_delay_seconds: float = 2.0
    latency_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.api_keys or not all(key.startswith("sk_test_") for key in self.api_keys):
            # A live key has no business here: whoever configures one is about to test with real money.
            raise ValueError("the sandbox takes one or more API keys, each beginning with sk_test_")

    @property
    def base_url(self) -> str:
        if self.public_base_url is not None:
            return self.public_base_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"
