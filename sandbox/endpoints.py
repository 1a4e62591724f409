"""Every endpoint of the API."""

from sandbox import (
    account,
    balance,
    capture,
    charges,
    customers,
    disputes,
    events,
    payment_intents,
    payment_methods,
    refunds,
    webhook_endpoints,
)
from sandbox.operation import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *payment_intents.ENDPOINTS,
    *capture.ENDPOINTS,
    *charges.ENDPOINTS,
    *refunds.ENDPOINTS,
    *payment_methods.ENDPOINTS,
    *customers.ENDPOINTS,
    *events.ENDPOINTS,
    *balance.ENDPOINTS,
    *disputes.ENDPOINTS,
    *webhook_endpoints.ENDPOINTS,
    *account.ENDPOINTS,
)
