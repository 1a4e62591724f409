"""Access tokens of identity providers: who gets in by one, as whom, and how an attacker does not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse

from domain.errors import Unavailable
from gateways.identity import fetching
from gateways.identity.config import ProviderConfig
from gateways.identity.provider import LEEWAY_SECONDS, Provider
from tests.api.application import Florin, Person, running
from tests.api.forgery import by_hmac, counted_verifications, forged, unsigned
from tests.support.captured_logs import captured_logs
from tests.support.database import rows
from tests.support.issuer import AUDIENCE, EC, ED, RSA, Issuer, ec_published, ed_published, issuing, now, published
from tests.support.statements import counted
from tests.support.waiting import until

ME = "{ me { email name role } }"
_PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
_N = str(published()["n"]).encode()


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as provider:
        yield provider


@asynccontextmanager
async def trusting(engine: AsyncEngine, issuer: Issuer, **settings: object) -> AsyncIterator[Florin]:
    provider = {
        "issuer": issuer.url,
        "audience": AUDIENCE,
        "role_claim": ["realm", "groups"],
        "roles": {"helpers": "SUPPORT", "chiefs": "ADMIN"},
        **settings,
    }
    if settings.get("roles", 1) is None:
        del provider["roles"], provider["role_claim"]
    async with running(engine, identity_providers=orjson.dumps({"corp": provider}).decode()) as florin:
        yield florin


@dataclass(slots=True)
class Hand:
    """The hand of a clock, in seconds."""

    seconds: float = 1000.0


@pytest.fixture
def clock_of_providers(florin: Florin) -> Hand:
    """By which the age of what was fetched is told: it stands still until a test moves it."""
    hand = Hand()
    for provider in florin.parts.providers.all:
        provider._keys._now = provider._endpoints._now = lambda: hand.seconds
    return hand


@pytest.fixture
async def florin(engine: AsyncEngine, issuer: Issuer) -> AsyncIterator[Florin]:
    """A server that trusts the issuer, and lets its word give roles."""
    async with trusting(engine, issuer) as application:
        yield application


async def ask(florin: Florin, token: str) -> tuple[int, str, Mapping[str, str]]:
    """The status, the error's code if any, and who it was."""
    response = await florin.anonymous.send(ME, Authorization=f"Bearer {token}")
    answer = response.json()
    if "errors" in answer:
        assert "data" not in answer
        return response.status_code, answer["errors"][0]["extensions"]["code"], {}
    return response.status_code, "", answer["data"]["me"]


async def known(florin: Florin) -> list[tuple[str, str, str]]:
    """Everybody whom a provider vouches for: subject, address and role."""
    found = await rows(
        florin.parts.engine, "SELECT i.subject, u.email, u.role FROM identities i JOIN users u ON u.id = i.user_id"
    )
    return [(str(subject), str(email), str(role)) for subject, email, role in found]


async def test_somebody_new_becomes_a_customer_and_stays_the_same_user(florin: Florin, issuer: Issuer) -> None:
    me = {"email": "pat@corp.example", "name": "Pat", "role": "CUSTOMER"}
    assert await ask(florin, issuer.token()) == (200, "", me)
    # Another address later is still the same person.
    assert await ask(florin, issuer.token(email="else@corp.example")) == (200, "", me)
    # And neither does the address have to be told again.
    assert await ask(florin, issuer.token(email=None, email_verified=None, name=None)) == (200, "", me)
    assert await known(florin) == [("00u1", "pat@corp.example", "CUSTOMER")]
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
    audited = await rows(florin.parts.engine, "SELECT details FROM audit_entries WHERE action = 'user.admitted'")
    assert len(audited) == 1
    assert "00u1" not in str(audited)


async def test_a_request_takes_one_statement_to_find_out_who_asks(florin: Florin, issuer: Issuer) -> None:
    token = issuer.token()
    await ask(florin, token)
    with counted(florin.parts.engine) as by_provider:
        await ask(florin, token)
    with counted(florin.parts.engine) as by_own:
        await ask(florin, str(florin.ada.token))
    assert len(by_provider) == len(by_own)


