"""A tour of the API: does over HTTP what a frontend does, and prints what it sees.

    florin dev                in one terminal
    python scripts/tour.py    in another

It ends with exit code 1 and says why as soon as something is not as it should be. Every run makes payments of its own.
"""

import argparse
import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

PATIENCE_SECONDS = 30.0
TRANSACTION = """
fragment Seen on Transaction {
  id status description processorStatus
  money { formatted } refundableMoney { formatted } feeMoney { formatted }
  paymentMethod { brand last4 } failure { code declineCode message }
  nextAction { type redirectUrl }
  user { name email }
  auditLog(first: 20) { nodes { action actorKind actor { name } details } }
}
"""
ME = "{ me { name role } }"
CREATE = f"""
mutation Create($input: CreatePaymentInput!) {{
  createPayment(input: $input) {{ replayed transaction {{ ...Seen }} errors {{ code message }} }}
}}
{TRANSACTION}"""
REFUND = f"""
mutation Refund($input: RefundInput!) {{
  refund(input: $input) {{
    refund {{ status money {{ formatted }} }} transaction {{ ...Seen }}
    errors {{ code message ... on RefundExceedsRemainingError {{ maxRefundable {{ formatted }} }} }}
  }}
}}
{TRANSACTION}"""
SHOW = f"query Show($id: ID!) {{ transaction(id: $id) {{ ...Seen }} }}{TRANSACTION}"
LIST = f"""
query List($first: Int!, $after: String, $filter: TransactionFilter) {{
  transactions(first: $first, after: $after, filter: $filter) {{
    totalCount nodes {{ ...Seen }} pageInfo {{ hasNextPage endCursor }}
  }}
}}
{TRANSACTION}"""

# What a query answers has the query's shape, which no type here repeats.
Answer = dict[str, Any]


class TourFailed(Exception):
    """Something was not as it should be."""


@dataclass(frozen=True, slots=True)
class Api:
    """The API as one user sees it."""

    client: httpx2.Client
    url: str
    token: str = field(repr=False)

    def ask(self, query: str, variables: Mapping[str, object] | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}"}
        response = self.client.post(self.url, json={"query": query, "variables": variables}, headers=headers)
        try:
            answer: Answer = response.json()
        except ValueError:
            raise TourFailed(f"{self.url} answered {response.status_code}, and not in JSON.") from None
        if answer.get("errors"):
            raise TourFailed(f"{self.url} answered {answer['errors'][0]['message']}")
        data: Answer = answer["data"]
        return data

    def show(self, transaction_id: str) -> Answer | None:
        found: Answer | None = self.ask(SHOW, {"id": transaction_id})["transaction"]
        return found


