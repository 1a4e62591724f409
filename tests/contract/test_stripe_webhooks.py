"""StripeWebhookVerifier takes what Stripe signed lately, and nothing else.

The messages are signed by Stripe's own library, so that the scheme under test is not the one that made them.
"""

import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.messaging.webhook_events import EventSubject, InvalidSignature, WebhookEvent
from gateways.stripe.events import StripeWebhookVerifier

# How long an example takes depends on who else uses the machine.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SECRET = "whsec_current"
OLDER = "whsec_older"
SIGNED_AT = 1_790_000_000
NOW = datetime.fromtimestamp(SIGNED_AT, UTC)
EVENT: dict[str, object] = {
    "id": "evt_1",
    "object": "event",
    "type": "payment_intent.succeeded",
    "livemode": False,
    "created": SIGNED_AT - 1,
    "data": {"object": {"id": "pi_1", "object": "payment_intent", "description": "Tee für zwei"}},
}
BODY = json.dumps(EVENT, ensure_ascii=False).encode()


def sign(body: bytes = BODY, *, secret: str = SECRET, at: int = SIGNED_AT) -> str:
    header = stripe.WebhookSignature.generate_signature_header(body.decode("utf-8"), secret, at)
    assert isinstance(header, str)
    return header


def verify(
    body: bytes = BODY,
    signatures: Sequence[str] | None = None,
    *,
    secrets: Sequence[str] = (SECRET,),
    now: datetime = NOW,
) -> WebhookEvent:
    return StripeWebhookVerifier(secrets).verify(body, [sign(body)] if signatures is None else signatures, now=now)


def verify_event(**changes: object) -> WebhookEvent:
    return verify(json.dumps({name: value for name, value in (EVENT | changes).items() if value is not ...}).encode())


def test_a_message_of_stripes_is_read() -> None:
    event = verify()
    assert event == WebhookEvent(
        id="evt_1",
        type="payment_intent.succeeded",
        subject=EventSubject.CHARGE,
        reference="pi_1",
        live=False,
        created_at=NOW - timedelta(seconds=1),
        body=BODY,
    )


def test_live_events_say_so() -> None:
    assert verify_event(livemode=True).live


def test_an_event_without_a_date_has_that_of_its_signature() -> None:
    assert verify_event(created=...).created_at == NOW


# The signature.


def test_no_byte_of_the_body_may_change() -> None:
    signature = sign()
    for position in range(len(BODY)):
        changed = bytearray(BODY)
        changed[position] ^= 1
        with pytest.raises(InvalidSignature):
            verify(bytes(changed), [signature])


@pytest.mark.parametrize("body", [BODY + b"\n", b" " + BODY, BODY[:-1], b"", BODY + BODY])
def test_nothing_may_be_added_or_left_out(body: bytes) -> None:
    with pytest.raises(InvalidSignature):
        verify(body, [sign()])


def test_no_character_of_the_signature_may_change() -> None:
    timestamp, _, proof = sign().partition(",v1=")
    for position, digit in enumerate(proof):
        changed = proof[:position] + ("0" if digit != "0" else "1") + proof[position + 1 :]
        with pytest.raises(InvalidSignature):
            verify(signatures=[f"{timestamp},v1={changed}"])


def test_the_timestamp_is_signed_too() -> None:
    with pytest.raises(InvalidSignature):
        verify(signatures=[sign().replace(f"t={SIGNED_AT}", f"t={SIGNED_AT + 1}")])


def test_another_secret_does_not_do() -> None:
    with pytest.raises(InvalidSignature):
        verify(signatures=[sign(secret="whsec_other")])


def test_during_a_rotation_both_secrets_do() -> None:
    for secret in (SECRET, OLDER):
        assert verify(signatures=[sign(secret=secret)], secrets=[SECRET, OLDER]).id == "evt_1"
    with pytest.raises(InvalidSignature):
        verify(signatures=[sign(secret="whsec_other")], secrets=[SECRET, OLDER])


