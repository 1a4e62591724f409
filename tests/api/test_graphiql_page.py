"""The GraphiQL page and its assets as a client sees them, and the committed bundle as its sources say it should be."""

import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TypedDict

import httpx2
import pytest
from graphql import parse
from starlette.applications import Starlette
from starlette.routing import Mount

from api.graphiql import (
    ASSETS_PATH,
    BUNDLE_FOLDER,
    FRESH_IDEMPOTENCY_KEY,
    Example,
    GraphiqlConfig,
    NamedToken,
    graphiql_routes,
)
from api.graphiql_examples import default_examples
from scripts.build_graphiql import LICENSES, MANIFEST, SOURCE, input_digest

HOSTILE = "</script><script>alert(1)</script><!-- & \u2028"
CONFIG = GraphiqlConfig(
    default_headers={"Authorization": "Bearer a-token"},
    tokens=(NamedToken("customer", "a-token"),),
    examples=(Example(HOSTILE, "{ me { id } }", {"text": HOSTILE}),),
)


class FileEntry(TypedDict):
    sha256: str
    bytes: int
    gzip: bool


class Manifest(TypedDict):
    inputs: str
    script: str
    stylesheet: str
    preload: list[str]
    files: dict[str, FileEntry]


class PageContent(HTMLParser):
    """What a browser would find in the page: the addresses it loads, its scripts, and what stands in each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.texts: list[str] = []
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.addresses += [value for value in (attributes.get("src"), attributes.get("href")) if value is not None]
        if tag == "script":
            self.scripts.append(attributes)
            self._in_script = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.texts.append(data)


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=Starlette(routes=graphiql_routes(CONFIG)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://florin.test") as client:
        yield client


def manifest() -> Manifest:
    content: Manifest = json.loads((BUNDLE_FOLDER / MANIFEST).read_text())
    return content


def script_url() -> str:
    return f"{ASSETS_PATH}/{manifest()['script']}"


async def test_the_page_forbids_everything_it_does_not_need(client: httpx2.AsyncClient) -> None:
    response = await client.get("/graphiql")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-content-type-options"] == "nosniff"
    policy = dict(directive.split(" ", 1) for directive in response.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "font-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


async def test_the_page_loads_only_files_that_are_in_the_bundle(client: httpx2.AsyncClient) -> None:
    page = PageContent((await client.get("/graphiql")).text)
    addresses = [address for address in page.addresses if not address.startswith("data:")]
    assert len(addresses) > 2
    for address in addresses:
        assert address.startswith(f"{ASSETS_PATH}/")
        assert (await client.get(address)).status_code == 200


async def test_the_page_holds_its_configuration_as_data_whatever_is_in_it(client: httpx2.AsyncClient) -> None:
    page = PageContent((await client.get("/graphiql")).text)
    assert [script.get("type") for script in page.scripts] == ["application/json", "module"]
    assert len(page.texts) == 1
    assert json.loads(page.texts[0]) == {
        "endpoint": "/graphql",
        "defaultHeaders": {"Authorization": "Bearer a-token"},
        "tokens": [{"label": "customer", "token": "a-token"}],
        "examples": [{"name": HOSTILE, "query": "{ me { id } }", "variables": {"text": HOSTILE}}],
    }


async def test_without_a_configuration_the_page_holds_no_token() -> None:
    app = Starlette(routes=graphiql_routes(GraphiqlConfig()))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://florin.test") as client:
        page = PageContent((await client.get("/graphiql")).text)
    assert json.loads(page.texts[0]) == {"endpoint": "/graphql", "defaultHeaders": {}, "tokens": [], "examples": []}


async def test_below_a_root_path_the_addresses_are_below_it_too() -> None:
    app = Starlette(routes=[Mount("/pay", routes=graphiql_routes(CONFIG))])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://florin.test") as client:
        page = PageContent((await client.get("/pay/graphiql")).text)
        assert f"/pay{script_url()}" in page.addresses
        assert (await client.get(f"/pay{script_url()}")).status_code == 200
    assert json.loads(page.texts[0])["endpoint"] == "/pay/graphql"


@pytest.mark.parametrize(
    "labels",
    [("customer", "customer"), ("",), ("anonymous",), ("custom",)],
    ids=["twice", "empty", "anonymous", "custom"],
)
def test_labels_that_the_page_could_not_tell_apart_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="token labels"):
        GraphiqlConfig(tokens=tuple(NamedToken(label, "a-token") for label in labels))


def test_no_token_is_in_the_representation_of_a_configuration() -> None:
    assert "a-token" not in repr(CONFIG)


@pytest.mark.parametrize("accepted", ["gzip", "br, gzip;q=0.5", "GZIP", "*"])
async def test_an_asset_is_sent_compressed_to_whoever_accepts_that(client: httpx2.AsyncClient, accepted: str) -> None:
    response = await client.get(script_url(), headers={"Accept-Encoding": accepted})
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["vary"] == "Accept-Encoding"
    assert int(response.headers["content-length"]) < manifest()["files"][manifest()["script"]]["bytes"]
    assert hashlib.sha256(response.content).hexdigest() == manifest()["files"][manifest()["script"]]["sha256"]


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "*;q=0", "gzip;q=0, *"])
async def test_an_asset_is_sent_plain_to_everybody_else(client: httpx2.AsyncClient, accepted: str) -> None:
    response = await client.get(script_url(), headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in response.headers
    assert hashlib.sha256(response.content).hexdigest() == manifest()["files"][manifest()["script"]]["sha256"]


async def test_every_asset_has_its_type_and_may_be_kept_for_ever(client: httpx2.AsyncClient) -> None:
    types = {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".ttf": "font/ttf",
        ".woff2": "font/woff2",
    }
    for name in manifest()["files"]:
        response = await client.get(f"{ASSETS_PATH}/{name}")
        assert response.headers["content-type"] == types[Path(name).suffix]
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert response.headers["x-content-type-options"] == "nosniff"
        # A worker is bound by the policy of its own response.
        assert response.headers["content-security-policy"] == "default-src 'none'"


async def test_an_asset_that_the_client_holds_is_not_sent_again(client: httpx2.AsyncClient) -> None:
    first = await client.get(script_url())
    for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
        again = await client.get(script_url(), headers={"If-None-Match": known})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == first.headers["etag"]
    plain = await client.get(
        script_url(), headers={"If-None-Match": first.headers["etag"], "Accept-Encoding": "identity"}
    )
    assert plain.status_code == 200


@pytest.mark.parametrize(
    "name", ["absent.js", MANIFEST, LICENSES, "..%2Fgraphiql%2Fmanifest.json", "..%2F..%2Fgraphiql.py"]
)
async def test_nothing_else_is_served(client: httpx2.AsyncClient, name: str) -> None:
    assert (await client.get(f"{ASSETS_PATH}/{name}")).status_code == 404


def test_the_bundle_is_built_from_the_sources_as_they_are() -> None:
    assert manifest()["inputs"] == input_digest(), "the sources have changed: run scripts/build_graphiql.py"


def test_the_bundle_is_what_its_manifest_says() -> None:
    expected = {MANIFEST, LICENSES}
    for name, entry in manifest()["files"].items():
        stored = BUNDLE_FOLDER / (f"{name}.gz" if entry["gzip"] else name)
        content = gzip.decompress(stored.read_bytes()) if entry["gzip"] else stored.read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (entry["sha256"], entry["bytes"]), name
        expected.add(stored.name)
    assert {path.name for path in BUNDLE_FOLDER.iterdir()} == expected


def test_the_lock_file_names_no_place_to_download_from() -> None:
    packages = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    assert len(packages) > 50
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


def test_direct_dependencies_are_pinned() -> None:
    dependencies = json.loads((SOURCE / "package.json").read_text())["devDependencies"]
    assert {"graphiql", "@graphiql/plugin-explorer", "react"} <= dependencies.keys()
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in dependencies.values())


def test_the_page_knows_the_mark_of_a_fresh_idempotency_key() -> None:
    assert json.dumps(FRESH_IDEMPOTENCY_KEY) in (SOURCE / "src" / "examples.js").read_text()


def test_the_default_examples_are_operations_with_names_of_their_own() -> None:
    examples = default_examples(transaction_id="txn_1")
    for example in examples:
        definitions = parse(example.query).definitions
        assert len(definitions) == 1
    assert len({example.name for example in examples}) == len(examples)
    assert "txn_1" in json.dumps([example.variables for example in examples])