class Tour:
    """The steps, in their order; each leaves what the next ones look at."""

    def __init__(self, ada: Api, alan: Api | None) -> None:
        self._ada = ada
        self._alan = alan
        # A word of this run alone, by which its payments are found again.
        self._word = f"tour{secrets.token_hex(4)}"
        self._steps = 0
        self._paid: Answer = {}

    def run(self) -> None:
        self._who_am_i()
        self._pay_twice()
        self._look_at_it()
        self._declined()
        self._three_d_secure("complete", "completes", "COMPLETED")
        self._three_d_secure("fail", "fails", "FAILED")
        self._refund()
        self._list()
        if self._alan is not None:
            self._as_somebody_else(self._alan)
        self._webhooks()
        print("\nAll as it should be.")

    def _who_am_i(self) -> None:
        self._step("Who am I?")
        me = self._ada.ask(ME)["me"]
        print(f"   {me['name']}, {me['role']}")

    def _pay_twice(self) -> None:
        self._step("Take a payment of 25.00 USD")
        request = self._payment("25.00", "pm_card_visa", "Two tickets")
        first = self._ada.ask(CREATE, {"input": request})["createPayment"]
        self._paid = first["transaction"]
        _expect(self._paid["status"] == "COMPLETED", f"The payment is {self._paid['status']}: {first['errors']}")
        print(_line(self._paid))
        self._step("Send the same request again, with the same idempotency key")
        second = self._ada.ask(CREATE, {"input": request})["createPayment"]
        _expect(second["replayed"], "The second request was not recognized as a repetition.")
        _expect(second["transaction"]["id"] == self._paid["id"], "The second request made a second payment.")
        print(f"{_line(second['transaction'])}\n   replayed: the same transaction, and one charge")

    def _look_at_it(self) -> None:
        self._step("See it with its user and its audit log")
        seen = self._see(self._paid["id"])
        _expect(seen["user"] is not None, "The payment has no user.")
        print(f"   paid by {seen['user']['name']} <{seen['user']['email']}>")
        actions = _print_audit_log(seen)
        _expect(actions[0] == "transaction.created", "The audit log does not begin with the transaction's creation.")

    def _declined(self) -> None:
        self._step("Pay with a card that has insufficient funds")
        request = self._payment("15.00", "pm_card_chargeDeclinedInsufficientFunds", "A book")
        answer = self._ada.ask(CREATE, {"input": request})["createPayment"]
        transaction = answer["transaction"]
        _expect(transaction["status"] == "FAILED", f"The payment is {transaction['status']}, not FAILED.")
        _expect([error["code"] for error in answer["errors"]] == ["CARD_DECLINED"], f"Errors: {answer['errors']}")
        print(f"{_line(transaction)}\n   CARD_DECLINED, {transaction['failure']['declineCode']}")

    def _three_d_secure(self, outcome: str, does: str, status: str) -> None:
        self._step(f"Pay with a card that asks for 3-D Secure, and the payer {does} it")
        request = self._payment("80.00", "pm_card_authenticationRequired", "A night at the hotel")
        request["returnUrl"] = "https://shop.example/thanks"
        transaction = self._ada.ask(CREATE, {"input": request})["createPayment"]["transaction"]
        _expect(transaction["status"] == "REQUIRES_ACTION", f"The payment is {transaction['status']}.")
        action = transaction["nextAction"]
        _expect(action["type"] == "REDIRECT", f"The next action is {action['type']}, not REDIRECT.")
        print(f"{_line(transaction)}\n   nextAction: REDIRECT to {action['redirectUrl']}")
        _answer_challenge(self._ada.client, action["redirectUrl"], outcome)
        done = self._wait(transaction["id"], lambda seen: seen["status"] == status, f"the payment is {status}")
        print(_line(done))
        _print_audit_log(done)

    def _refund(self) -> None:
        self._step("Give some of the first payment back, twice, and then more than is left")
        for amount in ("10.00", "5.00"):
            answer = self._give_back(amount)
            _expect(not answer["errors"], f"The refund was refused: {answer['errors']}")
            transaction = answer["transaction"]
            _expect(transaction["status"] == "PARTIALLY_REFUNDED", f"The payment is {transaction['status']}.")
            left = transaction["refundableMoney"]["formatted"]
            print(f"   {answer['refund']['money']['formatted']} back: {transaction['status']}, {left} left")
        answer = self._give_back("10.01")
        _expect(answer["refund"] is None, "More was given back than was left.")
        [error] = answer["errors"]
        _expect(error["code"] == "REFUND_EXCEEDS_REMAINING", f"The refund was refused with {error['code']}.")
        print(f"   $10.01 refused: {error['code']}, at most {error['maxRefundable']['formatted']}")

    def _list(self) -> None:
        self._step("List what failed or went back in part, two to a page")
        wanted = {"text": self._word, "status": ["FAILED", "PARTIALLY_REFUNDED"]}
        after, seen = None, []
        for number in (1, 2):
            variables = {"first": 2, "after": after, "filter": wanted}
            page = self._ada.ask(LIST, variables)["transactions"]
            _expect(page["totalCount"] == 3, f"The list holds {page['totalCount']} transactions, not 3.")
            print(f"   page {number}:")
            for transaction in page["nodes"]:
                print(_line(transaction, indent=5))
                seen.append(transaction["id"])
            after = page["pageInfo"]["endCursor"]
        _expect(not page["pageInfo"]["hasNextPage"], "There is a third page.")
        _expect(len(set(seen)) == 3, "The two pages do not hold three different transactions.")

    def _as_somebody_else(self, alan: Api) -> None:
        self._step("Look at the first payment as another customer")
        name = alan.ask(ME)["me"]["name"]
        _expect(alan.show(self._paid["id"]) is None, f"{name} sees a payment of somebody else's.")
        found = alan.ask(LIST, {"first": 1, "filter": {"text": self._word}})["transactions"]["totalCount"]
        _expect(found == 0, f"{name} finds {found} payments of somebody else's.")
        print(f"   {name} sees nothing")

    def _webhooks(self) -> None:
        self._step("See what the processor's webhooks brought")
        seen = self._wait(self._paid["id"], lambda found: found["feeMoney"] is not None, "the processor's fee is known")
        print(f"   the processor says {seen['processorStatus']}, and keeps {seen['feeMoney']['formatted']}")
        _print_audit_log(seen)

    def _step(self, title: str) -> None:
        self._steps += 1
        print(f"\n{self._steps}. {title}")

    def _payment(self, amount: str, payment_method_id: str, description: str) -> Answer:
        return {
            "idempotencyKey": secrets.token_hex(16),
            "money": {"currency": "USD", "amount": amount},
            "paymentMethodId": payment_method_id,
            "description": f"{description} ({self._word})",
        }

    def _give_back(self, amount: str) -> Answer:
        wanted = {
            "idempotencyKey": secrets.token_hex(16),
            "transactionId": self._paid["id"],
            "money": {"currency": "USD", "amount": amount},
            "reason": "REQUESTED_BY_CUSTOMER",
        }
        answer: Answer = self._ada.ask(REFUND, {"input": wanted})["refund"]
        return answer

    def _see(self, transaction_id: str) -> Answer:
        seen = self._ada.show(transaction_id)
        if seen is None:
            raise TourFailed(f"The payment {transaction_id} is not found by who made it.")
        return seen

    def _wait(self, transaction_id: str, holds: Callable[[Answer], object], what: str) -> Answer:
        """Look at a transaction until something holds. Webhooks arrive when they arrive."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds(seen := self._see(transaction_id)):
            if time.monotonic() > deadline:
                raise TourFailed(f"Waited {PATIENCE_SECONDS:.0f} s in vain until {what}; it is {seen['status']}.")
            time.sleep(0.1)
        return seen


def _answer_challenge(client: httpx2.Client, url: str, outcome: str) -> None:
    """Do what the payer does on the bank's page: press one of its two buttons."""
    token = re.search(r'name="token" value="([^"]+)"', client.get(url).text)
    if token is None:
        raise TourFailed(f"There is no form at {url}.")
    response = client.post(url, data={"token": token[1], "outcome": outcome})
    _expect(response.status_code == 303, f"The form at {url} answered {response.status_code}.")


