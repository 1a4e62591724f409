"""Accounts: how people sign up, prove their address, and set their password."""

from typing import Annotated

import strawberry

from api.graphql.context import Info
from api.graphql.mutations import ERRORS, outcome_of
from api.graphql.problems import UserError
from api.graphql.rules import ANYBODY, IN_PERSON
from domain.identity.change_password import PasswordChange
from domain.identity.sign_up import NewSignUp

_SENT_TO = "The address that a mail goes to, which says how to go on; null when the input was refused."
_CHOSEN = "The new password: as many characters as the server asks for, 8 at least, whichever; common ones are refused."


@strawberry.input(description="An account to make.")
class SignUpInput:
    """What signUp takes."""

    email: str = strawberry.field(
        description="Your address. A mail goes there; the account begins with the link in it."
    )
    name: str = strawberry.field(description="Your name, 1 to 200 characters.")
    password: str = strawberry.field(description=_CHOSEN)

    def __repr__(self) -> str:
        return "SignUpInput()"


@strawberry.type(description="What came of signUp. It is the same whether or not the address has an account already.")
class SignUpPayload:
    """Where a mail goes."""

    sent_to: str | None = strawberry.field(description=_SENT_TO)
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="An address that is one's own.")
class VerifyEmailInput:
    """What verifyEmail takes."""

    token: str = strawberry.field(description="What stands behind token= in the link of the mail. It works once.")

    def __repr__(self) -> str:
        return "VerifyEmailInput()"


@strawberry.type(description="What came of verifyEmail.")
class VerifyEmailPayload:
    """The address that is verified now."""

    email: str | None = strawberry.field(description="The address that is verified; null when the input was refused.")
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type(description="What came of requestEmailVerification.")
class RequestEmailVerificationPayload:
    """Where a mail goes."""

    sent_to: str | None = strawberry.field(
        description="The address that a mail goes to; null where yours is verified already."
    )
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="An account whose password is forgotten.")
class RequestPasswordResetInput:
    """What requestPasswordReset takes."""

    email: str = strawberry.field(description="The account's address.")


@strawberry.type(
    description="What came of requestPasswordReset. It is the same whether or not the address has an account."
)
class RequestPasswordResetPayload:
    """Where a mail goes, if somebody has the address."""

    sent_to: str | None = strawberry.field(description=_SENT_TO)
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="A new password, by the link in a mail.")
class ResetPasswordInput:
    """What resetPassword takes."""

    token: str = strawberry.field(description="What stands behind token= in the link of the mail. It works once.")
    new_password: str = strawberry.field(description=_CHOSEN)

    def __repr__(self) -> str:
        return "ResetPasswordInput()"


@strawberry.type(description="What came of resetPassword.")
class ResetPasswordPayload:
    """Whether it was done."""

    password_set: bool | None = strawberry.field(
        description="True: sign in with the new one; every session has ended. Null when the input was refused."
    )
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="A new password, by the current one.")
class ChangePasswordInput:
    """What changePassword takes."""

    current_password: str = strawberry.field(description="The password until now.")
    new_password: str = strawberry.field(description=_CHOSEN)

    def __repr__(self) -> str:
        return "ChangePasswordInput()"


@strawberry.type(description="What came of changePassword.")
class ChangePasswordPayload:
    """Whether it was done."""

    changed: bool | None = strawberry.field(
        description="True: every other session of yours has ended. Null when the input was refused."
    )
    errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class AccountMutations:
    """The mutations of accounts."""

    @strawberry.mutation(
        description="Ask for an account. A mail goes to the address; the account begins when the link in it is used, by "
        "verifyEmail. Nobody learns from the answer whether the address has one already.",
        metadata=ANYBODY,
    )
    async def sign_up(
        self,
        info: Info,
        input: Annotated[SignUpInput, strawberry.argument(description="The account.")],
    ) -> SignUpPayload:
        context = info.context
        act = context.acts.people.require_sign_up()
        wanted = NewSignUp(email=input.email, name=input.name, password=input.password, address=context.address)
        sent_to, errors = await outcome_of(context, act(wanted))
        return SignUpPayload(sent_to=sent_to, errors=errors)

    @strawberry.mutation(description="Prove that an address is yours, by the link in a mail.", metadata=ANYBODY)
    async def verify_email(
        self,
        info: Info,
        input: Annotated[VerifyEmailInput, strawberry.argument(description="The proof.")],
    ) -> VerifyEmailPayload:
        email, errors = await outcome_of(info.context, info.context.acts.people.verify_email(input.token))
        return VerifyEmailPayload(email=email, errors=errors)

    @strawberry.mutation(
        description="Have a mail sent to your address, by which you prove that it is yours. For accounts that somebody else "
        "has made for you.",
        metadata=IN_PERSON,
    )
    async def request_email_verification(self, info: Info) -> RequestEmailVerificationPayload:
        context = info.context
        user_id, _ = context.require_session()
        act = context.acts.people.require_mailed().request_email_verification
        sent_to, errors = await outcome_of(context, act(user_id, context.address))
        return RequestEmailVerificationPayload(sent_to=sent_to, errors=errors)

    @strawberry.mutation(
        description="Have a mail sent with a link by which a new password can be set. Nobody learns from the answer whether the "
        "address has an account.",
        metadata=ANYBODY,
    )
    async def request_password_reset(
        self,
        info: Info,
        input: Annotated[RequestPasswordResetInput, strawberry.argument(description="Whose password.")],
    ) -> RequestPasswordResetPayload:
        context = info.context
        act = context.acts.people.require_mailed().request_password_reset
        sent_to, errors = await outcome_of(context, act(input.email, context.address))
        return RequestPasswordResetPayload(sent_to=sent_to, errors=errors)

    @strawberry.mutation(
        description="Set a new password by the link in a mail. Every session ends, and nobody is signed in by it.",
        metadata=ANYBODY,
    )
    async def reset_password(
        self,
        info: Info,
        input: Annotated[ResetPasswordInput, strawberry.argument(description="The new password.")],
    ) -> ResetPasswordPayload:
        context = info.context
        _, errors = await outcome_of(context, context.acts.people.reset_password(input.token, input.new_password))
        return ResetPasswordPayload(password_set=None if errors else True, errors=errors)

    @strawberry.mutation(
        description="Change your password by the current one. Every other session of yours ends.", metadata=IN_PERSON
    )
    async def change_password(
        self,
        info: Info,
        input: Annotated[ChangePasswordInput, strawberry.argument(description="Both passwords.")],
    ) -> ChangePasswordPayload:
        context = info.context
        user_id, session_id = context.require_session()
        wanted = PasswordChange(current=input.current_password, new=input.new_password, address=context.address)
        _, errors = await outcome_of(context, context.acts.people.change_password(user_id, session_id, wanted))
        return ChangePasswordPayload(changed=None if errors else True, errors=errors)
