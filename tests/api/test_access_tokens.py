"""Access tokens under attack, and what is published for others to verify them."""

import base64
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.access_tokens import AccessTokens, TokenConfig
from api.signing_keys import KeySet, SigningKey, fixed_keys
from domain import ids
from domain.errors import Unauthenticated
from domain.ids import IdKind
from tests.api.application import SIGNING_KEY, Florin, Person
from tests.api.forgery import (
    OURS,
    by_another_key,
    by_hmac,
    counted_verifications,
    forged,
    good_claims,
    good_header,
    unsigned,
)
from tests.support.captured_logs import captured_logs
from tests.support.database import rows
from tests.support.waiting import until

_RAW = OURS.public.public_bytes(Encoding.Raw, PublicFormat.Raw)
_PEM = OURS.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


async def test_a_token_that_is_put_together_as_ours_are_is_taken(florin: Florin, ada: Person) -> None:
    """Or else the refusals below would prove nothing."""
    assert await _status(florin, forged(good_header(), good_claims(ada))) == 200


HEADERS: Mapping[str, tuple[dict[str, object], object]] = {
    "no algorithm": ({"alg": "none"}, unsigned),
    "no algorithm, in capitals": ({"alg": "NONE"}, unsigned),
    "no algorithm, though signed": ({"alg": "none"}, OURS.private.sign),
    "no algorithm at all": ({"alg": None}, unsigned),
    "the algorithm is a list": ({"alg": ["EdDSA"]}, OURS.private.sign),
    "HMAC with our public key, raw": ({"alg": "HS256"}, by_hmac(_RAW)),
    "HMAC with our public key, PEM": ({"alg": "HS256"}, by_hmac(_PEM)),
    "HMAC with our public key as published": ({"alg": "HS256"}, by_hmac(OURS.as_jwk()["x"].encode())),
    "HMAC with nothing": ({"alg": "HS256"}, by_hmac(b"")),
    "HMAC, called EdDSA": ({}, by_hmac(_PEM)),
    "no signature": ({}, unsigned),
    "another key under our name": ({}, by_another_key),
    "another algorithm's name": ({"alg": "ES256"}, OURS.private.sign),
    "no key id": ({"kid": None}, OURS.private.sign),
    "an empty key id": ({"kid": ""}, OURS.private.sign),
    "a path as key id": ({"kid": "../../../../dev/null"}, by_hmac(b"")),
    "a path as key id, for HMAC": ({"alg": "HS256", "kid": "/proc/sys/kernel/randomize_va_space"}, by_hmac(b"2\n")),
    "SQL as key id": ({"kid": "x' UNION SELECT 'a'--"}, by_hmac(b"a")),
    "a NUL in the key id": ({"kid": OURS.id + "\x00"}, OURS.private.sign),
    "a list as key id": ({"kid": [OURS.id]}, OURS.private.sign),
    "a number as key id": ({"kid": 0}, OURS.private.sign),
    "a key in the header": ({"kid": None, "jwk": OURS.as_jwk()}, OURS.private.sign),
    "a key's address in the header": ({"kid": "x", "jku": "https://evil.example/jwks.json"}, by_another_key),
    "another type": ({"typ": "JWT"}, OURS.private.sign),
    "an identity token": ({"typ": "id+jwt"}, OURS.private.sign),
    "no type": ({"typ": None}, OURS.private.sign),
    "an extension that must be understood": ({"crit": ["exp"]}, OURS.private.sign),
    "an extension nobody knows": ({"crit": ["x"], "x": 1}, OURS.private.sign),
}


@pytest.mark.parametrize("why", HEADERS)
async def test_a_header_that_lies_is_refused(florin: Florin, ada: Person, why: str) -> None:
    changes, sign = HEADERS[why]
    assert callable(sign)
    with captured_logs() as logs:
        assert await _status(florin, forged(good_header(**changes), good_claims(ada), sign)) == 401
    assert "Traceback" not in logs.text


