"""Sign in with a provider: authorization code with PKCE, by authlib's client; the ID token is verified as all tokens are."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from domain.errors import Unauthenticated, Unavailable
from domain.identity.provider_sign_in import ProviderSignIn
from domain.identity.providers import Vouched
from gateways.identity.config import SignInConfig
from gateways.identity.fetching import ANSWER_BYTES_MAX, DEADLINE_SECONDS
from gateways.identity.provider import Provider

log = structlog.get_logger(__name__)

# What a provider answers where our own registration with it is wrong, and not what the browser brought (RFC 6749, section 5.2).
_OUR_FAULT = frozenset(
    {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_request"}
)


class OpenIdSignIn:
    """The port `domain.identity.provider_sign_in.SignInProvider` over one provider."""

    def __init__(self, provider: Provider, config: SignInConfig) -> None:
        self._provider = provider
        self._config = config

    async def address(self, sign_in: ProviderSignIn) -> str:
        endpoints = await self._provider.endpoints()
        async with self._client(sign_in) as client:
            # authlib makes the challenge of the verifier, by S256.
            url, _ = client.create_authorization_url(
                endpoints.authorization, state=sign_in.state, nonce=sign_in.nonce, code_verifier=sign_in.verifier
            )
        return str(url)

    async def person(self, sign_in: ProviderSignIn, code: str, issuer: str | None) -> Vouched:
        endpoints = await self._provider.endpoints()
        if issuer != self._provider.config.issuer and (issuer is not None or endpoints.names_itself):
            # The code is another provider's, and must not be shown to this one (RFC 9207, section 2.4).
            raise Unauthenticated("The answer is another identity provider's.")
        answer = await self._exchanged(sign_in, code, endpoints.token)
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            raise Unauthenticated
        return await self._provider.person_of_id_token(id_token, client_id=self._config.client_id, nonce=sign_in.nonce)

    async def _exchanged(self, sign_in: ProviderSignIn, code: str, endpoint: str) -> dict[str, Any]:
        name = self._provider.config.name
        try:
            async with asyncio.timeout(DEADLINE_SECONDS), self._client(sign_in) as client:
                # Any: authlib has no types; what is taken out of the answer is looked at first.
                answer: Any = await client.fetch_token(
                    endpoint, grant_type="authorization_code", code=code, code_verifier=sign_in.verifier
                )
        except OAuthError as error:
            if error.error in _OUR_FAULT:
                log.error("identity_provider.refused_us", provider=name, reason=error.error)  # noqa: TRY400  it is no bug
                raise Unavailable(f"The identity provider {name} does not let Florin ask it.") from None
            raise Unauthenticated("The identity provider does not know this sign-in any more. Begin anew.") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError, TypeError, RecursionError) as error:
            # The class alone: the text may quote what was sent.
            log.warning("identity_provider.silent", what=name, reason=type(error).__name__)
            raise Unavailable(f"The identity provider {name} does not answer right now. Try again.") from None
        return dict(answer) if isinstance(answer, dict) else {}

    # Any: authlib has no types.
    def _client(self, sign_in: ProviderSignIn) -> Any:
        config = self._config
        return AsyncOAuth2Client(
            client_id=config.client_id,
            client_secret=config.client_secret,
            token_endpoint_auth_method=config.authentication,
            scope=" ".join(config.scopes),
            redirect_uri=sign_in.redirect_uri,
            code_challenge_method="S256",
            transport=_Bounded(self._provider.client),
            follow_redirects=False,
            timeout=DEADLINE_SECONDS,
        )


class _Bounded(httpx2.AsyncBaseTransport):
    """Sends by the client that all providers are asked by, and reads no answer that is too large for memory."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Accept-Encoding"] = "identity"
        response = await self._client.send(request, stream=True)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.DecodingError("The answer is compressed.", request=request)
        return httpx2.Response(response.status_code, headers=response.headers, stream=_Counted(response))


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0
        async for chunk in self._response.aiter_raw():
            length += len(chunk)
            if length > ANSWER_BYTES_MAX:
                raise httpx2.ReadError("The answer is too large.")
            yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()
