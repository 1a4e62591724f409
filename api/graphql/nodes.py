"""Relay's Node: anything that can be fetched again by its id (https://relay.dev/graphql/objectidentification.htm)."""

from typing import ClassVar

import strawberry

from domain.access import Capability


@strawberry.interface(description="An object that can be fetched again by its id.")
class Node:
    """Every type below has an opaque global id, and says with which capability its objects are seen.

    It is None for users alone, because everybody sees themselves. The queries hold the same condition.
    """

    seen_with: ClassVar[Capability | None]

    @strawberry.field(description="The object's opaque global id.")
    def id(self) -> strawberry.ID:
        raise NotImplementedError
