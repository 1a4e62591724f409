"""The main job in a real Chromium against a real `florin dev`: pay, pass and fail 3-D Secure, refund, and see all of it."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE_MS, WatchedPage
from tests.support.development import Development
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("florin_dev")
expect.set_options(timeout=PATIENCE_MS)

STATUS = "query Status($id: ID!) { transaction(id: $id) { status } }"


@pytest.fixture
async def origin(florin_dev: Development) -> str:
    # Where it is not up yet, the event loop must not wait: the browser lives on it.
    ready = await asyncio.to_thread(lambda: florin_dev.ready)
    return ready["graphql_url"].removesuffix("/graphql")


@pytest.fixture
async def page(watched_page: WatchedPage, origin: str) -> Page:
    page = watched_page.page
    # The editors draw only the lines that are in view, and a test can read only those.
    await page.set_viewport_size({"width": 1280, "height": 1600})
    await page.goto(f"{origin}/graphql")
    await expect(page.get_by_role("tab")).to_have_count(6)
    return page


def response(page: Page) -> Locator:
    return page.locator(".graphiql-response .view-lines")


async def execute(page: Page) -> None:
    await page.get_by_role("button", name="Execute query").click()


async def choose_tab(page: Page, name: str) -> None:
    await page.get_by_role("tab", name=name).click()


async def open_example(page: Page, name: str) -> None:
    await page.get_by_role("button", name="Examples").click()
    await page.get_by_role("menuitem", name=name).click()


async def write_operation(page: Page, operation: str) -> None:
    await page.get_by_label("Operation Editor").locator(".view-lines").click()
    await page.keyboard.press("ControlOrMeta+A")
    await page.keyboard.press("Delete")
    # In one piece: typed letter by letter, the editor would add brackets of its own.
    await page.keyboard.insert_text(operation)


async def transaction_id_in(page: Page) -> str:
    found = re.search(r"txn_\w+", await response(page).inner_text())
    assert found is not None
    return found[0]


async def wait_for_status(florin_dev: Development, transaction_id: str, status: str) -> None:
    async def holds() -> bool:
        data = await asyncio.to_thread(florin_dev.ask, "customer", STATUS, {"id": transaction_id})
        return bool(data["transaction"]["status"] == status)

    await until(holds)


@asynccontextmanager
async def challenge(page: Page, florin_dev: Development, origin: str) -> AsyncIterator[Page]:
    """Follow the link in the answer to the bank's page. It is another origin's, and sends the payer back to ours."""
    link = response(page).locator(".detected-link").first
    await expect(link).to_contain_text(florin_dev.ready["processor_url"])
    box = await link.bounding_box()
    assert box is not None
    async with page.context.expect_page() as opening:
        # By its place: the editor draws a link anew while the key is held over it, so that the element is another.
        await page.keyboard.down("ControlOrMeta")
        await page.mouse.click(box["x"] + 8, box["y"] + box["height"] / 2)
        await page.keyboard.up("ControlOrMeta")
    bank = WatchedPage(await opening.value, florin_dev.ready["processor_url"], origin)
    yield bank.page
    # The challenge is over: the payer is where the payment's returnUrl says.
    await bank.page.wait_for_url(lambda url: url.startswith(f"{origin}/graphql?"))
    await expect(bank.page.get_by_role("tab").first).to_be_visible()
    await bank.page.close()
    assert bank.problems == []


async def test_a_payment_is_completed_and_shown_with_its_user_and_audit_log(page: Page) -> None:
    await expect(page.get_by_label("Send as")).to_have_value("customer")
    await choose_tab(page, "CreatePayment")
    await execute(page)
    shown = response(page)
    await expect(shown).to_contain_text('"status": "COMPLETED"')
    await expect(shown).to_contain_text('"name": "Ada Lovelace"')
    await expect(shown).to_contain_text('"action": "transaction.created"')
    await expect(shown).to_contain_text('"action": "transaction.completed"')
    await expect(shown).to_contain_text('"errors": []')
    # The editor finds nothing to object to in the example's variables.
    await expect(page.locator(".squiggly-error")).to_have_count(0)
    await execute(page)
    await expect(shown).to_contain_text('"replayed": true')


async def test_a_challenge_that_is_passed_completes_the_payment(
    page: Page, florin_dev: Development, origin: str
) -> None:
    await choose_tab(page, "ThreeDSecurePayment")
    await execute(page)
    await expect(response(page)).to_contain_text('"type": "REDIRECT"')
    transaction_id = await transaction_id_in(page)
    async with challenge(page, florin_dev, origin) as bank:
        await expect(bank.get_by_text("80.00")).to_be_visible()
        await bank.get_by_role("button", name="Complete authentication").click()
        await bank.wait_for_url(f"{origin}/**")
        assert parse_qs(urlsplit(bank.url).query)["redirect_status"] == ["succeeded"]
    await wait_for_status(florin_dev, transaction_id, "COMPLETED")
    await write_operation(
        page,
        f'{{ transaction(id: "{transaction_id}") {{ processorStatus auditLog {{ nodes {{ action details }} }} }} }}',
    )
    await execute(page)
    await expect(response(page)).to_contain_text('"processorStatus": "succeeded"')
    # Nobody asked the processor meanwhile: its webhook brought the news.
    await expect(response(page)).to_contain_text(re.compile(r'"via":\s"webhook",\s*"from":\s"REQUIRES_ACTION"'))


async def test_a_challenge_that_is_failed_fails_the_payment(page: Page, florin_dev: Development, origin: str) -> None:
    await open_example(page, "A payment that needs 3-D Secure")
    await execute(page)
    await expect(response(page)).to_contain_text('"status": "REQUIRES_ACTION"')
    transaction_id = await transaction_id_in(page)
    async with challenge(page, florin_dev, origin) as bank:
        await bank.get_by_role("button", name="Fail authentication").click()
        await bank.wait_for_url(f"{origin}/**")
        assert parse_qs(urlsplit(bank.url).query)["redirect_status"] == ["failed"]
    await wait_for_status(florin_dev, transaction_id, "FAILED")


async def test_a_part_is_refunded(page: Page) -> None:
    await choose_tab(page, "CreatePayment")
    await execute(page)
    await expect(response(page)).to_contain_text('"status": "COMPLETED"')
    transaction_id = await transaction_id_in(page)
    await write_operation(
        page,
        f'mutation {{ refund(input: {{ idempotencyKey: "{secrets.token_hex(16)}", transactionId: "{transaction_id}",'
        ' money: { currency: USD, amount: "4.90" }, reason: REQUESTED_BY_CUSTOMER }) {'
        " refund { status } transaction { status refundableMoney { formatted } auditLog { nodes { action } } }"
        " errors { code message } } }",
    )
    await execute(page)
    await expect(response(page)).to_contain_text('"status": "PARTIALLY_REFUNDED"')
    await expect(response(page)).to_contain_text('"formatted": "$20.00"')
    await expect(response(page)).to_contain_text('"action": "refund.requested"')
    await expect(response(page)).to_contain_text('"action": "transaction.partially_refunded"')
