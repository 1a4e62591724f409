"""The audit chain's arithmetic: what an entry's hash covers, and what a note of the heads says."""

from dataclasses import replace
from hashlib import sha256
from uuid import UUID

import pytest

from domain.audit_chain import NO_HASH, ChainedEntry, Head, entry_hash, read_anchors

ENTRY = ChainedEntry(
    id=UUID(int=1),
    number=7,
    transaction_id=UUID(int=2),
    action="transaction.created",
    actor_kind="USER",
    actor_id=UUID(int=3),
    at="1795496400123456",
    details='{"currency": "USD"}',
)


def test_the_hash_is_that_of_the_text_in_the_decision_record() -> None:
    written = (
        "4\n12\n00000000-0000-0000-0000-000000000001\n7\n00000000-0000-0000-0000-000000000002\ntransaction.created\n"
        'USER\n00000000-0000-0000-0000-000000000003\n1795496400123456\n{"currency": "USD"}'
    )
    previous = bytes(range(32))
    assert entry_hash(previous, 4, 12, ENTRY) == sha256(previous + written.encode()).digest()


@pytest.mark.parametrize(
    "changed",
    [
        replace(ENTRY, id=UUID(int=9)),
        replace(ENTRY, number=8),
        replace(ENTRY, transaction_id=None),
        replace(ENTRY, transaction_id=UUID(int=3), actor_id=UUID(int=2)),
        replace(ENTRY, action="transaction.failed"),
        replace(ENTRY, actor_kind="SYSTEM"),
        replace(ENTRY, actor_id=None),
        replace(ENTRY, at="1795496400123457"),
        replace(ENTRY, details='{"currency": "EUR"}'),
    ],
)
def test_the_hash_covers_every_field(changed: ChainedEntry) -> None:
    assert entry_hash(NO_HASH, 0, 1, changed) != entry_hash(NO_HASH, 0, 1, ENTRY)


def test_the_hash_covers_the_place_and_what_is_before() -> None:
    places = {
        entry_hash(before, chain, at, ENTRY) for before in (NO_HASH, b"1" * 32) for chain in (0, 1) for at in (1, 2)
    }
    assert len(places) == 8


def test_what_was_printed_is_read_again_among_other_lines() -> None:
    heads = [Head(0, 0, NO_HASH), Head(15, 12345, bytes(range(32)))]
    text = "\n".join(["12345 entries in 2 chains are what was written.", *map(str, heads), ""])
    assert read_anchors(text) == {0: heads[0], 15: heads[1]}


@pytest.mark.parametrize("text", ["", "chain 0: 1 entries, sha256 12ab", "nothing of the kind"])
def test_a_text_without_heads_is_no_anchor(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it holds no line such as"):
        read_anchors(text)
