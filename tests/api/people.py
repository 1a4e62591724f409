"""People who sign in: the mutations of accounts and sessions, and somebody with a password."""

from dataclasses import dataclass

from domain.access import Role
from domain.identity.users import User
from domain.ids import UserId
from tests.api.application import Client, Florin, Json

PASSWORD = "correct horse battery"

_ERRORS = "errors { code message path retryable }"
_TOKENS = "tokens { accessToken accessTokenExpiresAt refreshToken refreshTokenExpiresAt session { id kind current } }"
SIGN_UP = f"mutation ($input: SignUpInput!) {{ signUp(input: $input) {{ sentTo {_ERRORS} }} }}"
VERIFY = f"mutation ($input: VerifyEmailInput!) {{ verifyEmail(input: $input) {{ email {_ERRORS} }} }}"
SIGN_IN = f"mutation ($input: SignInInput!) {{ signIn(input: $input) {{ {_TOKENS} {_ERRORS} }} }}"
REFRESH = f"mutation ($input: RefreshSessionInput!) {{ refreshSession(input: $input) {{ {_TOKENS} {_ERRORS} }} }}"
SIGN_OUT = f"mutation ($input: SignOutInput!) {{ signOut(input: $input) {{ signedOut {_ERRORS} }} }}"
EVERYWHERE = (
    f"mutation ($input: SignOutEverywhereInput!) {{ signOutEverywhere(input: $input) {{ sessionsEnded {_ERRORS} }} }}"
)
REVOKE = f"mutation ($input: RevokeSessionInput!) {{ revokeSession(input: $input) {{ revoked {_ERRORS} }} }}"
CHANGE = f"mutation ($input: ChangePasswordInput!) {{ changePassword(input: $input) {{ changed {_ERRORS} }} }}"
FORGOT = (
    f"mutation ($input: RequestPasswordResetInput!) {{ requestPasswordReset(input: $input) {{ sentTo {_ERRORS} }} }}"
)
RESET = f"mutation ($input: ResetPasswordInput!) {{ resetPassword(input: $input) {{ passwordSet {_ERRORS} }} }}"
ASK_TO_VERIFY = f"mutation {{ requestEmailVerification {{ sentTo {_ERRORS} }} }}"
SESSIONS = "{ me { email sessions { id client current kind lastUsedAt expiresAt } } }"


@dataclass(frozen=True, slots=True)
class SignedIn(Client):
    """Somebody with tokens of a session."""

    refresh_token: str
    session_id: str


async def act(who: Client, document: str, /, **input_: object) -> Json:
    """The payload of a mutation that must not fail as a whole."""
    data = await who.ask(document, {"input": input_})
    (payload,) = data.values()
    found: Json = payload
    return found


async def codes(who: Client, document: str, /, **input_: object) -> list[str]:
    """The codes with which a mutation is refused."""
    return [error["code"] for error in (await act(who, document, **input_))["errors"]]


def holder(florin: Florin, tokens: Json) -> SignedIn:
    return SignedIn(florin.http, tokens["accessToken"], tokens["refreshToken"], tokens["session"]["id"])


async def add_person(
    florin: Florin, email: str = "blaise@example.com", *, role: Role = Role.CUSTOMER, password: str = PASSWORD
) -> User:
    """A user with a password."""
    now = florin.parts.clock.now()
    user = User(
        id=UserId(florin.parts.ids.new()),
        email=email,
        name="Blaise Pascal",
        role=role,
        created_at=now,
        email_verified_at=now,
    )
    async with florin.parts.units.begin() as uow:
        await uow.users.add(user)
        await uow.credentials.set_password(user.id, await florin.parts.passwords.hash(password), now)
    return user


async def sign_in(florin: Florin, email: str = "blaise@example.com", password: str = PASSWORD) -> SignedIn:
    """A new session of somebody who must be let in."""
    payload = await act(florin.anonymous, SIGN_IN, email=email, password=password)
    assert payload["errors"] == [], payload
    return holder(florin, payload["tokens"])


async def lets_in(who: Client) -> bool:
    """Whether the access token counts."""
    return (await who.send("{ me { id } }")).status_code == 200
