"""What is verified of an identity provider's access tokens, and how an attacker does not get in by one."""

from collections.abc import Callable, Mapping

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy.ext.asyncio import AsyncEngine

from gateways.identity.provider import LEEWAY_SECONDS
from tests.api.application import Florin, running
from tests.api.forgery import by_hmac, counted_verifications, forged, unsigned
from tests.api.providers.asking import ask, known, trusting
from tests.support.captured_logs import captured_logs
from tests.support.issuer import AUDIENCE, EC, ED, RSA, Issuer, ec_published, ed_published, issuing, now, published
from tests.support.waiting import until

_PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
_N = str(published()["n"]).encode()


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
