"""One identity provider: where it is (OpenID Connect Discovery 1.0), its keys, and what it has signed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import jwt

from domain.errors import Unauthenticated
from domain.identity.providers import Vouched
from domain.identity.verified_tokens import VerifiedTokens
from gateways.identity.claims import read_person
from gateways.identity.config import ProviderConfig
from gateways.identity.fetching import ProviderSilent, fetch_object
from gateways.identity.keys import Keys, VerificationKey, read_keys
from gateways.identity.remembered import Ages, Remembered

TOKEN_LENGTH_MAX = 8192
LEEWAY_SECONDS = 30
"""How far a provider's clock may be from ours."""

_ID_TOKEN_TYPES = frozenset({"JWT", ""})

_DISCOVERY = Ages(good=3600, usable=24 * 3600, pause=10)
# A key that a provider withdraws counts for no longer than ten minutes, or an hour while the provider does not answer.
_KEYS = Ages(good=600, usable=3600, pause=10)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider is, as it says itself. `names_itself`: whether its answers to a sign-in hold its issuer (RFC 9207)."""

    authorization: str
    token: str
    keys: str
    names_itself: bool


@dataclass(frozen=True, slots=True)
class _Verified:
    """The claims of a token whose signature holds, and the key that it was made with."""

    claims: dict[str, Any]  # Any: claims are of any type
    key_id: str
    key: VerificationKey


@dataclass(frozen=True, slots=True)
class _AccessToken:
    """Whom an access token is about whose signature held, by a key that must be the provider's still."""

    person: Vouched
    key_id: str
    key: VerificationKey


class Provider:
    """A provider, as far as it has been asked."""

    def __init__(
        self, config: ProviderConfig, client: httpx2.AsyncClient, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config
        self.client = client
        what = f"The identity provider {config.name}"
        self._access_tokens = VerifiedTokens[_AccessToken]()
        self._endpoints = Remembered(what, self._discover, _DISCOVERY, now)
        self._keys = Remembered(what, self._fetch_keys, _KEYS, now)

    async def close(self) -> None:
        await self._keys.close()
        await self._endpoints.close()

    async def endpoints(self) -> Endpoints:
        """Raises Unavailable."""
        return await self._endpoints.get()

    async def person_of_access_token(self, token: str) -> Vouched:
        """Whom an access token is about (RFC 9068). Raises Unauthenticated or Unavailable."""
        config = self.config
        if config.audience is None:
            raise Unauthenticated
        remembered = self._access_tokens.find(token, time.time())
        # A key that the provider has withdrawn, or exchanged under its id, lets nobody in any more.
        if remembered is not None and (await self._keys.get()).get(remembered.key_id) == remembered.key:
            return remembered.person
        verified = await self._verified(token, config.audience, config.token_types)
        person = self._person(verified.claims, config.subject_claim)
        said = _AccessToken(person, verified.key_id, verified.key)
        self._access_tokens.keep(token, said, int(verified.claims["exp"]) + LEEWAY_SECONDS)
        return person

    async def person_of_id_token(self, token: str, *, client_id: str, nonce: str) -> Vouched:
        """Whom an ID token is about (OpenID Connect Core 1.0, section 3.1.3.7). Raises Unauthenticated or Unavailable."""
        claims = (await self._verified(token, client_id, _ID_TOKEN_TYPES)).claims
        audience = claims["aud"]
        if claims.get("nonce") != nonce or claims.get("azp", client_id) != client_id:
            raise Unauthenticated
        if not isinstance(audience, str) and audience != [client_id]:
            # Others could show it as well.
            raise Unauthenticated
        return self._person(claims, "sub")

    def _person(self, claims: Mapping[str, object], subject_claim: str) -> Vouched:
        person = read_person(claims, self.config, subject_claim=subject_claim)
        if person is None:
            raise Unauthenticated
        return person

    async def _verified(self, token: str, audience: str, types: frozenset[str]) -> "_Verified":
        """What a token says that holds. Which key to try is all that is believed of it before. Raises as above."""
        if len(token) > TOKEN_LENGTH_MAX:
            raise Unauthenticated
        try:
            header = jwt.get_unverified_header(token)
            kind, key_id = header.get("typ", ""), header.get("kid")
            if kind not in types or not isinstance(key_id, str) or header.get("alg") not in self.config.algorithms:
                raise Unauthenticated
            key = await self._key(key_id)
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[algorithm for algorithm in key.algorithms if algorithm in self.config.algorithms],
                audience=audience,
                issuer=self.config.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Unauthenticated from error
        return _Verified(claims, key_id, key)

    async def _key(self, key_id: str) -> VerificationKey:
        key = (await self._keys.get()).get(key_id) or (await self._keys.newer()).get(key_id)
        if key is None:
            raise Unauthenticated
        return key

    async def _discover(self) -> Endpoints:
        issuer = self.config.issuer
        found = await fetch_object(self.client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            # Section 4.3: or else one provider could speak for another.
            raise ProviderSilent("its discovery document is another issuer's")
        return Endpoints(
            authorization=_address(found, "authorization_endpoint", issuer),
            token=_address(found, "token_endpoint", issuer),
            keys=_address(found, "jwks_uri", issuer),
            names_itself=found.get("authorization_response_iss_parameter_supported") is True,
        )

    async def _fetch_keys(self) -> Keys:
        endpoints = await self._endpoints.get()
        return read_keys(await fetch_object(self.client, endpoints.keys))


def _address(document: Mapping[str, object], name: str, issuer: str) -> str:
    """An address in a discovery document, as well protected as the issuer's own."""
    address = document.get(name)
    try:
        parts = urlsplit(address) if isinstance(address, str) else None
    except ValueError:
        parts = None
    if not isinstance(address, str) or parts is None or not parts.hostname or parts.scheme not in {"https", "http"}:
        raise ProviderSilent(f"its discovery document has no {name}")
    if issuer.startswith("https:") and parts.scheme != "https":
        raise ProviderSilent(f"its {name} is not protected by TLS")
    return address
