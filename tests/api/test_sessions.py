"""Sessions: signing in, going on and out; and whoever tries to get in without being let."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import jwt
import pytest
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.ext.asyncio import AsyncEngine

from app.password_hashing import Argon2Passwords
from domain.errors import Unavailable
from domain.identity.attempts import OF_ACCOUNT, OF_ADDRESS, network_of
from domain.identity.prune import KEPT, PruneIdentity
from domain.sweeps import SweepRun
from tests.api.application import Client, Florin, running
from tests.api.people import (
    CHANGE,
    EVERYWHERE,
    FORGOT,
    PASSWORD,
    REFRESH,
    RESET,
    REVOKE,
    SESSIONS,
    SIGN_IN,
    SIGN_OUT,
    SIGN_UP,
    act,
    add_person,
    codes,
    holder,
    lets_in,
    sign_in,
)
from tests.support.captured_logs import captured_logs
from tests.support.clock import FakeClock
from tests.support.database import rows
from tests.support.mailbox import Mailbox
from tests.support.statements import counted


class CountedPasswords(Argon2Passwords):
    """The real hash, quick, which counts how often it was computed."""

    def __init__(self) -> None:
        super().__init__(Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1))
        self.work = 0

    async def hash(self, password: str) -> str:
        self.work += 1
        return await super().hash(password)

    async def verify(self, password: str, hashed: str | None) -> bool:
        if hashed is not None:
            self.work += 1
        return await super().verify(password, hashed)


def counted_work(florin: Florin, monkeypatch: pytest.MonkeyPatch) -> CountedPasswords:
    """Let the service's hasher count."""
    counting = CountedPasswords()
    for name in ("hash", "verify"):
        monkeypatch.setattr(florin.parts.passwords, name, getattr(counting, name))
    return counting


async def test_a_session_goes_on_by_its_refresh_tokens(florin: Florin) -> None:
    await add_person(florin)
    first = await sign_in(florin)
    refreshed = await act(florin.anonymous, REFRESH, refreshToken=first.refresh_token)
    assert refreshed["errors"] == []
    second = holder(florin, refreshed["tokens"])
    assert second.session_id == first.session_id
    assert second.refresh_token != first.refresh_token
    assert await lets_in(first)
    assert await lets_in(second)
    third = await act(florin.anonymous, REFRESH, refreshToken=second.refresh_token)
    assert third["errors"] == []


async def test_an_access_token_lives_for_fifteen_minutes(florin: Florin) -> None:
    await add_person(florin)
    payload = await act(florin.anonymous, SIGN_IN, email="blaise@example.com", password=PASSWORD)
    decoded = jwt.decode(payload["tokens"]["accessToken"], options={"verify_signature": False})
    assert decoded["exp"] - decoded["iat"] == 900


async def test_a_refresh_token_that_comes_again_ends_its_session(florin: Florin) -> None:
    await add_person(florin)
    other = await sign_in(florin)
    first = await sign_in(florin)
    second = holder(florin, (await act(florin.anonymous, REFRESH, refreshToken=first.refresh_token))["tokens"])
    assert await codes(florin.anonymous, REFRESH, refreshToken=first.refresh_token) == ["INVALID_REFRESH_TOKEN"]
    # Both who hold a token of it are out, and the user's other session is not.
    assert (await lets_in(first), await lets_in(second), await lets_in(other)) == (False, False, True)
    assert await codes(florin.anonymous, REFRESH, refreshToken=second.refresh_token) == ["INVALID_REFRESH_TOKEN"]
    reused = await rows(
        florin.parts.engine,
        "SELECT actor_kind, details->>'sessionId' FROM audit_entries WHERE action = 'session.token_reused'",
    )
    assert reused == [("SYSTEM", first.session_id)]


async def test_two_who_show_one_refresh_token_at_once_are_both_out(florin: Florin) -> None:
    await add_person(florin)
    for _ in range(5):
        session = await sign_in(florin)
        payloads = await asyncio.gather(
            *(act(florin.anonymous, REFRESH, refreshToken=session.refresh_token) for _ in range(4))
        )
        won = [payload["tokens"] for payload in payloads if payload["tokens"] is not None]
        assert len(won) == 1
        assert not await lets_in(holder(florin, won[0]))
        assert await codes(florin.anonymous, REFRESH, refreshToken=won[0]["refreshToken"]) == ["INVALID_REFRESH_TOKEN"]


