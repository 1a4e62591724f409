from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import NIL, IdKind, decode, decode_as, decode_or_nil, encode

VALUE = UUID("01939d2e-0000-7000-8000-000000000001")


@given(st.sampled_from(IdKind), st.uuids())
def test_an_id_survives_the_way_out_and_back(kind: IdKind, value: UUID) -> None:
    assert decode(encode(kind, value)) == (kind, value)
    assert decode_as(kind, encode(kind, value)) == value


@given(st.sampled_from(IdKind), st.sampled_from(IdKind), st.uuids())
def test_an_id_of_another_kind_is_none(kind: IdKind, other: IdKind, value: UUID) -> None:
    assert (decode_as(other, encode(kind, value)) is None) is (kind is not other)
    assert decode_or_nil(other, encode(kind, value)) == (value if kind is other else NIL)


@given(st.text())
def test_any_other_text_is_no_id(text: str) -> None:
    decoded = decode(text)
    assert decoded is None or encode(*decoded) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "txn", "txn_", VALUE.hex, str(VALUE), f"txn_{VALUE}", f"txn_{VALUE.hex.upper()[:-1]}A", f"xyz_{VALUE.hex}",
        f"TXN_{VALUE.hex}", f"txn_{VALUE.hex}0", f"txn_{VALUE.hex[:-1]}", f" txn_{VALUE.hex}", f"txn_{VALUE.hex}\n",
        f"txn_{VALUE.hex[:-1]}\uff11", "txn_" + "g" * 32,
    ],
)  # fmt: skip
def test_a_text_that_is_nearly_an_id_is_none(text: str) -> None:
    assert decode(text) is None
