"""Settings about what comes in over the network: how much of it, from where, and how long it may take."""

import ipaddress
import re
from dataclasses import dataclass

from pydantic import Field, SecretStr, field_validator

from api.graphql.execution import ExecutionConfig
from api.graphql.guards import DocumentLimits
from api.server import WireConfig
from app.settings_group import Listed, SettingsGroup

_ORIGIN = re.compile(r"https?://[a-z0-9.\-]+(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How much is allowed: each minute, and of query cost each second."""

    requests: int
    address_requests: int
    money_mutations: int
    cost_per_second: int


# In development nothing is on a network, and tests send more than people do.
_WIDER_IN_DEVELOPMENT = 1000


class WireSettings(SettingsGroup):
    """The part of the settings that is about what comes in."""

    body_bytes_max: int = Field(
        default=100 * 1024,
        ge=1024,
        le=10 * 1024 * 1024,
        description="How large the body of a request to /graphql may be.",
    )
    request_deadline_seconds: float = Field(
        default=30.0,
        gt=0,
        le=300,
        description="How long the answer to a request may take. A mutation goes on to its end when its client is told so.",
    )
    headers_timeout_seconds: float = Field(
        default=10.0, gt=0, le=300, description="How long a connection may take to send the head of a request."
    )
    body_timeout_seconds: float = Field(
        default=20.0, gt=0, le=300, description="How long it may take to send the body, or to take the answer."
    )
    connections_max: int = Field(
        default=1000, ge=1, le=100_000, description="How many connections one process holds; others are closed at once."
    )
    trusted_proxies: Listed = Field(
        default=(),
        description="The addresses or networks of our own proxies, with commas. From these, and from nobody else, the client's "
        "address is taken from X-Forwarded-For.",
    )
    cors_origins: Listed = Field(
        default=(),
        description="The sites whose pages may call the API from a browser, with commas: `https://shop.example`.",
    )
    get_needs_preflight: bool | None = Field(
        default=None,
        description="Whether queries by GET need a header that no page of another site can send unasked. They do in production.",
    )
    introspection_in_production: bool = Field(
        default=False,
        description="Whether production tells everybody its schema, and not only those with the capability `schema:read`.",
    )
    document_depth_max: int = Field(
        default=16, ge=4, le=30, description="How many fields of an operation may be inside of each other."
    )
    mutations_per_request_max: int = Field(
        default=1, ge=1, le=20, description="How many mutations with an idempotency key one request may hold."
    )
    query_cost_max: int = Field(
        default=50_000, ge=1000, description="The most that one operation may cost, in units of [limits](limits.md)."
    )
    query_cost_per_second: int | None = Field(
        default=None, ge=1, description="How many units of cost each actor may use for good: 5,000 in production."
    )
    requests_per_minute: int | None = Field(
        default=None, ge=1, description="How many requests each actor may send: 6,000 in production."
    )
    address_requests_per_minute: int | None = Field(
        default=None, ge=1, description="How many requests may come from one address: 12,000 in production."
    )
    money_mutations_per_minute: int | None = Field(
        default=None,
        ge=1,
        description="How many mutations with an idempotency key each actor may send: 120 in production.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Where several processes count together: `redis://:password@host:6379/0`. Without it each counts for itself.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise ValueError("it holds something that is no address or network") from None
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError("an origin is a scheme, a host and perhaps a port, in lower case and without a path")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("it begins with redis:// or rediss://")
        return value

    def rates(self) -> Rates:
        """What is allowed, wider in development unless it is set."""
        wider = 1 if self.in_production else _WIDER_IN_DEVELOPMENT
        return Rates(
            requests=self.requests_per_minute or 6_000 * wider,
            address_requests=self.address_requests_per_minute or 12_000 * wider,
            money_mutations=self.money_mutations_per_minute or 120 * wider,
            cost_per_second=self.query_cost_per_second or 5_000 * wider,
        )

    def wire(self) -> WireConfig:
        return WireConfig(
            execution=ExecutionConfig(
                documents=DocumentLimits(depth=self.document_depth_max, mutations=self.mutations_per_request_max),
                deadline_seconds=self.request_deadline_seconds,
                introspection=self.introspection_in_production or not self.in_production,
            ),
            body_bytes_max=self.body_bytes_max,
            trusted_proxies=self.trusted_proxies,
            origins=self.cors_origins,
            get_needs_preflight=self.in_production if self.get_needs_preflight is None else self.get_needs_preflight,
            hsts=self.in_production,
        )