async def test_a_disabled_user_does_not_go_on_with_a_session_however_they_were_disabled(florin: Florin) -> None:
    user = await add_person(florin)
    session = await sign_in(florin)
    # By hand, so that the session itself stays as it is.
    await rows(florin.parts.engine, "UPDATE users SET disabled_at = now() WHERE id = :id RETURNING 1", id=user.id)
    assert await codes(florin.anonymous, REFRESH, refreshToken=session.refresh_token) == ["INVALID_REFRESH_TOKEN"]
    assert await rows(florin.parts.engine, "SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL") == [(1,)]
    assert await rows(florin.parts.engine, "SELECT 1 FROM audit_entries WHERE action = 'session.refreshed'") == []


async def test_tokens_are_of_no_use_for_what_they_are_not(florin: Florin) -> None:
    await add_person(florin)
    session = await sign_in(florin)
    assert not await lets_in(Client(florin.http, session.refresh_token))
    assert await codes(florin.anonymous, REFRESH, refreshToken=str(session.token)) == ["INVALID_REFRESH_TOKEN"]
    for text in (
        "",
        "florin_refresh_",
        session.refresh_token + "x",
        session.refresh_token.upper(),
        "x" * 90_000,
        "\x00",
    ):
        assert await codes(florin.anonymous, REFRESH, refreshToken=text) == ["INVALID_REFRESH_TOKEN"]
    assert await lets_in(session)


async def test_a_session_ends_when_it_is_not_used_and_in_any_case(engine: AsyncEngine) -> None:
    clock = FakeClock()
    async with running(engine, clock=clock, session_days=3, session_idle_days=2) as florin:
        await add_person(florin)
        idle, used = await sign_in(florin), await sign_in(florin)
        clock.advance(timedelta(days=1, hours=23))
        used = holder(florin, (await act(florin.anonymous, REFRESH, refreshToken=used.refresh_token))["tokens"])
        clock.advance(timedelta(hours=1))
        assert await codes(florin.anonymous, REFRESH, refreshToken=idle.refresh_token) == ["INVALID_REFRESH_TOKEN"]
        used = holder(florin, (await act(florin.anonymous, REFRESH, refreshToken=used.refresh_token))["tokens"])
        clock.advance(timedelta(days=1))
        assert await codes(florin.anonymous, REFRESH, refreshToken=used.refresh_token) == ["INVALID_REFRESH_TOKEN"]


async def test_signing_out_ends_access_at_once(florin: Florin) -> None:
    await add_person(florin)
    by_access, by_refresh, stays = await sign_in(florin), await sign_in(florin), await sign_in(florin)
    assert (await act(by_access, SIGN_OUT))["signedOut"] is True
    assert (await act(florin.anonymous, SIGN_OUT, refreshToken=by_refresh.refresh_token))["signedOut"] is True
    assert [await lets_in(each) for each in (by_access, by_refresh, stays)] == [False, False, True]
    for ended in (by_access, by_refresh):
        assert await codes(florin.anonymous, REFRESH, refreshToken=ended.refresh_token) == ["INVALID_REFRESH_TOKEN"]
    # Whoever shows nothing, or nonsense, ends nothing and learns nothing.
    assert await codes(florin.anonymous, SIGN_OUT) == ["INVALID_REFRESH_TOKEN"]
    assert (await act(florin.anonymous, SIGN_OUT, refreshToken="florin_refresh_x"))["signedOut"] is True


@pytest.mark.parametrize("kept", [True, False])
async def test_signing_out_everywhere(florin: Florin, kept: bool) -> None:
    await add_person(florin)
    here, there, elsewhere = await sign_in(florin), await sign_in(florin), await sign_in(florin)
    payload = await act(here, EVERYWHERE, keepThisSession=kept)
    assert payload == {"sessionsEnded": 2 if kept else 3, "errors": []}
    assert [await lets_in(each) for each in (here, there, elsewhere)] == [kept, False, False]
    assert await lets_in(florin.ada)