CLAIMS: Mapping[str, Mapping[str, object]] = {
    "no end": {"exp": None},
    "an end that has come": {"exp": 1},
    "an end that is no number": {"exp": "tomorrow"},
    "another issuer": {"iss": "https://accounts.google.com"},
    "no issuer": {"iss": None},
    "a list of issuers": {"iss": ["florin", "evil"]},
    "another audience": {"aud": "somebody else"},
    "no audience": {"aud": None},
    "not valid yet": {"nbf": 4_000_000_000},
    "issued in the future": {"iat": 4_000_000_000},
    "no time of issue": {"iat": None},
    "nobody": {"sub": None},
    "a user who does not exist": {"sub": ids.encode(IdKind.USER, UUID(int=7))},
    "an id of another kind": {"sub": ids.encode(IdKind.TRANSACTION, UUID(int=7))},
    "a number for a user": {"sub": 7},
    "no session": {"sid": None},
    "a session that does not exist": {"sid": ids.encode(IdKind.SESSION, UUID(int=7))},
    "a list of sessions": {"sid": []},
}


@pytest.mark.parametrize("why", CLAIMS)
async def test_claims_that_do_not_hold_are_refused_though_the_signature_does(
    florin: Florin, ada: Person, why: str
) -> None:
    claims = good_claims(ada, **CLAIMS[why])
    with captured_logs() as logs:
        assert await _status(florin, forged(good_header(), claims)) == 401
    assert "Traceback" not in logs.text


async def test_a_session_of_somebody_else_is_not_taken_along(florin: Florin, ada: Person, alan: Person) -> None:
    claims = good_claims(ada, sid=ids.encode(IdKind.SESSION, alan.session.id))
    assert await _status(florin, forged(good_header(), claims)) == 401


async def test_tokens_of_other_keys_issuers_and_audiences(florin: Florin, ada: Person) -> None:
    def issued(config: TokenConfig, lifetime: timedelta = timedelta(hours=1)) -> str:
        ends = florin.parts.clock.now() + lifetime
        return AccessTokens(config, florin.parts.clock).issue(ada.user.id, ada.session.id, ends)

    own = fixed_keys(SIGNING_KEY)
    assert await _status(florin, issued(TokenConfig(keys=own))) == 200
    bad = {
        "expired": issued(TokenConfig(keys=own), timedelta(seconds=-1)),
        "another key": issued(TokenConfig(keys=fixed_keys("A" * 43))),
        "another issuer": issued(TokenConfig(keys=own, issuer="x")),
        "another audience": issued(TokenConfig(keys=own, audience="x")),
        "a changed signature": str(ada.token)[:-8] + "AAAAAAAA",
    }
    for why, token in bad.items():
        assert await _status(florin, token) == 401, why


async def test_a_revoked_or_expired_session_and_a_disabled_user_lose_access_at_once(florin: Florin) -> None:
    ended = {
        florin.ada: "UPDATE sessions SET revoked_at = now() WHERE id = :session RETURNING 1",
        florin.alan: "UPDATE sessions SET expires_at = now() WHERE id = :session RETURNING 1",
        florin.grace: "UPDATE users SET disabled_at = now() WHERE id = (SELECT user_id FROM sessions WHERE id = :session)"
        " RETURNING 1",
    }
    for person, statement in ended.items():
        assert await _status(florin, str(person.token)) == 200
        await rows(florin.parts.engine, statement, session=person.session.id)
        assert await _status(florin, str(person.token)) == 401
    assert await _status(florin, str(florin.margaret.token)) == 200


async def test_another_role_counts_with_the_next_request(florin: Florin) -> None:
    margaret = florin.margaret
    await margaret.ask("{ webhookEvents { nodes { id } } }")
    await rows(
        florin.parts.engine, "UPDATE users SET role = 'CUSTOMER' WHERE id = :id RETURNING 1", id=margaret.user.id
    )
    assert (await margaret.refused("{ webhookEvents { nodes { id } } }"))["extensions"]["code"] == "FORBIDDEN"


async def test_while_keys_are_rotated_both_verify_and_the_first_signs(florin: Florin) -> None:
    new = base64.b64encode(b"n" * 32).decode()
    tokens = AccessTokens(TokenConfig(keys=fixed_keys(new, SIGNING_KEY)), florin.parts.clock)
    ends = florin.parts.clock.now() + timedelta(hours=1)
    fresh = tokens.issue(florin.ada.user.id, florin.ada.session.id, ends)
    assert jwt.get_unverified_header(fresh)["kid"] == SigningKey.from_text(new).id
    assert tokens.verify(fresh) == tokens.verify(str(florin.ada.token))
    assert {key["kid"] for key in _keys(tokens)} == {SigningKey.from_text(new).id, OURS.id}
    # A server that knows the old key only does not take a token of the new one.
    assert await _status(florin, fresh) == 401


