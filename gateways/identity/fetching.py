"""JSON from an identity provider: bounded in size and time, and never from where a redirect leads."""

import asyncio
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy

import httpx2
import orjson

ANSWER_BYTES_MAX = 256 * 1024
"""Google's and Okta's keys are below 3 KB, a discovery document below 6."""

DEADLINE_SECONDS = 5.0
"""For one answer from its first byte to its last, however slowly they drip."""


class ProviderSilent(Exception):
    """The provider did not answer, or not with what it should."""


def open_client(transport: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
    """The client for every provider. It keeps no cookies and follows no redirect."""
    timeout = httpx2.Timeout(DEADLINE_SECONDS, connect=3.0)
    limits = httpx2.Limits(max_connections=20)
    client = httpx2.AsyncClient(timeout=timeout, limits=limits, transport=transport, follow_redirects=False)
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client


async def fetch_object(client: httpx2.AsyncClient, url: str) -> Mapping[str, object]:
    """The JSON object at an address. Raises ProviderSilent for anything else, without quoting it."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            # Without compression the bytes that are counted are the bytes that are held.
            headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
            async with client.stream("GET", url, headers=headers) as response:
                return await read_object(response)
    except TimeoutError:
        raise ProviderSilent("it took too long") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise ProviderSilent(type(error).__name__) from None


async def read_object(response: httpx2.Response) -> Mapping[str, object]:
    """The JSON object in an answer that is being read. Raises ProviderSilent."""
    if response.status_code != 200:
        raise ProviderSilent(f"it answered {response.status_code}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ProviderSilent("its answer is compressed")
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise ProviderSilent("its answer is too large")
    try:
        found = orjson.loads(bytes(body))
    except orjson.JSONDecodeError:
        raise ProviderSilent("its answer is no JSON") from None
    if not isinstance(found, dict):
        raise ProviderSilent("its answer is no JSON object")
    return found
