"""Signing in with an identity provider, and every way to misuse it."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse

from api import sign_in_cookie
from api.sign_in_cookie import SignInCookie
from api.signing_keys import fixed_keys
from domain.ids import UserId
from gateways.identity import sign_in as provider_sign_in
from tests.api.application import SIGNING_KEY, Florin, running
from tests.api.forgery import by_hmac, forged, unsigned
from tests.support.browser_sign_in import (
    CHALLENGE,
    PUBLIC_URL,
    RETURN_URL,
    VERIFIER,
    Browser,
    browser_of,
    exchange,
    parameters,
    who,
)
from tests.support.captured_logs import captured_logs
from tests.support.database import rows
from tests.support.issuer import Issuer, issuing, now
from tests.support.waiting import until

CLIENT_ID = "florin-client"
SECRET = "canary-client-secret"
COOKIE = "__Host-florin-sign-in"


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as provider:
        yield provider


@pytest.fixture
async def florin(engine: AsyncEngine, issuer: Issuer) -> AsyncIterator[Florin]:
    providers = {
        "corp": {"issuer": issuer.url, "client_id": CLIENT_ID, "client_secret": SECRET},
        "other": {
            "issuer": "http://127.0.0.1:9",
            "client_id": CLIENT_ID,
            "client_secret": SECRET,
        },
    }
    settings = orjson.dumps(providers).decode()
    async with running(
        engine, identity_providers=settings, public_url=PUBLIC_URL, sign_in_return_urls=(RETURN_URL,)
    ) as application:
        yield application


@pytest.fixture
async def browser(florin: Florin) -> AsyncIterator[Browser]:
    opened = browser_of(florin)
    async with opened.http:
        yield opened


def id_token(issuer: Issuer, nonce: str, changes: Mapping[str, object]) -> str:
    """An ID token that holds, but for the changes: to None leaves a claim out; those to `header` are to the header."""
    claims = {**issuer.claims(aud=CLIENT_ID), "nonce": nonce, **changes}
    header = claims.pop("header", {})
    assert isinstance(header, dict)
    given = {name: value for name, value in claims.items() if value is not None}
    return issuer.signed(given, {"typ": "JWT", **header})


def answering(issuer: Issuer, token: str) -> None:
    answer = {"access_token": "opaque", "token_type": "Bearer", "expires_in": 3600, "id_token": token}
    issuer.wrong["/token"] = lambda: JSONResponse(answer)


async def came_back(browser: Browser, issuer: Issuer, **changes: object) -> dict[str, str]:
    """What the frontend is told after a sign-in whose ID token is as it should be, but for the changes."""
    asked = await browser.begun("corp")
    answering(issuer, id_token(issuer, asked["nonce"], changes))
    return await browser.told("corp", code="a-code", state=asked["state"])


async def nobody_came_in(florin: Florin) -> None:
    assert (
        await rows(florin.parts.engine, "SELECT issuer FROM identities UNION SELECT provider FROM sign_in_codes") == []
    )


async def test_a_sign_in_asks_by_pkce_and_ends_in_a_session_of_ours(
    florin: Florin, browser: Browser, issuer: Issuer
) -> None:
    response = await browser.start("corp")
    asked = parameters(response.headers["location"])
    assert asked["code_challenge_method"] == "S256"
    assert asked["response_type"] == "code"
    assert asked["redirect_uri"] == f"{PUBLIC_URL}/auth/corp/callback"
    assert asked["scope"] == "openid email profile"
    # Florin's own verifier, which is not the frontend's.
    assert asked["code_challenge"] != CHALLENGE
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    cookie = response.headers["set-cookie"]
    for part in (f"{COOKIE}=", "HttpOnly", "Max-Age=600", "Path=/", "SameSite=lax", "Secure"):
        assert part in cookie
    assert "Domain" not in cookie
    answering(issuer, id_token(issuer, asked["nonce"], {}))
    told = await browser.told("corp", code="a-code", state=asked["state"])
    assert set(told) == {"code"}
    assert issuer.forms[0]["code"] == "a-code"
    assert len(issuer.forms[0]["code_verifier"]) >= 43
    assert issuer.forms[0]["redirect_uri"] == asked["redirect_uri"]
    payload = await exchange(florin, told["code"])
    assert payload["tokens"]["session"] == {"kind": "SIGN_IN"}
    assert await who(florin, payload["tokens"]["accessToken"]) == {"email": "pat@corp.example", "role": "CUSTOMER"}
    audited = await rows(florin.parts.engine, "SELECT details FROM audit_entries WHERE action = 'session.started'")
    assert len(audited) == 1
    assert "'provider': 'corp'" in str(audited)


ELSEWHERE = (
    "",
    "https://evil.example/",
    f"{RETURN_URL}/",
    f"{RETURN_URL}?next=https://evil.example",
    f"{RETURN_URL}#x",
    f"{RETURN_URL}@evil.example",
    f"{RETURN_URL}.evil.example",
    RETURN_URL.upper(),
    RETURN_URL.replace("https", "http"),
    "//shop.example/signed-in",
    "javascript:alert(1)",
)


@pytest.mark.parametrize("return_to", ELSEWHERE)
async def test_nobody_is_sent_where_the_settings_do_not_say(browser: Browser, issuer: Issuer, return_to: str) -> None:
    response = await browser.start("corp", return_to=return_to)
    assert response.status_code == 400
    assert response.json()["code"] == "BAD_INPUT"
    assert "location" not in response.headers
    assert "set-cookie" not in response.headers
    assert issuer.asked == []


async def test_a_start_without_a_good_challenge_or_provider_is_refused(browser: Browser) -> None:
    for challenge in ("", "short", "x" * 44, "=" * 43, VERIFIER + "\n"):
        assert (await browser.start("corp", code_challenge=challenge)).status_code == 400
    assert (await browser.start("corp", code_challenge_method="plain")).status_code == 400
    twice = {"return_to": [RETURN_URL, "https://evil.example"], "code_challenge": CHALLENGE}
    assert (await browser.http.get("/auth/corp/start", params=twice)).status_code == 400
    for provider in ("unknown", "Corp", "corp%00", "../corp"):
        assert (await browser.start(provider)).status_code == 404
    assert (await browser.http.post("/auth/corp/start")).status_code == 405


async def test_sign_ins_count_against_the_address_that_they_come_from(engine: AsyncEngine, issuer: Issuer) -> None:
    providers = {"corp": {"issuer": issuer.url, "client_id": CLIENT_ID, "client_secret": SECRET}}
    async with running(
        engine,
        identity_providers=orjson.dumps(providers).decode(),
        public_url=PUBLIC_URL,
        sign_in_return_urls=(RETURN_URL,),
        address_requests_per_minute=3,
    ) as florin:
        opened = browser_of(florin)
        async with opened.http:
            statuses = [(await opened.start("corp")).status_code for _ in range(3)]
            refused = await opened.back("corp", code="c", state="s")
    assert statuses == [303, 303, 303]
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0


async def test_a_state_that_this_browser_did_not_begin_with_is_refused(
    florin: Florin, browser: Browser, issuer: Issuer
) -> None:
    asked = await browser.begun("corp")
    answering(issuer, id_token(issuer, asked["nonce"], {}))
    for state in ("", "x", asked["state"][:-1], asked["state"] + "x", "é"):
        response = await browser.back("corp", code="a-code", state=state)
        assert response.status_code == 400, state
    # Another browser, such as a victim's that follows the attacker's link.
    victim = browser_of(florin)
    async with victim.http:
        assert (await victim.back("corp", code="a-code", state=asked["state"])).status_code == 400
        await victim.begun("corp")
        assert (await victim.back("corp", code="a-code", state=asked["state"])).status_code == 400
    # And another provider.
    assert (await browser.back("other", code="a-code", state=asked["state"])).status_code == 400
    assert issuer.forms == []
    await nobody_came_in(florin)


async def test_a_cookie_that_is_not_ours_or_too_old_is_not_read(
    florin: Florin, browser: Browser, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await browser.begun("corp")
    good = browser.http.cookies[COOKIE]
    body, rest = good.split(".", 1)
    for bad in (
        body,
        f"{body}.",
        # The last letter of a signature holds four bits, which "B" has in common with "A".
        good[:-1] + ("A" if good[-1] != "A" else "E"),
        f"A{good}",
        f"{body[:-2]}AA.{rest}",
        "x" * 5000,
    ):
        browser.http.cookies.clear()
        response = await browser.http.get(
            "/auth/corp/callback",
            params={"code": "c", "state": asked["state"]},
            headers={"Cookie": f"{COOKIE}={bad}"},
        )
        assert response.status_code == 400, bad
    monkeypatch.setattr(sign_in_cookie, "LIFETIME_SECONDS", -1)
    browser.http.cookies.clear()
    response = await browser.http.get(
        "/auth/corp/callback", params={"code": "c", "state": asked["state"]}, headers={"Cookie": f"{COOKIE}={good}"}
    )
    assert response.status_code == 400
    assert issuer.forms == []


async def test_a_cookie_outlasts_the_rotation_of_keys_and_no_other_key_makes_one(florin: Florin) -> None:
    old, new, foreign = ("A" * 43, "E" * 43, "I" * 43)
    clock = florin.parts.clock
    under_way = sign_in_cookie.SignInUnderWay(
        provider="corp", state="s", nonce="n", verifier="v", challenge=CHALLENGE, return_to=RETURN_URL
    )
    response = Response()
    SignInCookie(fixed_keys(old), clock, secure=True).put(response, under_way)
    text = response.headers["set-cookie"].partition("=")[2].partition(";")[0]
    assert SignInCookie(fixed_keys(new, old), clock, secure=True).read(text) == under_way
    assert SignInCookie(fixed_keys(foreign), clock, secure=True).read(text) is None
    for secret in ("state='s'", "nonce='n'", "verifier='v'"):
        assert secret not in repr(under_way)


async def test_a_return_address_that_the_settings_no_longer_name_is_not_gone_to(
    florin: Florin, browser: Browser, issuer: Issuer
) -> None:
    """The cookie is ours and fresh; the address was struck from the settings while its browser was away."""
    response = Response()
    under_way = sign_in_cookie.SignInUnderWay(
        provider="corp", state="s", nonce="n", verifier="v", challenge=CHALLENGE, return_to="https://old.example/"
    )
    SignInCookie(fixed_keys(SIGNING_KEY), florin.parts.clock, secure=True).put(response, under_way)
    text = response.headers["set-cookie"].partition(";")[0]
    for told in ({"code": "c"}, {"error": "access_denied"}):
        back = await browser.http.get("/auth/corp/callback", params={"state": "s", **told}, headers={"Cookie": text})
        assert (back.status_code, "location" in back.headers) == (400, False)
    assert issuer.forms == []


CLAIMS: Mapping[str, Mapping[str, object]] = {
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "another audience": {"aud": "somebody-else"},
    "several audiences": {"aud": [CLIENT_ID, "somebody-else"]},
    "another party": {"azp": "somebody-else"},
    "another issuer": {"iss": "https://accounts.google.com"},
    "expired": {"exp": 1},
    "not valid yet": {"nbf": 4_000_000_000},
    "no subject": {"sub": None},
    "an access token": {"header": {"typ": "at+jwt"}},
    "an unknown key": {"header": {"kid": "x"}},
    "an address that is not verified": {"email_verified": False},
    "somebody else's address": {"email": "ada@example.com"},
}


@pytest.mark.parametrize("why", CLAIMS)
async def test_an_id_token_that_does_not_hold_lets_nobody_in(
    florin: Florin, browser: Browser, issuer: Issuer, why: str
) -> None:
    told = await came_back(browser, issuer, **CLAIMS[why])
    assert told["error"] == "UNAUTHENTICATED"
    await nobody_came_in(florin)


@pytest.mark.parametrize("sign", [unsigned, by_hmac(b""), by_hmac(SECRET.encode())])
@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256"])
async def test_an_id_token_that_the_provider_did_not_sign_lets_nobody_in(
    florin: Florin, browser: Browser, issuer: Issuer, algorithm: str, sign: Callable[[bytes], bytes]
) -> None:
    asked = await browser.begun("corp")
    claims = issuer.claims(aud=CLIENT_ID) | {"nonce": asked["nonce"]}
    answering(issuer, forged({"alg": algorithm, "typ": "JWT", "kid": "rsa-1"}, claims, sign))
    told = await browser.told("corp", code="a-code", state=asked["state"])
    assert told["error"] == "UNAUTHENTICATED"
    await nobody_came_in(florin)


async def test_what_the_provider_refuses_is_told_in_our_words(florin: Florin, browser: Browser, issuer: Issuer) -> None:
    asked = await browser.begun("corp")
    told = await browser.told(
        "corp", error="access_denied", error_description="<script>alert(1)</script>", state=asked["state"], code="x"
    )
    assert told == {"error": "UNAUTHENTICATED", "error_description": "The identity provider did not sign you in."}
    assert issuer.forms == []


async def test_an_answer_in_the_name_of_another_issuer_is_a_mix_up(
    florin: Florin, browser: Browser, issuer: Issuer
) -> None:
    issuer.discovery = {"authorization_response_iss_parameter_supported": True}
    for iss in ({}, {"iss": "https://evil.example"}, {"iss": issuer.url + "/"}):
        asked = await browser.begun("corp")
        assert (await browser.told("corp", code="c", state=asked["state"], **iss))["error"] == "UNAUTHENTICATED"
    assert issuer.forms == []
    asked = await browser.begun("corp")
    answering(issuer, id_token(issuer, asked["nonce"], {}))
    assert "code" in await browser.told("corp", code="c", state=asked["state"], iss=issuer.url)


def _too_large() -> Response:
    return JSONResponse({"id_token": "x" * 300_000})


def _deep() -> Response:
    return PlainTextResponse("[" * 100_000, media_type="application/json")


SILENT: Mapping[str, Callable[[], Response]] = {
    "an error": lambda: PlainTextResponse("no", 500),
    "no JSON": lambda: PlainTextResponse("<html>"),
    "a list": lambda: JSONResponse([1]),
    "a text": lambda: JSONResponse("x"),
    "deep JSON": _deep,
    "too large": _too_large,
    "another address": lambda: RedirectResponse("/elsewhere"),
    "no ID token": lambda: JSONResponse({"access_token": "x", "token_type": "Bearer"}),
    "an ID token that is none": lambda: JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": 7}),
    "our registration is wrong": lambda: JSONResponse({"error": "invalid_client"}, 401),
    "the code is used up": lambda: JSONResponse({"error": "invalid_grant"}, 400),
}


@pytest.mark.parametrize("why", SILENT)
async def test_a_provider_that_answers_nonsense_lets_nobody_in(
    florin: Florin, browser: Browser, issuer: Issuer, why: str
) -> None:
    asked = await browser.begun("corp")
    issuer.wrong["/token"] = SILENT[why]
    with captured_logs() as logs:
        told = await browser.told("corp", code="a-code", state=asked["state"])
    assert told["error"] in {"UNAVAILABLE", "UNAUTHENTICATED"}
    assert "Traceback" not in logs.text
    for secret in (SECRET, "a-code", asked["state"], asked["nonce"]):
        assert secret not in logs.text
    await nobody_came_in(florin)


async def test_a_provider_that_is_slow_or_down_is_unavailable_and_passwords_go_on(
    florin: Florin, browser: Browser, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_sign_in, "DEADLINE_SECONDS", 0.2)

    async def dripping() -> AsyncIterator[bytes]:
        yield b"{"
        await issuer.over.wait()

    asked = await browser.begun("corp")
    issuer.wrong["/token"] = lambda: StreamingResponse(dripping(), media_type="application/json")
    assert (await browser.told("corp", code="a-code", state=asked["state"]))["error"] == "UNAVAILABLE"
    response = await browser.start("other")
    assert parameters(response.headers["location"])["error"] == "UNAVAILABLE"
    assert (await who(florin, str(florin.ada.token)))["email"] == "ada@example.com"


async def test_our_code_is_good_once_also_when_several_come_at_once(
    florin: Florin, browser: Browser, issuer: Issuer
) -> None:
    code = (await came_back(browser, issuer))["code"]
    payloads = await asyncio.gather(*(exchange(florin, code) for _ in range(6)))
    assert sum(payload["tokens"] is not None for payload in payloads) == 1
    refused = [payload["errors"][0]["code"] for payload in payloads if payload["tokens"] is None]
    assert refused == ["INVALID_TOKEN"] * 5
    assert await rows(florin.parts.engine, "SELECT count(*) FROM sessions WHERE kind = 'SIGN_IN'") == [(1,)]
    assert code not in str(await rows(florin.parts.engine, "SELECT * FROM audit_entries"))


async def test_our_code_is_worth_nothing_without_the_verifier_and_used_up_by_trying(
    florin: Florin, browser: Browser, issuer: Issuer
) -> None:
    for wrong in ("w" * 43, CHALLENGE, "", "v" * 42, "v" * 129, "é" * 43):
        code = (await came_back(browser, issuer))["code"]
        for verifier in (wrong, VERIFIER):
            payload = await exchange(florin, code, verifier)
            assert payload["tokens"] is None
            assert payload["errors"][0]["code"] == "INVALID_TOKEN"
    assert await rows(florin.parts.engine, "SELECT count(*) FROM sessions WHERE kind = 'SIGN_IN'") == [(0,)]


async def test_whoever_is_disabled_while_their_code_is_exchanged_gets_no_session(
    florin: Florin, browser: Browser, issuer: Issuer
) -> None:
    """The user is being disabled, which ends their sessions: one that begins a moment later would outlive that."""
    code = (await came_back(browser, issuer))["code"]
    [(user_id,)] = await rows(florin.parts.engine, "SELECT user_id FROM sign_in_codes")
    assert isinstance(user_id, UUID)
    blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with florin.parts.units.begin() as uow:
        user = await uow.users.lock(UserId(user_id))
        assert user is not None
        exchanging = asyncio.create_task(exchange(florin, code))

        async def stopped() -> bool:
            return exchanging.done() or await rows(florin.parts.engine, blocked) != []

        await until(stopped)
        await uow.users.save(replace(user, disabled_at=florin.parts.clock.now()))
        await uow.sessions.revoke_all(user.id, florin.parts.clock.now())
    assert (await exchanging)["errors"][0]["code"] == "INVALID_TOKEN"
    assert await rows(florin.parts.engine, "SELECT 1 FROM sessions WHERE kind = 'SIGN_IN'") == []


@pytest.mark.parametrize("verifier", ["v" * 42, "v" * 129, "v" * 43 + "é"])
async def test_a_verifier_that_is_none_by_the_standard_proves_nothing(
    florin: Florin, browser: Browser, issuer: Issuer, verifier: str
) -> None:
    """RFC 7636, section 4.1: one that is too short could be found out from its challenge."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = parameters((await browser.start("corp", code_challenge=challenge)).headers["location"])
    answering(issuer, id_token(issuer, asked["nonce"], {}))
    code = (await browser.told("corp", code="a-code", state=asked["state"]))["code"]
    assert (await exchange(florin, code, verifier))["errors"][0]["code"] == "INVALID_TOKEN"
    assert await rows(florin.parts.engine, "SELECT count(*) FROM sessions WHERE kind = 'SIGN_IN'") == [(0,)]


async def test_our_code_ends_after_a_minute_and_with_its_user(florin: Florin, browser: Browser, issuer: Issuer) -> None:
    began = florin.parts.clock.now()
    await came_back(browser, issuer)
    [(ends,)] = await rows(florin.parts.engine, "SELECT expires_at FROM sign_in_codes")
    assert isinstance(ends, datetime)
    assert began <= ends - timedelta(minutes=1) <= florin.parts.clock.now()
    for end in (
        "UPDATE sign_in_codes SET expires_at = now() RETURNING 1",
        "UPDATE users SET disabled_at = now() WHERE email LIKE 'pat%' RETURNING 1",
    ):
        code = (await came_back(browser, issuer))["code"]
        await rows(florin.parts.engine, end)
        assert (await exchange(florin, code))["tokens"] is None
    told = await came_back(browser, issuer, iat=now() - 5)
    assert told["error"] == "UNAUTHENTICATED"
    for text in ("", "florin_code_", "florin_refresh_" + "x" * 43, "x" * 5000, "florin_code_\x00"):
        assert (await exchange(florin, text))["tokens"] is None
