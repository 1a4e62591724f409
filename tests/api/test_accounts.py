"""Accounts: signing up, proving an address, and setting a password, each with what must not happen."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.ids import IdKind, encode
from domain.messaging.mails import GIVEN_UP_AFTER, MailNotSent, MailState
from tests.api.application import Florin, running
from tests.api.people import (
    ASK_TO_VERIFY,
    CHANGE,
    FORGOT,
    PASSWORD,
    RESET,
    SIGN_IN,
    SIGN_UP,
    VERIFY,
    act,
    add_person,
    codes,
    lets_in,
    sign_in,
)
from tests.api.test_user_administration import DISABLE, ENABLE
from tests.support.clock import FakeClock
from tests.support.database import rows
from tests.support.mailbox import Mailbox
from tests.support.statements import counted

NEW = {"email": "blaise@example.com", "name": "Blaise Pascal", "password": PASSWORD}
ANOTHER = "another horse entirely"


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


async def actions(florin: Florin) -> list[str]:
    found = await rows(florin.parts.engine, "SELECT action FROM audit_entries ORDER BY number")
    return [str(action) for (action,) in found]


async def test_an_account_begins_with_the_link_in_the_mail(florin: Florin, mailbox: Mailbox) -> None:
    anonymous = florin.anonymous
    payload = await act(anonymous, SIGN_UP, **NEW)
    assert payload == {"sentTo": "blaise@example.com", "errors": []}
    assert await codes(anonymous, SIGN_IN, email=NEW["email"], password=PASSWORD) == ["INVALID_CREDENTIALS"]
    assert await mailbox.collect(florin.parts) == [MailState.SENT]
    token = mailbox.token_to("blaise@example.com")
    assert await act(anonymous, VERIFY, token=token) == {"email": "blaise@example.com", "errors": []}
    blaise = await sign_in(florin)
    me = (await blaise.ask("{ me { name role emailVerifiedAt disabledAt } }"))["me"]
    assert (me["name"], me["role"], me["disabledAt"]) == ("Blaise Pascal", "CUSTOMER", None)
    assert me["emailVerifiedAt"] is not None
    assert await codes(anonymous, VERIFY, token=token) == ["INVALID_TOKEN"]
    assert await actions(florin) == ["user.signed_up", "session.started"]


async def test_of_many_who_use_a_link_at_once_one_does(florin: Florin, mailbox: Mailbox) -> None:
    await act(florin.anonymous, SIGN_UP, **NEW)
    await mailbox.collect(florin.parts)
    token = mailbox.token_to("blaise@example.com")
    found = await asyncio.gather(*(codes(florin.anonymous, VERIFY, token=token) for _ in range(6)))
    assert sorted(found) == [[], *[["INVALID_TOKEN"]] * 5]
    assert len(await rows(florin.parts.engine, "SELECT 1 FROM users WHERE email = 'blaise@example.com'")) == 1


async def test_an_address_that_is_taken_is_answered_alike_and_only_its_owner_learns_of_it(
    florin: Florin, mailbox: Mailbox
) -> None:
    known = {**NEW, "email": "ADA@example.com"}
    answers, statements = [], []
    for wanted in (known, NEW):
        with counted(florin.parts.engine) as sent:
            answers.append(await act(florin.anonymous, SIGN_UP, **wanted))
        statements.append([text for text in sent if "pg_notify" not in text])
    assert answers[0] == {**answers[1], "sentTo": "ADA@example.com"}
    # The same work to the last statement: nobody looked.
    assert statements[0] == statements[1]
    assert await mailbox.collect(florin.parts) == [MailState.SENT] * 2
    to_ada, to_blaise = sorted(mailbox.letters, key=lambda letter: letter.recipient)
    assert "have an account already" in to_ada.text
    assert "florin_mail_" not in to_ada.text
    assert "florin_mail_" in to_blaise.text
    # Nothing that the stranger wrote is in either.
    assert "Pascal" not in to_ada.text + to_blaise.text


async def test_whoever_signs_up_with_somebodys_address_gets_nothing_when_its_owner_signs_up(
    florin: Florin, mailbox: Mailbox
) -> None:
    await act(florin.anonymous, SIGN_UP, **{**NEW, "password": "the thief's own words"})
    await mailbox.collect(florin.parts)
    of_the_thief = mailbox.token_to("blaise@example.com")
    await act(florin.anonymous, SIGN_UP, **NEW)
    await mailbox.collect(florin.parts)
    await act(florin.anonymous, VERIFY, token=mailbox.token_to("blaise@example.com"))
    assert await codes(florin.anonymous, SIGN_IN, email=NEW["email"], password="the thief's own words") == [
        "INVALID_CREDENTIALS"
    ]
    assert await codes(florin.anonymous, VERIFY, token=of_the_thief) == ["INVALID_TOKEN"]
    # Nor is what the thief has entered kept.
    assert await rows(florin.parts.engine, "SELECT id FROM sign_ups") == []
    assert await lets_in(await sign_in(florin))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"password": "1234567"}, "WEAK_PASSWORD"),
        ({"password": "password1"}, "WEAK_PASSWORD"),
        ({"password": "PASSWORD1"}, "WEAK_PASSWORD"),
        ({"password": "aaaaaaaaaaaa"}, "WEAK_PASSWORD"),
        ({"password": "Blaise Pascal"}, "WEAK_PASSWORD"),
        ({"password": "blaise@example.com"}, "WEAK_PASSWORD"),
        ({"password": "x" * 100 + "y" * 157}, "WEAK_PASSWORD"),
        ({"email": "blaise"}, "INVALID_EMAIL"),
        ({"email": "a,b@example.com"}, "INVALID_EMAIL"),
        ({"email": "a@b@example.com"}, "INVALID_EMAIL"),
        ({"email": "<a@example.com>"}, "INVALID_EMAIL"),
        ({"email": "a@example.com\r\nBcc: b@example.com"}, "INVALID_EMAIL"),
        ({"email": "ä@example.com"}, "INVALID_EMAIL"),
        ({"email": "a@example.com\x00"}, "INVALID_EMAIL"),
        ({"email": "a" * 65 + "@example.com"}, "INVALID_EMAIL"),
        ({"name": " "}, "INVALID_TEXT"),
        ({"name": "a\x00"}, "INVALID_TEXT"),
        ({"name": "a" * 201}, "INVALID_TEXT"),
        ({"name": "4242 4242 4242 4242"}, "CARD_NUMBER_REFUSED"),
    ],
)
async def test_what_cannot_sign_up_leaves_nothing(florin: Florin, changes: dict[str, str], code: str) -> None:
    assert await codes(florin.anonymous, SIGN_UP, **{**NEW, **changes}) == [code]
    assert await rows(florin.parts.engine, "SELECT id FROM sign_ups UNION ALL SELECT id FROM mails") == []


@pytest.mark.parametrize("password", ["x" * 250 + "y" * 6, "пароль из слов", "🦜🦜🦜 and 5 parrots", "        spaces"])
async def test_any_characters_make_a_password(florin: Florin, password: str) -> None:
    await add_person(florin, password="")
    florin_hash = await florin.parts.passwords.hash(password)
    await rows(florin.parts.engine, "UPDATE credentials SET password_hash = :hash RETURNING 1", hash=florin_hash)
    assert await lets_in(await sign_in(florin, password=password))


async def test_a_password_that_was_typed_in_another_form_is_the_same(florin: Florin, mailbox: Mailbox) -> None:
    await act(florin.anonymous, SIGN_UP, **{**NEW, "password": "Crème brûlée №1"})
    await mailbox.collect(florin.parts)
    await act(florin.anonymous, VERIFY, token=mailbox.token_to("blaise@example.com"))
    assert await lets_in(await sign_in(florin, password="Cre\u0300me bru\u0302le\u0301e №1"))


async def test_a_forgotten_password_is_set_anew_by_mail(florin: Florin, mailbox: Mailbox) -> None:
    await add_person(florin)
    before = [await sign_in(florin), await sign_in(florin)]
    assert await act(florin.anonymous, FORGOT, email="Blaise@Example.com") == {
        "sentTo": "Blaise@Example.com",
        "errors": [],
    }
    await mailbox.collect(florin.parts)
    token = mailbox.token_to("Blaise@Example.com")
    # What is refused leaves the link as it is.
    assert await codes(florin.anonymous, RESET, token=token, newPassword="short") == ["WEAK_PASSWORD"]
    payload = await act(florin.anonymous, RESET, token=token, newPassword=ANOTHER)
    assert payload == {"passwordSet": True, "errors": []}
    assert [await lets_in(each) for each in before] == [False, False]
    assert await codes(florin.anonymous, SIGN_IN, email=NEW["email"], password=PASSWORD) == ["INVALID_CREDENTIALS"]
    assert await lets_in(await sign_in(florin, password=ANOTHER))
    assert await codes(florin.anonymous, RESET, token=token, newPassword=PASSWORD) == ["INVALID_TOKEN"]
    await mailbox.collect(florin.parts)
    assert "was changed" in mailbox.letters[-1].text
    assert {"password.reset_requested", "password.reset"} <= set(await actions(florin))


async def test_of_two_resets_by_one_link_at_once_one_counts(florin: Florin, mailbox: Mailbox) -> None:
    await add_person(florin)
    await act(florin.anonymous, FORGOT, email=NEW["email"])
    await mailbox.collect(florin.parts)
    token = mailbox.token_to(NEW["email"])
    passwords = [f"the password number {n}" for n in range(4)]
    found = await asyncio.gather(*(codes(florin.anonymous, RESET, token=token, newPassword=each) for each in passwords))
    assert sorted(found) == [[], *[["INVALID_TOKEN"]] * 3]
    assert await lets_in(await sign_in(florin, password=passwords[found.index([])]))


async def test_nobody_learns_whose_address_it_is_by_asking_for_a_reset(florin: Florin, mailbox: Mailbox) -> None:
    await add_person(florin)
    disabled = await add_person(florin, "disabled@example.com")
    await rows(florin.parts.engine, "UPDATE users SET disabled_at = now() WHERE id = :id RETURNING 1", id=disabled.id)
    statements = []
    for email in (NEW["email"], "nobody@example.com", "disabled@example.com"):
        with counted(florin.parts.engine) as sent:
            assert await act(florin.anonymous, FORGOT, email=email) == {"sentTo": email, "errors": []}
        statements.append([text for text in sent if "pg_notify" not in text])
    assert statements[0] == statements[1] == statements[2]
    assert sorted(await mailbox.collect(florin.parts)) == [MailState.SENT, MailState.SKIPPED, MailState.SKIPPED]
    assert [letter.recipient for letter in mailbox.letters] == [NEW["email"]]


async def test_a_link_does_nothing_for_a_disabled_user(florin: Florin, mailbox: Mailbox) -> None:
    await florin.ada.ask(ASK_TO_VERIFY)
    await act(florin.anonymous, FORGOT, email=florin.alan.user.email)
    await mailbox.collect(florin.parts)
    verify, reset = (mailbox.token_to(who.user.email) for who in (florin.ada, florin.alan))
    # By hand, so that the links themselves stay as they are.
    await rows(florin.parts.engine, "UPDATE users SET disabled_at = now() RETURNING 1")
    assert await codes(florin.anonymous, VERIFY, token=verify) == ["INVALID_TOKEN"]
    assert await codes(florin.anonymous, RESET, token=reset, newPassword=ANOTHER) == ["INVALID_TOKEN"]
    assert await rows(florin.parts.engine, "SELECT 1 FROM users WHERE email_verified_at IS NOT NULL") == []
    assert await rows(florin.parts.engine, "SELECT 1 FROM credentials") == []


async def test_links_from_before_somebody_was_disabled_stay_void_when_they_are_back(
    florin: Florin, mailbox: Mailbox
) -> None:
    blaise = await add_person(florin)
    await act(florin.anonymous, FORGOT, email=blaise.email)
    await mailbox.collect(florin.parts)
    link, user_id = mailbox.token_to(blaise.email), encode(IdKind.USER, blaise.id)
    for document in (DISABLE, ENABLE):
        assert await codes(florin.margaret, document, userId=user_id, reason="A stolen laptop.") == []
    assert await codes(florin.anonymous, RESET, token=link, newPassword=ANOTHER) == ["INVALID_TOKEN"]
    assert await lets_in(await sign_in(florin))


async def test_links_end(engine: AsyncEngine, mailbox: Mailbox) -> None:
    clock = FakeClock()
    async with running(engine, clock=clock) as florin:
        await add_person(florin)
        await act(florin.anonymous, FORGOT, email=NEW["email"])
        await act(florin.anonymous, SIGN_UP, **{**NEW, "email": "gilberte@example.com"})
        await mailbox.collect(florin.parts)
        reset, begin = mailbox.token_to(NEW["email"]), mailbox.token_to("gilberte@example.com")
        clock.advance(timedelta(hours=1))
        # Nor does it tell any more what is wrong with a password.
        for wanted in (ANOTHER, "short"):
            assert await codes(florin.anonymous, RESET, token=reset, newPassword=wanted) == ["INVALID_TOKEN"]
        clock.advance(timedelta(hours=23))
        assert await codes(florin.anonymous, VERIFY, token=begin) == ["INVALID_TOKEN"]
        assert await codes(florin.anonymous, SIGN_IN, email=NEW["email"], password=ANOTHER) == ["INVALID_CREDENTIALS"]


async def test_a_link_that_ends_while_its_password_is_hashed_has_ended(
    engine: AsyncEngine, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    async with running(engine, clock=clock) as florin:
        await add_person(florin)
        await act(florin.anonymous, FORGOT, email=NEW["email"])
        await mailbox.collect(florin.parts)
        hash_ = florin.parts.passwords.hash

        async def slow(password: str) -> str:
            clock.advance(timedelta(hours=1))
            return await hash_(password)

        monkeypatch.setattr(florin.parts.passwords, "hash", slow)
        reset = mailbox.token_to(NEW["email"])
        assert await codes(florin.anonymous, RESET, token=reset, newPassword=ANOTHER) == ["INVALID_TOKEN"]
        assert await codes(florin.anonymous, SIGN_IN, email=NEW["email"], password=ANOTHER) == ["INVALID_CREDENTIALS"]


async def test_a_password_that_was_set_by_one_link_is_not_set_again_by_another(
    florin: Florin, mailbox: Mailbox
) -> None:
    await add_person(florin)
    links = []
    for _ in range(2):
        await act(florin.anonymous, FORGOT, email=NEW["email"])
        await mailbox.collect(florin.parts)
        links.append(mailbox.token_to(NEW["email"]))
    assert links[0] != links[1]
    assert await codes(florin.anonymous, RESET, token=links[1], newPassword=ANOTHER) == []
    assert await codes(florin.anonymous, RESET, token=links[0], newPassword=PASSWORD) == ["INVALID_TOKEN"]
    assert await lets_in(await sign_in(florin, password=ANOTHER))


async def test_a_token_is_of_use_for_its_purpose_alone(florin: Florin, mailbox: Mailbox) -> None:
    await add_person(florin)
    signed_in = await sign_in(florin)
    await act(florin.anonymous, FORGOT, email=NEW["email"])
    await act(florin.anonymous, SIGN_UP, **{**NEW, "email": "gilberte@example.com"})
    await mailbox.collect(florin.parts)
    reset, begin = mailbox.token_to(NEW["email"]), mailbox.token_to("gilberte@example.com")
    assert await codes(florin.anonymous, VERIFY, token=reset) == ["INVALID_TOKEN"]
    assert await codes(florin.anonymous, RESET, token=begin, newPassword=ANOTHER) == ["INVALID_TOKEN"]
    await florin.ada.ask(ASK_TO_VERIFY)
    await mailbox.collect(florin.parts)
    verify = mailbox.token_to(florin.ada.user.email)
    assert await codes(florin.anonymous, RESET, token=verify, newPassword=ANOTHER) == ["INVALID_TOKEN"]
    for token in (signed_in.refresh_token, str(signed_in.token), "", "florin_mail_", "x" * 100_000, "florin_mail_\x00"):
        assert await codes(florin.anonymous, VERIFY, token=token) == ["INVALID_TOKEN"]
        assert await codes(florin.anonymous, RESET, token=token, newPassword=ANOTHER) == ["INVALID_TOKEN"]
    # And they hold still for what they are.
    assert await codes(florin.anonymous, RESET, token=reset, newPassword=ANOTHER) == []
    assert await codes(florin.anonymous, VERIFY, token=begin) == []
    assert await codes(florin.anonymous, VERIFY, token=verify) == []


async def test_a_changed_password_ends_the_other_sessions_and_the_links(florin: Florin, mailbox: Mailbox) -> None:
    await add_person(florin)
    this, other = await sign_in(florin), await sign_in(florin)
    await act(florin.anonymous, FORGOT, email=NEW["email"])
    await mailbox.collect(florin.parts)
    link = mailbox.token_to(NEW["email"])
    assert await codes(this, CHANGE, currentPassword="wrong words", newPassword=ANOTHER) == ["INVALID_CREDENTIALS"]
    assert await codes(this, CHANGE, currentPassword=PASSWORD, newPassword="password1") == ["WEAK_PASSWORD"]
    assert await lets_in(other)
    assert await act(this, CHANGE, currentPassword=PASSWORD, newPassword=ANOTHER) == {"changed": True, "errors": []}
    assert (await lets_in(this), await lets_in(other)) == (True, False)
    assert await codes(florin.anonymous, RESET, token=link, newPassword=PASSWORD) == ["INVALID_TOKEN"]
    assert await lets_in(await sign_in(florin, password=ANOTHER))


async def test_a_password_that_was_changed_meanwhile_is_not_changed_by_the_one_before(
    florin: Florin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who knows the old password is overtaken by its owner, who sets another by mail."""
    user = await add_person(florin)
    session = await sign_in(florin)
    hash_ = florin.parts.passwords.hash

    async def overtaken(password: str) -> str:
        async with florin.parts.units.begin() as uow:
            await uow.credentials.set_password(user.id, await hash_(ANOTHER), florin.parts.clock.now())
        return await hash_(password)

    with monkeypatch.context() as patched:
        patched.setattr(florin.parts.passwords, "hash", overtaken)
        wanted = {"currentPassword": PASSWORD, "newPassword": "the thief's own words"}
        assert await codes(session, CHANGE, **wanted) == ["INVALID_CREDENTIALS"]
    assert await rows(florin.parts.engine, "SELECT 1 FROM mails") == []
    assert await lets_in(await sign_in(florin, password=ANOTHER))


