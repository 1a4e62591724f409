"""The GraphiQL page and its assets, from our own origin: no CDN, no inline script, no internet.

The assets are built by scripts/build_graphiql.py and committed (docs/decisions/0002-graphiql-is-bundled.md).
"""

import asyncio
import gzip
import html
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import TypedDict

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

PAGE_PATH = "/graphiql"
ASSETS_PATH = "/graphiql/assets"
BUNDLE_FOLDER = Path(__file__).parent / "static" / "graphiql"

# In an example's variables, the page puts a new random key where this stands each time it opens the example: an
# idempotency key that two browsers shared would answer the second one's payment with the first one's.
FRESH_IDEMPOTENCY_KEY = "<fresh idempotency key>"
# Where this stands in an example's variables, the page's own address goes, as the browser that asked for it knows it.
PAGE_ADDRESS = "<address of this page>"
# What the page calls an operation sent without a token, and one whose header was written by hand.
RESERVED_LABELS = frozenset({"anonymous", "custom"})

# Monaco sets style attributes, hence 'unsafe-inline' for styles and for them alone.
PAGE_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
PAGE_HEADERS = {
    # The page holds tokens when it is served by a development server.
    "Cache-Control": "no-store",
    "Content-Security-Policy": PAGE_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
ASSET_HEADERS = {
    # A file's name holds a hash of its content: under one name there is never anything else.
    "Cache-Control": "public, max-age=31536000, immutable",
    # A worker is bound by the policy it is served with, not by the page's. The editors' workers only compute.
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".ttf": "font/ttf",
    ".woff2": "font/woff2",
}

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Florin GraphiQL</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
%3Ccircle cx='8' cy='8' r='7' fill='%23d4a017'/%3E%3Cpath d='M6 12V4h5M6 8h4' stroke='%23fff' stroke-width='2' \
fill='none'/%3E%3C/svg%3E">
<link rel="stylesheet" href="{stylesheet}">
{preloads}
<script type="application/json" id="graphiql-config">{config}</script>
<script type="module" src="{script}"></script>
</head>
<body>
<header id="toolbar"></header>
<main id="graphiql"><p class="page-note">Loading GraphiQL</p></main>
<noscript><p class="page-note">GraphiQL needs JavaScript.</p></noscript>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class NamedToken:
    """A bearer token that the page offers to send operations with, under the label of whom it stands for."""

    label: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Example:
    """An operation that the page opens in a tab.

    Among the variables `FRESH_IDEMPOTENCY_KEY` becomes a new key each time, and `PAGE_ADDRESS` the page's own address.
    """

    name: str
    query: str
    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GraphiqlConfig:
    """What the page is told.

    Everything here is sent to whoever opens the page: `default_headers` and `tokens` stay empty wherever that may be
    somebody who should not have them. Paths are below the application's root path. Raises ValueError for labels that
    are empty, reserved or used twice.
    """

    endpoint_path: str = "/graphql"
    default_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tokens: tuple[NamedToken, ...] = ()
    examples: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        labels = [token.label for token in self.tokens]
        if not all(labels) or len(set(labels)) < len(labels) or RESERVED_LABELS.intersection(labels):
            raise ValueError(f"token labels must be unique and none of {sorted(RESERVED_LABELS)}: {labels}")


class _FileEntry(TypedDict):
    sha256: str
    bytes: int
    gzip: bool


class _Manifest(TypedDict):
    inputs: str
    script: str
    stylesheet: str
    preload: list[str]
    files: dict[str, _FileEntry]


def graphiql_page(config: GraphiqlConfig) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that answers with the page, for a route of its own or for a GraphQL endpoint's GET of text/html."""
    manifest = _manifest()

    async def page(request: Request) -> Response:
        root_path: str = request.scope.get("root_path", "").rstrip("/")
        # Without its query: a processor that sends a payer back here adds parameters of its own.
        address = str(request.url.replace(query="", fragment=""))
        return HTMLResponse(_render(config, manifest, root_path, address), headers=PAGE_HEADERS)

    return page


def graphiql_routes(config: GraphiqlConfig) -> list[Route]:
    """The page at /graphiql and its assets below /graphiql/assets, which the page needs wherever else it is served."""
    return [
        Route(PAGE_PATH, graphiql_page(config), name="graphiql"),
        Route(f"{ASSETS_PATH}/{{name}}", _asset, name="graphiql_asset"),
    ]


def _render(config: GraphiqlConfig, manifest: _Manifest, root_path: str, address: str) -> str:
    def asset_url(name: str) -> str:
        return html.escape(f"{root_path}{ASSETS_PATH}/{name}")

    preloads = (f'<link rel="modulepreload" href="{asset_url(name)}">' for name in manifest["preload"])
    return PAGE.format(
        stylesheet=asset_url(manifest["stylesheet"]),
        preloads="\n".join(preloads),
        config=_data_block(config, root_path, address),
        script=asset_url(manifest["script"]),
    )


def _data_block(config: GraphiqlConfig, root_path: str, address: str) -> str:
    """The configuration as JSON that no HTML parser takes for markup, whatever its strings hold.

    A script element ends at `</script` and changes its rules at `<!--` (HTML, "Restrictions for contents of script
    elements"); without any `<` neither can occur.
    """
    content = {
        "endpoint": root_path + config.endpoint_path,
        "defaultHeaders": dict(config.default_headers),
        "tokens": [{"label": token.label, "token": token.token} for token in config.tokens],
        "examples": [
            {"name": example.name, "query": example.query, "variables": _filled_in(example.variables, address)}
            for example in config.examples
        ],
    }
    return json.dumps(content).replace("<", "\\u003c")


def _filled_in(value: object, address: str) -> object:
    """An example's variables, with the page's address where PAGE_ADDRESS stands."""
    if isinstance(value, Mapping):
        return {name: _filled_in(child, address) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [_filled_in(child, address) for child in value]
    return address if value == PAGE_ADDRESS else value


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    entry = _manifest()["files"].get(name)
    if entry is None:
        return PlainTextResponse("There is no such file.", status_code=404, headers={"Cache-Control": "no-store"})
    as_stored = not entry["gzip"] or _accepts_gzip(request.headers.get("accept-encoding", ""))
    encoded = entry["gzip"] and as_stored
    # A strong ETag names bytes, and the same file compressed is other bytes (RFC 9110, 8.8.1).
    etag = f'"{entry["sha256"]}{"-gzip" if encoded else ""}"'
    headers = {**ASSET_HEADERS, "ETag": etag}
    if _matches(etag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    content = _stored(name, compressed=entry["gzip"])
    if encoded:
        headers["Content-Encoding"] = "gzip"
    elif not as_stored:
        content = await asyncio.to_thread(gzip.decompress, content)
    return Response(content, headers=headers, media_type=MEDIA_TYPES[PurePath(name).suffix])


@cache
def _manifest() -> _Manifest:
    manifest: _Manifest = json.loads((BUNDLE_FOLDER / "manifest.json").read_text())
    return manifest


@cache
def _stored(name: str, *, compressed: bool) -> bytes:
    """A file as it lies in the bundle. All of them together are 2 MB, so they are read once; `name` is in the manifest."""
    return (BUNDLE_FOLDER / (f"{name}.gz" if compressed else name)).read_bytes()


def _accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header admits gzip (RFC 9110, 12.5.3): named or by `*`, and not with a weight of 0."""
    weights: dict[str, bool] = {}
    for element in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in element.split(";"))
        weights[coding] = not any(_is_weight_zero(parameter) for parameter in parameters)
    return weights.get("gzip", weights.get("*", False))


def _is_weight_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and not value.strip().strip("0.")


def _matches(etag: str, if_none_match: str) -> bool:
    """If-None-Match compares weakly (RFC 9110, 13.1.2): a proxy may have marked our ETag as weak."""
    candidates = {candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")}
    return etag in candidates or "*" in candidates
