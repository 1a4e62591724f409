"""A real Chromium, watched: a page that errs, breaks its security policy or asks another origin for something fails its test."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from scripts.ensure_chromium import find_chromium

CHROMIUM_ARGUMENTS = (
    # Chromium's sandbox refuses to start as root and in most containers, and what it opens here is our own page.
    "--no-sandbox",
    "--disable-gpu",
    # The rest keeps the browser itself off the network, so that each request seen is the page's.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# A page on a machine that is busy with other tests may take far longer than it does alone; a broken one never comes.
PATIENCE_MS = 30_000


class WatchedPage:
    """A page, and everything that went wrong on it. It may ask the given origins for something, and no others."""

    def __init__(self, page: Page, *origins: str) -> None:
        self.page = page
        self._origins = origins
        self.problems: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        page.on("request", self._on_request)
        page.on("requestfailed", self._on_failed_request)

    def _on_request(self, request: Request) -> None:
        # Requests of the page's workers arrive here too. `data:` and `blob:` stay within the page.
        if request.url.startswith(("http:", "https:", "ws:", "wss:")) and _origin(request.url) not in self._origins:
            self.problems.append(f"asked another origin: {request.url}")

    def _on_failed_request(self, request: Request) -> None:
        # Leaving the page ends what is under way, and is no fault of the page's.
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"request failed: {request.url}: {request.failure}")

    def _on_console(self, message: ConsoleMessage) -> None:
        # A broken security policy is reported here as an error too.
        if message.type in {"error", "warning"}:
            self.problems.append(f"console {message.type}: {message.text} ({message.location})")


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    executable = find_chromium()
    if executable is None:
        pytest.fail("There is no Chromium here: run `python scripts/ensure_chromium.py`.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def watched_page(chromium: Browser, origin: str) -> AsyncIterator[WatchedPage]:
    """A fresh page for the server at `origin`, a fixture that the test module provides. Fails the test on any problem."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light", locale="en-US")
    context.set_default_timeout(PATIENCE_MS)
    watched = WatchedPage(await context.new_page(), origin)
    yield watched
    await context.close()
    assert watched.problems == []


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