def test_one_header_may_hold_the_signatures_of_both_secrets() -> None:
    """During a rotation Stripe signs with each secret, and sends both signatures in one header."""
    older = sign(secret=OLDER).partition(",")[2]
    assert verify(signatures=[f"{sign()},{older}"]).id == "evt_1"
    assert verify(signatures=[f"t={SIGNED_AT},{older},{sign().partition(',')[2]}"]).id == "evt_1"


def test_unknown_schemes_are_passed_over() -> None:
    assert verify(signatures=[f"{sign()},v0={'0' * 64},v9=x"]).id == "evt_1"


PROOF = sign().partition(",v1=")[2]
HEADERS: dict[str, list[str]] = {
    "none": [],
    "empty": [""],
    "two": [sign(), sign()],
    "one good, one bad": [sign(), "t=1,v1=0"],
    "two joined": [f"{sign()}, {sign()}"],
    "v0 only": [f"t={SIGNED_AT},v0={PROOF}"],
    "no timestamp": [f"v1={PROOF}"],
    "no signature": [f"t={SIGNED_AT}"],
    "empty signature": [f"t={SIGNED_AT},v1="],
    "two timestamps": [f"t={SIGNED_AT},t={SIGNED_AT},v1={PROOF}"],
    "empty timestamp": [f"t=,v1={PROOF}"],
    "negative timestamp": [f"t=-{SIGNED_AT},v1={PROOF}"],
    "signed timestamp": [f"t=+{SIGNED_AT},v1={PROOF}"],
    "spaced timestamp": [f"t= {SIGNED_AT},v1={PROOF}"],
    "fractional timestamp": [f"t={SIGNED_AT}.0,v1={PROOF}"],
    "other digits": [f"t={str(SIGNED_AT).translate({ord('1'): '١'})},v1={PROOF}"],
    "huge timestamp": [f"t={'9' * 5000},v1={PROOF}"],
    "upper-case signature": [f"t={SIGNED_AT},v1={PROOF.upper()}"],
    "no ASCII": [f"t={SIGNED_AT},v1={'é' * 64}"],
    "lone surrogate": [f"t={SIGNED_AT},v1=\udcff"],
    "NUL": [f"t={SIGNED_AT}\x00,v1={PROOF}"],
    "no pairs": ["signature"],
    "only commas": [",,,"],
}


@pytest.mark.parametrize("signatures", HEADERS.values(), ids=HEADERS.keys())
def test_headers_that_prove_nothing(signatures: list[str]) -> None:
    with pytest.raises(InvalidSignature):
        verify(signatures=signatures)


@UNHURRIED
@given(st.text())
def test_any_text_as_a_header_is_refused_in_one_way(header: str) -> None:
    with pytest.raises(InvalidSignature):
        verify(signatures=[header])


@pytest.mark.parametrize(("age_seconds", "fresh"), [(0, True), (300, True), (301, False), (-10, True), (-11, False)])
def test_a_message_is_taken_for_five_minutes(age_seconds: int, fresh: bool) -> None:
    now = NOW + timedelta(seconds=age_seconds)
    if fresh:
        assert verify(now=now).id == "evt_1"
    else:
        with pytest.raises(InvalidSignature):
            verify(now=now)


@pytest.mark.parametrize("at", [0, 1, 999_999_999_999])
def test_timestamps_far_away_are_refused(at: int) -> None:
    with pytest.raises(InvalidSignature):
        verify(signatures=[sign(at=at)])


# The body, under a signature that is right.

BODIES: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"payment_intent.succeeded",
    "cut off": BODY[:-1],
    "a list": b"[]",
    "a text": b'"evt_1"',
    "a number": b"1",
    "null": b"null",
    "an empty object": b"{}",
    "byte order mark": "\ufeff".encode() + BODY,
    "nested too deep": b"[" * 200_000,
    "a number too long": b'{"id": ' + b"9" * 5_000 + b"}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_signed_bodies_that_are_no_event(body: bytes) -> None:
    with pytest.raises(InvalidSignature):
        verify(body)


