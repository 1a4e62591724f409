"""Puts together the acts of people, and what sends them mail."""

from typing import TYPE_CHECKING

from api.access_tokens import AccessTokens
from api.graphql.people import MailedActs, PeopleActs
from domain.identity.attempts import AttemptGuard
from domain.identity.change_password import ChangePassword
from domain.identity.open_session import OpenSession
from domain.identity.prove_second_factor import ProveSecondFactor
from domain.identity.provider_sign_in import ExchangeSignInCode
from domain.identity.refresh_session import RefreshSession
from domain.identity.reset_password import RequestPasswordReset, ResetPassword
from domain.identity.set_up_second_factor import SetUpSecondFactor
from domain.identity.sign_in import SignIn
from domain.identity.sign_out import EndSessions
from domain.identity.sign_up import RequestSignUp
from domain.identity.verify_email import RequestEmailVerification, VerifyEmail
from domain.messaging.mails import Mailer
from domain.messaging.send_mails import SendMails
from gateways.mail.folder import MailFolder
from gateways.mail.smtp import SmtpMailer

if TYPE_CHECKING:
    from app.wiring import Parts


def people_acts(parts: "Parts", tokens: AccessTokens) -> PeopleActs:
    """Every act of people."""
    settings, units, clock, ids, bell = parts.settings, parts.units, parts.clock, parts.ids, parts.bell
    passwords = parts.passwords
    guard, times, length_min = (
        AttemptGuard(parts.limiting.limits),
        settings.session_times(),
        settings.password_length_min,
    )
    open_session = OpenSession(clock=clock, ids=ids, times=times)
    sign_up = RequestSignUp(
        units=units,
        passwords=passwords,
        guard=guard,
        clock=clock,
        ids=ids,
        bell=bell,
        password_length_min=length_min,
    )
    mailed = MailedActs(
        request_password_reset=RequestPasswordReset(units=units, guard=guard, clock=clock, ids=ids, bell=bell),
        request_email_verification=RequestEmailVerification(units=units, guard=guard, clock=clock, ids=ids, bell=bell),
    )
    return PeopleActs(
        tokens=tokens,
        clock=clock,
        sign_up=sign_up if settings.sign_up_open and settings.sends_mail else None,
        sign_in=SignIn(
            units=units,
            passwords=passwords,
            guard=guard,
            open_session=open_session,
            prove_second_factor=ProveSecondFactor(sealer=settings.sealer(), clock=clock, ids=ids),
            clock=clock,
            ids=ids,
        ),
        exchange_sign_in_code=ExchangeSignInCode(units=units, open_session=open_session, clock=clock, ids=ids),
        refresh_session=RefreshSession(units=units, clock=clock, ids=ids, times=times),
        end_sessions=EndSessions(units=units, clock=clock, ids=ids),
        change_password=ChangePassword(
            units=units,
            passwords=passwords,
            guard=guard,
            clock=clock,
            ids=ids,
            bell=bell,
            password_length_min=length_min,
        ),
        second_factor=set_up_second_factor(parts),
        reset_password=ResetPassword(
            units=units, passwords=passwords, clock=clock, ids=ids, bell=bell, password_length_min=length_min
        ),
        verify_email=VerifyEmail(units=units, clock=clock, ids=ids),
        mailed=mailed if settings.sends_mail else None,
    )


def set_up_second_factor(parts: "Parts") -> SetUpSecondFactor:
    """The acts about second factors."""
    settings = parts.settings
    return SetUpSecondFactor(
        units=parts.units,
        passwords=parts.passwords,
        guard=AttemptGuard(parts.limiting.limits),
        sealer=settings.sealer(),
        clock=parts.clock,
        ids=parts.ids,
        issuer=settings.mail_from_name,
    )


def send_mails(parts: "Parts") -> SendMails | None:
    """What sends mail, where the settings say how."""
    mailer = _mailer(parts)
    if mailer is None:
        return None
    config = parts.settings.letters()
    return SendMails(units=parts.units, mailer=mailer, clock=parts.clock, ids=parts.ids, config=config)


def _mailer(parts: "Parts") -> Mailer | None:
    settings = parts.settings
    if settings.mail_folder is not None:
        return MailFolder(settings.mail_folder, settings.mail_from, settings.mail_from_name, parts.clock)
    smtp = settings.smtp()
    return None if smtp is None else SmtpMailer(smtp, parts.clock)