def _line(transaction: Answer, indent: int = 3) -> str:
    card = transaction["paymentMethod"]
    shown = f"{card['brand']} {card['last4']}" if card else "no card"
    amount, status = transaction["money"]["formatted"], transaction["status"]
    return f"{'':{indent}}{transaction['id']}  {amount}  {status}  {shown}"


def _print_audit_log(transaction: Answer) -> list[str]:
    entries = transaction["auditLog"]["nodes"]
    for entry in entries:
        who = entry["actor"]["name"] if entry["actor"] else entry["actorKind"].lower()
        via = f", by its {entry['details']['via']}" if "via" in entry["details"] else ""
        print(f"     {entry['action']:<32} {who}{via}")
    return [entry["action"] for entry in entries]


def _expect(holds: object, otherwise: str) -> None:
    if not holds:
        raise TourFailed(otherwise)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Do over HTTP what a frontend does, and print what it sees.")
    parser.add_argument("--ready-file", type=Path, default=Path(".florin/ready.json"), help="as florin dev wrote it")
    parser.add_argument("--graphql-url", help="the API's address, instead of a ready file")
    parser.add_argument("--token", help="an access token, with --graphql-url")
    parser.add_argument("--other-token", help="another customer's, to see that they see nothing")
    chosen = parser.parse_args()
    if (chosen.graphql_url is None) != (chosen.token is None):
        parser.error("--graphql-url and --token go together")
    return chosen


def main() -> None:
    arguments = _arguments()
    url, token, other = arguments.graphql_url, arguments.token, arguments.other_token
    if url is None:
        try:
            ready = json.loads(arguments.ready_file.read_text())
        except (OSError, ValueError):
            sys.exit(f"tour: There is no ready file {arguments.ready_file}. Start `florin dev` first.")
        url, token, other = ready["graphql_url"], ready["tokens"]["customer"], ready["tokens"]["customer2"]
    # Proxies that the environment names are not for addresses on this machine.
    with httpx2.Client(timeout=PATIENCE_SECONDS, trust_env=False) as client:
        try:
            Tour(Api(client, url, token), Api(client, url, other) if other else None).run()
        except (TourFailed, httpx2.HTTPError) as error:
            sys.exit(f"tour: {error}")


if __name__ == "__main__":
    main()
