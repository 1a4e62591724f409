"""Signing keys in a file: rotated while servers run, without a token ending before its time."""

import base64
import os
import stat
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from api.signing_keys import SigningKey
from app import signing_keys_file
from app.signing_keys_file import (
    OVERLAP_MIN,
    TOKEN_LIFETIME_MAX,
    KeysFile,
    KeysFileUnusable,
    read_keys,
    rotate,
)
from tests.support.captured_logs import captured_logs
from tests.support.clock import START
from tests.support.commands import florin

CANARY = "canary5f1c"
FIRST = base64.b64encode(b"1" * 32).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def ids_in(path: Path) -> list[str]:
    return [key.id for key in read_keys(path).keys]


def signing(path: Path, now: datetime) -> str:
    return read_keys(path).signing(now).id


def test_a_new_file_begins_with_the_keys_that_signed_so_far(path: Path) -> None:
    rotate(path, START, overlap=OVERLAP_MIN, before=[FIRST])
    first, fresh = ids_in(path)
    assert first == SigningKey.from_text(FIRST).id
    assert signing(path, START + OVERLAP_MIN - timedelta(seconds=1)) == first
    assert signing(path, START + OVERLAP_MIN) == fresh


def test_the_first_key_of_all_signs_at_once_because_there_is_no_other(path: Path) -> None:
    rotate(path, START, overlap=OVERLAP_MIN)
    assert [signing(path, START)] == ids_in(path)


def test_only_the_owner_may_read_a_new_file_and_an_old_one_keeps_its_mode(path: Path) -> None:
    rotate(path, START, overlap=OVERLAP_MIN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    rotate(path, START, overlap=OVERLAP_MIN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_an_old_key_verifies_for_as_long_as_a_token_of_it_may_live(path: Path) -> None:
    rotate(path, START, overlap=OVERLAP_MIN, before=[FIRST])
    first, second = ids_in(path)
    last_token_of_first_ends = START + OVERLAP_MIN + TOKEN_LIFETIME_MAX
    rotate(path, last_token_of_first_ends - timedelta(seconds=1), overlap=OVERLAP_MIN)
    assert ids_in(path)[:2] == [first, second]
    rotate(path, last_token_of_first_ends, overlap=OVERLAP_MIN)
    assert first not in ids_in(path)
    assert second in ids_in(path)
    assert signing(path, last_token_of_first_ends) == second


def _wait(keys: KeysFile) -> None:
    """Let the time pass until it looks at the file again."""
    keys._looked_at -= signing_keys_file.LOOK_SECONDS


def test_a_running_server_sees_a_new_key_before_it_signs(path: Path) -> None:
    rotate(path, START, overlap=OVERLAP_MIN)
    keys = KeysFile(path)
    (first,) = keys().keys
    rotate(path, START, overlap=OVERLAP_MIN)
    _wait(keys)
    assert [key.id for key in keys().keys] == ids_in(path)
    assert keys().signing(START).id == first.id


@pytest.mark.parametrize("breaking", [lambda path: path.write_text(CANARY), lambda path: path.unlink()])
def test_a_file_that_is_broken_meanwhile_changes_nothing_and_is_told_of(
    path: Path, breaking: Callable[[Path], object]
) -> None:
    rotate(path, START, overlap=OVERLAP_MIN)
    keys = KeysFile(path)
    before = keys()
    breaking(path)
    _wait(keys)
    with captured_logs() as logs:
        assert keys() is before
    assert [line["level"] for line in logs.named("signing_keys.unusable")] == ["error"]
    assert CANARY not in logs.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        CANARY,
        f"{FIRST} yesterday",
        f"{FIRST} 2026-11-24T10:00:00",
        f"{FIRST}\n{CANARY}",
        "\x00",
        "A" * 42,
    ],
)
def test_a_file_that_holds_something_else_is_refused_without_its_words(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(KeysFileUnusable) as caught:
        read_keys(path)
    assert str(path) in str(caught.value)
    assert CANARY not in str(caught.value)
    assert FIRST not in str(caught.value)
    with pytest.raises(KeysFileUnusable):
        rotate(path, START, overlap=OVERLAP_MIN)
    assert path.read_text() == text


def test_the_commands_rotate_and_list_without_a_secret(path: Path) -> None:
    environment = {"AUTH_SIGNING_KEYS_FILE": str(path), "AUTH_SIGNING_KEY": FIRST}
    rotated = florin("keys", environment, "rotate", "--overlap-minutes", "5")
    assert rotated.returncode == 0, rotated.stderr
    first, fresh = ids_in(path)
    assert rotated.stdout.startswith(f"{fresh} signs from ")
    listed = florin("keys", environment, "list")
    assert listed.stdout.splitlines()[0] == f"{first} signs"
    assert listed.stdout.splitlines()[1].startswith(f"{fresh} signs from ")
    secrets = [line.split()[0] for line in path.read_text().splitlines() if not line.startswith("#")]
    for shown in (rotated, listed):
        assert not any(secret.rstrip("=") in shown.stdout + shown.stderr for secret in secrets)


def test_without_a_file_there_is_nothing_to_rotate() -> None:
    refused = florin("keys", {"AUTH_SIGNING_KEY": FIRST}, "rotate")
    assert refused.returncode == 1
    assert refused.stderr == "florin: AUTH_SIGNING_KEYS_FILE is not set: it names the file that the keys are kept in.\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_named(path: Path) -> None:
    rotate(path, START, overlap=OVERLAP_MIN)
    path.chmod(0)
    with pytest.raises(KeysFileUnusable, match="cannot be read"):
        read_keys(path)
