"""The setting IDENTITY_PROVIDERS: who else may vouch for people, as one JSON object."""

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from domain.access import Role
from domain.identity.providers import ISSUER_LENGTH_MAX, AdmissionPolicy
from gateways.identity.config import ACCESS_TOKEN_TYPES, ALGORITHMS, Algorithm, ProviderConfig, SignInConfig

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_SECRET_BYTES_MAX = 4096


def _as_path(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class ProviderSettings(BaseModel):
    """One provider, as docs/identity-providers.md explains it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: str = Field(min_length=8, max_length=ISSUER_LENGTH_MAX)
    audience: str | None = Field(default=None, min_length=1)
    token_types: tuple[str, ...] = Field(default=tuple(sorted(ACCESS_TOKEN_TYPES)), min_length=1)
    algorithms: tuple[Algorithm, ...] = Field(default=ALGORITHMS, min_length=1)
    subject_claim: str = Field(default="sub", min_length=1)
    role_claim: Annotated[tuple[str, ...], BeforeValidator(_as_path)] = ()
    roles: dict[str, Role] = {}
    creates_users: bool = True
    links_by_email: bool = False
    client_id: str | None = Field(default=None, min_length=1)
    client_secret: SecretStr | None = None
    client_secret_file: Path | None = None
    client_authentication: Literal["client_secret_basic", "client_secret_post", "none"] = "client_secret_basic"
    scopes: tuple[str, ...] = ("openid", "email", "profile")

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.audience is None and self.client_id is None:
            raise ValueError("audience or client_id is needed: there is nothing to do with it otherwise")
        if bool(self.roles) != bool(self.role_claim):
            raise ValueError("role_claim and roles belong together")
        if self.audience is not None and self.audience == self.client_id:
            raise ValueError("the audience is the client_id: then ID tokens would be taken for access tokens")
        if self.client_secret is not None and self.client_secret_file is not None:
            raise ValueError("client_secret and client_secret_file exclude each other")
        if self.client_id is not None:
            secret = self.client_secret is not None or self.client_secret_file is not None
            if secret == (self.client_authentication == "none"):
                raise ValueError("a client has a secret, or client_authentication is none")
            if "openid" not in self.scopes:
                raise ValueError("scopes has to hold openid")
        return self

    def config(self, name: str) -> ProviderConfig:
        return ProviderConfig(
            name=name,
            issuer=self.issuer,
            audience=self.audience,
            token_types=frozenset(self.token_types),
            algorithms=tuple(self.algorithms),
            subject_claim=self.subject_claim,
            role_claim=self.role_claim,
            roles=dict(self.roles),
            sign_in=self._sign_in(),
        )

    def policy(self) -> AdmissionPolicy:
        return AdmissionPolicy(creates_users=self.creates_users, links_by_email=self.links_by_email)

    def _sign_in(self) -> SignInConfig | None:
        if self.client_id is None:
            return None
        secret = None if self.client_secret is None else self.client_secret.get_secret_value()
        if self.client_secret_file is not None:
            secret = _secret_in(self.client_secret_file)
        return SignInConfig(
            client_id=self.client_id,
            client_secret=secret,
            authentication=self.client_authentication,
            scopes=tuple(self.scopes),
        )


def read_providers(text: str) -> dict[str, ProviderSettings]:
    """The providers by their names. Raises ValueError, which never repeats a value: it may be a secret."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON object") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  pydantic makes a message of a ValueError alone
    providers: dict[str, ProviderSettings] = {}
    for name, value in found.items():
        if _NAME.fullmatch(name) is None:
            raise ValueError("a provider's name is made of small letters, digits and dashes, 32 at the most")
        try:
            providers[name] = ProviderSettings.model_validate(value)
        except ValidationError as error:
            problem = error.errors(include_input=False)[0]
            place = ".".join([name, *(str(part) for part in problem["loc"][:1])])
            raise ValueError(f"{place}: {problem['msg'].removeprefix('Value error, ')}") from None
    return providers


def check_providers(providers: Mapping[str, ProviderSettings], *, own_issuer: str, production: bool) -> None:
    """Raise ValueError for providers that cannot be told apart, or that anybody on the way could speak for."""
    issuers = [provider.issuer for provider in providers.values()]
    if len(set(issuers)) < len(issuers) or own_issuer in issuers:
        raise ValueError("IDENTITY_PROVIDERS names an issuer twice, or AUTH_ISSUER")
    for name, provider in providers.items():
        if not is_protected(provider.issuer, production=production):
            raise ValueError(f"IDENTITY_PROVIDERS: the issuer of {name} is no https:// URL")
        # Fails at the start for a file that cannot be read, and not when somebody signs in.
        provider.config(name)


def check_addresses(public_url: str | None, return_urls: Sequence[str], *, needed: bool, production: bool) -> None:
    """Raise ValueError where people sign in by a provider, and it is not clear or not safe where their browsers go."""
    if needed and (not public_url or not return_urls):
        raise ValueError("IDENTITY_PROVIDERS has a client_id, which needs PUBLIC_URL and SIGN_IN_RETURN_URLS")
    if public_url and (not is_protected(public_url, production=production) or urlsplit(public_url).path != ""):
        raise ValueError("PUBLIC_URL is no https:// URL without a path")
    if not all(is_protected(url, production=production) for url in return_urls):
        raise ValueError("SIGN_IN_RETURN_URLS: https:// URLs without a query or a fragment")


def is_protected(url: str, *, production: bool) -> bool:
    """Whether an address is protected by TLS, or in development on this machine. It has no query, fragment or user in it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.query or parts.fragment or parts.username is not None or url != url.strip():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and not production and _is_this_machine(host))


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _secret_in(path: Path) -> str:
    try:
        secret = path.read_bytes()[:_SECRET_BYTES_MAX].decode().strip()
    except (OSError, UnicodeDecodeError):
        raise ValueError("IDENTITY_PROVIDERS: a client_secret_file cannot be read") from None
    if not secret:
        raise ValueError("IDENTITY_PROVIDERS: a client_secret_file is empty")
    return secret
