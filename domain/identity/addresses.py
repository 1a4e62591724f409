"""Email addresses: which can be one, and how two are compared."""

import re

from domain.errors import InvalidEmail

EMAIL_LENGTH_MAX = 254
"""The longest that a path of SMTP can hold (RFC 5321, section 4.5.3.1.3, as corrected by erratum 1690)."""

# What browsers take in <input type="email"> (https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address). Nothing in
# it can end a header or name a second recipient. Whether mail arrives only mail can tell.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*")


def is_email(text: str) -> bool:
    return len(text) <= EMAIL_LENGTH_MAX and _EMAIL.fullmatch(text) is not None


def check_email(text: str) -> str:
    """The address without spaces around it. Raises InvalidEmail."""
    email = text.strip()
    if not is_email(email):
        raise InvalidEmail(path=("input", "email"))
    return email


def comparable(email: str) -> str:
    """The address as it is compared: two that differ in case alone are one.

    Every look-up goes by it. Were a database to make small letters of what somebody sends, "İ" would become "i" there and not
    here, and one account would be found under spellings that are counted apart.
    """
    return email.lower()
