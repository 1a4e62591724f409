"""Puts together what has to do with identity providers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from api.rest.provider_sign_in import SignInPages
from api.sign_in_cookie import SignInCookie
from app.settings import Settings
from domain.identity.admit_person import AdmitPerson
from domain.identity.authenticate_vouched import AuthenticateVouched
from domain.identity.provider_sign_in import WelcomePerson
from gateways.identity.fetching import open_client
from gateways.identity.provider import Provider
from gateways.identity.sign_in import OpenIdSignIn
from gateways.identity.tokens import ProviderTokens
from persistence.identities import SqlIdentityDirectory

if TYPE_CHECKING:
    from app.wiring import Parts


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


def admit_over(parts: "Parts") -> AdmitPerson:
    policies = {name: provider.policy() for name, provider in parts.settings.identity_providers.items()}
    return AdmitPerson(units=parts.units, clock=parts.clock, ids=parts.ids, policies=policies)


def sign_in_pages(parts: "Parts", admit: AdmitPerson) -> SignInPages | None:
    """The addresses by which people sign in with a provider; None where they cannot."""
    settings, providers = parts.settings, parts.providers
    offered = {
        provider.config.name: OpenIdSignIn(provider, provider.config.sign_in)
        for provider in providers.all
        if provider.config.sign_in is not None
    }
    if not offered or settings.public_url is None:
        return None
    secure = settings.public_url.startswith("https:")
    return SignInPages(
        providers=offered,
        welcome=WelcomePerson(units=parts.units, clock=parts.clock, admit=admit),
        cookie=SignInCookie(settings.tokens().keys, parts.clock, secure=secure),
        public_url=settings.public_url,
        return_urls=frozenset(settings.sign_in_return_urls),
    )


def vouched_over(parts: "Parts", admit: AdmitPerson) -> AuthenticateVouched | None:
    """What takes the providers' access tokens; None where no provider's are taken."""
    providers = parts.providers.all
    if all(provider.config.audience is None for provider in providers):
        return None
    return AuthenticateVouched(ProviderTokens(providers), SqlIdentityDirectory(parts.engine), admit)
