"""Sessions that begin by an identity provider."""

from typing import Annotated

import strawberry
import structlog

from api.graphql.context import Info
from api.graphql.mutations import ERRORS
from api.graphql.problems import UserError, user_errors
from api.graphql.rules import ANYBODY
from api.graphql.sessions import SessionTokens, session_tokens
from domain.errors import InvalidToken

log = structlog.get_logger(__name__)


@strawberry.input(description="What a browser brought back from an identity provider.")
class SignInWithProviderInput:
    """What signInWithProvider takes."""

    code: str = strawberry.field(
        description="The `code` that the browser came back with. It is good once, for a minute."
    )
    code_verifier: str = strawberry.field(
        description="The verifier whose SHA-256 was `code_challenge` when the sign-in began: 43 to 128 characters."
    )

    def __repr__(self) -> str:
        return "SignInWithProviderInput()"


@strawberry.type(description="What came of signInWithProvider.")
class SignInWithProviderPayload:
    """The new session."""

    tokens: SessionTokens | None = strawberry.field(description="The new session's tokens; null when it was refused.")
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class ProviderSessionMutations:
    """The mutation by which a sign-in with a provider ends."""

    @strawberry.mutation(
        description="End a sign-in that began at /auth/{provider}/start: exchange the code that the browser came back with for "
        "tokens. See docs/identity-providers.md.",
        metadata=ANYBODY,
    )
    async def sign_in_with_provider(
        self,
        info: Info,
        input: Annotated[
            SignInWithProviderInput, strawberry.argument(description="The code, and the proof that it is yours.")
        ],
    ) -> SignInWithProviderPayload:
        context = info.context
        act = context.acts.people.exchange_sign_in_code
        try:
            opened = await act(input.code, input.code_verifier, address=context.address, client=context.client)
        except InvalidToken as refusal:
            log.warning("sign_in.refused", code=refusal.code.value, address=context.address)
            return SignInWithProviderPayload(tokens=None, errors=user_errors([refusal]))
        return SignInWithProviderPayload(tokens=session_tokens(context, opened), errors=[])
