"""The audit chain: the hash of each audit entry covers the hash of the entry before it.

Whoever changes, removes or slips in an entry would have to compute all later hashes anew, and those that somebody has noted
down elsewhere (an anchor) would still tell. There are several chains, so that one payment need not wait for another: an entry
belongs to one of them. The database links an entry when it is committed (persistence/migrations); what is here computes
the same from the outside, sharing no code with it.
"""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol
from uuid import UUID

from domain.ids import IdKind, encode

CHAINS = 16
"""How many there are: as many as units of work can commit at the same time without waiting for each other."""

NO_HASH = bytes(32)
"""What stands for the hash before the first entry of a chain."""

_HEAD_LINE = re.compile(r"chain (?P<chain>\d+): (?P<length>\d+) entries, sha256 (?P<hash>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: how many entries it has and the hash of the last. Noted down elsewhere, it is an anchor."""

    chain: int
    length: int
    hash: bytes

    def __str__(self) -> str:
        return f"chain {self.chain}: {self.length} entries, sha256 {self.hash.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedEntry:
    """An audit entry as the database holds it, whatever somebody has put there.

    `at` is in microseconds since 1970, as a text because the database also knows infinity; `details` is the text of its JSON.
    """

    id: UUID
    number: int
    transaction_id: UUID | None
    action: str
    actor_kind: str
    actor_id: UUID | None
    at: str
    details: str

    def __str__(self) -> str:
        name = encode(IdKind.AUDIT_ENTRY, self.id)
        if self.transaction_id is None:
            return name
        return f"{name} of {encode(IdKind.TRANSACTION, self.transaction_id)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An entry's place in its chain; `entry` is None where the entry is no longer there."""

    chain: int
    position: int
    entry_id: UUID
    hash: bytes
    entry: ChainedEntry | None


class AuditChains(Protocol):
    """The chains as they are stored."""

    async def heads(self) -> Sequence[tuple[Head, int]]:
        """Every chain's head, with the position of the last link that is there at the same moment (0 without any)."""
        ...

    def links(self, head: Head) -> AsyncIterator[Link]:
        """A chain's links in their order, up to its head."""
        ...

    async def unlinked(self) -> ChainedEntry | None:
        """The first entry that belongs to no chain."""
        ...


def entry_hash(previous: bytes, chain: int, position: int, entry: ChainedEntry) -> bytes:
    """The hash of an entry at its place. The text is one line for each field, details last."""
    fields = (
        chain,
        position,
        entry.id,
        entry.number,
        entry.transaction_id or "",
        entry.action,
        entry.actor_kind,
        entry.actor_id or "",
        entry.at,
        entry.details,
    )
    return sha256(previous + "\n".join(map(str, fields)).encode()).digest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it: all heads, and one line for each chain that is broken, naming its first broken entry."""

    heads: Sequence[Head]
    breaches: Sequence[str]

    @property
    def entries(self) -> int:
        return sum(head.length for head in self.heads)


def read_anchors(text: str) -> dict[int, Head]:
    """The heads in what an earlier verification has printed, by chain. Raises ValueError where there is none."""
    found = (_HEAD_LINE.fullmatch(line.strip()) for line in text.splitlines())
    heads = [Head(int(one["chain"]), int(one["length"]), bytes.fromhex(one["hash"])) for one in found if one]
    if not heads:
        raise ValueError("it holds no line such as `chain 0: 12 entries, sha256 ...`")
    return {head.chain: head for head in heads}


async def verify(
    chains: AuditChains, anchors: dict[int, Head], on_progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Verdict:
    """Compute every hash anew, chain by chain, each up to its first breach. Entries may be added meanwhile.

    `on_progress` is told after each entry how many of how many are checked.
    """
    found = await chains.heads()
    heads = [head for head, _ in found]
    total, done = sum(head.length for head in heads), 0
    breaches = [
        f"chain {chain}: its head was removed" for chain in sorted({*range(CHAINS)} - {head.chain for head in heads})
    ]
    for head, last in found:
        check = _ChainCheck(head, last, anchors.get(head.chain))
        async for link in chains.links(head):
            done += 1
            on_progress(done, total)
            if (breach := check.add(link)) is not None:
                break
        else:
            breach = check.end()
        if breach is not None:
            breaches.append(f"chain {head.chain}: {breach}")
    if (stranger := await chains.unlinked()) is not None:
        breaches.append(f"{stranger} belongs to no chain: it was inserted past the database's trigger")
    return Verdict(heads, breaches)


class _ChainCheck:
    """Goes along one chain."""

    def __init__(self, head: Head, last: int, anchor: Head | None) -> None:
        self._head = head
        self._last = last
        self._anchor = anchor
        self._reached = Head(head.chain, 0, NO_HASH)

    def add(self, link: Link) -> str | None:
        """What is wrong with the next link, if anything is."""
        position = self._reached.length + 1
        if link.position != position:
            missing = (
                f"position {position}"
                if link.position == position + 1
                else f"positions {position} to {link.position - 1}"
            )
            return f"{missing}: removed; the next that is there is {_name(link)}"
        place = f"position {position}, {_name(link)}"
        if link.entry is None:
            return f"{place}: the entry was removed"
        if entry_hash(self._reached.hash, self._head.chain, position, link.entry) != link.hash:
            return f"{place}: it is not what was written there"
        self._reached = Head(self._head.chain, position, link.hash)
        if self._anchor is not None and self._anchor.length == position and self._anchor.hash != link.hash:
            return f"{place}: it or an entry before it is not what it was when the anchor was noted down"
        return None

    def end(self) -> str | None:
        """What is wrong with where the chain ends, if anything is."""
        reached, anchor = self._reached, self._anchor
        if reached.length < self._head.length:
            return f"positions {reached.length + 1} to {self._head.length}: the end was removed"
        if self._last > self._head.length:
            return f"positions {self._head.length + 1} to {self._last}: they were added past the chain's head"
        if reached.hash != self._head.hash:
            return f"position {reached.length}: its hash is not the one in the chain's head"
        if anchor is not None and reached.length < anchor.length:
            return f"positions {reached.length + 1} to {anchor.length}: removed since the anchor was noted down"
        return None


def _name(link: Link) -> str:
    return str(link.entry) if link.entry is not None else encode(IdKind.AUDIT_ENTRY, link.entry_id)
