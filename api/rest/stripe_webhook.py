"""POST /webhooks/stripe: Stripe tells that something happened."""

from dataclasses import dataclass

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.problem import problem_response
from api.request import read_body, record_of
from domain.errors import BadInput, FlorinError
from domain.messaging.receive_webhook import ReceiveWebhook
from domain.messaging.webhook_events import InvalidSignature

BODY_BYTES_MAX = 1024 * 1024
SIGNATURE_HEADER = "stripe-signature"


@dataclass(frozen=True, slots=True)
class StripeWebhook:
    """Verifies the raw bytes, stores the event, and says 200 once it is on disk. Stripe repeats whatever else it gets."""

    receive: ReceiveWebhook

    async def __call__(self, request: Request) -> Response:
        record = record_of(request.scope)
        record.kind = "webhook"
        try:
            body = await read_body(request.headers, request.receive, BODY_BYTES_MAX)
            event, stored = await self.receive(body, request.headers.getlist(SIGNATURE_HEADER))
        except InvalidSignature as error:
            return problem_response(BadInput(f"The message was not taken: {error}"), record.id)
        except ClientDisconnect:
            return problem_response(BadInput("The connection closed before the message was complete."), record.id)
        except FlorinError as error:
            return problem_response(error, record.id)
        record.operation = event.type
        return Response(orjson.dumps({"received": True, "duplicate": not stored}), media_type="application/json")
