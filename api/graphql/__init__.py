"""The GraphQL API, one file for each noun."""

# The domain's enums become GraphQL enums before any module below can define a type that uses one: Strawberry would make a
# second enum of its own out of a plain one, without our name and descriptions.
import api.graphql.enums  # noqa: F401  imported for what it does, not for a name