async def test_whoever_has_no_password_cannot_change_it_but_have_it_set_by_mail(
    florin: Florin, mailbox: Mailbox
) -> None:
    refused = await codes(florin.ada, CHANGE, currentPassword=PASSWORD, newPassword=ANOTHER)
    assert refused == ["INVALID_CREDENTIALS"]
    await act(florin.anonymous, FORGOT, email=florin.ada.user.email)
    await mailbox.collect(florin.parts)
    await act(florin.anonymous, RESET, token=mailbox.token_to(florin.ada.user.email), newPassword=ANOTHER)
    ada = await sign_in(florin, florin.ada.user.email, ANOTHER)
    assert (await ada.ask("{ me { emailVerifiedAt } }"))["me"]["emailVerifiedAt"] is not None


async def test_an_address_that_somebody_else_entered_is_verified_by_mail(florin: Florin, mailbox: Mailbox) -> None:
    assert (await florin.ada.ask(ASK_TO_VERIFY))["requestEmailVerification"]["sentTo"] == florin.ada.user.email
    await mailbox.collect(florin.parts)
    link = mailbox.token_to(florin.ada.user.email)
    found = await asyncio.gather(*(codes(florin.anonymous, VERIFY, token=link) for _ in range(4)))
    assert sorted(found) == [[], *[["INVALID_TOKEN"]] * 3]
    assert (await actions(florin)).count("email.verified") == 1
    assert (await florin.ada.ask("{ me { emailVerifiedAt } }"))["me"]["emailVerifiedAt"] is not None
    assert (await florin.ada.ask(ASK_TO_VERIFY))["requestEmailVerification"]["sentTo"] is None


