"""What is set of an identity provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from domain.access import Role

Algorithm: TypeAlias = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)
"""Every signature that is taken from anybody: with a private key each, so that a published key can sign nothing (RFC 8725)."""

ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})
"""How an access token says that it is one (RFC 9068, section 2.1). An empty type stands for a token that does not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInConfig:
    """How Florin is registered with a provider as a client. A public client has no secret."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    authentication: str = "client_secret_basic"
    scopes: tuple[str, ...] = ("openid", "email", "profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """A provider. Without `audience` its access tokens are not taken; without `sign_in` nobody signs in by it.

    `subject_claim` is the claim of access tokens that names whom an ID token names by `sub`. `role_claim` is a path into the
    claims, and `roles` says which of the values there gives which role; without them the provider has no say in roles.
    """

    name: str
    issuer: str
    audience: str | None = None
    token_types: frozenset[str] = ACCESS_TOKEN_TYPES
    algorithms: tuple[str, ...] = ALGORITHMS
    subject_claim: str = "sub"
    role_claim: tuple[str, ...] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)
    sign_in: SignInConfig | None = None
