"""The second factor: set up, asked for, never taken twice, and needed by administrators where a setting says so."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pyotp
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.sealing import AesSealer
from domain.access import Role
from domain.identity.attempts import OF_ACCOUNT
from domain.identity.second_factor import SealBroken, SecondFactor, step_of
from domain.ids import UserId
from tests.api.application import ENCRYPTION_KEY, Florin, Json, running
from tests.api.people import PASSWORD, SIGN_IN, SignedIn, act, add_person, codes, holder, lets_in, sign_in
from tests.support.clock import FakeClock, SequentialIds
from tests.support.database import rows

_ERRORS = "errors { code path }"
BEGIN = f"mutation ($input: BeginSecondFactorInput!) {{ beginSecondFactor(input: $input) {{ secret uri {_ERRORS} }} }}"
CONFIRM = f"mutation ($input: ConfirmSecondFactorInput!) {{ confirmSecondFactor(input: $input) {{ recoveryCodes {_ERRORS} }} }}"
DISABLE = (
    f"mutation ($input: DisableSecondFactorInput!) {{ disableSecondFactor(input: $input) {{ disabled {_ERRORS} }} }}"
)
EMAIL = "blaise@example.com"
ENABLED = "{ me { secondFactorEnabled } }"


class App:
    """An authenticator app, by the server's clock."""

    def __init__(self, florin: Florin, secret: str) -> None:
        self._florin = florin
        self._totp = pyotp.TOTP(secret)

    def code(self, steps: int = 0) -> str:
        return self._totp.at(self._florin.parts.clock.now(), counter_offset=steps)


async def set_up(florin: Florin, who: SignedIn) -> tuple[App, list[str]]:
    """A confirmed second factor with its recovery codes."""
    begun = await act(who, BEGIN, password=PASSWORD)
    assert begun["errors"] == []
    app = App(florin, begun["secret"])
    confirmed = await act(who, CONFIRM, code=app.code())
    assert confirmed["errors"] == []
    return app, confirmed["recoveryCodes"]


async def try_code(florin: Florin, code: str | None) -> Json:
    return await act(florin.anonymous, SIGN_IN, email=EMAIL, password=PASSWORD, code=code)


async def refusals(florin: Florin, code: str | None) -> list[str]:
    return [error["code"] for error in (await try_code(florin, code))["errors"]]


@pytest.fixture
def clock() -> FakeClock:
    """It stands still some minutes ago: access tokens go by the real time, and theirs has come and not gone by."""
    return FakeClock(datetime.now(UTC) - timedelta(minutes=10))  # noqa: TID251  see above


def pass_(clock: FakeClock, steps: int = 1) -> None:
    clock.advance(timedelta(seconds=30 * steps))


async def test_signing_in_takes_a_code_once_one_is_confirmed(engine: AsyncEngine, clock: FakeClock) -> None:
    async with running(engine, clock=clock) as florin:
        await add_person(florin)
        this, other = await sign_in(florin), await sign_in(florin)
        begun = await act(this, BEGIN, password=PASSWORD)
        assert begun["uri"].startswith("otpauth://totp/")
        assert begun["secret"] in begun["uri"]
        # Not before: whoever begins and does not finish is not locked out.
        assert await lets_in(await sign_in(florin))
        app = App(florin, begun["secret"])
        assert await codes(this, CONFIRM, code="000000" if app.code() != "000000" else "000001") == ["INVALID_CODE"]
        assert len((await act(this, CONFIRM, code=app.code()))["recoveryCodes"]) == 10
        assert (await lets_in(this), await lets_in(other)) == (True, False)
        assert (await this.ask(ENABLED))["me"]["secondFactorEnabled"] is True
        pass_(clock)
        assert await refusals(florin, None) == ["SECOND_FACTOR_REQUIRED"]
        # Without the password nobody learns that there is a second factor.
        wrong = await act(florin.anonymous, SIGN_IN, email=EMAIL, password="wrong words", code=app.code())
        assert [error["code"] for error in wrong["errors"]] == ["INVALID_CREDENTIALS"]
        assert await lets_in(holder(florin, (await try_code(florin, app.code()))["tokens"]))


