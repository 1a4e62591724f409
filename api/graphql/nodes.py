"""Relay's Node: anything that can be fetched again by its id (https://relay.dev/graphql/objectidentification.htm)."""

import strawberry


@strawberry.interface(description="An object that can be fetched again by its id.")
class Node:
    """Every type below has an opaque global id."""

    @strawberry.field(description="The object's opaque global id.")
    def id(self) -> strawberry.ID:
        raise NotImplementedError