async def test_a_customer_of_a_provider_can_pay_and_sees_only_their_own(florin: Florin, issuer: Issuer) -> None:
    paid = await florin.ada.paid()
    token = issuer.token()
    pat = Person(florin.http, token, florin.ada.user, florin.ada.session)
    assert (await pat.paid())["status"] == "COMPLETED"
    assert (await pat.ask("query T($id: ID!) { transaction(id: $id) { id } }", {"id": paid["id"]}))[
        "transaction"
    ] is None


async def test_roles_come_from_the_claim_and_by_explicit_mapping_alone(florin: Florin, issuer: Issuer) -> None:
    async def role(number: int, groups: object) -> str:
        token = issuer.token(sub=f"u{number}", email=f"u{number}@corp.example", realm={"groups": groups})
        return (await ask(florin, token))[2]["role"]

    given: list[object] = [
        ["helpers"],
        ["chiefs", "helpers"],
        "helpers",
        ["Helpers", "ADMIN", "admin", "chiefs "],
        [["chiefs"]],
        {"chiefs": True},
        "helpers chiefs",
        7,
        None,
    ]
    roles = [await role(number, groups) for number, groups in enumerate(given)]
    assert roles == ["SUPPORT", "ADMIN", "SUPPORT", *["CUSTOMER"] * 6]


async def test_what_a_provider_says_later_counts_and_what_it_said_before_does_not(
    florin: Florin, issuer: Issuer
) -> None:
    async def role(at: int, *groups: str) -> str:
        """What the bearer may do in fact: `me` shows what the user is, whatever they came by."""
        token = issuer.token(iat=at, realm={"groups": groups})
        for may, query in (
            ("ADMIN", "{ webhookEvents { nodes { id } } }"),
            ("SUPPORT", "{ ledgerAccounts { nodes { id } } }"),
        ):
            response = await florin.anonymous.send(query, Authorization=f"Bearer {token}")
            if "errors" not in response.json():
                return may
            assert response.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        return "CUSTOMER"

    began = now() - 100
    assert await role(began, "chiefs") == "ADMIN"
    assert await role(began + 2, "helpers") == "SUPPORT"
    # The older token is still good, but not for more than its bearer may do by now, and it brings nothing back.
    assert await role(began, "chiefs") == "SUPPORT"
    assert await role(began + 1) == "CUSTOMER"
    assert await known(florin) == [("00u1", "pat@corp.example", "SUPPORT")]
    # Whom an administrator of ours has made less stays so until the provider says something new.
    await rows(florin.parts.engine, "UPDATE users SET role = 'CUSTOMER' WHERE email LIKE 'pat%' RETURNING 1")
    assert await role(began + 3, "helpers") == "CUSTOMER"
    assert await role(began + 4, "chiefs") == "ADMIN"
    granted = "SELECT count(*) FROM audit_entries WHERE action = 'user.role_granted'"
    assert await rows(florin.parts.engine, granted) == [(2,)]


async def test_a_provider_takes_the_last_administrators_role_too(florin: Florin, issuer: Issuer) -> None:
    """Whoever is to be an administrator no longer loses that at once; the next whom the provider names is one."""

    async def manages(token: str) -> bool:
        response = await florin.anonymous.send("{ users { totalCount } }", Authorization=f"Bearer {token}")
        return "errors" not in response.json()

    began = now() - 100
    before = issuer.token(iat=began, realm={"groups": ["chiefs"]})
    assert await manages(before)
    await rows(florin.parts.engine, "UPDATE users SET disabled_at = now() WHERE email LIKE 'margaret%' RETURNING 1")
    assert not await manages(issuer.token(iat=began + 1, realm={"groups": []}))
    assert not await manages(before)
    left = "SELECT email FROM users WHERE role = 'ADMIN' AND disabled_at IS NULL"
    assert await rows(florin.parts.engine, left) == []
    audited = await rows(florin.parts.engine, "SELECT details FROM audit_entries WHERE action = 'user.role_granted'")
    assert [(details["from"], details["to"]) for (details,) in audited if isinstance(details, dict)] == [
        ("ADMIN", "CUSTOMER")
    ]
    assert await manages(issuer.token(sub="00u2", email="sam@corp.example", realm={"groups": ["chiefs"]}))
    assert await rows(florin.parts.engine, left) == [("sam@corp.example",)]


