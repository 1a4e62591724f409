"""Settings about mail: where it is sent, whom it comes from, and where its links lead."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from app.settings_group import SettingsGroup
from domain.identity.addresses import is_email
from domain.messaging.letters import LetterConfig
from gateways.mail.smtp import MailTls, SmtpConfig

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


class MailSettings(SettingsGroup):
    """The part of the settings that is about mail."""

    mail_host: str | None = Field(
        default=None, description="The mail server (SMTP). Without it, and without MAIL_FOLDER, no mail is sent."
    )
    mail_port: int = Field(default=587, ge=1, le=65535, description="The mail server's port.")
    mail_tls: MailTls = Field(
        default=MailTls.STARTTLS,
        description="`starttls`, `tls` (from the first byte, mostly port 465), or `none` for a server on this machine only.",
    )
    mail_username: str | None = Field(default=None, description="The name to sign in to the mail server with.")
    mail_password: SecretStr | None = Field(
        default=None, description="The password to sign in to the mail server with."
    )
    mail_from: str = Field(default="florin@localhost.localdomain", description="The address that mails come from.")
    mail_from_name: str = Field(
        default="Florin",
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="Who the mails say they are from.",
    )
    mail_links_to: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s#?]+$",
        description="The frontend, whose pages `verify-email` and `reset-password` mails link to, such as "
        "`https://shop.example/account`. Without it, mails hold the bare token.",
    )
    mail_folder: Path | None = Field(
        default=None, description="A folder to keep mails in as files, instead of sending them. In development only."
    )

    @model_validator(mode="after")
    def _mail_is_safe(self) -> Self:
        if self.mail_host and not is_email(self.mail_from):
            raise ValueError("MAIL_FROM is no email address")
        if self.mail_folder and self.in_production:
            raise ValueError("MAIL_FOLDER keeps mails from everybody they are for: never in production")
        if self.mail_host and self.mail_tls is MailTls.NONE and self.mail_host not in _THIS_MACHINE:
            raise ValueError(
                "MAIL_TLS is none: what mails hold lets people in, and must not cross a network in the open"
            )
        return self

    @property
    def sends_mail(self) -> bool:
        return self.mail_host is not None or self.mail_folder is not None

    def smtp(self) -> SmtpConfig | None:
        """The mail server, where there is one."""
        if self.mail_host is None:
            return None
        return SmtpConfig(
            host=self.mail_host,
            port=self.mail_port,
            tls=self.mail_tls,
            username=self.mail_username,
            password=None if self.mail_password is None else self.mail_password.get_secret_value(),
            sender=self.mail_from,
            sender_name=self.mail_from_name,
        )

    def letters(self) -> LetterConfig:
        return LetterConfig(links_to=self.mail_links_to, sender_name=self.mail_from_name)
