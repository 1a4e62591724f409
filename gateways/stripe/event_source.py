"""Stripe as the origin of events: whose they are."""

import stripe

from gateways.stripe.calls import Calls
from gateways.stripe.shapes import text


class Events:
    """Stripe's events and the account they are of. Every method may raise CallFailed and OddShape."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._accounts = client.v1.accounts
        self._calls = calls

    async def account(self) -> str:
        """The id of the account that the key belongs to."""
        answer = await self._calls.send("account.retrieve", self._accounts.retrieve_current_async)
        return text(answer.data, "id")