async def test_a_code_is_taken_once_and_none_from_before_it(engine: AsyncEngine, clock: FakeClock) -> None:
    async with running(engine, clock=clock) as florin:
        await add_person(florin)
        app, _ = await set_up(florin, await sign_in(florin))
        # The one that confirmed it was taken too.
        assert await refusals(florin, app.code()) == ["INVALID_CODE"]
        pass_(clock)
        code = app.code()
        assert await refusals(florin, code) == []
        assert await refusals(florin, code) == ["INVALID_CODE"]
        assert await refusals(florin, app.code(-1)) == ["INVALID_CODE"]
        assert await refusals(florin, app.code(1)) == []
        assert await refusals(florin, app.code(2)) == ["INVALID_CODE"]


async def test_of_many_who_show_one_code_at_once_one_is_let_in(engine: AsyncEngine, clock: FakeClock) -> None:
    async with running(engine, clock=clock) as florin:
        await add_person(florin)
        app, recovery = await set_up(florin, await sign_in(florin))
        pass_(clock)
        for code in (app.code(), recovery[0]):
            found = await asyncio.gather(*(refusals(florin, code) for _ in range(4)))
            assert sorted(found) == [[], *[["INVALID_CODE"]] * 3]


async def test_a_recovery_code_lets_in_once_however_it_is_typed(engine: AsyncEngine, clock: FakeClock) -> None:
    async with running(engine, clock=clock) as florin:
        await add_person(florin)
        _, recovery = await set_up(florin, await sign_in(florin))
        assert len(set(recovery)) == 10
        assert await refusals(florin, f" {recovery[0].lower().replace('-', ' ')} ") == []
        assert await refusals(florin, recovery[0]) == ["INVALID_CODE"]
        assert await refusals(florin, recovery[1]) == []
        stored = repr(await rows(engine, "SELECT * FROM recovery_codes"))
        assert not any(code in stored or code.replace("-", "") in stored for code in recovery)
        used = await rows(engine, "SELECT 1 FROM audit_entries WHERE action = 'recovery_code.used'")
        assert len(used) == 2


async def test_a_code_of_somebody_else_is_a_wrong_one(engine: AsyncEngine, clock: FakeClock) -> None:
    async with running(engine, clock=clock) as florin:
        await add_person(florin)
        other = await add_person(florin, "gilberte@example.com")
        await set_up(florin, await sign_in(florin))
        app, recovery = await set_up(florin, await sign_in(florin, other.email))
        pass_(clock)
        for code in (app.code(), recovery[0]):
            assert await refusals(florin, code) == ["INVALID_CODE"]
            # And it is not used up by that.
            own = await act(florin.anonymous, SIGN_IN, email=other.email, password=PASSWORD, code=code)
            assert own["errors"] == []


async def test_codes_cannot_be_tried_through(engine: AsyncEngine, clock: FakeClock) -> None:
    async with running(engine, clock=clock) as florin:
        await add_person(florin)
        app, _ = await set_up(florin, await sign_in(florin))
        pass_(clock)
        wrong = "000000" if app.code() != "000000" else "000001"
        for _ in range(OF_ACCOUNT.amount):
            assert await refusals(florin, wrong) == ["INVALID_CODE"]
        asked = {"email": EMAIL, "password": PASSWORD, "code": app.code()}
        error = await florin.anonymous.refused(SIGN_IN, {"input": asked})
        assert error["extensions"]["code"] == "RATE_LIMITED"


async def test_the_right_password_without_a_code_is_no_try(engine: AsyncEngine, clock: FakeClock) -> None:
    """Every app asks for the code only when it is told to: that must not use the account's tries up."""
    async with running(engine, clock=clock) as florin:
        await add_person(florin)
        app, _ = await set_up(florin, await sign_in(florin))
        for _ in range(OF_ACCOUNT.amount + 1):
            assert await refusals(florin, None) == ["SECOND_FACTOR_REQUIRED"]
        pass_(clock)
        assert await refusals(florin, app.code()) == []


