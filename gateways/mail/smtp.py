"""Mail over SMTP (RFC 5321), with TLS."""

from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from enum import StrEnum

import aiosmtplib
from aiosmtplib import SMTP, SMTPException, SMTPRecipientsRefused, SMTPResponseException

from domain.messaging.mails import Letter, MailNotSent
from domain.ports import Clock

TIMEOUT_SECONDS = 20.0


class MailTls(StrEnum):
    """How the connection is encrypted: after a plain greeting (RFC 3207), from the first byte (RFC 8314), or not at all."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpConfig:
    """Where mails are handed over. `sender` is the address they come from, `sender_name` the name beside it."""

    host: str
    port: int
    tls: MailTls = MailTls.STARTTLS
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sender: str
    sender_name: str = "Florin"


class SmtpMailer:
    """The port `domain.messaging.mails.Mailer`. Each letter goes over a connection of its own: there are few."""

    def __init__(self, config: SmtpConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    async def send(self, letter: Letter) -> None:
        config = self._config
        # STARTTLS is asked for or not, never tried: whoever stands between could else answer that there is none.
        client = SMTP(
            hostname=config.host,
            port=config.port,
            use_tls=config.tls is MailTls.TLS,
            start_tls=config.tls is MailTls.STARTTLS,
            timeout=TIMEOUT_SECONDS,
        )
        try:
            async with client:
                if config.username is not None:
                    await client.login(config.username, config.password or "")
                message = message_of(letter, config.sender, config.sender_name, self._clock)
                await client.sendmail(config.sender, [letter.recipient], bytes(message))
        except (SMTPException, OSError, ValueError) as error:
            raise MailNotSent(_reason(error), for_good=_is_for_good(error)) from error


def message_of(letter: Letter, sender: str, sender_name: str, clock: Clock) -> EmailMessage:
    """The letter as it goes over the wire (RFC 5322)."""
    message = EmailMessage()
    message["From"] = Address(sender_name, addr_spec=sender)
    message["To"] = Address(addr_spec=letter.recipient)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = f"<{letter.id.hex}@{sender.rpartition('@')[2]}>"
    # No out-of-office answers, please (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    return message


def _is_for_good(error: Exception) -> bool:
    """Whether the server has refused this letter, and would again (RFC 5321, section 4.2.1: 5yz)."""
    if isinstance(error, SMTPRecipientsRefused):
        return all(500 <= refused.code < 600 for refused in error.recipients)
    # What is wrong with our password or our name is for us to mend, and then the letter can go out.
    if isinstance(error, aiosmtplib.SMTPAuthenticationError | aiosmtplib.SMTPHeloError | aiosmtplib.SMTPSenderRefused):
        return False
    return isinstance(error, SMTPResponseException) and 500 <= error.code < 600


def _reason(error: Exception) -> str:
    """What went wrong, without the server's own words: they often repeat the address."""
    if isinstance(error, SMTPRecipientsRefused):
        return f"The mail server refused the recipient ({', '.join(str(each.code) for each in error.recipients)})."
    if isinstance(error, SMTPResponseException):
        return f"The mail server answered {error.code} ({type(error).__name__})."
    return f"The mail server could not be reached ({type(error).__name__})."
