"""Mail over SMTP, to a real server, and into a folder."""

import asyncio
import email
import gc
import ssl
import subprocess
from email import policy
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from domain.ids import MailId
from domain.messaging.mails import Letter, MailNotSent
from gateways.mail import smtp
from gateways.mail.folder import MailFolder
from gateways.mail.smtp import MailTls, SmtpConfig, SmtpMailer
from tests.support.clock import FakeClock
from tests.support.mail_server import Handler, mail_server

LETTER = Letter(
    id=MailId(UUID(int=7)),
    recipient="ada@example.com",
    subject="Confirm your address",
    text="Follow the link: https://shop.example/verify-email#token=florin_mail_x\nGrüße\n",
)


async def refusal(sender: SmtpMailer) -> MailNotSent:
    """Why a letter is not sent."""
    with pytest.raises(MailNotSent) as caught:
        await sender.send(LETTER)
    return caught.value


def mailer(port: int, tls: MailTls = MailTls.NONE, **changes: Any) -> SmtpMailer:  # Any: fields of several types
    config = SmtpConfig(
        host="127.0.0.1", port=port, tls=tls, sender="shop@florin.example", sender_name="Münz, Co", **changes
    )
    return SmtpMailer(config, FakeClock())


async def test_a_letter_arrives_as_it_was_written() -> None:
    handler = Handler()
    async with mail_server(handler) as port:
        await mailer(port).send(LETTER)
    (envelope,) = handler.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("shop@florin.example", ["ada@example.com"])
    assert isinstance(envelope.content, bytes)
    message = email.message_from_bytes(envelope.content, policy=policy.default)
    assert message["From"].addresses[0].display_name == "Münz, Co"
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == "Confirm your address"
    assert message["Message-ID"] == f"<{UUID(int=7).hex}@florin.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Fri, 20 Nov 2026 12:00:00 +0000"
    assert message.get_content() == LETTER.text.replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("answers", "for_good"),
    [
        ({"to_recipient": "550 no such mailbox ada@example.com"}, True),
        ({"to_recipient": "450 ada@example.com is busy"}, False),
        ({"to_letter": "554 no"}, True),
        ({"to_letter": "451 later"}, False),
    ],
)
async def test_a_refusal_is_for_good_or_not_and_is_told_without_the_address(
    answers: dict[str, str],
    for_good: bool,
) -> None:
    async with mail_server(Handler(**answers)) as port:  # type: ignore[arg-type]  # both are texts
        caught = await refusal(mailer(port))
    assert caught.for_good is for_good
    assert "ada" not in str(caught)


async def test_a_server_that_is_not_there_may_come_back() -> None:
    async with mail_server(Handler()) as port:
        pass
    with pytest.raises(MailNotSent) as caught:
        await mailer(port).send(LETTER)
    assert not caught.value.for_good


async def test_a_server_that_says_nothing_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "TIMEOUT_SECONDS", 0.05)
    connected: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: connected.append(writer), "127.0.0.1", 0)
    caught = await refusal(mailer(silent.sockets[0].getsockname()[1]))
    silent.close()
    for writer in connected:
        writer.close()
    assert not caught.for_good


@pytest.mark.parametrize("tls", [MailTls.STARTTLS, MailTls.TLS])
async def test_without_the_encryption_that_was_asked_for_nothing_is_sent(tls: MailTls) -> None:
    handler = Handler()
    async with mail_server(handler) as port:
        caught = await refusal(mailer(port, tls, username="florin", password="canary-5f1c"))
    assert handler.envelopes == []
    assert not caught.for_good
    assert "canary" not in str(caught)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *(
                "-keyout",
                str(folder / "key.pem"),
                "-out",
                str(folder / "cert.pem"),
                "-days",
                "2",
                "-subj",
                "/CN=127.0.0.1",
            ),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


# aiosmtpd leaves the sockets of handshakes that fail to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("tls", [MailTls.STARTTLS, MailTls.TLS])
async def test_letters_are_encrypted_for_a_server_that_is_trusted_and_for_no_other(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, tls: MailTls
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    seen: list[LoginPassword] = []

    def authenticate(_: Any, __: Any, ___: Any, ____: Any, data: LoginPassword) -> AuthResult:  # Any: as above
        seen.append(data)
        return AuthResult(success=True)

    handler = Handler()
    how = {"tls_context": context, "require_starttls": True} if tls is MailTls.STARTTLS else {"ssl_context": context}
    async with mail_server(
        handler, authenticator=authenticate, auth_require_tls=tls is MailTls.STARTTLS, **how
    ) as port:
        with pytest.raises(MailNotSent):
            await mailer(port, tls, username="florin", password="secret").send(LETTER)
        assert (handler.envelopes, seen) == ([], [])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
        await mailer(port, tls, username="florin", password="secret").send(LETTER)
    assert len(handler.envelopes) == 1
    assert [(each.login, each.password) for each in seen] == [(b"florin", b"secret")]
    gc.collect()


def test_no_password_is_shown() -> None:
    assert "canary" not in repr(SmtpConfig(host="x", port=1, sender="a@b.example", password="canary"))
    assert "florin_mail_" not in repr(LETTER)


async def test_in_development_letters_are_files(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path / "mails", "shop@florin.example", "Florin", FakeClock())
    await folder.send(LETTER)
    (file,) = (tmp_path / "mails").iterdir()
    assert file.name == "20261120T120000.000000-ada@example.com.eml"
    assert email.message_from_bytes(file.read_bytes(), policy=policy.default).get_content() == LETTER.text
    (tmp_path / "a file").touch()
    with pytest.raises(MailNotSent):
        await MailFolder(tmp_path / "a file", "shop@florin.example", "Florin", FakeClock()).send(LETTER)