@pytest.mark.parametrize(
    "body", [BODY.replace("ü".encode(), b"\xfc"), b"\xff", BODY.decode().encode("utf-16"), b"\xed\xa0\x80"]
)
def test_a_signed_body_that_is_no_utf_8(body: bytes) -> None:
    proof = hmac.new(SECRET.encode(), f"{SIGNED_AT}.".encode() + body, "sha256").hexdigest()
    with pytest.raises(InvalidSignature):
        verify(body, [f"t={SIGNED_AT},v1={proof}"])


CHANGES: dict[str, dict[str, object]] = {
    "no id": {"id": ...},
    "null id": {"id": None},
    "empty id": {"id": ""},
    "id as number": {"id": 1},
    "NUL in the id": {"id": "evt_\x00"},
    "surrogate in the id": {"id": "evt_\ud800"},
    "line break in the id": {"id": "evt_1\n"},
    "long id": {"id": "e" * 256},
    "no type": {"type": ...},
    "NUL in the type": {"type": "payment_intent.\x00"},
    "type as list": {"type": ["payment_intent.succeeded"]},
    "no data": {"data": ...},
    "data as list": {"data": []},
    "no object": {"data": {}},
    "null object": {"data": {"object": None}},
    "object as text": {"data": {"object": "pi_1"}},
    "NUL in the reference": {"data": {"object": {"id": "pi_\x00"}}},
    "a path as reference": {"data": {"object": {"id": "../refunds"}}},
    "livemode as text": {"livemode": "false"},
    "a date no calendar has": {"created": 10**15},
    "a date past all numbers": {"created": 10**30},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_signed_events_that_are_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidSignature):
        verify_event(**changes)


@UNHURRIED
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_signed_json_is_an_event_or_refused(value: object) -> None:
    for body in (value, EVENT | {"data": value}, EVENT | {"id": value}, EVENT | {"created": value}):
        try:
            verify(json.dumps(body).encode())
        except InvalidSignature:
            continue


# What an event is about.


@pytest.mark.parametrize(
    ("kind", "matter", "subject", "reference"),
    [
        ("payment_intent.created", {"id": "pi_1"}, EventSubject.OTHER, "pi_1"),
        ("payment_intent.payment_failed", {"id": "pi_1"}, EventSubject.CHARGE, "pi_1"),
        ("payment_intent.a_type_of_next_year", {"id": "pi_1"}, EventSubject.CHARGE, "pi_1"),
        ("charge.succeeded", {"id": "ch_1", "payment_intent": "pi_1"}, EventSubject.CHARGE, "pi_1"),
        ("charge.refunded", {"id": "ch_1", "payment_intent": {"id": "pi_1"}}, EventSubject.CHARGE, "pi_1"),
        ("charge.updated", {"id": "ch_1", "payment_intent": None}, EventSubject.CHARGE, None),
        ("charge.refund.updated", {"id": "re_1", "payment_intent": "pi_1"}, EventSubject.REFUND, "re_1"),
        ("refund.created", {"id": "re_1"}, EventSubject.REFUND, "re_1"),
        ("refund.failed", {"id": "re_1"}, EventSubject.REFUND, "re_1"),
        ("charge.dispute.created", {"id": "dp_1", "payment_intent": "pi_1"}, EventSubject.DISPUTE, "dp_1"),
        ("charge.dispute.closed", {"id": "dp_1"}, EventSubject.DISPUTE, "dp_1"),
        ("balance.available", {"object": "balance"}, EventSubject.OTHER, None),
        ("customer.created", {"id": "cus_1"}, EventSubject.OTHER, None),
    ],
)
def test_subjects(kind: str, matter: dict[str, object], subject: EventSubject, reference: str | None) -> None:
    event = verify_event(type=kind, data={"object": matter})
    assert (event.type, event.subject, event.reference) == (kind, subject, reference)


# The secrets.


@pytest.mark.parametrize("secrets", [[], [""], ["  "], [SECRET, ""], [SECRET, "\n"], SECRET])
def test_anyone_can_sign_with_an_empty_key(secrets: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="at least one secret"):
        StripeWebhookVerifier(secrets)


def test_secrets_are_not_printed() -> None:
    assert SECRET not in repr(StripeWebhookVerifier([SECRET]))