async def test_where_no_mail_is_sent_nobody_is_told_to_wait_for_one(engine: AsyncEngine) -> None:
    async with running(engine, mail_host=None) as florin:
        for document in (SIGN_UP, FORGOT):
            given = NEW if document is SIGN_UP else {"email": NEW["email"]}
            assert (await florin.anonymous.refused(document, {"input": given}))["extensions"]["code"] == "FORBIDDEN"
        assert await rows(engine, "SELECT 1 FROM mails") == []


async def test_a_closed_shop_takes_no_sign_ups(engine: AsyncEngine) -> None:
    async with running(engine, sign_up_open=False) as florin:
        assert (await florin.anonymous.refused(SIGN_UP, {"input": NEW}))["extensions"]["code"] == "FORBIDDEN"
        assert await codes(florin.anonymous, FORGOT, email=NEW["email"]) == []


async def test_a_mail_that_does_not_get_out_is_tried_again_and_given_up_in_the_end(
    engine: AsyncEngine, mailbox: Mailbox
) -> None:
    clock = FakeClock()
    async with running(engine, clock=clock) as florin:
        await act(florin.anonymous, SIGN_UP, **NEW)
        mailbox.refusals = [MailNotSent("busy", for_good=False)] * 2
        assert await mailbox.collect(florin.parts) == [MailState.WAITING]
        assert await mailbox.collect(florin.parts) == []
        await rows(engine, "UPDATE mails SET next_try_at = now() RETURNING 1")
        clock.advance(GIVEN_UP_AFTER - timedelta(minutes=1))
        assert await mailbox.collect(florin.parts) == [MailState.WAITING]
        await rows(engine, "UPDATE mails SET next_try_at = now() RETURNING 1")
        assert await mailbox.collect(florin.parts) == [MailState.SENT]
        await act(florin.anonymous, FORGOT, email=florin.ada.user.email)
        mailbox.refusals = [MailNotSent("no such mailbox", for_good=True)]
        assert await mailbox.collect(florin.parts) == [MailState.FAILED]
        await act(florin.anonymous, FORGOT, email=florin.alan.user.email)
        clock.advance(GIVEN_UP_AFTER + timedelta(minutes=1))
        mailbox.refusals = [MailNotSent("busy", for_good=False)]
        assert await mailbox.collect(florin.parts) == [MailState.FAILED]