async def test_people_see_their_sessions_and_end_one(florin: Florin) -> None:
    await add_person(florin)
    here, there = await sign_in(florin), await sign_in(florin)
    listed = (await here.ask(SESSIONS))["me"]["sessions"]
    assert {each["id"]: each["current"] for each in listed} == {here.session_id: True, there.session_id: False}
    assert all(each["client"].startswith("python-httpx") for each in listed)
    assert (await act(here, REVOKE, sessionId=there.session_id))["revoked"] is True
    assert not await lets_in(there)
    assert [each["id"] for each in (await here.ask(SESSIONS))["me"]["sessions"]] == [here.session_id]
    assert await codes(here, REVOKE, sessionId=there.session_id) == ["NOT_FOUND"]


async def test_nobody_sees_or_ends_a_session_of_somebody_else(florin: Florin) -> None:
    await add_person(florin)
    blaise = await sign_in(florin)
    user = (await blaise.ask("{ me { id } }"))["me"]["id"]
    for other in (florin.ada, florin.margaret):
        assert await codes(other, REVOKE, sessionId=blaise.session_id) == ["NOT_FOUND"]
    seen = await florin.margaret.ask("query ($id: ID!) { user(id: $id) { sessions { id } } }", {"id": user})
    assert seen["user"]["sessions"] is None
    assert await lets_in(blaise)