async def test_of_several_roles_at_once_the_one_that_was_given_last_stays(florin: Florin, issuer: Issuer) -> None:
    began = now() - 100
    await ask(florin, issuer.token(iat=began))
    groups: tuple[list[str], ...] = (["helpers"], ["chiefs"], [], ["helpers"], ["chiefs"], [], ["chiefs"], ["helpers"])
    tokens = [issuer.token(iat=began + 1 + n, realm={"groups": given}) for n, given in enumerate(groups)]
    answers = await asyncio.gather(*(ask(florin, token) for token in reversed(tokens)))
    assert {status for status, _, _ in answers} == {200}
    stored = await rows(
        florin.parts.engine, "SELECT granted_role, role FROM identities i JOIN users u ON u.id = i.user_id"
    )
    assert stored == [("SUPPORT", "SUPPORT")]


async def test_a_disabled_user_gets_nothing_by_any_token(florin: Florin, issuer: Issuer) -> None:
    assert (await ask(florin, issuer.token()))[0] == 200
    await rows(florin.parts.engine, "UPDATE users SET disabled_at = now() WHERE email LIKE 'pat%' RETURNING 1")
    for token in (issuer.token(), issuer.token(iat=now() + 1, realm={"groups": ["chiefs"]})):
        assert (await ask(florin, token))[:2] == (401, "UNAUTHENTICATED")
    assert await known(florin) == [("00u1", "pat@corp.example", "CUSTOMER")]


ADDRESSES: Mapping[str, Mapping[str, object]] = {
    "somebody else's": {"email": "ada@example.com"},
    "somebody else's in capitals": {"email": "ADA@EXAMPLE.COM"},
    "not verified": {"email_verified": False},
    "not said to be verified": {"email_verified": None},
    "verified, as a text": {"email_verified": "true"},
    "verified, as a number": {"email_verified": 1},
    "none": {"email": None},
    "a list": {"email": ["pat@corp.example"]},
    "two": {"email": "pat@corp.example,ada@example.com"},
    "with the end of a header": {"email": "pat@corp.example\r\nBcc: x@example.com"},
    "in letters that look like others": {"email": "аda@example.com"},
    "without a host": {"email": "pat@"},
}


@pytest.mark.parametrize("why", ADDRESSES)
async def test_an_address_alone_takes_over_nobody(florin: Florin, issuer: Issuer, why: str) -> None:
    users = await rows(florin.parts.engine, "SELECT count(*) FROM users")
    status, code, _ = await ask(florin, issuer.signed(issuer.claims() | dict(ADDRESSES[why])))
    assert (status, code) == (401, "UNAUTHENTICATED")
    assert await known(florin) == []
    assert await rows(florin.parts.engine, "SELECT count(*) FROM users") == users


async def test_an_address_that_a_trusted_provider_has_verified_links_but_never_upwards(
    engine: AsyncEngine, issuer: Issuer
) -> None:
    async with trusting(engine, issuer, links_by_email=True) as florin:
        for number, (email, groups, status) in enumerate(
            [
                ("ada@example.com", [], 200),
                # An administrator's account takes the provider's word that they are one.
                ("margaret@example.com", [], 401),
                ("margaret@example.com", ["helpers"], 401),
                ("margaret@example.com", ["chiefs"], 200),
                ("grace@example.com", ["helpers"], 200),
            ]
        ):
            token = issuer.token(sub=f"u{number}", email=email, realm={"groups": groups})
            assert (await ask(florin, token))[0] == status, (email, groups)
        unverified = issuer.token(sub="u9", email="alan@example.com", email_verified=False)
        assert (await ask(florin, unverified))[0] == 401
        # Nor does anybody come in as somebody who is out.
        await rows(engine, "UPDATE users SET disabled_at = now() WHERE email LIKE 'alan%' RETURNING 1")
        assert (await ask(florin, issuer.token(sub="u10", email="alan@example.com")))[0] == 401
        assert [subject for subject, _, _ in sorted(await known(florin))] == ["u0", "u3", "u4"]


