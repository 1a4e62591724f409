"""Puts together what has to do with identity providers."""

from dataclasses import dataclass

import httpx2
from sqlalchemy.ext.asyncio import AsyncEngine

from app.settings import Settings
from domain.identity.admit_person import AdmitPerson
from domain.identity.authenticate_vouched import AuthenticateVouched
from domain.ports import Clock, IdSource, UnitsOfWork
from gateways.identity.fetching import open_client
from gateways.identity.provider import Provider
from gateways.identity.tokens import ProviderTokens
from persistence.identities import SqlIdentityDirectory


@dataclass(frozen=True, slots=True)
class Providers:
    """The configured providers, and the client by which all of them are asked."""

    client: httpx2.AsyncClient
    all: tuple[Provider, ...]

    async def close(self) -> None:
        for provider in self.all:
            await provider.close()
        await self.client.aclose()


def providers_of(settings: Settings) -> Providers:
    """Providers that have not been asked for anything yet."""
    client = open_client()
    configs = (provider.config(name) for name, provider in settings.identity_providers.items())
    return Providers(client, tuple(Provider(config, client) for config in configs))


def admit_over(settings: Settings, units: UnitsOfWork, clock: Clock, ids: IdSource) -> AdmitPerson:
    policies = {name: provider.policy() for name, provider in settings.identity_providers.items()}
    return AdmitPerson(units=units, clock=clock, ids=ids, policies=policies)


def vouched_over(providers: Providers, engine: AsyncEngine, admit: AdmitPerson) -> AuthenticateVouched | None:
    """What takes the providers' access tokens; None where no provider's are taken."""
    if all(provider.config.audience is None for provider in providers.all):
        return None
    return AuthenticateVouched(ProviderTokens(providers.all), SqlIdentityDirectory(engine), admit)
