"""Sessions: how people sign in and out, and go on."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated

import strawberry
import structlog

from api.access_tokens import LIFETIME
from api.graphql.context import Context, Info
from api.graphql.mutations import ERRORS, outcome_of
from api.graphql.problems import UserError, user_errors
from api.graphql.rules import ANYBODY, IN_PERSON
from domain import ids
from domain.errors import InvalidRefreshToken, NotFound, Refusal
from domain.identity.sessions import OpenedSession, SessionKind
from domain.identity.sessions import Session as SessionRecord
from domain.identity.sign_in import NewSignIn
from domain.ids import IdKind, SessionId

log = structlog.get_logger(__name__)


@strawberry.type(description="Something that somebody signed in with, and that can be signed out.")
class Session:
    """A session on the wire."""

    record: strawberry.Private[SessionRecord]

    @strawberry.field(description="The session's opaque id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.SESSION, self.record.id))

    @strawberry.field(description="How it began.")
    def kind(self) -> SessionKind:
        return self.record.kind

    @strawberry.field(description="What the browser or program called itself; null where it did not.")
    def client(self) -> str | None:
        return self.record.client

    @strawberry.field(description="Whether it is the one that this request came by.")
    def current(self, info: Info) -> bool:
        return self.record.id == info.context.session_id

    @strawberry.field(description="When it began.")
    def created_at(self) -> datetime:
        return self.record.created_at

    @strawberry.field(description="When it last got new tokens.")
    def last_used_at(self) -> datetime:
        return self.record.last_used_at

    @strawberry.field(description="When it ends if it is not used before.")
    def expires_at(self) -> datetime:
        return self.record.expires_at


@strawberry.type(description="What a client keeps of a session. Both tokens are shown here and never again.")
class SessionTokens:
    """Tokens on the wire."""

    access_token: str = strawberry.field(
        description='For the header "Authorization: Bearer ...", for 15 minutes. Keep it in memory.'
    )
    access_token_expires_at: datetime = strawberry.field(description="When the access token ends.")
    refresh_token: str = strawberry.field(
        description="For refreshSession, once: it answers with the next. Whoever holds it is signed in."
    )
    refresh_token_expires_at: datetime = strawberry.field(
        description="When the refresh token ends, and with it the session."
    )
    session: Session = strawberry.field(description="The session.")

    def __repr__(self) -> str:
        return "SessionTokens()"


def session_tokens(context: Context, opened: OpenedSession) -> SessionTokens:
    people, session = context.acts.people, opened.session
    ends = min(people.clock.now() + LIFETIME, session.expires_at)
    return SessionTokens(
        access_token=people.tokens.issue(session.user_id, session.id, ends),
        access_token_expires_at=ends,
        refresh_token=opened.refresh_token,
        refresh_token_expires_at=session.expires_at,
        session=Session(record=session),
    )


@strawberry.input(description="Who signs in.")
class SignInInput:
    """What signIn takes."""

    email: str = strawberry.field(description="The address of the account; case does not count.")
    password: str = strawberry.field(description="The password.")
    code: str | None = strawberry.field(
        default=None,
        description="Where the account has a second factor: the six digits that its app shows, or a recovery code. Without it "
        "the right password is answered with SECOND_FACTOR_REQUIRED.",
    )

    def __repr__(self) -> str:
        return "SignInInput()"


@strawberry.type(description="What came of signIn.")
class SignInPayload:
    """The new session."""

    tokens: SessionTokens | None = strawberry.field(description="The new session's tokens; null when it was refused.")
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="A session to go on with.")
class RefreshSessionInput:
    """What refreshSession takes."""

    refresh_token: str = strawberry.field(description="The newest refresh token of the session.")

    def __repr__(self) -> str:
        return "RefreshSessionInput()"


@strawberry.type(description="What came of refreshSession.")
class RefreshSessionPayload:
    """The session's next tokens."""

    tokens: SessionTokens | None = strawberry.field(description="The session's next tokens; null when it was refused.")
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="The session to end: the one that the request comes by, unless told otherwise.")
class SignOutInput:
    """What signOut takes."""

    refresh_token: str | None = strawberry.field(
        default=None, description="The session's refresh token, for a client whose access token has ended."
    )

    def __repr__(self) -> str:
        return "SignOutInput()"


@strawberry.type(description="What came of signOut.")
class SignOutPayload:
    """Whether it was done."""

    signed_out: bool | None = strawberry.field(
        description="True: the session is over, from the next request on. Null when the input was refused."
    )
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="Which of one's own sessions end.")
class SignOutEverywhereInput:
    """What signOutEverywhere takes."""

    keep_this_session: bool = strawberry.field(description="Whether the session goes on that the request comes by.")


