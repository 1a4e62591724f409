"""The second factor: how people set one up, and turn it off."""

from typing import Annotated

import strawberry

from api.graphql.context import Info
from api.graphql.mutations import ERRORS, outcome_of
from api.graphql.problems import UserError
from api.graphql.rules import IN_PERSON

_CODE = "The six digits that the authenticator app shows now."


@strawberry.input(description="Proof that it is you who sets up a second factor.")
class BeginSecondFactorInput:
    """What beginSecondFactor takes."""

    password: str | None = strawberry.field(default=None, description="Your password, if you have one.")

    def __repr__(self) -> str:
        return "BeginSecondFactorInput()"


@strawberry.type(description="What came of beginSecondFactor.")
class BeginSecondFactorPayload:
    """The secret, once."""

    secret: str | None = strawberry.field(
        description="For the authenticator app, to be typed in. It is shown here and never again. Null when it was refused."
    )
    uri: str | None = strawberry.field(
        description="The same as otpauth://..., for a QR code. Null when it was refused."
    )
    errors: list[UserError] = strawberry.field(description=ERRORS)

    def __repr__(self) -> str:
        return "BeginSecondFactorPayload()"


@strawberry.input(description="A code that proves that the app is set up.")
class ConfirmSecondFactorInput:
    """What confirmSecondFactor takes."""

    code: str = strawberry.field(description=_CODE)

    def __repr__(self) -> str:
        return "ConfirmSecondFactorInput()"


@strawberry.type(description="What came of confirmSecondFactor.")
class ConfirmSecondFactorPayload:
    """The recovery codes, once."""

    recovery_codes: list[str] | None = strawberry.field(
        description="Each signs you in once in the place of a code of the app. Keep them apart from it; they are shown here and "
        "never again. Null when it was refused."
    )
    errors: list[UserError] = strawberry.field(description=ERRORS)

    def __repr__(self) -> str:
        return "ConfirmSecondFactorPayload()"


@strawberry.input(description="A code that proves that it is you who turns the second factor off.")
class DisableSecondFactorInput:
    """What disableSecondFactor takes."""

    code: str = strawberry.field(description=f"{_CODE[:-1]}, or a recovery code.")

    def __repr__(self) -> str:
        return "DisableSecondFactorInput()"


@strawberry.type(description="What came of disableSecondFactor.")
class DisableSecondFactorPayload:
    """Whether it was done."""

    disabled: bool | None = strawberry.field(
        description="True: the password alone signs you in. Null when the input was refused."
    )
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class SecondFactorMutations:
    """The mutations of the second factor."""

    @strawberry.mutation(
        description="Set up a second factor. It counts once it is confirmed by a code, with confirmSecondFactor.",
        metadata=IN_PERSON,
    )
    async def begin_second_factor(
        self,
        info: Info,
        input: Annotated[BeginSecondFactorInput, strawberry.argument(description="The proof.")],
    ) -> BeginSecondFactorPayload:
        context = info.context
        user_id, _ = context.require_session()
        act = context.acts.people.second_factor.begin
        begun, errors = await outcome_of(context, act(user_id, input.password, context.address))
        if begun is None:
            return BeginSecondFactorPayload(secret=None, uri=None, errors=errors)
        return BeginSecondFactorPayload(secret=begun.secret, uri=begun.uri, errors=[])

    @strawberry.mutation(
        description="Confirm a second factor by its first code. Signing in takes one from now on, this session counts as "
        "proved, and every other session of yours ends.",
        metadata=IN_PERSON,
    )
    async def confirm_second_factor(
        self,
        info: Info,
        input: Annotated[ConfirmSecondFactorInput, strawberry.argument(description="The code.")],
    ) -> ConfirmSecondFactorPayload:
        context = info.context
        user_id, session_id = context.require_session()
        act = context.acts.people.second_factor.confirm
        codes, errors = await outcome_of(context, act(user_id, session_id, input.code, context.address))
        return ConfirmSecondFactorPayload(recovery_codes=codes, errors=errors)

    @strawberry.mutation(
        description="Turn the second factor off, by a code. Every other session of yours ends.", metadata=IN_PERSON
    )
    async def disable_second_factor(
        self,
        info: Info,
        input: Annotated[DisableSecondFactorInput, strawberry.argument(description="The code.")],
    ) -> DisableSecondFactorPayload:
        context = info.context
        user_id, session_id = context.require_session()
        act = context.acts.people.second_factor.disable
        _, errors = await outcome_of(context, act(user_id, session_id, input.code, context.address))
        return DisableSecondFactorPayload(disabled=None if errors else True, errors=errors)
