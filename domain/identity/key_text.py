"""The text of an API key: `florin_live_` or `florin_test_`, 43 random characters, and a checksum of six.

The form is one that programs find which look for leaked secrets: a prefix that nothing else has, and a checksum that tells a key
from what only looks like one, without asking anybody. GitHub's tokens are made in the same way
(https://github.blog/engineering/behind-githubs-new-authentication-token-formats/).
"""

import hashlib
import re
import secrets
import string
import zlib
from typing import NewType

KeyDigest = NewType("KeyDigest", bytes)

KEY_MARK = "florin_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
# 62 ** 43 is the first power above 2 ** 256.
_RANDOM_LENGTH = 43
_CHECKSUM_LENGTH = 6
_VISIBLE_LENGTH = 8
_FORM = re.compile(
    rf"(?P<mode>florin_(?:live|test)_)(?P<random>[0-9A-Za-z]{{{_RANDOM_LENGTH}}})(?P<sum>[0-9A-Za-z]{{6}})"
)


def new_key(*, live: bool) -> str:
    """A fresh key of 256 random bits for a server whose payments move real money, or for one whose payments do not."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    body = _mode(live=live) + random
    return body + _checksum(body)


def is_key(text: str, *, live: bool) -> bool:
    """Whether the text can be a key of such a server. One that was cut off or mistyped is none, and neither is another mode's."""
    match = _FORM.fullmatch(text)
    return (
        match is not None and match["mode"] == _mode(live=live) and match["sum"] == _checksum(text[:-_CHECKSUM_LENGTH])
    )


def visible_part(key: str) -> str:
    """The part of a key by which people tell keys apart: its mode and 8 characters, which leaves 208 bits to guess."""
    return key[: len(_mode(live=True)) + _VISIBLE_LENGTH]


def digest_of(key: str) -> KeyDigest:
    """What is stored of a key.

    A plain SHA-256 is enough, and what slow hashes are made against cannot happen: nobody can try 2 ** 256 keys, as they can
    the passwords that people think of. It also lets the key be looked up by an index in one statement.
    """
    return KeyDigest(hashlib.sha256(key.encode()).digest())


def _mode(*, live: bool) -> str:
    return f"{KEY_MARK}{'live' if live else 'test'}_"


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
