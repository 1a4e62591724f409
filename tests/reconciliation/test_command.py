"""`florin reconcile` as a process, where it cannot do what was asked."""

import base64

import pytest

from tests.support.commands import florin

ENVIRONMENT = {
    "DATABASE_URL": "postgresql://florin@127.0.0.1:1/florin",
    "STRIPE_SECRET_KEY": "sk_test_unused",
    "STRIPE_WEBHOOK_SECRET": "whsec_unused",
    "STRIPE_API_BASE": "http://127.0.0.1:1",
    "AUTH_SIGNING_KEY": base64.b64encode(bytes(32)).decode(),
}


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        ("yesterday", "2026-11-24", "neither a date nor a moment"),
        ("2026-11-24", "2026-11-24", "ends after it begins"),
        ("2026-11-17T12:00:00.5Z", "2026-11-24", "whole second"),
    ],
)
def test_a_window_that_is_none_is_refused(start: str, end: str, why: str) -> None:
    ended = florin("reconcile", ENVIRONMENT, "--from", start, "--to", end)
    assert (ended.returncode, ended.stdout) == (2, "")
    # The usage error is framed, and so may be broken into lines anywhere.
    assert why.replace(" ", "") in "".join(ended.stderr.replace("│", " ").split())


def test_a_run_that_does_not_come_to_its_end_says_how_to_go_on() -> None:
    ended = florin("reconcile", ENVIRONMENT, "--from", "2026-11-17", "--to", "2026-11-18")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[-1] == "florin: The same command goes on where it stopped."


def test_settings_that_are_missing_do_not_look_like_open_discrepancies() -> None:
    ended = florin("reconcile", {}, "--from", "2026-11-17", "--to", "2026-11-18")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "florin: DATABASE_URL is not set." in ended.stderr
