"""What the groups of settings have in common: where Florin runs, and how lists are read from the environment."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Environment(StrEnum):
    """Where Florin runs. Outside production the page GraphiQL is offered."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _split_keys(value: object) -> object:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    # An empty part stays, so that whoever reads the keys says that it is none.
    return tuple(key.strip() for key in value.split(",")) if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several of something, with commas."""

ListedKeys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_keys)]
"""Several keys, with commas."""


class SettingsGroup(BaseSettings):
    """A part of everything that can be set."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True, case_sensitive=False)

    environment: Environment = Field(
        default=Environment.PRODUCTION,
        description="`production` or `development`. Development offers GraphiQL and may offer tokens in it.",
    )

    @property
    def in_production(self) -> bool:
        return self.environment is Environment.PRODUCTION
