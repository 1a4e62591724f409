"""Settings: read from the environment once, checked once, and explained in one table (docs/settings.md)."""

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url

from api.access_tokens import TokenConfig
from api.graphiql import GraphiqlConfig, NamedToken
from api.graphiql_examples import default_examples
from api.graphql.execution import ExecutionConfig
from api.graphql.guards import DocumentLimits
from api.server import WireConfig
from api.signing_keys import KeySource, fixed_keys
from app.identity_settings import ProviderSettings, check_addresses, check_providers, read_providers
from app.sealing import AesSealer
from app.signing_keys_file import KeysFile, KeysFileUnusable
from domain.currencies import Currency
from domain.identity.addresses import is_email
from domain.identity.passwords import PASSWORD_LENGTH_MIN
from domain.identity.sessions import SessionTimes
from domain.messaging.letters import LetterConfig
from domain.messaging.prune_events import KEPT_DAYS_MIN
from domain.money import Money, MoneyError
from domain.payments.refund_policy import RefundPolicy
from gateways.mail.smtp import MailTls, SmtpConfig
from gateways.stripe.gateway import StripeConfig
from persistence.engine import DatabaseConfig, driver_url
from persistence.roles import ApplicationRole

_ORIGIN = re.compile(r"https?://[a-z0-9.\-]+(:[0-9]{1,5})?")


class Environment(StrEnum):
    """Where Florin runs. Outside production the page GraphiQL is offered."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"


class LogFormat(StrEnum):
    """JSON lines for machines, or colours for a terminal."""

    JSON = "json"
    CONSOLE = "console"


_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


class InvalidSettings(Exception):
    """The environment does not hold what is needed; each line names one setting and says what is wrong with it."""


def _database_url(value: SecretStr) -> SecretStr:
    driver_url(value.get_secret_value())
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How much is allowed: each minute, and of query cost each second."""

    requests: int
    address_requests: int
    money_mutations: int
    cost_per_second: int


# In development nothing is on a network, and tests send more than people do.
_WIDER_IN_DEVELOPMENT = 1000


def _split_keys(value: object) -> object:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return tuple(key.strip() for key in value.split(",")) if isinstance(value, str) else value


SigningKeys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_keys)]


def key_source(keys: tuple[SecretStr, ...], file: Path | None) -> KeySource:
    """The signing keys: those of the file, where one is named. Raises ValueError, or KeysFileUnusable."""
    return KeysFile(file) if file is not None else fixed_keys(*(key.get_secret_value() for key in keys))


