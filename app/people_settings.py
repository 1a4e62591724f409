"""Settings about people: their sessions and tokens, passwords and second factors, and who else vouches for them."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from api.access_tokens import TokenConfig
from api.signing_keys import KeySource, fixed_keys
from app.identity_settings import ProviderSettings, check_addresses, check_providers, read_providers
from app.sealing import AesSealer
from app.settings_group import Listed, ListedKeys, SettingsGroup
from app.signing_keys_file import KeysFile
from domain.identity.passwords import PASSWORD_LENGTH_MIN
from domain.identity.sessions import SessionTimes


def key_source(keys: ListedKeys, file: Path | None) -> KeySource:
    """The signing keys: those of the file, where one is named. Raises ValueError, or KeysFileUnusable."""
    return KeysFile(file) if file is not None else fixed_keys(*(key.get_secret_value() for key in keys))


class PeopleSettings(SettingsGroup):
    """The part of the settings that is about people."""

    auth_signing_key: ListedKeys = Field(
        description="The key that signs access tokens: 32 random bytes in base64, as `openssl rand -base64 32` makes them. "
        "Several, with commas, while one is rotated: the first signs, all verify. Not needed with AUTH_SIGNING_KEYS_FILE."
    )
    auth_encryption_key: ListedKeys = Field(
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
    identity_providers: Annotated[dict[str, ProviderSettings], NoDecode] = Field(
        default={},
        description='Who else may vouch for people, as JSON: `{"okta": {"issuer": "https://...", ...}}`. See '
        "[identity providers](identity-providers.md).",
    )
    public_url: str | None = Field(
        default=None,
        description="Where browsers reach this server, `https://pay.example`: identity providers send them back there.",
    )
    sign_in_return_urls: Listed = Field(
        default=(),
        description="The frontend's addresses that a sign-in by an identity provider may end at, with commas. To the letter.",
    )

    @field_validator("identity_providers", mode="before")
    @classmethod
    def _read_providers(cls, value: object) -> object:
        return read_providers(value) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _a_file_is_enough(cls, values: Any) -> Any:  # Any: pydantic hands over what it was given
        if isinstance(values, dict) and values.get("auth_signing_keys_file") and "auth_signing_key" not in values:
            return values | {"auth_signing_key": ()}
        return values

    @model_validator(mode="after")
    def _second_factors_can_be_kept(self) -> Self:
        if self.admin_second_factor_required and not self.auth_encryption_key:
            raise ValueError("ADMIN_SECOND_FACTOR_REQUIRED needs AUTH_ENCRYPTION_KEY: nobody could set one up")
        self.sealer()
        return self

    @model_validator(mode="after")
    def _providers_are_safe(self) -> Self:
        check_providers(self.identity_providers, own_issuer=self.auth_issuer, production=self.in_production)
        check_addresses(
            self.public_url,
            self.sign_in_return_urls,
            needed=any(provider.client_id for provider in self.identity_providers.values()),
            production=self.in_production,
        )
        return self

    def sealer(self) -> AesSealer | None:
        """What encrypts secrets, where there is a key for it. Raises ValueError."""
        if not self.auth_encryption_key:
            return None
        try:
            return AesSealer([key.get_secret_value() for key in self.auth_encryption_key])
        except ValueError as error:
            raise ValueError(f"AUTH_ENCRYPTION_KEY is not valid: {error}".rstrip(".")) from None

    def session_times(self) -> SessionTimes:
        return SessionTimes(idle=timedelta(days=self.session_idle_days), absolute=timedelta(days=self.session_days))

    def tokens(self) -> TokenConfig:
        """Raises ValueError or KeysFileUnusable where the keys cannot be used."""
        return TokenConfig(
            keys=key_source(self.auth_signing_key, self.auth_signing_keys_file),
            issuer=self.auth_issuer,
            audience=self.auth_audience,
        )