def test_a_signature_is_verified_once(florin: Florin, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, verified = _tokens(florin), counted_verifications(monkeypatch)
    assert tokens.verify(str(florin.ada.token)) == tokens.verify(str(florin.ada.token))
    assert verified == [florin.ada.token]
    with pytest.raises(Unauthenticated):
        tokens.verify(f"{florin.ada.token}x")


async def test_a_token_that_is_remembered_expires(florin: Florin, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, verified = _tokens(florin), counted_verifications(monkeypatch)
    soon = good_claims(florin.ada)["iat"]
    assert isinstance(soon, int)
    token = forged(good_header(), good_claims(florin.ada, exp=soon + 2))
    before = tokens.verify(token)

    async def has_expired() -> bool:
        try:
            return tokens.verify(token) != before
        except Unauthenticated:
            return True

    await until(has_expired)
    # Once as it came, and once as it was no longer believed.
    assert verified == [token, token]


def test_a_token_that_is_remembered_goes_with_its_key(florin: Florin) -> None:
    keys = [KeySet([OURS])]
    tokens = AccessTokens(TokenConfig(keys=lambda: keys[0]), florin.parts.clock)
    tokens.verify(str(florin.ada.token))
    keys[0] = KeySet([SigningKey(Ed25519PrivateKey.generate(), OURS.signs_from)])
    with pytest.raises(Unauthenticated):
        tokens.verify(str(florin.ada.token))


def _tokens(florin: Florin) -> AccessTokens:
    return AccessTokens(TokenConfig(keys=fixed_keys(SIGNING_KEY)), florin.parts.clock)


async def test_the_public_keys_are_published_and_verify_a_token(florin: Florin, ada: Person) -> None:
    response = await florin.http.get("/.well-known/jwks.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "public, max-age=60"
    assert set(response.json()) == {"keys"}
    (key,) = response.json()["keys"]
    # Nothing of the private half ("d", RFC 8037).
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
    claims = jwt.decode(str(ada.token), jwt.PyJWK(key).key, algorithms=["EdDSA"], audience="florin", issuer="florin")
    assert set(claims) == {"iss", "aud", "sub", "sid", "iat", "exp"}
    assert claims["sub"] == ada.id


def test_a_key_is_named_by_its_thumbprint() -> None:
    """The example of RFC 8037, appendix A.3."""
    key = SigningKey.from_text("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
    assert key.id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert key.as_jwk()["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


def test_no_key_shows_itself() -> None:
    key = SigningKey.from_text(SIGNING_KEY)
    for shown in (
        repr(key),
        str(key),
        repr(TokenConfig(keys=fixed_keys(SIGNING_KEY))),
        orjson.dumps(key.as_jwk()).decode(),
    ):
        assert SIGNING_KEY.rstrip("=") not in shown
        assert bytes(range(32)).hex() not in shown


def test_of_several_keys_the_latest_whose_time_has_come_signs(florin: Florin) -> None:
    now = florin.parts.clock.now()

    def key(begins: timedelta) -> SigningKey:
        return SigningKey(Ed25519PrivateKey.generate(), now + begins)

    old, current, coming = key(timedelta(days=-9)), key(timedelta(0)), key(timedelta(seconds=1))
    assert KeySet([coming, old, current]).signing(now) is current
    assert KeySet([coming]).signing(now) is coming
    assert KeySet([coming, current]).signing(now + timedelta(seconds=1)) is coming


def _keys(tokens: AccessTokens) -> list[dict[str, str]]:
    found: list[dict[str, str]] = orjson.loads(orjson.dumps(tokens.published()))["keys"]
    return found


async def _status(florin: Florin, token: str) -> int:
    response = await florin.anonymous.send("{ me { id } }", Authorization=f"Bearer {token}")
    if response.status_code == 401:
        assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert "data" not in response.json()
    else:
        assert "errors" not in response.json()
    return response.status_code


async def test_credentials_that_came_twice_are_none(florin: Florin) -> None:
    field = ("Authorization", f"Bearer {florin.ada.token}")
    for headers in (
        [field, field],
        [("Authorization", f"{field[1]}, {field[1]}")],
        [("Authorization", f"{field[1]} x")],
    ):
        answer = await florin.http.post("/graphql", json={"query": "{ me { id } }"}, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["message"] == "Send one Authorization header: Bearer <token>."
    assert (await florin.http.post("/graphql", json={"query": "{ me { id } }"}, headers=[field])).status_code == 200
