"""Trusted documents: the GraphQL documents of a frontend, known by their hash before anybody sends them."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import NewType, Protocol

from domain.access import Capability

DocumentDigest = NewType("DocumentDigest", bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedDocument:
    """A document as it was registered, and `name`, by which people know it.

    Whoever runs it has no other capabilities meanwhile than these, and never more than their own; it is theirs alone that count
    where it is None. `cost_max` is the most that it may cost, in units, instead of what any other document may.
    """

    digest: DocumentDigest
    name: str
    text: str
    capabilities: frozenset[Capability] | None = None
    cost_max: int | None = None


class TrustedDocuments(Protocol):
    """Where documents are looked up."""

    async def find(self, digest: DocumentDigest) -> TrustedDocument | None:
        """Raises domain.errors.Unavailable."""
        ...


class DocumentRegister(Protocol):
    """Where documents are registered, by whoever runs the server."""

    async def register(self, documents: Collection[TrustedDocument], *, remove_others: bool) -> tuple[int, int]:
        """Keep these documents, and no others if so; how many are new or changed, and how many were removed."""
        ...


def digest_of(text: str) -> DocumentDigest:
    """SHA-256 of the text in UTF-8, as clients compute it."""
    return DocumentDigest(hashlib.sha256(text.encode()).digest())
