"""Signing in with Google and Okta, as an emulator of both does it that others wrote (the npm package emulate)."""

import asyncio
import html
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.processes.ports import free_port
from tests.api.application import Client, Florin, running
from tests.support.browser_sign_in import PUBLIC_URL, RETURN_URL, Browser, browser_of, exchange, parameters, who
from tests.support.database import rows
from tests.support.npm import NODE, installed_in

HERE = Path(__file__).parent
CLIENT_ID, CLIENT_SECRET = "florin-client", "florin-client-secret"
_DEADLINE_SECONDS = 60


@asynccontextmanager
async def emulating(service: str) -> AsyncIterator[str]:
    """The emulator's address, until the block ends."""
    wanted = {
        "service": service,
        "port": free_port(),
        "clientId": CLIENT_ID,
        "clientSecret": CLIENT_SECRET,
        "redirectUri": f"{PUBLIC_URL}/auth/{service}/callback",
    }
    process = await asyncio.create_subprocess_exec(
        *(*NODE, "emulator.mjs", orjson.dumps(wanted).decode()),
        cwd=installed_in(HERE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            told = orjson.loads(await process.stdout.readline())
        yield told["url"]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


@pytest.fixture(scope="session")
async def google() -> AsyncIterator[str]:
    async with emulating("google") as url:
        yield url


@pytest.fixture(scope="session")
async def okta() -> AsyncIterator[str]:
    async with emulating("okta") as url:
        yield url


@pytest.fixture
async def florin(engine: AsyncEngine, google: str, okta: str) -> AsyncIterator[Florin]:
    # The emulator of Google takes a client's secret in the form alone.
    client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "client_authentication": "client_secret_post"}
    providers = {
        "google": {"issuer": google, **client},
        "okta": {
            "issuer": f"{okta}/oauth2/default",
            "audience": "api://default",
            "token_types": ["at+jwt", "JWT"],
            **client,
            "scopes": ["openid", "email", "profile", "groups"],
            "role_claim": "groups",
            "roles": {"payments-support": "SUPPORT"},
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


async def chosen(address: str, who: str) -> dict[str, str]:
    """Choose an account on the provider's page; what it sends the browser back with."""
    async with httpx2.AsyncClient() as outside:
        page = (await outside.get(address)).raise_for_status().text
        forms = re.findall(r"<form.*?</form>", page, re.DOTALL)
        (form,) = [form for form in forms if who in form]
        action = re.search(r'action="([^"]+)"', form)
        assert action is not None
        fields = {
            html.unescape(name): html.unescape(value)
            for name, value in re.findall(r'<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"', form)
        }
        target = httpx2.URL(address).join(html.unescape(action[1]))
        back = await outside.post(target, data=fields)
    assert back.status_code == 302, back.text
    assert back.headers["location"].startswith(f"{PUBLIC_URL}/auth/")
    return parameters(back.headers["location"])


async def chosen_at(browser: Browser, provider: str, who: str) -> dict[str, str]:
    response = await browser.start(provider)
    return await chosen(response.headers["location"], who)


@pytest.mark.parametrize(("provider", "role"), [("google", "CUSTOMER"), ("okta", "SUPPORT")])
async def test_a_browser_signs_in_and_the_frontend_gets_a_session(
    florin: Florin, browser: Browser, provider: str, role: str
) -> None:
    for _ in range(2):
        back = await chosen_at(browser, provider, "pat@corp.example")
        told = await browser.told(provider, **back)
        assert set(told) == {"code"}
        payload = await exchange(florin, told["code"])
        assert payload["errors"] == []
        assert await who(florin, payload["tokens"]["accessToken"]) == {"email": "pat@corp.example", "role": role}
    # Twice the same person.
    assert await rows(florin.parts.engine, "SELECT count(*) FROM identities") == [(1,)]


async def test_one_address_at_two_providers_is_not_one_person(florin: Florin, browser: Browser) -> None:
    first = await browser.told("okta", **await chosen_at(browser, "okta", "pat@corp.example"))
    second = await browser.told("google", **await chosen_at(browser, "google", "pat@corp.example"))
    assert "code" in first
    assert second["error"] == "UNAUTHENTICATED"
    assert await rows(florin.parts.engine, "SELECT count(*) FROM identities") == [(1,)]


@pytest.mark.parametrize("account", ["ada@example.com", "unproven@corp.example"])
async def test_neither_a_taken_nor_an_unverified_address_lets_anybody_in(
    florin: Florin, browser: Browser, account: str
) -> None:
    users = await rows(florin.parts.engine, "SELECT count(*) FROM users")
    told = await browser.told("google", **await chosen_at(browser, "google", account))
    assert set(told) == {"error", "error_description"}
    assert await rows(florin.parts.engine, "SELECT count(*) FROM users") == users
    assert await rows(florin.parts.engine, "SELECT count(*) FROM identities") == [(0,)]


@pytest.mark.parametrize("provider", ["google", "okta"])
async def test_a_code_of_the_provider_is_good_once(florin: Florin, browser: Browser, provider: str) -> None:
    back = await chosen_at(browser, provider, "pat@corp.example")
    cookies = dict(browser.http.cookies)
    assert "code" in await browser.told(provider, **back)
    assert dict(browser.http.cookies) == {}
    browser.http.cookies.update(cookies)
    assert (await browser.told(provider, **back))["error"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("provider", ["google", "okta"])
async def test_a_stolen_code_of_the_provider_is_worth_nothing_without_the_verifier(
    florin: Florin, browser: Browser, provider: str
) -> None:
    """In the thief's own browser, with a sign-in that the thief has begun: PKCE refuses it, and so does nobody else."""
    stolen = await chosen_at(browser, provider, "pat@corp.example")
    thief = browser_of(florin)
    async with thief.http:
        own = await thief.begun(provider)
        told = await thief.told(provider, code=stolen["code"], state=own["state"])
    assert told["error"] == "UNAUTHENTICATED"
    assert await rows(florin.parts.engine, "SELECT count(*) FROM identities") == [(0,)]


async def test_a_code_of_one_provider_is_not_taken_to_another(florin: Florin, browser: Browser) -> None:
    back = await chosen_at(browser, "okta", "pat@corp.example")
    assert (await browser.back("google", **back)).status_code == 400
    other = await browser.begun("google")
    assert (await browser.told("google", code=back["code"], state=other["state"]))["error"] == "UNAUTHENTICATED"


async def test_an_id_token_of_okta_is_no_access_token(florin: Florin, browser: Browser, okta: str) -> None:
    """Even where its type is taken: it is for our client, and not for our API."""
    asked = await browser.start("okta")
    address = httpx2.URL(asked.headers["location"])
    plain = {name: value for name, value in parameters(str(address)).items() if not name.startswith("code_challenge")}
    back = await chosen(str(address.copy_with(params=plain)), "pat@corp.example")
    form = {
        "grant_type": "authorization_code",
        "code": back["code"],
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "redirect_uri": f"{PUBLIC_URL}/auth/okta/callback",
    }
    async with httpx2.AsyncClient() as outside:
        answer = (await outside.post(f"{okta}/oauth2/default/v1/token", data=form)).raise_for_status().json()
    for token in (answer["id_token"], answer["access_token"]):
        response = await Client(florin.http, token).send("{ me { id } }")
        assert response.status_code == 401
