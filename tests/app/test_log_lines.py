"""What is taken out of every line before it is written."""

import errno
import io
import logging
from uuid import UUID

import pytest
import structlog

from app.log_lines import redact
from tests.support.captured_logs import captured_logs

# Put together here, so that no tool that looks for leaked secrets takes the tests for a leak.
SECRET_KEY = "sk_" + "live_51Habc123"
TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c3JfMSJ9.c2lnbmF0dXJl-_"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"key {SECRET_KEY} used", "key [redacted] used"),
        ("rk_test_a1 pk_live_b2", "[redacted] [redacted]"),
        ("whsec_abc123", "[redacted]"),
        ("key florin_" + "live_a1B2 and florin_" + "test_c3", "key [redacted] and [redacted]"),
        ("secret pi_3Nabc_secret_xyz9 of pi_3Nabc", "secret [redacted] of pi_3Nabc"),
        (f"Authorization: Bearer {TOKEN}", "Authorization: [redacted]"),
        ("authorization: bearer abc.def", "authorization: [redacted]"),
        (f"token={TOKEN}&a=1", "token=[redacted]&a=1"),
        ("postgresql://florin:hunter2@db:5432/florin", "postgresql://[redacted]@db:5432/florin"),
        ("postgresql://:hunter2@db/florin", "postgresql://[redacted]@db/florin"),
        ("card 4242424242424242.", "card [redacted]."),
        ("card 4000 0000 0000 9995,", "card [redacted],"),
        ("card 3782-822463-10005", "card [redacted]"),
        ('{"number":4242424242424242}', '{"number":[redacted]}'),
        ("4242424242424242 and 5555555555554444", "[redacted] and [redacted]"),
        ("1 2026 4242424242424242", "[redacted]"),
    ],
)
def test_secrets_are_taken_out(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "request took 12.5 ms",
        "4242424242424241",
        "2026-11-21T12:00:00.000000Z",
        "01a1fbe9-275d-7447-9139-a68554e31caa",
        "01a1fbe9275d74479139a68554e31caa",
        "txn_01a1fbe9275d74479139a68554e31caa",
        "pi_3Nabc",
        "https://api.stripe.com/v1/charges",
        "http://127.0.0.1:8000/graphql",
        "the bearer",
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert redact(text) == text


def test_every_part_of_a_line_is_cleaned() -> None:
    with captured_logs() as logs:
        log = structlog.get_logger("tests")
        log.info(
            SECRET_KEY,
            field=SECRET_KEY,
            nested={SECRET_KEY: [SECRET_KEY, {"deep": (SECRET_KEY,)}]},
            thing=ValueError(SECRET_KEY),
            number=7,
            nothing=None,
        )
        log.error("failed", exc_info=ValueError(SECRET_KEY))
        logging.getLogger("somebody.else").warning("told %s", SECRET_KEY, extra={"more": SECRET_KEY})
    assert SECRET_KEY not in logs.text
    first, second, third = logs.lines
    assert first["event"] == "[redacted]"
    assert first["nested"] == {"[redacted]": ["[redacted]", {"deep": ["[redacted]"]}]}
    assert (first["number"], first["nothing"]) == (7, None)
    assert "ValueError: [redacted]" in second["exception"]
    assert (third["event"], third["more"], third["level"]) == ("told [redacted]", "[redacted]", "warning")


def test_an_id_stays_whole_whatever_its_digits_are() -> None:
    user_id = UUID("0000000a-4242-4242-4242-4242aaaaaaaa")
    with captured_logs() as logs:
        structlog.get_logger("tests").info("seen", actor=user_id)
    assert logs.lines[0]["actor"] == str(user_id)


def test_a_card_number_as_a_number_is_taken_out() -> None:
    with captured_logs() as logs:
        structlog.get_logger("tests").info("paid", number=4242424242424242, real=4242424242424242.0)
    assert "4242424242424242" not in logs.text


@pytest.mark.parametrize("level", ["INFO", "WARNING"])
def test_the_level_is_kept(level: str) -> None:
    with captured_logs(level) as logs:
        structlog.get_logger("tests").debug("details")
        structlog.get_logger("tests").info("news")
        structlog.get_logger("tests").warning("trouble")
    assert [line["event"] for line in logs.lines] == (["news", "trouble"] if level == "INFO" else ["trouble"])


class FullDisk(io.StringIO):
    """Takes nothing any more."""

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_cannot_be_written_stops_nothing() -> None:
    with captured_logs():
        (handler,) = logging.getLogger().handlers
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(FullDisk())
        structlog.get_logger("tests").error("there is no room for this")