async def test_a_mail_is_there_with_what_caused_it_and_outlives_whoever_sent_it(
    florin: Florin, mailbox: Mailbox
) -> None:
    """The worker dies after the letter went out and before it noted that: it goes out again, and either link holds."""

    class Deadly(Mailbox):
        async def send(self, letter: object) -> None:
            await Mailbox.send(self, letter)  # type: ignore[arg-type]  # the port's letter
            raise KeyboardInterrupt

    await act(florin.anonymous, SIGN_UP, **NEW)
    dying = Deadly()
    with pytest.raises(KeyboardInterrupt):
        await dying.collect(florin.parts)
    assert await mailbox.collect(florin.parts) == []
    await rows(florin.parts.engine, "UPDATE mails SET next_try_at = now() RETURNING 1")
    assert await mailbox.collect(florin.parts) == [MailState.SENT]
    (first,), (second,) = dying.letters, mailbox.letters
    assert first.id == second.id
    assert first.text != second.text
    assert await codes(florin.anonymous, VERIFY, token=dying.token_to(NEW["email"])) == []
    assert await codes(florin.anonymous, VERIFY, token=mailbox.token_to(NEW["email"])) == ["INVALID_TOKEN"]


async def test_nobody_fills_a_mailbox_through_us(florin: Florin) -> None:
    for _ in range(5):
        assert await codes(florin.anonymous, FORGOT, email="victim@example.com") == []
    for email in ("victim@example.com", "VICTIM@example.com"):
        error = await florin.anonymous.refused(FORGOT, {"input": {"email": email}})
        assert error["extensions"]["code"] == "RATE_LIMITED"
        error = await florin.anonymous.refused(SIGN_UP, {"input": {**NEW, "email": email}})
        assert error["extensions"]["code"] == "RATE_LIMITED"
    assert len(await rows(florin.parts.engine, "SELECT 1 FROM mails")) == 5
