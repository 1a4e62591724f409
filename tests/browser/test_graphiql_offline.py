"""GraphiQL in a real Chromium that reaches nothing but our own origin, under the security policy that it is served with."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator

import pytest
import strawberry
import uvicorn
from playwright.async_api import Locator, Page, expect
from playwright.async_api import Route as PlaywrightRoute
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from strawberry.asgi import GraphQL
from strawberry.exceptions import StrawberryGraphQLError
from strawberry.types import Info

from api.graphiql import (
    BUNDLE_FOLDER,
    FRESH_IDEMPOTENCY_KEY,
    Example,
    GraphiqlConfig,
    NamedToken,
    graphiql_page,
    graphiql_routes,
)
from tests.browser.conftest import PATIENCE_MS, WatchedPage
from tests.support.waiting import until

expect.set_options(timeout=PATIENCE_MS)

WHO_AM_I = "query WhoAmI {\n  me {\n    role\n  }\n}\n"
ECHO_KEY = "mutation EchoKey($key: String!) {\n  echo(text: $key)\n}\n"
EXAMPLES = (
    Example("Who am I", WHO_AM_I),
    Example("Echo a key", ECHO_KEY, {"key": FRESH_IDEMPOTENCY_KEY}),
    # Were the data block not escaped, this name would end it, and the page would not start.
    Example("</script><script>window.injected = true</script>", WHO_AM_I),
)


@strawberry.type(description="Somebody who sends operations.")
class Person:
    role: str


def who_am_i(info: Info[dict[str, Request], None]) -> Person:
    authorization = info.context["request"].headers.get("authorization", "")
    if authorization.startswith("Bearer expired"):
        raise StrawberryGraphQLError("This token is not valid.", extensions={"code": "UNAUTHENTICATED"})
    return Person(role=authorization.removeprefix("Bearer ") or "nobody")


@strawberry.type
class Query:
    me: Person = strawberry.field(resolver=who_am_i, description="Whoever sends this operation.")


@strawberry.type
class Mutation:
    @strawberry.mutation
    def echo(self, text: str) -> str:
        return text


class Server:
    """The page and an API on a real port. What the page is told can be replaced, as by a restart."""

    def __init__(self) -> None:
        self.restart_with("first")
        api = GraphQL[dict[str, Request], None](strawberry.Schema(Query, Mutation), graphql_ide=None)
        routes: list[BaseRoute] = [
            Route("/graphiql", self._page),
            *graphiql_routes(GraphiqlConfig()),
            Route("/graphql", api, methods=["POST"]),
        ]
        self._app = Starlette(routes=routes)

    def restart_with(self, generation: str) -> None:
        tokens = tuple(NamedToken(label, f"{generation}-{label}") for label in ("customer", "support"))
        headers = {"Authorization": f"Bearer {tokens[0].token}", "X-Reason": "a tour"}
        self._serve_page = graphiql_page(GraphiqlConfig(default_headers=headers, tokens=tokens, examples=EXAMPLES))

    async def _page(self, request: Request) -> Response:
        return await self._serve_page(request)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        # Bound and listening before the server starts, so that the first request waits for it and nobody else has to.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = uvicorn.Server(uvicorn.Config(self._app, log_level="warning", lifespan="off"))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
            await serving


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def origin(server: Server) -> AsyncIterator[str]:
    async with server.running() as address:
        yield address


@pytest.fixture
async def page(watched_page: WatchedPage, origin: str) -> Page:
    await watched_page.page.goto(f"{origin}/graphiql")
    await expect(operation_editor(watched_page.page)).to_contain_text("WhoAmI")
    return watched_page.page


def operation_editor(page: Page) -> Locator:
    return page.get_by_label("Operation Editor").locator(".view-lines")


def response(page: Page) -> Locator:
    return page.locator(".graphiql-response .view-lines")


async def write(page: Page, editor: Locator, text: str) -> None:
    await editor.click()
    await page.keyboard.press("ControlOrMeta+A")
    # Typed over a selection, a bracket or a quote would be put around it.
    await page.keyboard.press("Delete")
    await page.keyboard.type(text)


async def run(page: Page) -> None:
    await page.get_by_role("button", name="Execute query").click()


async def stored(page: Page) -> str:
    content: str = await page.evaluate("JSON.stringify(localStorage)")
    return content


async def until_stored(page: Page, text: str) -> None:
    async def is_stored() -> bool:
        return text in await stored(page)

    await until(is_stored)


async def test_opens_with_the_examples_and_runs_one(page: Page) -> None:
    await expect(page.get_by_role("tab")).to_contain_text(["WhoAmI", "EchoKey", "WhoAmI"])
    await run(page)
    await expect(response(page)).to_contain_text('"role": "first-customer"')
    assert await page.evaluate("window.injected") is None


async def test_a_tab_is_chosen_only_once_the_editors_can_show_it(watched_page: WatchedPage, origin: str) -> None:
    page = watched_page.page
    wanted = asyncio.Event()

    async def hold(route: PlaywrightRoute) -> None:
        await wanted.wait()
        await route.continue_()

    # What the editors are made by comes on demand, after the page has drawn its tabs.
    manifest = json.loads((BUNDLE_FOLDER / "manifest.json").read_text())
    await page.route(lambda url: "/assets/chunk-" in url and url.rsplit("/", 1)[1] not in manifest["preload"], hold)
    await page.goto(f"{origin}/graphiql", wait_until="commit")
    tab = page.get_by_role("tab", name="EchoKey")
    await expect(tab).to_have_css("pointer-events", "none")
    wanted.set()
    await tab.click()
    await expect(operation_editor(page)).to_contain_text("EchoKey")


async def test_an_idempotency_key_is_new_each_time_an_example_is_opened(page: Page) -> None:
    answers = []
    await page.get_by_role("tab", name="EchoKey").click()
    for number_of_tabs in (4, 5):
        await run(page)
        await expect(response(page)).to_contain_text(re.compile(r'"echo":\s"[0-9a-f]{32}"'))
        answers.append(await response(page).inner_text())
        await page.get_by_role("button", name="Examples").click()
        await page.get_by_role("menuitem", name="Echo a key").click()
        await expect(page.get_by_role("tab")).to_have_count(number_of_tabs)
        await expect(operation_editor(page)).to_contain_text("EchoKey")
    assert answers[0] != answers[1]


async def test_the_workers_of_the_editors_come_from_our_origin_and_check_the_query(page: Page, origin: str) -> None:
    await write(page, operation_editor(page), "{ nothingOfTheKind }")
    # Only the GraphQL worker, having got the schema, can find this fault.
    await expect(page.locator(".squiggly-error").first).to_be_visible()
    assert page.workers
    assert all(worker.url.startswith(f"{origin}/graphiql/assets/") for worker in page.workers)


async def test_completes_field_names(page: Page) -> None:
    await write(page, operation_editor(page), "{ m")
    await page.keyboard.press("Control+Space")
    await expect(page.locator(".suggest-widget").get_by_role("option").first).to_contain_text("me")


async def test_the_explorer_edits_the_query(page: Page) -> None:
    await page.get_by_role("button", name="Show GraphiQL Explorer").click()
    explorer = page.locator(".graphiql-explorer-root")
    await expect(explorer).to_contain_text("role")
    await explorer.get_by_text("role", exact=True).click()
    await expect(operation_editor(page)).not_to_contain_text("role")


async def test_the_documentation_is_read_from_the_schema(page: Page) -> None:
    await page.get_by_role("button", name="Show Documentation Explorer").click()
    await page.locator(".graphiql-plugin").get_by_role("link", name="Query", exact=True).click()
    await expect(page.locator(".graphiql-plugin")).to_contain_text("Whoever sends this operation.")


async def test_prettifies_with_code_loaded_on_demand(page: Page) -> None:
    await write(page, operation_editor(page), "query Flat { me { role ")
    await page.get_by_role("button", name="Prettify query").click()
    await expect(operation_editor(page).locator(".view-line")).to_have_count(6)


async def test_the_sender_can_be_chosen_and_holds_for_every_tab(page: Page) -> None:
    await page.get_by_label("Send as").select_option("support")
    await run(page)
    await expect(response(page)).to_contain_text('"role": "first-support"')
    # A tab not looked at before was made with the first sender's header.
    await page.get_by_role("tab", name="WhoAmI").last.click()
    await expect(page.get_by_label("Send as")).to_have_value("support")
    await run(page)
    await expect(response(page)).to_contain_text('"role": "first-support"')
    await page.get_by_label("Send as").select_option("nobody")
    await run(page)
    await expect(response(page)).to_contain_text('"role": "nobody"')


async def test_a_header_written_by_hand_is_left_alone(page: Page) -> None:
    await page.get_by_role("button", name="Headers").click()
    await write(
        page, page.get_by_label("Headers", exact=True).locator(".view-lines").last, '{"Authorization": "Bearer mine"}'
    )
    await expect(page.get_by_label("Send as")).to_have_value("custom")
    await run(page)
    await expect(response(page)).to_contain_text('"role": "mine"')


async def test_edits_and_the_sender_outlive_the_page_but_no_token_does(page: Page, server: Server) -> None:
    await page.get_by_label("Send as").select_option("support")
    await write(page, operation_editor(page), "query Edited { me { role } }")
    await run(page)
    await expect(response(page)).to_contain_text('"role": "first-support"')
    # GraphiQL writes what was edited half a second later.
    await until_stored(page, "query Edited { me { role } }")

    server.restart_with("second")
    await page.reload()

    await expect(operation_editor(page)).to_contain_text("query Edited")
    await expect(page.get_by_label("Send as")).to_have_value("support")
    await run(page)
    await expect(response(page)).to_contain_text('"role": "second-support"')
    await until_stored(page, "queries")
    assert "-support" not in await stored(page)
    assert "-customer" not in await stored(page)


async def test_an_operation_from_the_history_is_sent_with_the_new_token(page: Page, server: Server) -> None:
    await run(page)
    await expect(response(page)).to_contain_text("first-customer")
    server.restart_with("second")
    await page.reload()
    await page.get_by_role("button", name="Show History").click()
    await page.locator(".graphiql-history-item-label").first.click()
    await run(page)
    await expect(response(page)).to_contain_text("second-customer")


async def test_a_token_that_is_no_longer_accepted_can_be_replaced(page: Page, server: Server) -> None:
    server.restart_with("expired")
    await page.reload()
    await expect(page.get_by_label("Send as")).to_be_enabled()
    await run(page)
    await expect(response(page)).to_contain_text("UNAUTHENTICATED")
    server.restart_with("second")
    await page.get_by_role("button", name="Reload for a new one").click()
    await run(page)
    await expect(response(page)).to_contain_text('"role": "second-customer"')


async def test_colours_follow_the_system(page: Page) -> None:
    background = "getComputedStyle(document.querySelector('.graphiql-container')).backgroundColor"
    light = await page.evaluate(background)
    await page.emulate_media(color_scheme="dark")
    await expect(page.locator(".monaco-editor").first).to_have_class(re.compile(r"\bvs-dark\b"))
    assert await page.evaluate(background) != light
