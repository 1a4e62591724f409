"""The keys and documents of an identity provider: fetched, kept, exchanged, and not to be had."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import RSAAlgorithm
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse

from domain.errors import Unavailable
from gateways.identity import fetching
from gateways.identity.config import ProviderConfig
from gateways.identity.provider import Provider
from tests.api.application import Florin
from tests.api.providers.asking import ask, known
from tests.api.providers.conftest import Hand
from tests.support.captured_logs import captured_logs
from tests.support.issuer import Issuer, published


async def test_a_withdrawn_key_counts_for_ten_minutes_and_one_request(
    florin: Florin, issuer: Issuer, clock_of_providers: Hand
) -> None:
    assert (await ask(florin, issuer.token()))[0] == 200
    issuer.keys = [published("rsa-2")]
    clock_of_providers.seconds += 599
    assert (await ask(florin, issuer.token()))[0] == 200
    assert issuer.key_fetches == 1
    clock_of_providers.seconds += 1
    # Nobody waits for the new keys; they are there for the next.
    assert (await ask(florin, issuer.token()))[0] == 200
    (provider,) = florin.parts.providers.all
    if provider._keys._task is not None:
        await provider._keys._task
    assert issuer.key_fetches == 2
    assert (await ask(florin, issuer.token()))[:2] == (401, "UNAUTHENTICATED")
    assert issuer.key_fetches == 2


async def test_a_token_that_is_remembered_goes_with_its_key(
    florin: Florin, issuer: Issuer, clock_of_providers: Hand
) -> None:
    token = issuer.token()
    assert (await ask(florin, token))[0] == 200
    # Another key under the same id.
    other = RSAAlgorithm.to_jwk(generate_rsa(65537, 2048).public_key(), as_dict=True)
    issuer.keys = [{**published(), "n": other["n"]}]
    clock_of_providers.seconds += 3600
    assert (await ask(florin, token))[:2] == (401, "UNAUTHENTICATED")


async def test_a_key_that_is_new_is_fetched_at_once_and_unknown_ones_only_so_often(
    florin: Florin, issuer: Issuer, clock_of_providers: Hand
) -> None:
    assert (await ask(florin, issuer.token()))[0] == 200
    issuer.keys = [published("rsa-2")]
    clock_of_providers.seconds += 11
    assert (await ask(florin, issuer.token(header={"kid": "rsa-2"})))[0] == 200
    assert issuer.key_fetches == 2
    # The old one is gone with the same answer.
    assert (await ask(florin, issuer.token()))[0] == 401
    # An attacker's random key ids make us fetch nothing more, however many come at once.
    answers = await asyncio.gather(*(ask(florin, issuer.token(header={"kid": f"x{n}"})) for n in range(30)))
    assert {answer[:2] for answer in answers} == {(401, "UNAUTHENTICATED")}
    assert issuer.key_fetches == 2
    clock_of_providers.seconds += 11
    answers = await asyncio.gather(*(ask(florin, issuer.token(header={"kid": f"y{n}"})) for n in range(30)))
    assert {answer[:2] for answer in answers} == {(401, "UNAUTHENTICATED")}
    assert issuer.key_fetches == 3


async def test_keys_outlast_a_provider_that_is_down_for_an_hour_and_then_it_says_so(
    florin: Florin, issuer: Issuer, clock_of_providers: Hand
) -> None:
    assert (await ask(florin, issuer.token()))[0] == 200
    issuer.wrong = {
        path: lambda: PlainTextResponse("no", 500) for path in ("/keys", "/.well-known/openid-configuration")
    }
    clock_of_providers.seconds += 1800
    # The keys are past their best: what is there is used, and new ones are looked for meanwhile.
    assert (await ask(florin, issuer.token()))[0] == 200
    # Whether there is a key of this name nobody can tell now.
    assert (await ask(florin, issuer.token(header={"kid": "new"})))[:2] == (503, "UNAVAILABLE")
    clock_of_providers.seconds += 1801
    assert (await ask(florin, issuer.token()))[:2] == (503, "UNAVAILABLE")
    asked = len(issuer.asked)
    assert (await ask(florin, issuer.token()))[:2] == (503, "UNAVAILABLE")
    assert len(issuer.asked) == asked
    issuer.wrong = {}
    clock_of_providers.seconds += 11
    assert (await ask(florin, issuer.token()))[0] == 200


def _too_large(_: Issuer) -> Response:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65536

    return StreamingResponse(body(), media_type="application/json")


def _never_done(issuer: Issuer) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"keys": ['
        await issuer.over.wait()

    return StreamingResponse(body(), media_type="application/json")


BROKEN: Mapping[str, Callable[[Issuer], Response]] = {
    "an error": lambda _: PlainTextResponse("no", 500),
    "no JSON": lambda _: PlainTextResponse("<html>"),
    "deep JSON": lambda _: PlainTextResponse("[" * 100_000),
    "a list": lambda _: JSONResponse([]),
    "no keys": lambda _: JSONResponse({"keys": []}),
    "keys that are none": lambda _: JSONResponse(
        {"keys": [7, None, {}, {"kid": "rsa-1"}, {"kid": "rsa-1", "kty": "RSA"}]}
    ),
    "too many keys": lambda _: JSONResponse({"keys": [published()] * 51}),
    "a shared secret": lambda _: JSONResponse({"keys": [{"kty": "oct", "kid": "rsa-1", "k": "AAAA", "alg": "HS256"}]}),
    "a weak key": lambda _: JSONResponse({"keys": [_weak()]}),
    "a key for encryption": lambda _: JSONResponse({"keys": [published() | {"use": "enc"}]}),
    "bytes that are no text": lambda _: Response(b"\xff\xfe", media_type="application/json"),
    "another address": lambda _: RedirectResponse("/elsewhere"),
    "more than anybody needs": _too_large,
    "half an answer": _never_done,
}


def _weak() -> dict[str, object]:
    weak = generate_rsa(65537, 1024)  # noqa: S505  that is the point
    return {**jwt.algorithms.RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True), "kid": "rsa-1"}


@pytest.mark.parametrize("why", BROKEN)
@pytest.mark.parametrize("path", ["/keys", "/.well-known/openid-configuration"])
async def test_a_provider_that_answers_nonsense_locks_out_its_own_people_and_nobody_else(
    florin: Florin, issuer: Issuer, why: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "DEADLINE_SECONDS", 0.2)
    issuer.wrong = {path: lambda: BROKEN[why](issuer)}
    with captured_logs() as logs:
        assert (await ask(florin, issuer.token()))[:2] == (503, "UNAVAILABLE")
        assert (await ask(florin, str(florin.ada.token)))[0] == 200
    assert logs.named("identity_provider.silent")
    assert "Traceback" not in logs.text
    assert await known(florin) == []


async def test_while_a_provider_is_silent_own_tokens_and_keys_go_on(florin: Florin, issuer: Issuer) -> None:
    issuer.gate = asyncio.Event()
    waiting = asyncio.create_task(ask(florin, issuer.token()))
    assert (await ask(florin, str(florin.ada.token)))[0] == 200
    assert not waiting.done()
    issuer.gate.set()
    assert (await waiting)[0] == 200


async def test_a_discovery_document_of_another_issuer_is_not_believed(florin: Florin, issuer: Issuer) -> None:
    issuer.discovery = {"issuer": "https://accounts.google.com"}
    assert (await ask(florin, issuer.token()))[:2] == (503, "UNAVAILABLE")
    assert "/keys" not in issuer.asked


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize(
    "address", ["http://corp.example/x", "ftp://corp.example/x", "https:///x", "/x", "https://[", 7, None]
)
async def test_what_a_protected_issuer_names_is_protected_too(name: str, address: object) -> None:
    """Its keys and our secret must not go over the wire in the open because a document says so."""
    issuer = "https://corp.example"
    document: dict[str, object] = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/keys",
    }

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=document)

    async with fetching.open_client(httpx2.MockTransport(answer)) as client:
        good = Provider(ProviderConfig(name="corp", issuer=issuer), client)
        assert (await good.endpoints()).keys == f"{issuer}/keys"
        document[name] = address
        with pytest.raises(Unavailable):
            await Provider(ProviderConfig(name="corp", issuer=issuer), client).endpoints()
