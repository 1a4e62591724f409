"""The life of a `florin dev`: whatever ends it, nothing of it remains but the data, and the next one goes on from there."""

import httpx2
import pytest

from tests.support.development import Development, data_folder, development

PAY = """
mutation Pay($input: CreatePaymentInput!) { createPayment(input: $input) { transaction { id status } replayed } }
"""
SHOW = "query Show($id: ID!) { transaction(id: $id) { status money { amount } } }"


def test_data_and_tokens_outlive_every_end() -> None:
    with data_folder() as data:
        with development(data, "--no-demo") as running:
            tokens = running.ready["tokens"]
            first = pay(running, "first")
            assert running.interrupt() == 0, running.output
            assert running.output.rstrip().endswith(f"florin: stopping\nflorin: stopped; the data is in {data}")
            assert not running.ready_file.exists()

        with development(data, "--no-demo") as running:
            assert running.ready["graphql_url"]
            # A token of the first run is as good as one of the second.
            running.ready["tokens"] = tokens
            assert show(running, first) == {"status": "COMPLETED", "money": {"amount": "25.00"}}
            assert pay(running, "first") == first
            second = pay(running, "second")
            # Returns once the worker, the API, the sandbox and PostgreSQL have ended too.
            assert running.kill() == -9

        with development(data, "--no-demo") as running:
            running.ready["tokens"] = tokens
            assert (
                show(running, first) == show(running, second) == {"status": "COMPLETED", "money": {"amount": "25.00"}}
            )
            # The processor has kept its memory too: it still knows what was paid.
            assert pay(running, "second") == second
            assert running.terminate() == 0, running.output


@pytest.mark.xdist_group("florin_dev")
@pytest.mark.parametrize("name", ["serve", "worker", "sandbox", "postgres"])
def test_a_program_that_is_killed_is_started_again(florin_dev: Development, name: str) -> None:
    before = pay(florin_dev, f"before-{name}")
    florin_dev.kill_program(name)
    florin_dev.wait_until(lambda: answers(florin_dev), "everything to answer again")
    assert pay(florin_dev, f"before-{name}") == before
    after = pay(florin_dev, f"after-{name}")
    assert show(florin_dev, after) == {"status": "COMPLETED", "money": {"amount": "25.00"}}
    florin_dev.wait_for_output("; starting it again")


def answers(running: Development) -> bool:
    """Whether the API is ready and the sandbox is up."""
    api, processor = running.ready["graphql_url"], running.ready["processor_url"]
    try:
        answered = [
            httpx2.get(url, timeout=60, trust_env=False)
            for url in (api.replace("/graphql", "/readyz"), f"{processor}/_sandbox/health")
        ]
    except httpx2.TransportError:
        return False
    return all(answer.status_code == 200 for answer in answered)


def test_it_can_be_interrupted_before_it_is_up() -> None:
    with data_folder() as data, development(data) as running:
        running.wait_for_output("florin: making demo data: 20 of ")
        assert running.interrupt() == 0, running.output
        assert "Florin is up" not in running.output
        assert not running.ready_file.exists()


def pay(running: Development, key: str) -> str:
    wanted = {
        "idempotencyKey": key,
        "money": {"currency": "USD", "amount": "25.00"},
        "paymentMethodId": "pm_card_visa",
    }
    paid = running.ask("customer", PAY, {"input": wanted})["createPayment"]["transaction"]
    assert paid["status"] == "COMPLETED"
    transaction_id: str = paid["id"]
    return transaction_id


def show(running: Development, transaction_id: str) -> object:
    return running.ask("customer", SHOW, {"id": transaction_id})["transaction"]
