"""Who somebody is here by the word of an identity provider: known, linked, let in for the first time, and with which role."""

import asyncio
from collections.abc import Mapping

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.api.application import Florin, Person, running
from tests.api.providers.asking import ask, known, trusting
from tests.support.database import rows
from tests.support.issuer import AUDIENCE, Issuer, now
from tests.support.statements import counted


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
    # Who it is, and what they ask.
    assert len(by_provider) == len(by_own) == 2


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
