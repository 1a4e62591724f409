"""The acts by which people get in and out, in one bundle."""

from dataclasses import dataclass

from api.access_tokens import AccessTokens
from domain.errors import Forbidden
from domain.identity.change_password import ChangePassword
from domain.identity.provider_sign_in import ExchangeSignInCode
from domain.identity.refresh_session import RefreshSession
from domain.identity.reset_password import RequestPasswordReset, ResetPassword
from domain.identity.set_up_second_factor import SetUpSecondFactor
from domain.identity.sign_in import SignIn
from domain.identity.sign_out import EndSessions
from domain.identity.sign_up import RequestSignUp
from domain.identity.verify_email import RequestEmailVerification, VerifyEmail
from domain.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class MailedActs:
    """The acts that send mail."""

    request_password_reset: RequestPasswordReset
    request_email_verification: RequestEmailVerification


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleActs:
    """The acts behind the mutations of people. `mailed` is None where no mail is sent, `sign_up` where nobody may sign up."""

    tokens: AccessTokens
    clock: Clock
    sign_up: RequestSignUp | None
    sign_in: SignIn
    exchange_sign_in_code: ExchangeSignInCode
    refresh_session: RefreshSession
    end_sessions: EndSessions
    change_password: ChangePassword
    second_factor: SetUpSecondFactor
    reset_password: ResetPassword
    verify_email: VerifyEmail
    mailed: MailedActs | None

    def require_sign_up(self) -> RequestSignUp:
        """Raises Forbidden."""
        if self.sign_up is None:
            raise Forbidden("Nobody can sign up here.")
        return self.sign_up

    def require_mailed(self) -> MailedActs:
        """Raises Forbidden."""
        if self.mailed is None:
            raise Forbidden("No mail is sent from here.")
        return self.mailed