async def test_an_administrator_needs_a_second_factor_by_the_providers_word_where_the_settings_say_so(
    engine: AsyncEngine, issuer: Issuer
) -> None:
    provider = {"issuer": issuer.url, "audience": AUDIENCE, "role_claim": "groups", "roles": {"chiefs": "ADMIN"}}
    async with running(
        engine,
        identity_providers=orjson.dumps({"corp": provider}).decode(),
        admin_second_factor_required=True,
    ) as florin:
        for methods, refused in ((None, True), (["pwd"], True), ("mfa", True), (["pwd", "mfa"], False)):
            token = issuer.token(groups=["chiefs"], amr=methods)
            answer = (
                await florin.anonymous.send("{ webhookEvents { nodes { id } } }", Authorization=f"Bearer {token}")
            ).json()
            assert ("errors" in answer) is refused, methods


async def test_a_provider_without_a_say_in_roles_changes_none(engine: AsyncEngine, issuer: Issuer) -> None:
    async with trusting(engine, issuer, roles=None, links_by_email=True) as florin:
        assert (await ask(florin, issuer.token(realm={"groups": ["chiefs"]})))[2]["role"] == "CUSTOMER"
        await rows(florin.parts.engine, "UPDATE users SET role = 'SUPPORT' WHERE email LIKE 'pat%' RETURNING 1")
        assert (await ask(florin, issuer.token(iat=now() + 5)))[2]["role"] == "SUPPORT"
        assert (await ask(florin, issuer.token(sub="x", email="grace@example.com")))[0] == 401


async def test_where_a_provider_makes_no_users_only_known_ones_come_in(engine: AsyncEngine, issuer: Issuer) -> None:
    async with trusting(engine, issuer, creates_users=False, links_by_email=True) as florin:
        assert (await ask(florin, issuer.token()))[0] == 401
        assert (await ask(florin, issuer.token(email="ada@example.com")))[0] == 200


async def test_first_seen_by_many_requests_at_once_somebody_becomes_one_user(florin: Florin, issuer: Issuer) -> None:
    token = issuer.token()
    answers = await asyncio.gather(*(ask(florin, token) for _ in range(12)))
    assert {status for status, _, _ in answers} == {200}
    assert len(await known(florin)) == 1
    assert await rows(florin.parts.engine, "SELECT count(*) FROM users WHERE email LIKE 'pat%'") == [(1,)]
    # Nor did so many ask the provider more than once.
    assert issuer.key_fetches == 1


HEADERS: Mapping[str, tuple[dict[str, object], Callable[[bytes], bytes]]] = {
    "no algorithm": ({"alg": "none"}, unsigned),
    "no algorithm in capitals": ({"alg": "None"}, unsigned),
    "HMAC with the public key, PEM": ({"alg": "HS256"}, by_hmac(_PEM)),
    "HMAC with the public key, as published": ({"alg": "HS256"}, by_hmac(_N)),
    "HMAC, called RS256": ({}, by_hmac(_PEM)),
    "HMAC with nothing": ({"alg": "HS256"}, by_hmac(b"")),
    "no signature": ({}, unsigned),
    "a key of the attacker's in the header": ({"jwk": published()}, unsigned),
    "an algorithm of another kind of key": ({"alg": "ES256"}, by_hmac(_PEM)),
    "an address for keys": ({"jku": "http://127.0.0.1:1/keys", "kid": "x"}, unsigned),
    "a path as key id": ({"kid": "../../../../dev/null", "alg": "HS256"}, by_hmac(b"")),
    "a list as key id": ({"kid": ["rsa-1"]}, unsigned),
    "a number as key id": ({"kid": 1}, unsigned),
    "no key id": ({"kid": None}, unsigned),
    "an extension that must be understood": ({"crit": ["b64"], "b64": False}, unsigned),
}