@strawberry.type(description="What came of signOutEverywhere.")
class SignOutEverywherePayload:
    """How many sessions have ended."""

    sessions_ended: int | None = strawberry.field(description="How many sessions ended; null when it was refused.")
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="One of one's own sessions, to be ended.")
class RevokeSessionInput:
    """What revokeSession takes."""

    session_id: strawberry.ID = strawberry.field(description="Which: an id out of me.sessions.")


@strawberry.type(description="What came of revokeSession.")
class RevokeSessionPayload:
    """Whether it was done."""

    revoked: bool | None = strawberry.field(
        description="True: the session is over, from its next request on. Null when the input was refused."
    )
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class SessionMutations:
    """The mutations of sessions."""

    @strawberry.mutation(
        description="Sign in. An address that nobody has, a wrong password and a disabled account are refused alike. "
        "Tries are limited, for each account and for each address they come from.",
        metadata=ANYBODY,
    )
    async def sign_in(
        self,
        info: Info,
        input: Annotated[SignInInput, strawberry.argument(description="Who signs in.")],
    ) -> SignInPayload:
        context = info.context
        wanted = NewSignIn(
            email=input.email, password=input.password, code=input.code, address=context.address, client=context.client
        )
        try:
            opened = await context.acts.people.sign_in(wanted)
        except Refusal as refusal:
            log.warning("sign_in.refused", code=refusal.code.value, address=context.address)
            return SignInPayload(tokens=None, errors=user_errors([refusal]))
        return SignInPayload(tokens=session_tokens(context, opened), errors=[])

    @strawberry.mutation(
        description="Exchange a refresh token for the next tokens of its session. Each works once: one that comes a second time, "
        "even at the same moment, ends its session, because one of the two who have it is a thief. So refresh in one place, "
        "and sign in again when an answer got lost.",
        metadata=ANYBODY,
    )
    async def refresh_session(
        self,
        info: Info,
        input: Annotated[RefreshSessionInput, strawberry.argument(description="The session.")],
    ) -> RefreshSessionPayload:
        context = info.context
        try:
            opened = await context.acts.people.refresh_session(input.refresh_token)
        except InvalidRefreshToken as refusal:
            log.warning("session.refresh_refused", address=context.address)
            return RefreshSessionPayload(tokens=None, errors=user_errors([refusal]))
        return RefreshSessionPayload(tokens=session_tokens(context, opened), errors=[])

    @strawberry.mutation(
        description="End the session that the request comes by, or the one of a refresh token. Either may be over already.",
        metadata=ANYBODY,
    )
    async def sign_out(
        self,
        info: Info,
        input: Annotated[SignOutInput, strawberry.argument(description="Which session.")],
    ) -> SignOutPayload:
        context = info.context
        end = context.acts.people.end_sessions
        if input.refresh_token is not None:
            await end.of_token(input.refresh_token)
        elif context.session_id is not None:
            user_id, session_id = context.require_session()
            with suppress(NotFound):
                await end.one(user_id, session_id)
        else:
            refusal = InvalidRefreshToken("Send an access token or a refresh token.", path=("input", "refreshToken"))
            return SignOutPayload(signed_out=None, errors=user_errors([refusal]))
        return SignOutPayload(signed_out=True, errors=[])

    @strawberry.mutation(description="End your sessions, all or all but this one.", metadata=IN_PERSON)
    async def sign_out_everywhere(
        self,
        info: Info,
        input: Annotated[SignOutEverywhereInput, strawberry.argument(description="Which sessions.")],
    ) -> SignOutEverywherePayload:
        context = info.context
        user_id, session_id = context.require_session()
        kept = session_id if input.keep_this_session else None
        ended = await context.acts.people.end_sessions.everywhere(user_id, but=kept)
        context.forget_loaded()
        return SignOutEverywherePayload(sessions_ended=ended, errors=[])

    @strawberry.mutation(description="End one of your sessions, wherever it is used.", metadata=IN_PERSON)
    async def revoke_session(
        self,
        info: Info,
        input: Annotated[RevokeSessionInput, strawberry.argument(description="Which session.")],
    ) -> RevokeSessionPayload:
        context = info.context
        user_id, _ = context.require_session()
        value = ids.decode_as(IdKind.SESSION, input.session_id)
        ended = context.acts.people.end_sessions.one(user_id, None if value is None else SessionId(value))
        _, errors = await outcome_of(context, ended)
        return RevokeSessionPayload(revoked=None if errors else True, errors=errors)
