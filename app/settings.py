"""Settings: read from the environment once, checked once, and explained in one table (docs/settings.md)."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url

from api.graphiql import GraphiqlConfig, NamedToken
from api.graphiql_examples import default_examples
from api.signing_keys import KeySource
from app.mail_settings import MailSettings
from app.people_settings import PeopleSettings, key_source
from app.settings_group import ListedKeys, SettingsGroup
from app.signing_keys_file import KeysFileUnusable
from app.wire_settings import WireSettings
from domain.currencies import Currency
from domain.messaging.prune_events import KEPT_DAYS_MIN
from domain.money import Money, MoneyError
from domain.payments.refund_policy import RefundPolicy
from gateways.stripe.gateway import StripeConfig
from persistence.engine import DatabaseConfig, driver_url
from persistence.roles import ApplicationRole


class LogFormat(StrEnum):
    """JSON lines for machines, or colours for a terminal."""

    JSON = "json"
    CONSOLE = "console"


class InvalidSettings(Exception):
    """The environment does not hold what is needed; each line names one setting and says what is wrong with it."""


def _database_url(value: SecretStr) -> SecretStr:
    driver_url(value.get_secret_value())
    return value


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


class ServiceSettings(SettingsGroup):
    """The part of the settings that is about the service itself: its database, its processor, its programs."""

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
    customers_may_refund: bool = Field(
        default=True, description="Whether customers may refund their own payments, or only staff."
    )
    refund_approval_above: Annotated[dict[Currency, int], NoDecode] = Field(
        default={},
        description="Above which amount of one payment a refund by the support, or by an API key of staff, waits for the "
        "approval of a second person: `USD 500.00, EUR 450, JPY 70000`. Where it is set, refunds in others always wait.",
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

    @field_validator("refund_approval_above", mode="before")
    @classmethod
    def _read_amounts(cls, value: object) -> object:
        return read_amounts(value) if isinstance(value, str) else value

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
        if self.graphiql_tokens and self.in_production:
            raise ValueError("GRAPHIQL_TOKENS hands tokens to everybody who opens the page: never in production")
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

    def refund_policy(self) -> RefundPolicy:
        return RefundPolicy(
            customers_may_refund=self.customers_may_refund, approval_above=dict(self.refund_approval_above)
        )

    def graphiql(self) -> GraphiqlConfig | None:
        """The page, where it is offered."""
        if self.in_production and not self.graphiql_in_production:
            return None
        tokens = tuple(NamedToken(label, token.get_secret_value()) for label, token in self.graphiql_tokens.items())
        first = {"Authorization": f"Bearer {tokens[0].token}"} if tokens else {}
        return GraphiqlConfig(default_headers=first, tokens=tokens, examples=default_examples())

    def stripe(self) -> StripeConfig:
        return StripeConfig(
            secret_key=self.stripe_secret_key.get_secret_value(),
            api_base=self.stripe_api_base,
            deadline_seconds=self.stripe_deadline_seconds,
            account_id=self.stripe_account_id,
        )

    @property
    def live(self) -> bool:
        """Whether real money moves: Stripe's live keys carry it in their prefix (docs.stripe.com/keys)."""
        return "_live_" in self.stripe_secret_key.get_secret_value()


# The table of docs/settings.md follows the bases from the last to the first.
class Settings(WireSettings, MailSettings, PeopleSettings, ServiceSettings):
    """Everything that can be set. The description of each field is its line in docs/settings.md."""


class ProcessorSettings(Settings):
    """The settings of commands that ask the processor and serve nobody: they verify no webhook and sign no token."""

    stripe_webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(default=(), description="Not needed.")
    auth_signing_key: ListedKeys = Field(default=(), description="Not needed.")


class KeySettings(BaseSettings):
    """What `florin keys` needs."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True, case_sensitive=False)

    auth_signing_key: ListedKeys = Field(default=(), description="As in Settings.")
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
