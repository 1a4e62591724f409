from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.errors import CardNumberRefused, FlorinError, InvalidIdempotencyKey, InvalidMetadata, InvalidText
from domain.text import (
    METADATA_BYTES_MAX,
    METADATA_DEPTH_MAX,
    PROCESSOR_ID_LENGTH_MAX,
    check_idempotency_key,
    check_metadata,
    check_reason,
    check_text,
    is_processor_id,
    looks_like_card_number,
)

# Numbers that the networks and processors publish for tests, by network.
CARD_NUMBERS = {
    "Visa": "4242424242424242",
    "Visa debit": "4000056655665556",
    "Visa, 13 digits": "4222222222222",
    "Visa, 19 digits": "4000000000000000006",
    "Mastercard": "5555555555554444",
    "Mastercard, 2-series": "2223003122003222",
    "Mastercard, end of the 2-series": "2720992222222229",
    "American Express": "378282246310005",
    "Discover": "6011111111111117",
    "Diners Club": "3056930009020004",
    "Diners Club, 14 digits": "36227206271667",
    "JCB": "3566002020360505",
    "UnionPay": "6200000000000005",
    "UnionPay, 19 digits": "6205500000000000004",
    "Maestro": "6759649826438453",
}


def grouped(number: str, separator: str) -> str:
    """The number as it is embossed: 4-6-4 and 4-6-5 digits for 14 and 15, else groups of four."""
    if len(number) in {14, 15}:
        return separator.join((number[:4], number[4:10], number[10:]))
    return separator.join(number[start : start + 4] for start in range(0, len(number), 4))


@pytest.mark.parametrize("number", CARD_NUMBERS.values(), ids=CARD_NUMBERS.keys())
@pytest.mark.parametrize(
    "around", ["{}", "card: {}", "x{}y", "<{}>", "number={}&cvc=123", "4242 {} 11", "\n{}\n", "1/{}/2"]
)
def test_a_card_number_is_found_wherever_it_stands(number: str, around: str) -> None:
    assert looks_like_card_number(around.format(number))


@pytest.mark.parametrize("number", [n for n in CARD_NUMBERS.values() if len(n) != 13], ids=str)
@pytest.mark.parametrize("separator", ["-", " "])
@pytest.mark.parametrize("around", ["{}", "card {}, please", "({})", "4242 {} 11", "5555-{}"])
def test_a_card_number_is_found_in_groups(number: str, separator: str, around: str) -> None:
    assert looks_like_card_number(around.format(grouped(number, separator)))


@pytest.mark.parametrize("number", CARD_NUMBERS.values(), ids=CARD_NUMBERS.keys())
def test_a_wrong_check_digit_makes_it_another_number(number: str) -> None:
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not looks_like_card_number(wrong)


@given(st.uuids())
@example(UUID("abcd4242-4242-4242-8242-424242424242"))
@example(UUID("00000000-2345-4345-8345-1234abcdef00"))
@example(UUID("42424242-4242-4242-4242-424242424242"))
def test_a_uuid_is_no_card_number(value: UUID) -> None:
    for written in (str(value), value.hex, str(value).upper(), value.urn, f"txn_{value.hex}", f"order {value}, again"):
        assert not looks_like_card_number(written)


@pytest.mark.parametrize("first", ["2345-4345-8345-1234", "2222-4222-8222-2220", "6011-4111-8111-1117"])
@pytest.mark.parametrize("digit", range(10))
def test_the_digit_groups_inside_a_uuid_are_no_card_number(first: str, digit: int) -> None:
    assert not looks_like_card_number(f"0a1b2c3d-{first[:-1]}{digit}abcdef00")


@given(st.binary(min_size=12, max_size=32))
def test_a_hash_is_no_card_number(digest: bytes) -> None:
    assert not looks_like_card_number(digest.hex())


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2090, 1, 1)))  # noqa: DTZ001  the zone is given below
def test_a_point_in_time_is_no_card_number(moment: datetime) -> None:
    at = moment.replace(tzinfo=UTC)
    seconds = int(at.timestamp())
    numbers = [seconds, seconds * 1000 + 7, seconds * 10**6 + 123_456] if 10**9 <= seconds < 2 * 10**9 else []
    texts = [at.isoformat(), at.strftime("%Y%m%d%H%M%S"), at.strftime("%Y%m%d%H%M%S%f"), at.strftime("%d.%m.%Y %H:%M")]
    texts += [at.strftime("%Y%m%d%H%M%S00"), " ".join(str(at.year + further) for further in range(4))]
    for text in [*texts, *map(str, numbers)]:
        assert not looks_like_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "+1 415 555 2671", "+44 20 7946 0958", "+49 (0)30 901820", "0049 151 23456789", "(415) 555-2671 ext. 4242",
        "order 42", "4242", "4242 4242 4242", "424242424242424", "42424242424242420000", "10.0.0.1", "€ 1.234.567,89",
        "4242\u20114242\u20114242\u20114242x", "ISBN 978-3-16-148410-0", "", "no digits at all",
    ],
)  # fmt: skip
def test_other_numbers_are_no_card_numbers(text: str) -> None:
    assert not looks_like_card_number(text)