@pytest.mark.parametrize("what", ["password", "code to confirm", "code to turn off"])
async def test_whoever_stole_a_session_cannot_try_through_what_its_changes_take(florin: Florin, what: str) -> None:
    await add_person(florin)
    session = await sign_in(florin)
    app: App | None = None
    if what == "code to turn off":
        app, _ = await set_up(florin, session)
    elif what == "code to confirm":
        app = App(florin, (await act(session, BEGIN, password=PASSWORD))["secret"])
    wrong = "000000" if app is None or app.code() != "000000" else "000001"
    document, tried, expected = {
        "password": (BEGIN, {"password": "wrong words"}, "INVALID_CREDENTIALS"),
        "code to confirm": (CONFIRM, {"code": wrong}, "INVALID_CODE"),
        "code to turn off": (DISABLE, {"code": wrong}, "INVALID_CODE"),
    }[what]
    for _ in range(OF_ACCOUNT.amount):
        assert await codes(session, document, **tried) == [expected]
    assert (await session.refused(document, {"input": tried}))["extensions"]["code"] == "RATE_LIMITED"


@pytest.mark.parametrize(
    "code", ["", "0", "00000", "0000000", "٠٠٠٠٠٠", "\x00", "x" * 90_000, "000 000 000", "-------"]
)
async def test_what_is_no_code_is_a_wrong_one(florin: Florin, code: str) -> None:
    await add_person(florin)
    session = await sign_in(florin)
    await set_up(florin, session)
    assert await refusals(florin, code) == ["INVALID_CODE"]
    assert await codes(session, DISABLE, code=code) == ["INVALID_CODE"]


async def test_whoever_stole_a_session_can_neither_set_one_up_nor_turn_it_off(
    engine: AsyncEngine, clock: FakeClock
) -> None:
    async with running(engine, clock=clock) as florin:
        await add_person(florin)
        session = await sign_in(florin)
        for password in (None, "wrong words"):
            assert await codes(session, BEGIN, password=password) == ["INVALID_CREDENTIALS"]
        assert await codes(session, CONFIRM, code="000000") == ["NOT_ENABLED"]
        assert await codes(session, DISABLE, code="000000") == ["NOT_ENABLED"]
        app, _ = await set_up(florin, session)
        assert await codes(session, BEGIN, password=PASSWORD) == ["ALREADY_ENABLED"]
        assert await codes(session, CONFIRM, code=app.code(1)) == ["ALREADY_ENABLED"]
        assert await codes(session, DISABLE, code=app.code()) == ["INVALID_CODE"]
        pass_(clock)
        assert (await act(session, DISABLE, code=app.code()))["disabled"] is True
        assert (await session.ask(ENABLED))["me"]["secondFactorEnabled"] is False
        assert (
            await rows(engine, "SELECT user_id FROM second_factors UNION ALL SELECT user_id FROM recovery_codes") == []
        )
        assert await lets_in(await sign_in(florin))


async def test_no_factor_takes_the_place_of_one_that_is_confirmed(florin: Florin) -> None:
    """Also where whoever stores it has not looked."""
    await add_person(florin)
    await set_up(florin, await sign_in(florin))
    [before] = await rows(florin.parts.engine, "SELECT * FROM second_factors")
    [(user_id,)] = await rows(florin.parts.engine, "SELECT user_id FROM second_factors")
    assert isinstance(user_id, UUID)
    other = SecondFactor(user_id=UserId(user_id), sealed_secret=b"another", created_at=florin.parts.clock.now())
    async with florin.parts.units.begin() as uow:
        await uow.second_factors.put(other)
    assert await rows(florin.parts.engine, "SELECT * FROM second_factors") == [before]


