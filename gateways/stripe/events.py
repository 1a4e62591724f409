"""Stripe's webhook messages: proven to be Stripe's own, then read.

Source of the scheme: docs.stripe.com/webhooks, "Verify webhook signatures manually". The SDK's own check takes timestamps
from the future and lets several kinds of exception out, so the check is made here.
"""

import hmac
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from domain.messaging.webhook_events import EventSubject, InvalidSignature, WebhookEvent
from gateways.stripe.shapes import Json, OddShape, mapping, maybe_reference, maybe_text, maybe_whole, text

TOLERANCE_PAST = timedelta(seconds=300)
"""How old a message may be: Stripe's own default. A message recorded by somebody is of no use to them afterwards."""

TOLERANCE_FUTURE = timedelta(seconds=10)
"""How far Stripe's clock may be ahead of ours."""

HANDLED_TYPES = (
    "charge.captured",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.refund.updated",
    "charge.refunded",
    "charge.updated",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "refund.created",
    "refund.failed",
    "refund.updated",
)
"""The types that are fetched when they do not come. One of them tells of each change; Stripe lists at most 20 at once.

Those that come with them and tell the same, such as charge.succeeded, are applied when they come, but not missed.
"""

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
# Names become database keys and log fields, so a NUL or a line break in one is refused.
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,255}", re.ASCII)


class StripeWebhookVerifier:
    """The port WebhookVerifier for messages that Stripe signs. While a secret is rotated both are configured."""

    def __init__(
        self,
        secrets: Sequence[str],
        *,
        tolerance_past: timedelta = TOLERANCE_PAST,
        tolerance_future: timedelta = TOLERANCE_FUTURE,
    ) -> None:
        """Raises ValueError where a secret is empty, or there is none: anyone can sign with an empty key."""
        if isinstance(secrets, str) or not secrets or not all(secret.strip() for secret in secrets):
            raise ValueError("A webhook verifier needs a list of at least one secret, and none may be empty.")
        self._keys = tuple(secret.encode() for secret in secrets)
        self._tolerance_past = tolerance_past
        self._tolerance_future = tolerance_future

    def verify(self, body: bytes, signatures: Sequence[str], *, now: datetime) -> WebhookEvent:
        """The event in a message. `signatures` are the values of all Stripe-Signature headers, of which there is one.

        Raises InvalidSignature for anything but a well-formed event under a valid, fresh signature.
        """
        if len(signatures) != 1:
            raise InvalidSignature("A message carries exactly one signature header.")
        timestamp, proofs = _parse_header(signatures[0])
        if not self._is_signed(timestamp.encode() + b"." + body, proofs):
            raise InvalidSignature("No signature in the header matches the message.")
        age = now.timestamp() - int(timestamp)
        if age > self._tolerance_past.total_seconds():
            raise InvalidSignature("The message is too old.")
        if -age > self._tolerance_future.total_seconds():
            raise InvalidSignature("The message comes from the future.")
        try:
            # Decoded first: given bytes, json.loads would guess the encoding and take UTF-16 too.
            event = mapping(json.loads(body.decode("utf-8")), "the body")
            return read_event(event, body, signed_at=int(timestamp))
        # Nesting too deep to parse, dates that no calendar has, bytes that are no UTF-8: none of them is an event.
        except (OddShape, ValueError, OverflowError, OSError, RecursionError) as error:
            raise InvalidSignature(f"The message is no event: {type(error).__name__}.") from error

    def _is_signed(self, signed: bytes, proofs: Sequence[bytes]) -> bool:
        """Whether any proof fits any key. All pairs are compared, so that the time taken does not say which came close."""
        fits = False
        for key in self._keys:
            expected = hmac.new(key, signed, sha256).hexdigest().encode()
            for proof in proofs:
                fits |= hmac.compare_digest(expected, proof)
        return fits


def _parse_header(header: str) -> tuple[str, list[bytes]]:
    """The timestamp and the v1 signatures of a header such as "t=1700000000,v1=5257a8...,v0=6ffbb5..."."""
    # Where something in between joined two headers into one, the second timestamp follows a comma and a space.
    fields = [field.strip().partition("=") for field in header.split(",")]
    timestamps = [value for name, _, value in fields if name == "t"]
    proofs = [value.encode(errors="replace") for name, _, value in fields if name == "v1"]
    if len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]) or not proofs:
        raise InvalidSignature("The signature header holds one timestamp and at least one v1 signature.")
    return timestamps[0], proofs


def read_event(event: Json, body: bytes, *, signed_at: int) -> WebhookEvent:
    """The event in a message that is known to be Stripe's. Raises OddShape, ValueError, OverflowError or OSError."""
    subject_matter = mapping(mapping(event.get("data"), "data").get("object"), "data.object")
    kind = _name(event, "type")
    live = event.get("livemode", False)
    if not isinstance(live, bool):
        raise OddShape("livemode is neither true nor false")
    account = _name(event, "account") if event.get("account") is not None else None
    created = maybe_whole(event, "created")
    subject, reference = _subject(kind, subject_matter)
    if reference is not None and not _NAME.fullmatch(reference):
        raise OddShape("the object's id is no name")
    return WebhookEvent(
        id=_name(event, "id"),
        type=kind,
        subject=subject,
        reference=reference,
        account=account,
        live=live,
        created_at=datetime.fromtimestamp(signed_at if created is None else created, UTC),
        body=body,
    )


def _name(event: Json, name: str) -> str:
    value = text(event, name)
    if not _NAME.fullmatch(value):
        raise OddShape(f"{name} is no name")
    return value


def _subject(kind: str, subject_matter: Json) -> tuple[EventSubject, str | None]:
    """What an event is about, and the id to look up.

    Our charges are PaymentIntents, so that an event about one of Stripe's charges leads to the PaymentIntent it names.
    """
    if kind.startswith("charge.dispute."):
        return EventSubject.DISPUTE, maybe_text(subject_matter, "id")
    if kind.startswith("refund.") or kind == "charge.refund.updated":
        return EventSubject.REFUND, maybe_text(subject_matter, "id")
    if kind.startswith("charge."):
        return EventSubject.CHARGE, maybe_reference(subject_matter, "payment_intent")
    if kind == "payment_intent.created":
        # A new PaymentIntent is unconfirmed, and whoever created it knows: looking it up would tell nothing.
        return EventSubject.OTHER, maybe_text(subject_matter, "id")
    if kind.startswith("payment_intent."):
        return EventSubject.CHARGE, maybe_text(subject_matter, "id")
    return EventSubject.OTHER, None
