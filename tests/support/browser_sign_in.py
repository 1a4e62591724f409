"""A browser that signs in with an identity provider, and the frontend that it comes back to."""

import base64
import hashlib
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import httpx2

from tests.api.application import Client, Florin, Json

PUBLIC_URL = "https://florin.example"
RETURN_URL = "https://shop.example/signed-in"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()

EXCHANGE = """mutation Exchange($input: SignInWithProviderInput!) {
  signInWithProvider(input: $input) { tokens { accessToken refreshToken session { kind } } errors { code message path } }
}"""


def parameters(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


@dataclass(slots=True)
class Browser:
    """Keeps cookies as browsers do, those that TLS alone may carry included."""

    http: httpx2.AsyncClient

    async def start(self, provider: str, **changes: str) -> httpx2.Response:
        asked = {"return_to": RETURN_URL, "code_challenge": CHALLENGE, **changes}
        return await self.http.get(f"/auth/{provider}/start", params=asked)

    async def begun(self, provider: str) -> dict[str, str]:
        """What the provider is asked by a sign-in that begins."""
        response = await self.start(provider)
        assert response.status_code == 303, response.text
        return parameters(response.headers["location"])

    async def back(self, provider: str, **told: str) -> httpx2.Response:
        return await self.http.get(f"/auth/{provider}/callback", params=told)

    async def told(self, provider: str, **told: str) -> dict[str, str]:
        """What the frontend is told when the browser comes back to it."""
        response = await self.back(provider, **told)
        assert response.status_code == 303, response.text
        address = response.headers["location"]
        assert address.startswith(f"{RETURN_URL}?")
        return parameters(address)


def browser_of(florin: Florin) -> Browser:
    transport = httpx2.ASGITransport(app=florin.app)
    return Browser(httpx2.AsyncClient(transport=transport, base_url=PUBLIC_URL))


async def exchange(florin: Florin, code: str, verifier: str = VERIFIER) -> Json:
    """The payload of signInWithProvider."""
    answer = await florin.anonymous.ask(EXCHANGE, {"input": {"code": code, "codeVerifier": verifier}})
    payload: Json = answer["signInWithProvider"]
    return payload


async def who(florin: Florin, token: str) -> Json:
    me: Json = (await Client(florin.http, token).ask("{ me { email role } }"))["me"]
    return me