async def test_an_administrator_without_one_can_do_no_more_than_anybody_where_it_is_required(
    engine: AsyncEngine, clock: FakeClock
) -> None:
    managing = "{ users { totalCount } }"
    async with running(engine, clock=clock, admin_second_factor_required=True) as florin:
        await add_person(florin, role=Role.ADMIN)
        session = await sign_in(florin)
        assert (await session.refused(managing))["extensions"]["code"] == "FORBIDDEN"
        app, _ = await set_up(florin, session)
        await session.ask(managing)
        pass_(clock)
        await holder(florin, (await try_code(florin, app.code()))["tokens"]).ask(managing)
        pass_(clock)
        # Turned off, the rights are gone at once.
        assert (await act(session, DISABLE, code=app.code()))["disabled"] is True
        assert (await session.refused(managing))["extensions"]["code"] == "FORBIDDEN"
        # Others are not asked for one, and a token of the command line stands for whoever runs the server.
        await florin.grace.ask(managing)
        await florin.margaret.ask(managing)


async def test_where_it_is_not_required_nobody_has_to(florin: Florin) -> None:
    await add_person(florin, role=Role.ADMIN)
    await (await sign_in(florin)).ask("{ users { totalCount } }")


async def test_without_a_key_nothing_is_kept(engine: AsyncEngine) -> None:
    async with running(engine, auth_encryption_key=()) as florin:
        await add_person(florin)
        session = await sign_in(florin)
        error = await session.refused(BEGIN, {"input": {"password": PASSWORD}})
        assert error["extensions"]["code"] == "FORBIDDEN"
        assert await rows(engine, "SELECT 1 FROM second_factors") == []


async def test_the_secret_is_nowhere_in_the_open(florin: Florin) -> None:
    await add_person(florin)
    begun = await act(await sign_in(florin), BEGIN, password=PASSWORD)
    [(sealed,)] = await rows(florin.parts.engine, "SELECT sealed_secret FROM second_factors")
    assert isinstance(sealed, bytes)
    assert base64.b32decode(begun["secret"]) not in sealed
    assert begun["secret"].encode() not in sealed


async def test_only_who_manages_users_sees_who_has_one(florin: Florin) -> None:
    query = "query ($id: ID!) { user(id: $id) { secondFactorEnabled } }"
    assert (await florin.margaret.ask(query, {"id": florin.ada.id}))["user"]["secondFactorEnabled"] is False
    assert (await florin.grace.ask(query, {"id": florin.ada.id}))["user"]["secondFactorEnabled"] is None


def test_codes_are_those_of_the_standard() -> None:
    """RFC 6238, appendix B, for SHA-1; the last six digits of its eight."""
    secret = b"12345678901234567890"
    for seconds, code in {59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"}.items():
        now = datetime.fromtimestamp(seconds, UTC)
        assert step_of(secret, code, now) == seconds // 30
        assert step_of(secret, code, now + timedelta(seconds=90)) is None


def test_what_is_sealed_opens_for_its_own_user_with_a_key_that_is_there() -> None:
    ids = SequentialIds()
    ada, alan = UserId(ids.new()), UserId(ids.new())
    other = base64.b64encode(b"o" * 32).decode()
    sealed = AesSealer([ENCRYPTION_KEY]).seal(b"secret", ada)
    assert AesSealer([other, ENCRYPTION_KEY]).open(sealed, ada) == b"secret"
    assert AesSealer([ENCRYPTION_KEY]).seal(b"secret", ada) != sealed
    for sealer, text, about in (
        (AesSealer([ENCRYPTION_KEY]), sealed, alan),
        (AesSealer([other]), sealed, ada),
        (AesSealer([ENCRYPTION_KEY]), sealed[:-1] + bytes([sealed[-1] ^ 1]), ada),
        (AesSealer([ENCRYPTION_KEY]), b"", ada),
        (AesSealer([ENCRYPTION_KEY]), b"\x02" + sealed[1:], ada),
    ):
        with pytest.raises(SealBroken):
            sealer.open(text, about)
    for keys in ([], ["canary"], [base64.b64encode(b"x" * 31).decode()]):
        with pytest.raises(ValueError, match=r"key") as caught:
            AesSealer(keys)
        assert "canary" not in str(caught.value)