@pytest.mark.parametrize("why", HEADERS)
async def test_a_header_that_lies_is_refused(florin: Florin, issuer: Issuer, why: str) -> None:
    changes, sign = HEADERS[why]
    header = {"alg": "RS256", "typ": "at+jwt", "kid": "rsa-1", **changes}
    with captured_logs() as logs:
        status, code, _ = await ask(florin, forged(header, issuer.claims(), sign))
    assert (status, code) == (401, "UNAUTHENTICATED")
    assert "Traceback" not in logs.text
    assert await known(florin) == []


CLAIMS: Mapping[str, Mapping[str, object]] = {
    "another audience": {"aud": "https://other.example"},
    "our own audience": {"aud": "florin"},
    "no audience": {"aud": None},
    "another issuer": {"iss": "https://evil.example"},
    "our own issuer": {"iss": "florin"},
    "no issuer": {"iss": None},
    "two issuers": {"iss": ["x", "y"]},
    "expired": {"exp": 1},
    "no end": {"exp": None},
    "an end that is no number": {"exp": "never"},
    "not valid yet": {"nbf": 4_000_000_000},
    "issued in the future": {"iat": 4_000_000_000},
    "no time of issue": {"iat": None},
    "issued before there was time": {"iat": -1e300},
    "nobody": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject with a NUL": {"sub": "00u1\x00"},
    "a subject too long": {"sub": "x" * 256},
    "a number as subject": {"sub": 7},
}


@pytest.mark.parametrize("why", CLAIMS)
async def test_claims_that_do_not_hold_are_refused_though_the_signature_does(
    florin: Florin, issuer: Issuer, why: str
) -> None:
    # By hand: PyJWT would not sign some of these.
    claims = {name: value for name, value in {**issuer.claims(), **CLAIMS[why]}.items() if value is not None}
    token = jwt.PyJWS().encode(orjson.dumps(claims), RSA, algorithm="RS256", headers={"typ": "at+jwt", "kid": "rsa-1"})
    with captured_logs() as logs:
        status, code, _ = await ask(florin, token)
    assert (status, code) == (401, "UNAUTHENTICATED")
    assert "Traceback" not in logs.text
    assert await known(florin) == []


async def test_a_clock_that_is_half_a_minute_off_is_forgiven_and_no_more(florin: Florin, issuer: Issuer) -> None:
    for claim, seconds, status in (
        ("exp", -15, 200),
        ("exp", -90, 401),
        ("nbf", 15, 200),
        ("nbf", 90, 401),
        ("iat", 15, 200),
        ("iat", 90, 401),
    ):
        claims = issuer.claims() | {claim: now() + seconds}
        assert (await ask(florin, issuer.signed(claims)))[0] == status, (claim, seconds)


async def test_an_id_token_is_no_access_token(florin: Florin, issuer: Issuer) -> None:
    for kind in ("JWT", "id+jwt", "logout+jwt", "secevent+jwt", None):
        assert (await ask(florin, issuer.token(header={"typ": kind})))[0] == 401, kind


async def test_other_types_and_another_subject_are_taken_where_the_settings_say_so(
    engine: AsyncEngine, issuer: Issuer
) -> None:
    """As Okta's are: no type, an address that can change hands as `sub`, and the id that stays in `uid`."""
    async with trusting(engine, issuer, token_types=[""], subject_claim="uid") as florin:
        assert (await ask(florin, issuer.token(header={"typ": None}, sub="pat@corp.example", uid="00u7")))[0] == 200
        assert (await ask(florin, issuer.token(header={"typ": None})))[0] == 401
        assert (await ask(florin, issuer.token(uid="00u7")))[0] == 401
        assert [subject for subject, _, _ in await known(florin)] == ["00u7"]


