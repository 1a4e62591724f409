"""GET /auth/{provider}/start and /auth/{provider}/callback: a browser goes to an identity provider, and comes back."""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.problem import problem_response
from api.request import record_of
from api.sign_in_cookie import SignInCookie, SignInUnderWay
from api.throttle import Addresses, Throttle
from domain.errors import BadInput, FlorinError, ObjectNotFound, RateLimited, Unauthenticated
from domain.identity.provider_sign_in import ProviderSignIn, SignInProvider, WelcomePerson, is_challenge

log = structlog.get_logger(__name__)

_CODE_LENGTH_MAX = 4096
# What stands in these addresses lets nobody in, but nobody else needs to see it either.
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPages:
    """The addresses. `public_url` is where browsers reach us; `return_urls` are the only places that they are sent to."""

    providers: Mapping[str, SignInProvider]
    welcome: WelcomePerson
    cookie: SignInCookie
    public_url: str
    return_urls: frozenset[str]

    def routes(self, throttle: Throttle, addresses: Addresses) -> list[Route]:
        """Both addresses, for GET alone."""
        counted = _Counted(self, throttle, addresses)
        return [
            Route("/auth/{provider}/start", counted.start, methods=["GET"]),
            Route("/auth/{provider}/callback", counted.callback, methods=["GET"]),
        ]

    async def start(self, request: Request) -> Response:
        """Send the browser to the provider. Raises ObjectNotFound or BadInput, and sends it nowhere then."""
        name, provider = self._provider(request)
        return_to, challenge = _one(request, "return_to"), _one(request, "code_challenge")
        # Compared whole: what only begins like a known address may be anybody's (RFC 9700, section 4.1.3).
        if return_to not in self.return_urls:
            raise BadInput("return_to is one of SIGN_IN_RETURN_URLS, to the letter.")
        if not is_challenge(challenge) or _one(request, "code_challenge_method", "S256") != "S256":
            raise BadInput("code_challenge is the SHA-256 of your verifier in base64url (RFC 7636, S256).")
        under_way = SignInUnderWay(
            provider=name,
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            challenge=challenge,
            return_to=return_to,
        )
        try:
            response = _redirect(await provider.address(self._asked(under_way)))
        except FlorinError as error:
            return _redirect(_with(return_to, _told(error)))
        self.cookie.put(response, under_way)
        return response

    async def callback(self, request: Request) -> Response:
        """Send the browser back to the frontend, with a code or with what went wrong. Raises as `start` does."""
        name, provider = self._provider(request)
        under_way = self.cookie.read(request.cookies.get(self.cookie.name))
        state = _one(request, "state").encode("utf-8", "replace")
        if under_way is None or under_way.provider != name or not hmac.compare_digest(state, under_way.state.encode()):
            raise BadInput("This browser has not begun such a sign-in, or over ten minutes ago. Begin anew.")
        if under_way.return_to not in self.return_urls:
            raise BadInput("return_to is one of SIGN_IN_RETURN_URLS, to the letter.")
        try:
            told = {"code": await self._code(request, provider, under_way)}
        except FlorinError as error:
            log.warning("sign_in.refused", provider=name, code=error.code)
            told = _told(error)
        response = _redirect(_with(under_way.return_to, told))
        self.cookie.remove(response)
        return response

    async def _code(self, request: Request, provider: SignInProvider, under_way: SignInUnderWay) -> str:
        code, issuer = _one(request, "code"), _one(request, "iss")
        if "error" in request.query_params or not 0 < len(code) <= _CODE_LENGTH_MAX:
            # What the provider says of it is not ours to repeat.
            raise Unauthenticated("The identity provider did not sign you in.")
        vouched = await provider.person(self._asked(under_way), code, issuer or None)
        return await self.welcome(vouched, under_way.challenge)

    def _provider(self, request: Request) -> tuple[str, SignInProvider]:
        name = request.path_params["provider"]
        provider = self.providers.get(name)
        if provider is None:
            raise ObjectNotFound
        return name, provider

    def _asked(self, under_way: SignInUnderWay) -> ProviderSignIn:
        return ProviderSignIn(
            # One for each provider, so that none can answer in the place of another (RFC 9700, section 4.4.2.2).
            redirect_uri=f"{self.public_url}/auth/{under_way.provider}/callback",
            state=under_way.state,
            nonce=under_way.nonce,
            verifier=under_way.verifier,
        )


@dataclass(frozen=True, slots=True)
class _Counted:
    """Answers within the limits of each address, and every refusal as a problem."""

    pages: SignInPages
    throttle: Throttle
    addresses: Addresses

    async def start(self, request: Request) -> Response:
        return await self._answer(request)

    async def callback(self, request: Request) -> Response:
        return await self._answer(request)

    async def _answer(self, request: Request) -> Response:
        page = self.pages.start if request.url.path.endswith("/start") else self.pages.callback
        try:
            peer = "" if request.client is None else request.client.host
            await self.throttle.request(self.addresses.of(peer, ", ".join(request.headers.getlist("x-forwarded-for"))))
            return await page(request)
        except FlorinError as error:
            response = problem_response(error, record_of(request.scope).id)
            response.headers.update(_HEADERS)
            if isinstance(error, RateLimited):
                response.headers["Retry-After"] = str(error.retry_after_ms // 1000 + 1)
            return response


def _one(request: Request, name: str, default: str = "") -> str:
    """A parameter. Raises BadInput where it is there twice: two readers may not pick the same one."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise BadInput(f"{name} is there twice.")
    return values[0] if values else default


def _told(error: FlorinError) -> dict[str, str]:
    return {"error": error.code, "error_description": error.message}


def _with(address: str, told: Mapping[str, str]) -> str:
    return f"{address}?{urlencode(told)}"


def _redirect(address: str) -> Response:
    return RedirectResponse(address, status_code=303, headers=_HEADERS)
