"""Passwords: which may be used, by the rules of NIST SP 800-63B (revision 4, section 3.1.1.2), and the port that hashes them.

Length counts, and nothing else does: no rule asks for digits or signs, and none makes a password expire. What is refused beside
what is short are passwords that are guessed first: the common ones, and the words of the account itself.
"""

import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Protocol

from domain.errors import WeakPassword

PASSWORD_LENGTH_MIN = 8
"""The least that the standard allows where a second factor is used. It wants 15 where the password is all there is."""

PASSWORD_LENGTH_MAX = 256
"""The standard wants at least 64. Nobody remembers more; without an end a request could make us hash megabytes."""

_WORD_LENGTH_MIN = 4


class PasswordHasher(Protocol):
    """Turns passwords into hashes that are slow to try. Each method is one piece of such work, and does not block.

    Raises domain.errors.Unavailable where too many wait for it already.
    """

    async def hash(self, password: str) -> str:
        """A hash with a salt of its own."""
        ...

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password is the one that was hashed.

        With None, where there is no such account, it does the same work for nothing, so that nobody can tell by the time.
        """
        ...

    def is_outdated(self, hashed: str) -> bool:
        """Whether the hash was made with less work than new ones are."""
        ...


def normalized(password: str) -> str:
    """The password as it is hashed: in one form, whatever keyboard or system it was typed on (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, *, length_min: int, path: tuple[str, ...], about: Iterable[str] = ()) -> str:
    """The password as it is hashed. Raises WeakPassword for one that may not be set; `about` are words of the account."""
    password = normalized(password)
    if len(password) < length_min:
        raise WeakPassword(f"A password holds at least {length_min} characters; any will do.", path=path)
    if len(password) > PASSWORD_LENGTH_MAX:
        raise WeakPassword(f"A password holds at most {PASSWORD_LENGTH_MAX} characters.", path=path)
    if not _can_be_hashed(password):
        raise WeakPassword("The password holds a lone surrogate, which cannot be stored.", path=path)
    lowered = password.lower()
    if lowered in _common() or len(set(password)) == 1:
        raise WeakPassword("This password is one of the first that are guessed. Take another one.", path=path)
    if any(lowered == word for text in about for word in _words(text)):
        raise WeakPassword("The password is a part of the account itself. Take another one.", path=path)
    return password


def can_be_a_password(password: str) -> bool:
    """Whether the text could have been set as a password: any other need not be hashed to be refused."""
    return 0 < len(password) <= PASSWORD_LENGTH_MAX and _can_be_hashed(password)


def _can_be_hashed(password: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in password)


def _words(text: str) -> set[str]:
    lowered = text.lower()
    found = {lowered, lowered.replace(" ", ""), *lowered.split(), *lowered.split("@")}
    return {word for word in found if len(word) >= _WORD_LENGTH_MIN}


@cache
def _common() -> frozenset[str]:
    # Read when it is first needed: the lists are large, and most programs never ask.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415  see above

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= PASSWORD_LENGTH_MIN)