@given(st.text())
def test_looking_for_a_card_number_never_fails(text: str) -> None:
    assert looks_like_card_number(text) in {True, False}


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "a\udc00b", "\x00"])
def test_what_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(InvalidText) as caught:
        check_text(text, path=("input", "description"), length_max=100)
    assert caught.value.path == ("input", "description")


def test_a_text_may_be_as_long_as_its_limit_and_no_longer() -> None:
    check_text("ä" * 10, path=("x",), length_max=10)
    with pytest.raises(InvalidText, match="10 is the most"):
        check_text("ä" * 11, path=("x",), length_max=10)


def test_a_reason_is_any_text_that_says_something() -> None:
    check_reason("so it is", length_max=8)
    for reason in ("", " \n\t", "so it was", "a\0"):
        with pytest.raises(InvalidText) as raised:
            check_reason(reason, length_max=8)
        assert raised.value.path == ("input", "reason")


@pytest.mark.parametrize("text", ["pm_card_visa", "re_1", "x", "A" * PROCESSOR_ID_LENGTH_MAX])
def test_a_processor_s_id_is_a_plain_name(text: str) -> None:
    assert is_processor_id(text)


@pytest.mark.parametrize(
    "text", ["", "_", "..", "a/b", "a b", "re_1\n", "r\u00e9_1", "re_\uff11", "a" * (PROCESSOR_ID_LENGTH_MAX + 1)]
)
def test_what_would_lead_elsewhere_is_no_processor_s_id(text: str) -> None:
    assert not is_processor_id(text)


@pytest.mark.parametrize("key", ["k", "k" * 255, "ключ", " ", "Schlüssel/1?x=y#z", "😀" * 255])
def test_an_idempotency_key_is_any_text_of_1_to_255_characters(key: str) -> None:
    check_idempotency_key(key)


@pytest.mark.parametrize(
    ("key", "refusal"),
    [
        ("", InvalidIdempotencyKey),
        ("k" * 256, InvalidIdempotencyKey),
        ("a\x00", InvalidText),
        ("\ud800", InvalidText),
        ("pay 4242 4242 4242 4242", CardNumberRefused),
    ],
)
def test_any_other_idempotency_key_is_refused(key: str, refusal: type[FlorinError]) -> None:
    with pytest.raises(refusal):
        check_idempotency_key(key)


def nested(levels: int, inside: Any = 1, *, lists: bool = False) -> Any:  # Any: metadata is any JSON
    value = inside
    for level in range(levels):
        value = [value] if lists and level < levels - 1 else {"a": value}
    return value


@pytest.mark.parametrize("metadata", [{}, {"a": None, "b": [1, 2.5, True, "x"], "": {}}, {"ключ": "😀"}])
def test_metadata_is_a_json_object(metadata: dict[str, Any]) -> None:  # Any: metadata is any JSON
    assert check_metadata(metadata) == metadata


@pytest.mark.parametrize("metadata", [[], "x", 1, None, True, [{"a": 1}]])
def test_metadata_is_nothing_but_an_object(metadata: object) -> None:
    with pytest.raises(InvalidMetadata):
        check_metadata(metadata)


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("inside", [1, {}, []])
def test_metadata_is_nested_so_deep_and_no_deeper(lists: bool, inside: object) -> None:
    leaf = 0 if inside == 1 else 1
    check_metadata(nested(METADATA_DEPTH_MAX - leaf, inside, lists=lists))
    with pytest.raises(InvalidMetadata):
        check_metadata(nested(METADATA_DEPTH_MAX - leaf + 1, inside, lists=lists))


@pytest.mark.parametrize("lists", [False, True])
def test_a_depth_bomb_is_refused_without_overflowing_the_stack(lists: bool) -> None:
    bomb = nested(100_000, lists=lists)
    with pytest.raises(InvalidMetadata):
        check_metadata(bomb)
    # Taken apart level by level: freeing it at once would be deep as well.
    while isinstance(bomb, dict | list):
        bomb = bomb.pop("a") if isinstance(bomb, dict) else bomb.pop()


def test_metadata_is_at_most_so_large_in_bytes() -> None:
    room = METADATA_BYTES_MAX - len('{"a": ""}')
    check_metadata({"a": "x" * room})
    with pytest.raises(InvalidMetadata):
        check_metadata({"a": "x" * (room + 1)})
    with pytest.raises(InvalidMetadata):
        check_metadata({"a": "ä" * (room // 2 + 1)})


@pytest.mark.parametrize(
    ("metadata", "refusal"),
    [
        ({"a": {"b": ["x", "4242424242424242"]}}, CardNumberRefused),
        ({"4242 4242 4242 4242": 1}, CardNumberRefused),
        ({"a": 4242424242424242}, CardNumberRefused),
        ({"a": ["b\x00"]}, InvalidText),
        ({"a\ud800": 1}, InvalidText),
        ({"a": 2**63}, InvalidMetadata),
        ({"a": -(10**5000)}, InvalidMetadata),
        ({"a": float("nan")}, InvalidMetadata),
        ({"a": float("inf")}, InvalidMetadata),
    ],
)
def test_metadata_holds_nothing_that_must_not_be_stored(metadata: object, refusal: type[FlorinError]) -> None:
    with pytest.raises(refusal):
        check_metadata(metadata)
