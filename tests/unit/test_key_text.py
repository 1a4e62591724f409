"""API keys as text: found by programs that look for leaked secrets, and told from what only looks like one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity.key_text import digest_of, is_key, new_key, visible_part

# Three keys whose checksums were computed by another program: zlib's CRC-32 in base 62, digits first.
ZEROS = "florin_test_" + "0" * 43


def in_base_62(number: int) -> str:
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return "".join(alphabet[number // 62**place % 62] for place in range(5, -1, -1))


def crc32(data: bytes) -> int:
    """The checksum by its definition (ISO/IEC 3309), a bit at a time."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0xEDB88320 if rest & 1 else 0)
    return rest ^ 0xFFFFFFFF


@pytest.mark.parametrize("live", [True, False])
def test_a_new_key_is_one_of_its_mode_alone(live: bool) -> None:
    key = new_key(live=live)
    assert re.fullmatch(rf"florin_{'live' if live else 'test'}_[0-9A-Za-z]{{49}}", key)
    assert is_key(key, live=live)
    assert not is_key(key, live=not live)


def test_the_checksum_is_what_the_documentation_says() -> None:
    assert is_key(ZEROS + in_base_62(crc32(ZEROS.encode())), live=False)
    assert not is_key(ZEROS + "000000", live=False)


def test_no_two_keys_are_alike() -> None:
    keys = [new_key(live=True) for _ in range(200)]
    assert len(set(keys)) == len({visible_part(key) for key in keys}) == len({digest_of(key) for key in keys}) == 200


@given(place=st.integers(0, 60), character=st.sampled_from("0Zz_ \n\x00é"))
def test_a_key_with_a_changed_character_is_none(place: int, character: str) -> None:
    key = ZEROS + in_base_62(crc32(ZEROS.encode()))
    changed = key[:place] + character + key[place + 1 :]
    assert is_key(changed, live=False) == (changed == key)


@given(text=st.text())
def test_no_text_is_a_key_by_chance(text: str) -> None:
    assert not is_key(text, live=True)
    assert not is_key(f"florin_live_{text}", live=True)


def test_what_is_shown_is_a_small_part() -> None:
    key = new_key(live=True)
    assert visible_part(key) == key[:20]