def read_amounts(text: str) -> dict[Currency, int]:
    """Amounts such as `USD 500.00, JPY 70000` in minor units, by currency. Raises ValueError for anything else."""
    amounts: dict[Currency, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        code, _, number = part.partition(" ")
        try:
            money = Money.from_decimal(Decimal(number.strip()), Currency(code.upper()))
        except MoneyError:
            raise ValueError("an amount has more decimals than its currency") from None
        except (ValueError, InvalidOperation):
            raise ValueError("it is a list of currencies with amounts, such as USD 500.00, JPY 70000") from None
        if money.minor_units < 0 or money.currency in amounts:
            raise ValueError("a currency is there twice, or its amount is less than nothing")
        amounts[money.currency] = money.minor_units
    return amounts


class Settings(BaseSettings):
    """Everything that can be set. The description of each field is its line in docs/settings.md."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True, case_sensitive=False)

    environment: Environment = Field(
        default=Environment.PRODUCTION,
        description="`production` or `development`. Development offers GraphiQL and may offer tokens in it.",
    )
    database_url: Annotated[SecretStr, AfterValidator(_database_url)] = Field(
        description="PostgreSQL 15 or newer: `postgresql://user:password@host:5432/name`."
    )
    database_pool_size: int = Field(
        default=10, ge=1, le=200, description="How many connections one process opens at the most."
    )
    database_wait_seconds: float = Field(
        default=0.9,
        gt=0,
        le=10,
        description="A request to the API is answered UNAVAILABLE where none of them has become free for so long.",
    )
    database_statement_seconds: float = Field(
        default=5.0, gt=0, le=60, description="How long PostgreSQL works on one statement before it gives up."
    )
    stripe_secret_key: SecretStr = Field(description="The processor's API key: `sk_test_...` or `sk_live_...`.")
    stripe_webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        description="The signing secret of the webhook endpoint, `whsec_...`; two, with a comma, while one is rotated."
    )
    stripe_api_base: str = Field(
        default="https://api.stripe.com", description="Where the processor is; another address for a stand-in."
    )
    stripe_account_id: str | None = Field(
        default=None,
        pattern=r"^acct_[A-Za-z0-9]+$",
        description="The account that the API key belongs to, `acct_...`; the processor is asked for it when it is not set.",
    )
    stripe_deadline_seconds: float = Field(
        default=12.0, gt=0, le=15, description="How long one call to the processor may take, its repetitions included."
    )
    auth_signing_key: SigningKeys = Field(
        description="The key that signs access tokens: 32 random bytes in base64, as `openssl rand -base64 32` makes them. "
        "Several, with commas, while one is rotated: the first signs, all verify. Not needed with AUTH_SIGNING_KEYS_FILE."
    )
    auth_encryption_key: SigningKeys = Field(
        default=(),
        description="The key that encrypts the secrets of second factors: 32 random bytes in base64. Several, with commas, while "
        "one is exchanged: the first encrypts, all decrypt. Without it nobody can set up a second factor.",
    )
    admin_second_factor_required: bool = Field(
        default=False,
        description="Whether an administrator who has not proved a second factor is let do no more than a customer. It takes "
        "AUTH_ENCRYPTION_KEY.",
    )
    auth_signing_keys_file: Path | None = Field(
        default=None,
        description="A file of signing keys that `florin keys rotate` keeps, instead of AUTH_SIGNING_KEY. See "
        "[the runbook](runbook.md#rotate-signing-keys).",
    )
    auth_issuer: str = Field(default="florin", min_length=1, description="The `iss` of access tokens.")
    auth_audience: str = Field(default="florin", min_length=1, description="The `aud` of access tokens.")
    identity_providers: Annotated[dict[str, ProviderSettings], NoDecode] = Field(
        default={},
        description='Who else may vouch for people, as JSON: `{"okta": {"issuer": "https://...", ...}}`. See '
        "[identity providers](identity-providers.md).",
    )
    public_url: str | None = Field(
        default=None,
        description="Where browsers reach this server, `https://pay.example`: identity providers send them back there.",
    )
    sign_in_return_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="The frontend's addresses that a sign-in by an identity provider may end at, with commas. To the letter.",
    )
    customers_may_refund: bool = Field(
        default=True, description="Whether customers may refund their own payments, or only staff."
    )
    refund_approval_above: Annotated[dict[Currency, int], NoDecode] = Field(
        default={},
        description="Above which amount of one payment a refund by the support, or by an API key of staff, waits for the "
        "approval of a second person: `USD 500.00, EUR 450, JPY 70000`. Where it is set, refunds in others always wait.",
    )
    password_length_min: int = Field(
        default=PASSWORD_LENGTH_MIN,
        ge=PASSWORD_LENGTH_MIN,
        le=64,
        description="The fewest characters of a new password. NIST SP 800-63B wants 15 where nobody has a second factor.",
    )
    session_days: int = Field(
        default=30, ge=1, le=365, description="How long a session lasts at the most, however often it is used."
    )
    session_idle_days: int = Field(
        default=7, ge=1, le=365, description="How long a session lasts after it was last used."
    )
    sign_up_open: bool = Field(
        default=True, description="Whether anybody may sign up as a customer. It takes mail to be set up."
    )
    mail_host: str | None = Field(
        default=None, description="The mail server (SMTP). Without it, and without MAIL_FOLDER, no mail is sent."
    )
    mail_port: int = Field(default=587, ge=1, le=65535, description="The mail server's port.")
    mail_tls: MailTls = Field(
        default=MailTls.STARTTLS,
        description="`starttls`, `tls` (from the first byte, mostly port 465), or `none` for a server on this machine only.",
    )
    mail_username: str | None = Field(default=None, description="The name to sign in to the mail server with.")
    mail_password: SecretStr | None = Field(
        default=None, description="The password to sign in to the mail server with."
    )
    mail_from: str = Field(default="florin@localhost.localdomain", description="The address that mails come from.")
    mail_from_name: str = Field(
        default="Florin",
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="Who the mails say they are from.",
    )
    mail_links_to: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s#?]+$",
        description="The frontend, whose pages `verify-email` and `reset-password` mails link to, such as "
        "`https://shop.example/account`. Without it, mails hold the bare token.",
    )
    mail_folder: Path | None = Field(
        default=None, description="A folder to keep mails in as files, instead of sending them. In development only."
    )
    payment_return_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Where the payer's browser goes after a 3-D Secure challenge, when the request does not say.",
    )
    trusted_documents_only: bool = Field(
        default=False,
        description="Whether customers and anonymous callers may run only documents that `florin documents sync` has registered. "
        "See [trusted documents](access.md#trusted-documents).",
    )
    graphiql_in_production: bool = Field(
        default=False, description="Whether production offers the page GraphiQL at GET /graphql too."
    )
    graphiql_tokens: Annotated[dict[str, SecretStr], NoDecode] = Field(
        default={},
        description='Access tokens that the page GraphiQL offers, as JSON: `{"customer": "..."}`. In development only.',
    )
    host: str = Field(default="127.0.0.1", description="The address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
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
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="The addresses or networks of our own proxies, with commas. From these, and from nobody else, the client's "
        "address is taken from X-Forwarded-For.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
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
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="The port for `GET /metrics` (Prometheus), of the API and of workers alike; 0 takes a free one, and without "
        "it there is none. Never the public port.",
    )
    metrics_host: str = Field(default="127.0.0.1", description="The address that METRICS_PORT listens on.")
    log_format: LogFormat = Field(default=LogFormat.JSON, description="`json` or `console`.")
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="`DEBUG`, `INFO`, `WARNING` or `ERROR`."
    )
    processor_account_is_ours_alone: bool = Field(
        default=False,
        description="Whether nothing but Florin takes money on the processor's account: a charge without our mark is then a "
        "discrepancy. Otherwise it is only counted.",
    )
    webhook_sweep_seconds: int = Field(
        default=60,
        ge=5,
        le=240,
        description="How often the processor is asked for webhook events that never came. They are missed for so long.",
    )
    webhook_events_kept_days: int = Field(
        default=90,
        ge=KEPT_DAYS_MIN,
        description="How long webhook events are kept that were applied or ignored. The processor may repeat one for 30 days.",
    )
    worker_concurrency: int = Field(
        default=8,
        ge=1,
        le=100,
        description="How much of each kind (attempts, webhook events) one worker does at a time.",
    )

    @field_validator("stripe_webhook_secret", mode="before")
    @classmethod
    def _split_secrets(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        secrets = [secret.strip() for secret in value.split(",")]
        if not all(secret.startswith("whsec_") for secret in secrets):
            raise ValueError("a webhook secret begins with whsec_")
        return tuple(secrets)

    @field_validator("trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

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

    @model_validator(mode="before")
    @classmethod
    def _a_file_is_enough(cls, values: Any) -> Any:  # Any: pydantic hands over what it was given
        if isinstance(values, dict) and values.get("auth_signing_keys_file") and "auth_signing_key" not in values:
            return values | {"auth_signing_key": ()}
        return values

    @field_validator("refund_approval_above", mode="before")
    @classmethod
    def _read_amounts(cls, value: object) -> object:
        return read_amounts(value) if isinstance(value, str) else value

    @field_validator("sign_in_return_urls", mode="before")
    @classmethod
    def _split_urls(cls, value: object) -> object:
        return tuple(filter(None, (url.strip() for url in value.split(",")))) if isinstance(value, str) else value

    @field_validator("identity_providers", mode="before")
    @classmethod
    def _read_providers(cls, value: object) -> object:
        return read_providers(value) if isinstance(value, str) else value

    @field_validator("graphiql_tokens", mode="before")
    @classmethod
    def _read_tokens(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("it is no JSON object") from None

    @model_validator(mode="after")
    def _no_tokens_in_production(self) -> Self:
        if self.graphiql_tokens and self.environment is Environment.PRODUCTION:
            raise ValueError("GRAPHIQL_TOKENS hands tokens to everybody who opens the page: never in production")
        return self

    @model_validator(mode="after")
    def _second_factors_can_be_kept(self) -> Self:
        if self.admin_second_factor_required and not self.auth_encryption_key:
            raise ValueError("ADMIN_SECOND_FACTOR_REQUIRED needs AUTH_ENCRYPTION_KEY: nobody could set one up")
        self.sealer()
        return self

    @model_validator(mode="after")
    def _mail_is_safe(self) -> Self:
        if self.mail_host and not is_email(self.mail_from):
            raise ValueError("MAIL_FROM is no email address")
        if self.mail_folder and self.environment is Environment.PRODUCTION:
            raise ValueError("MAIL_FOLDER keeps mails from everybody they are for: never in production")
        if self.mail_host and self.mail_tls is MailTls.NONE and self.mail_host not in _THIS_MACHINE:
            raise ValueError(
                "MAIL_TLS is none: what mails hold lets people in, and must not cross a network in the open"
            )
        return self

    @model_validator(mode="after")
    def _providers_are_safe(self) -> Self:
        production = self.environment is Environment.PRODUCTION
        check_providers(self.identity_providers, own_issuer=self.auth_issuer, production=production)
        check_addresses(
            self.public_url,
            self.sign_in_return_urls,
            needed=any(provider.client_id for provider in self.identity_providers.values()),
            production=production,
        )
        return self

    @model_validator(mode="after")
    def _metrics_have_their_own_port(self) -> Self:
        if self.metrics_port and self.metrics_port == self.port:
            raise ValueError("METRICS_PORT is the public port: metrics are not for the public")
        return self

    def database(self) -> DatabaseConfig:
        """How a worker, and whoever else has time, reaches the database."""
        return DatabaseConfig(
            url=self.database_url.get_secret_value(),
            pool_size=self.database_pool_size,
            statement_timeout_seconds=self.database_statement_seconds,
        )

    def database_of_api(self) -> DatabaseConfig:
        """How the API reaches it, whose clients wait."""
        return replace(self.database(), pool_timeout_seconds=self.database_wait_seconds)

    def rates(self) -> Rates:
        """What is allowed, wider in development unless it is set."""
        wider = 1 if self.environment is Environment.PRODUCTION else _WIDER_IN_DEVELOPMENT
        return Rates(
            requests=self.requests_per_minute or 6_000 * wider,
            address_requests=self.address_requests_per_minute or 12_000 * wider,
            money_mutations=self.money_mutations_per_minute or 120 * wider,
            cost_per_second=self.query_cost_per_second or 5_000 * wider,
        )

    def wire(self) -> WireConfig:
        production = self.environment is Environment.PRODUCTION
        return WireConfig(
            execution=ExecutionConfig(
                documents=DocumentLimits(depth=self.document_depth_max, mutations=self.mutations_per_request_max),
                deadline_seconds=self.request_deadline_seconds,
                introspection=self.introspection_in_production or not production,
            ),
            body_bytes_max=self.body_bytes_max,
            trusted_proxies=self.trusted_proxies,
            origins=self.cors_origins,
            get_needs_preflight=production if self.get_needs_preflight is None else self.get_needs_preflight,
            hsts=production,
        )

    def refund_policy(self) -> RefundPolicy:
        return RefundPolicy(
            customers_may_refund=self.customers_may_refund, approval_above=dict(self.refund_approval_above)
        )

    def graphiql(self) -> GraphiqlConfig | None:
        """The page, where it is offered."""
        if self.environment is Environment.PRODUCTION and not self.graphiql_in_production:
            return None
        tokens = tuple(NamedToken(label, token.get_secret_value()) for label, token in self.graphiql_tokens.items())
        first = {"Authorization": f"Bearer {tokens[0].token}"} if tokens else {}
        return GraphiqlConfig(default_headers=first, tokens=tokens, examples=default_examples())

    def sealer(self) -> AesSealer | None:
        """What encrypts secrets, where there is a key for it. Raises ValueError."""
        if not self.auth_encryption_key:
            return None
        try:
            return AesSealer([key.get_secret_value() for key in self.auth_encryption_key])
        except ValueError as error:
            raise ValueError(f"AUTH_ENCRYPTION_KEY is not valid: {error}".rstrip(".")) from None

    @property
    def sends_mail(self) -> bool:
        return self.mail_host is not None or self.mail_folder is not None

    def smtp(self) -> SmtpConfig | None:
        """The mail server, where there is one."""
        if self.mail_host is None:
            return None
        return SmtpConfig(
            host=self.mail_host,
            port=self.mail_port,
            tls=self.mail_tls,
            username=self.mail_username,
            password=None if self.mail_password is None else self.mail_password.get_secret_value(),
            sender=self.mail_from,
            sender_name=self.mail_from_name,
        )

    def letters(self) -> LetterConfig:
        return LetterConfig(links_to=self.mail_links_to, sender_name=self.mail_from_name)

    def session_times(self) -> SessionTimes:
        return SessionTimes(idle=timedelta(days=self.session_idle_days), absolute=timedelta(days=self.session_days))

    def stripe(self) -> StripeConfig:
        return StripeConfig(
            secret_key=self.stripe_secret_key.get_secret_value(),
            api_base=self.stripe_api_base,
            deadline_seconds=self.stripe_deadline_seconds,
            account_id=self.stripe_account_id,
        )

    def tokens(self) -> TokenConfig:
        """Raises ValueError or KeysFileUnusable where the keys cannot be used."""
        return TokenConfig(
            keys=key_source(self.auth_signing_key, self.auth_signing_keys_file),
            issuer=self.auth_issuer,
            audience=self.auth_audience,
        )

    @property
    def live(self) -> bool:
        """Whether real money moves: Stripe's live keys carry it in their prefix (docs.stripe.com/keys)."""
        return "_live_" in self.stripe_secret_key.get_secret_value()


class ProcessorSettings(Settings):
    """The settings of commands that ask the processor and serve nobody: they verify no webhook and sign no token."""

    stripe_webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(default=(), description="Not needed.")
    auth_signing_key: SigningKeys = Field(default=(), description="Not needed.")


class KeySettings(BaseSettings):
    """What `florin keys` needs."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True, case_sensitive=False)

    auth_signing_key: SigningKeys = Field(default=(), description="As in Settings.")
    auth_signing_keys_file: Path | None = Field(default=None, description="As in Settings.")

    @classmethod
    def load(cls) -> Self:
        """Raises InvalidSettings."""
        try:
            return cls()
        except ValidationError as error:
            raise InvalidSettings(_explain(error)) from None

    def keys_file(self) -> Path:
        """Raises InvalidSettings."""
        if self.auth_signing_keys_file is None:
            raise InvalidSettings("AUTH_SIGNING_KEYS_FILE is not set: it names the file that the keys are kept in.")
        return self.auth_signing_keys_file

    def keys(self) -> KeySource:
        """Raises ValueError or KeysFileUnusable."""
        return key_source(self.auth_signing_key, self.auth_signing_keys_file)


class DatabaseSettings(BaseSettings):
    """The part of the settings that commands need which only touch the database."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True, case_sensitive=False)

    database_url: Annotated[SecretStr, AfterValidator(_database_url)] = Field(description="As in Settings.")
    log_format: LogFormat = Field(default=LogFormat.JSON, description="As in Settings.")

    def database(self) -> DatabaseConfig:
        return DatabaseConfig(url=self.database_url.get_secret_value(), pool_size=1)


class MigrationSettings(DatabaseSettings):
    """What `florin migrate` needs."""

    migration_database_url: Annotated[SecretStr, AfterValidator(_database_url)] | None = Field(
        default=None,
        description="For `florin migrate` alone: the same database as the role that owns the tables. Without it `DATABASE_URL` "
        "is that role, and API and worker could change what should only be added to. See [the runbook](runbook.md).",
    )

    def migration(self) -> DatabaseConfig:
        url = self.migration_database_url or self.database_url
        return DatabaseConfig(url=url.get_secret_value(), pool_size=1)

    def application(self) -> ApplicationRole | None:
        """The role of `DATABASE_URL`, with its password, where migrations run as another one."""
        own, other = make_url(self.database_url.get_secret_value()), make_url(self.migration().url)
        if own.username is None or own.username == other.username:
            return None
        return ApplicationRole(name=own.username, password=own.password)


AnySettings = TypeVar("AnySettings", bound=Settings)

SETTINGS: Mapping[str, FieldInfo] = {
    **Settings.model_fields,
    "migration_database_url": MigrationSettings.model_fields["migration_database_url"],
}
"""Every setting by the name of its field."""


def load_settings() -> Settings:
    """The settings in the environment. Raises InvalidSettings, which never repeats a value: it may be a secret."""
    settings = _load(Settings)
    try:
        settings.graphiql()
    except ValueError as error:
        raise InvalidSettings(f"GRAPHIQL_TOKENS is not valid: {error}") from None
    try:
        settings.tokens()
    except KeysFileUnusable as error:
        raise InvalidSettings(f"AUTH_SIGNING_KEYS_FILE is not valid: {error}") from None
    except ValueError as error:
        raise InvalidSettings(f"AUTH_SIGNING_KEY is not valid: {error}") from None
    return settings


def load_processor_settings() -> ProcessorSettings:
    """The settings without the secrets that only a server needs. Raises InvalidSettings."""
    return _load(ProcessorSettings)


def load_database_settings() -> DatabaseSettings:
    """The database's settings alone. Raises InvalidSettings."""
    try:
        return DatabaseSettings()
    except ValidationError as error:
        raise InvalidSettings(_explain(error)) from None


def load_migration_settings() -> MigrationSettings:
    """The settings of `florin migrate`. Raises InvalidSettings."""
    try:
        return MigrationSettings()
    except ValidationError as error:
        raise InvalidSettings(_explain(error)) from None


def _load(kind: type[AnySettings]) -> AnySettings:
    try:
        settings = kind()
    except ValidationError as error:
        raise InvalidSettings(_explain(error)) from None
    try:
        settings.stripe()
    except ValueError as error:
        raise InvalidSettings(f"STRIPE_SECRET_KEY or STRIPE_API_BASE is not valid: {error}") from None
    return settings


def _explain(error: ValidationError) -> str:
    return "\n".join(_line(problem["loc"], problem["type"], problem["msg"]) for problem in error.errors())


def _line(location: tuple[int | str, ...], kind: str, message: str) -> str:
    told = f"{message.removeprefix('Value error, ')}."
    # A check of several settings at once is at no place of its own; its message names them.
    if not location:
        return told
    name = str(location[0]).upper()
    return f"{name} is not set. See docs/settings.md." if kind == "missing" else f"{name} is not valid: {told}"


def passed_on(settings: Mapping[str, str]) -> dict[str, str]:
    """An environment for a child process: ours, less every setting of our own, with `settings` instead."""
    own = {name.upper() for name in SETTINGS}
    return {name: value for name, value in os.environ.items() if name.upper() not in own} | dict(settings)
