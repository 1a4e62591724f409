"""The words of mails. No word that a stranger chose stands in one, so that nobody can send their own text through us."""

from dataclasses import dataclass

from domain.messaging.mails import Letter, Mail

_NOT_YOU = "If that was not you, you need not do anything: without this mail nobody can go on."


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterConfig:
    """`links_to` is the frontend's address, where its pages verify-email and reset-password are; without it, mails hold tokens.

    `sender_name` is who the mails say they are from.
    """

    links_to: str | None = None
    sender_name: str = "Florin"


def sign_up_letter(mail: Mail, token: str, config: LetterConfig) -> Letter:
    way = _way(config, "verify-email", token)
    text = f"Somebody has signed up at {config.sender_name} with this address. To confirm that it was you:\n\n{way}\n\n{_NOT_YOU}"
    return _letter(mail, "Confirm your address", f"{text}\nIt holds for 24 hours, and works once.")


def known_sign_up_letter(mail: Mail, config: LetterConfig) -> Letter:
    text = (
        f"Somebody has tried to sign up at {config.sender_name} with this address, but you have an account already.\n\n"
        "If that was you, sign in; if you forgot your password, have it reset. If it was not, you need not do anything."
    )
    return _letter(mail, "You have an account already", text)


def verification_letter(mail: Mail, token: str, config: LetterConfig) -> Letter:
    way = _way(config, "verify-email", token)
    text = f"To confirm that this address is yours at {config.sender_name}:\n\n{way}\n\n{_NOT_YOU}"
    return _letter(mail, "Confirm your address", f"{text}\nIt holds for 24 hours, and works once.")


def reset_letter(mail: Mail, token: str, config: LetterConfig) -> Letter:
    way = _way(config, "reset-password", token)
    text = f"To set a new password at {config.sender_name}:\n\n{way}\n\n{_NOT_YOU}"
    return _letter(mail, "Set a new password", f"{text}\nIt holds for an hour, and works once.")


def password_changed_letter(mail: Mail, config: LetterConfig) -> Letter:
    text = (
        f"Your password at {config.sender_name} was changed, and every other session was ended.\n\n"
        "If that was not you, have it reset now, and tell us."
    )
    return _letter(mail, "Your password was changed", text)


def _way(config: LetterConfig, page: str, token: str) -> str:
    """The link. The token stands behind a `#`, which browsers send to nobody: not to servers, logs or other sites."""
    return token if config.links_to is None else f"{config.links_to.rstrip('/')}/{page}#token={token}"


def _letter(mail: Mail, subject: str, text: str) -> Letter:
    return Letter(id=mail.id, recipient=mail.recipient, subject=subject, text=text + "\n")