async def test_a_wrong_password_and_an_unknown_address_are_the_same_answer_and_the_same_work(
    florin: Florin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_person(florin)
    disabled = await add_person(florin, "disabled@example.com")
    await rows(florin.parts.engine, "UPDATE users SET disabled_at = now() WHERE id = :id RETURNING 1", id=disabled.id)
    counting = counted_work(florin, monkeypatch)
    answers, statements = [], []
    tries = (
        ("blaise@example.com", "wrong words"),
        ("nobody@example.com", "wrong words"),
        ("disabled@example.com", PASSWORD),
        # Somebody who was added and never set a password.
        (florin.ada.user.email, PASSWORD),
    )
    for number, (email, password) in enumerate(tries, start=1):
        with counted(florin.parts.engine) as sent:
            answers.append(await act(florin.anonymous, SIGN_IN, email=email, password=password))
        statements.append(sent)
        assert counting.work == number
    assert [error["code"] for error in answers[0]["errors"]] == ["INVALID_CREDENTIALS"]
    assert all(answer == answers[0] for answer in answers)
    assert all(sent == statements[0] for sent in statements)
    assert await rows(florin.parts.engine, "SELECT 1 FROM sessions WHERE kind = 'SIGN_IN'") == []


async def test_passwords_that_cannot_be_one_are_refused_before_any_work(
    florin: Florin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_person(florin)
    counting = counted_work(florin, monkeypatch)
    for password in ("", "x" * 90_000):
        assert await codes(florin.anonymous, SIGN_IN, email="blaise@example.com", password=password) == [
            "INVALID_CREDENTIALS"
        ]
    assert counting.work == 0


async def test_guessing_by_aliases_is_guessing(florin: Florin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tries in one request count as many, and the right password among them is not found out."""
    await add_person(florin)
    counting = counted_work(florin, monkeypatch)
    guesses = [f"guess number {n}" for n in range(OF_ACCOUNT.amount)]
    answers = [
        await florin.anonymous.send(_aliased(part)) for part in (guesses[:4], guesses[4:8], [*guesses[8:], PASSWORD])
    ]
    codes_ = [error["extensions"]["code"] for error in answers[-1].json()["errors"]]
    assert codes_ == ["RATE_LIMITED"]
    assert answers[-1].json()["data"] is None
    assert counting.work == OF_ACCOUNT.amount
    # From now on the account lets nobody in, not even with the right password: or the limit would tell which is right.
    error = await florin.anonymous.refused(SIGN_IN, {"input": {"email": "BLAISE@example.com", "password": PASSWORD}})
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert counting.work == OF_ACCOUNT.amount
    assert await rows(florin.parts.engine, "SELECT 1 FROM sessions WHERE kind = 'SIGN_IN'") == []


def _aliased(guesses: list[str]) -> str:
    tries = (
        f'g{n}: signIn(input: {{email: "blaise@example.com", password: "{guess}"}}) {{ errors {{ code }} }}'
        for n, guess in enumerate(guesses)
    )
    return f"mutation {{ {' '.join(tries)} }}"


@pytest.mark.parametrize("spelled", ["blaİse@example.com", "blaise@example.com\u200b", "ｂlaise@example.com"])
async def test_letters_that_a_database_takes_for_others_name_nobody(
    florin: Florin, monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    """PostgreSQL makes an "i" of "İ", Python does not: an account that is found so would be counted as another one."""
    await add_person(florin)
    counting = counted_work(florin, monkeypatch)
    assert await codes(florin.anonymous, SIGN_IN, email=spelled, password=PASSWORD) == ["INVALID_CREDENTIALS"]
    assert counting.work == 1
    assert await rows(florin.parts.engine, "SELECT 1 FROM sessions WHERE kind = 'SIGN_IN'") == []


async def test_many_tries_at_once_do_not_slip_through(florin: Florin, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_person(florin)
    counting = counted_work(florin, monkeypatch)
    wrong = {"input": {"email": "blaise@example.com", "password": "wrong words"}}
    await asyncio.gather(*(florin.anonymous.send(SIGN_IN, wrong) for _ in range(3 * OF_ACCOUNT.amount)))
    assert counting.work == OF_ACCOUNT.amount


async def test_one_address_cannot_try_many_accounts(florin: Florin, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = counted_work(florin, monkeypatch)
    for n in range(OF_ADDRESS.amount):
        await act(florin.anonymous, SIGN_IN, email=f"somebody{n}@example.com", password="password1")
    wrong = {"input": {"email": "one-more@example.com", "password": "password1"}}
    assert (await florin.anonymous.refused(SIGN_IN, wrong))["extensions"]["code"] == "RATE_LIMITED"
    assert counting.work == OF_ADDRESS.amount


async def test_people_who_sign_in_often_are_not_kept_out(florin: Florin) -> None:
    await add_person(florin)
    for _ in range(OF_ACCOUNT.amount + 2):
        await sign_in(florin)


async def test_whoever_stole_a_session_cannot_try_passwords_in_it(florin: Florin) -> None:
    await add_person(florin)
    stolen = await sign_in(florin)
    wanted = {"currentPassword": "wrong words", "newPassword": "the thief's own words"}
    for _ in range(OF_ACCOUNT.amount):
        assert await codes(stolen, CHANGE, **wanted) == ["INVALID_CREDENTIALS"]
    error = await stolen.refused(CHANGE, {"input": {**wanted, "currentPassword": PASSWORD}})
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert await codes(florin.anonymous, SIGN_IN, email="gilberte@example.com", password=PASSWORD) == [
        "INVALID_CREDENTIALS"
    ]


@pytest.mark.parametrize("meanwhile", ["another password", "disabled"])
async def test_a_sign_in_that_is_under_way_does_not_outlive_what_ends_sessions(florin: Florin, meanwhile: str) -> None:
    """The password is verified, then changed or its user disabled, and only then would the session begin."""
    user = await add_person(florin)
    entered, go_on = asyncio.Event(), asyncio.Event()
    passwords = florin.parts.passwords
    verify = passwords.verify

    async def slow(password: str, hashed: str | None) -> bool:
        right = await verify(password, hashed)
        entered.set()
        await go_on.wait()
        return right

    passwords.verify = slow  # type: ignore[method-assign]  # the moment between two steps
    signing_in = asyncio.create_task(act(florin.anonymous, SIGN_IN, email=user.email, password=PASSWORD))
    await entered.wait()
    now = florin.parts.clock.now()
    async with florin.parts.units.begin() as uow:
        if meanwhile == "disabled":
            await uow.users.save(replace(user, disabled_at=now))
        else:
            await uow.credentials.set_password(user.id, await passwords.hash("another"), now)
        await uow.sessions.revoke_all(user.id, now)
    go_on.set()
    assert [error["code"] for error in (await signing_in)["errors"]] == ["INVALID_CREDENTIALS"]
    assert await rows(florin.parts.engine, "SELECT 1 FROM sessions WHERE kind = 'SIGN_IN'") == []


async def test_a_hash_of_less_work_is_made_anew_when_its_password_comes(florin: Florin) -> None:
    await add_person(florin)
    old = await Argon2Passwords(Argon2Hasher(time_cost=2, memory_cost=8, parallelism=1)).hash(PASSWORD)
    await rows(florin.parts.engine, "UPDATE credentials SET password_hash = :old RETURNING 1", old=old)
    await sign_in(florin)
    [(renewed,)] = await rows(florin.parts.engine, "SELECT password_hash FROM credentials")
    assert str(renewed).startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert await lets_in(await sign_in(florin))


async def test_no_more_passwords_wait_to_be_hashed_than_there_are_places_for() -> None:
    passwords = Argon2Passwords(Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1), threads=1, waiting_max=2)
    results = await asyncio.gather(*(passwords.hash("x") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(each, Unavailable) for each in results) == 2
    assert (await passwords.hash("x")).startswith("$argon2id$")
    passwords.close()


async def test_secrets_are_in_no_log_no_table_and_no_answer(florin: Florin) -> None:
    """Canaries go in by every door; afterwards everything that was written is searched for them."""
    canary, mailbox = "canary-password-5f1c", Mailbox()
    with captured_logs() as logs:
        await act(florin.anonymous, SIGN_UP, email="bird@example.com", name="Bird", password=canary)
        await add_person(florin, password=canary)
        session = await sign_in(florin, password=canary)
        await act(florin.anonymous, SIGN_IN, email="blaise@example.com", password=canary + "x")
        await act(florin.anonymous, FORGOT, email="blaise@example.com")
        await mailbox.collect(florin.parts)
        reset, begin = mailbox.token_to("blaise@example.com"), mailbox.token_to("bird@example.com")
        refreshed = await act(florin.anonymous, REFRESH, refreshToken=session.refresh_token)
        await act(florin.anonymous, RESET, token=reset, newPassword="password1")
        wrong = await florin.anonymous.send(SIGN_IN, {"input": {"email": "x@example.com", "password": {"a": canary}}})
        shown = repr(mailbox.letters)
    assert wrong.status_code == 200
    tokens = refreshed["tokens"]
    secrets = [canary, session.refresh_token, tokens["refreshToken"], tokens["accessToken"], reset, begin]
    stored = await _everything(florin)
    for secret in secrets:
        assert secret not in logs.text
        assert secret not in stored
        assert secret not in shown
    # The search is one that finds what is there.
    assert "blaise@example.com" in stored
    assert "$argon2id$" in stored
    assert "sign_in.refused" in logs.text


async def _everything(florin: Florin) -> str:
    """Every row of every table as text, bytes as they are."""
    tables = await rows(florin.parts.engine, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    found = []
    for (table,) in tables:
        if table != "alembic_version":
            found += await rows(florin.parts.engine, f"SELECT * FROM {table}")  # noqa: S608  our own tables
    return repr(found)


async def test_what_is_over_is_deleted_after_a_month(florin: Florin) -> None:
    await add_person(florin)
    ended, open_ = await sign_in(florin), await sign_in(florin)
    await act(ended, SIGN_OUT)
    sweep = PruneIdentity(florin.parts.units)

    def run(after: timedelta) -> SweepRun:
        return SweepRun(name=sweep.name, runs=1, started_at=florin.parts.clock.now() + after, mark=None)

    assert (await sweep(run(KEPT - timedelta(minutes=1)))).found.get("sessions") is None
    assert (await sweep(run(KEPT))).found["sessions"] == 1
    left = await rows(florin.parts.engine, "SELECT count(*) FROM refresh_tokens")
    assert left == [(1,)]
    assert await lets_in(open_)


@pytest.mark.parametrize(
    ("address", "network"),
    {
        "192.0.2.7": "192.0.2.7",
        "::ffff:192.0.2.7": "192.0.2.7",
        "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
        "2001:db8:1:2::": "2001:db8:1:2::/64",
        "unix socket": "unix socket",
    }.items(),
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network