async def test_other_kinds_of_keys_verify_with_their_own_algorithms(florin: Florin, issuer: Issuer) -> None:
    issuer.keys = [published(), ec_published("ec"), ed_published("ed")]
    header = {"typ": "at+jwt"}
    for key, algorithm, key_id, status in (
        (EC, "ES256", "ec", 200),
        (ED, "EdDSA", "ed", 200),
        (RSA, "RS256", "rsa-1", 200),
        # The key says that it is for RS256.
        (RSA, "PS256", "rsa-1", 401),
        (RSA, "RS256", "ec", 401),
        (EC, "ES256", "rsa-1", 401),
        (EC, "ES256", "ed", 401),
    ):
        # Somebody else each time, so that nobody is refused for an address that another has.
        claims = issuer.claims(sub=f"{key_id}-{algorithm}", email=f"{key_id}-{algorithm}@corp.example")
        token = jwt.encode(claims, key, algorithm=algorithm, headers={**header, "kid": key_id})
        assert (await ask(florin, token))[0] == status, (algorithm, key_id)


async def test_only_the_algorithms_of_the_settings_count(engine: AsyncEngine, issuer: Issuer) -> None:
    issuer.keys = [published(), ec_published("ec")]
    async with trusting(engine, issuer, algorithms=["ES256"]) as florin:
        assert (await ask(florin, issuer.token()))[:2] == (401, "UNAUTHENTICATED")
        by_curve = jwt.encode(issuer.claims(), EC, algorithm="ES256", headers={"typ": "at+jwt", "kid": "ec"})
        assert (await ask(florin, by_curve))[0] == 200


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


async def test_a_signature_is_verified_once(florin: Florin, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    verified, token = counted_verifications(monkeypatch), issuer.token()
    for _ in range(3):
        assert (await ask(florin, token))[0] == 200
    assert verified == [token]
    assert (await ask(florin, f"{token[:-8]}AAAAAAAA"))[0] == 401


async def test_a_token_that_is_remembered_expires(
    florin: Florin, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified, token = counted_verifications(monkeypatch), issuer.token(exp=now() - LEEWAY_SECONDS + 2)
    assert (await ask(florin, token))[0] == 200

    async def has_expired() -> bool:
        return (await ask(florin, token))[0] == 401

    await until(has_expired)
    assert verified == [token, token]


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


async def test_of_two_issuers_neither_speaks_for_the_other(engine: AsyncEngine, issuer: Issuer) -> None:
    async with issuing() as other:
        other.keys = [ec_published("rsa-1"), ec_published("ec")]
        providers = {
            "corp": {"issuer": issuer.url, "audience": AUDIENCE},
            "other": {"issuer": other.url, "audience": AUDIENCE},
        }
        async with running(engine, identity_providers=orjson.dumps(providers).decode()) as florin:

            def by_other(claims: dict[str, object]) -> str:
                return jwt.encode(claims, EC, algorithm="ES256", headers={"typ": "at+jwt", "kid": "ec"})

            assert (await ask(florin, issuer.token()))[0] == 200
            # Signed by one in the name of the other.
            assert (await ask(florin, by_other(issuer.claims())))[0] == 401
            assert (await ask(florin, issuer.token(iss=other.url)))[0] == 401
            # The same subject and address at the other is somebody else, who does not get the account.
            assert (await ask(florin, by_other(other.claims())))[0] == 401
            assert (await ask(florin, by_other(other.claims(email="b@corp.example"))))[0] == 200
            assert len(await known(florin)) == 2


async def test_no_token_is_repeated_in_the_log(florin: Florin, issuer: Issuer) -> None:
    token = issuer.token()
    with captured_logs() as logs:
        await ask(florin, token)
        await ask(florin, token[:-6] + "AAAAAA")
    assert token.split(".")[1] not in logs.text
