"""The account that our key belongs to."""

import stripe

from gateways.stripe.calls import Calls
from gateways.stripe.shapes import text


class Account:
    """Stripe's account. Every method may raise CallFailed and OddShape."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._accounts = client.v1.accounts
        self._calls = calls

    async def look_up(self) -> str:
        """The account's id."""
        answer = await self._calls.send("account.retrieve", self._accounts.retrieve_current_async)
        return text(answer.data, "id")
