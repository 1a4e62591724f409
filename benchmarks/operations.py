"""The operations that are measured, as Florin takes them.

Q1 is one transaction with its user and its audit entries; Q2 a page of 50 transactions of one customer with 12 scalars each,
and with the user and 3 audit entries of each; Q3 nothing at all. M1 writes: see docs/performance.md for what it is to whom.
"""

from collections.abc import Callable, Sequence
from itertools import count

from benchmarks.database import PAYER_TRANSACTIONS, Database, Payer
from benchmarks.load import NextRequest, in_turn, request
from domain.ids import IdKind, encode

Credentials = Callable[[Sequence[Payer]], Sequence[str]]

PAGE = 50

TRANSACTION = """
  id status description captureMethod processor processorReference processorStatus createdAt updatedAt
  money { amountMinor currency } refundedMoney { amountMinor }
"""
_RELATED = "user { id name email } auditLog(first: 3) { nodes { action actorKind at } }"

Q1 = f"query One($id: ID!) {{ transaction(id: $id) {{ {TRANSACTION} {_RELATED} }} }}"
Q2 = f"query Page($first: Int!) {{ transactions(first: $first) {{ nodes {{ {TRANSACTION} {_RELATED} }} }} }}"
Q3 = "{ __typename }"
M1 = f"""mutation Pay($input: CreatePaymentInput!) {{
  createPayment(input: $input) {{ transaction {{ {TRANSACTION} user {{ id name email }} }} errors {{ code message }} }}
}}"""

# Coprime to the number of transactions of a customer: each of theirs comes up, and none soon again.
_STEP = 37


def florin_q1(payer: Payer, number: int, token: str) -> bytes:
    transaction_id = encode(IdKind.TRANSACTION, payer.transaction_id(number % PAYER_TRANSACTIONS))
    return _request({"query": Q1, "variables": {"id": transaction_id}}, token)


def florin_q2(token: str, size: int = PAGE) -> bytes:
    return _request({"query": Q2, "variables": {"first": size}}, token)


def florin_m1(token: str, key: str) -> bytes:
    wanted = {
        "idempotencyKey": key,
        "money": {"currency": "USD", "amountMinor": "1000"},
        "paymentMethodId": "pm_card_visa",
        "description": "An order",
    }
    return _request({"query": M1, "variables": {"input": wanted}}, token)


def florin_requests(operation: str, data: Database, credentials: Credentials, run: str) -> NextRequest:
    """Requests of an operation by all of the customers in turn. `run` makes idempotency keys unlike those of other runs."""
    if operation == "M1":
        writers, numbers = credentials(data.writers), count()

        def pay() -> bytes:
            number = next(numbers)
            return florin_m1(writers[number % len(writers)], f"{run}-{number}")

        return pay
    pairs = list(zip(data.payers, credentials(data.payers), strict=True))
    if operation == "Q1":
        return in_turn([florin_q1(payer, turn * _STEP, token) for turn in range(20) for payer, token in pairs])
    if operation == "Q2":
        return in_turn([florin_q2(token) for _, token in pairs])
    return in_turn([_request({"query": Q3}, token) for _, token in pairs])


def _request(body: dict[str, object], token: str) -> bytes:
    return request("/graphql", body, {"Authorization": f"Bearer {token}"})
