"""A client of the sandbox that speaks plain forms, independent of stripe-python and of the sandbox's own code."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias
from urllib.parse import urlencode

import httpx2
import uvicorn

from sandbox.machine import Machine
from sandbox.server import HttpConnection, SandboxConfig, create_app

# Any: answers are JSON, and the tests are there to say what is in it.
Json: TypeAlias = dict[str, Any]

KEY = "sk_test_sandbox"
CARD: Mapping[str, str] = {"payment_method_types[]": "card"}


class Driver:
    def __init__(self, client: httpx2.AsyncClient, machine: Machine) -> None:
        self.client = client
        self.machine = machine

    async def send(
        self, method: str, path: str, params: Mapping[str, object] | None = None, **headers: str
    ) -> httpx2.Response:
        """Parameters as a form or a query; header names with underscores for dashes."""
        encoded = urlencode([(name, _text(value)) for name, value in (params or {}).items()])
        sent = {"Authorization": f"Bearer {KEY}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if method == "POST":
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
            return await self.client.request(method, path, content=encoded, headers=sent)
        return await self.client.request(method, f"{path}?{encoded}" if encoded else path, headers=sent)

    async def post(self, path: str, params: Mapping[str, object] | None = None, **headers: str) -> Json:
        return _body(await self.send("POST", path, params, **headers), 200)

    async def get(self, path: str, params: Mapping[str, object] | None = None) -> Json:
        return _body(await self.send("GET", path, params), 200)

    async def delete(self, path: str) -> Json:
        return _body(await self.send("DELETE", path), 200)

    async def refused(
        self, status: int, method: str, path: str, params: Mapping[str, object] | None = None, **headers: str
    ) -> Json:
        """The error that the request is answered with."""
        error: Json = _body(await self.send(method, path, params, **headers), status)["error"]
        return error

    async def pay(self, payment_method: str = "pm_card_visa", **params: object) -> Json:
        """Create and confirm; 1,099 US cents unless told otherwise."""
        return await self.post("/v1/payment_intents", _payment(payment_method, params))

    async def declined(self, payment_method: str, **params: object) -> Json:
        return await self.refused(402, "POST", "/v1/payment_intents", _payment(payment_method, params))

    async def unconfirmed(self, **params: object) -> Json:
        return await self.post("/v1/payment_intents", {"amount": 1099, "currency": "usd", **CARD, **params})

    async def charge_of(self, intent: Json) -> Json:
        return await self.get(f"/v1/charges/{intent['latest_charge']}")

    async def event_types(self) -> list[str]:
        """Oldest first."""
        events = await self.get("/v1/events", {"limit": 100})
        return [event["type"] for event in reversed(events["data"])]

    async def control(self, path: str, parameters: Json) -> Json:
        """One of the sandbox's own controls, which take JSON as well as forms."""
        headers = {"Authorization": f"Bearer {KEY}"}
        return _body(await self.client.post(f"/_sandbox/{path}", json=parameters, headers=headers), 200)

    async def fault(self, endpoint: str, kind: str, **parameters: object) -> Json:
        return await self.control("faults", {"endpoint": endpoint, "kind": kind, **parameters})

    async def pass_time(self, seconds: float) -> None:
        await self.post("/_sandbox/clock", {"advance_seconds": seconds})

    async def authenticate(self, intent: Json, outcome: str) -> httpx2.Response:
        """Open the 3-D Secure page and press one of its buttons."""
        action = intent["next_action"]
        url = action.get("redirect_to_url", {}).get("url") or action["use_stripe_sdk"]["stripe_js"]
        page = await self.client.get(url)
        token = page.text.partition('name="token" value="')[2].partition('"')[0]
        return await self.client.post(url, data={"token": token, "outcome": outcome})


def _payment(payment_method: str, params: Mapping[str, object]) -> dict[str, object]:
    return {"amount": 1099, "currency": "usd", "confirm": True, "payment_method": payment_method, **CARD, **params}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _body(response: httpx2.Response, status: int) -> Json:
    assert response.status_code == status, response.text
    body: Json = response.json()
    return body


@asynccontextmanager
async def driving(config: SandboxConfig) -> AsyncIterator[Driver]:
    """A sandbox in this process, without its background work: time passes only when the test moves the clock."""
    app = create_app(config)
    machine: Machine = app.state.machine
    transport = httpx2.ASGITransport(app=app)
    try:
        async with httpx2.AsyncClient(transport=transport, base_url=config.base_url) as client:
            yield Driver(client, machine)
    finally:
        machine.close()


@asynccontextmanager
async def listening(config: SandboxConfig) -> AsyncIterator[Driver]:
    """A sandbox on a real port of its own, with webhooks and timers running."""
    with socket.create_server((config.host, 0)) as listener:
        config = replace(config, port=listener.getsockname()[1])
        app = create_app(config)
        server = uvicorn.Server(uvicorn.Config(app, http=HttpConnection, log_config=None, lifespan="on", ws="none"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with httpx2.AsyncClient(base_url=config.base_url, timeout=30, trust_env=False) as client:
                yield Driver(client, app.state.machine)
        finally:
            server.should_exit = True
            await serving
