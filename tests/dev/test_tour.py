"""The tour that README.md shows is the one that is taken."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.development import Development

pytestmark = pytest.mark.xdist_group("florin_dev")

ROOT = Path(__file__).parents[2]
TOUR = ROOT / "scripts" / "tour.py"
_BLOCK = re.compile(r"<!-- tour -->\n```\w*\n(.*?)```\n<!-- /tour -->", re.DOTALL)


def test_the_readme_shows_what_the_tour_prints(florin_dev: Development) -> None:
    assert florin_dev.ready
    taken = take_tour("--ready-file", str(florin_dev.ready_file))
    assert taken.returncode == 0, taken.stderr
    shown = _BLOCK.search((ROOT / "README.md").read_text())
    assert shown is not None, "README.md has no block for the tour"
    assert normalized(taken.stdout) == normalized(shown[1])


def test_the_tour_ends_with_a_reason_when_a_step_does_not_hold(florin_dev: Development) -> None:
    url = florin_dev.ready["graphql_url"]
    taken = take_tour("--graphql-url", url, "--token", "nobodys")
    assert (taken.returncode, taken.stdout) == (1, "\n1. Who am I?\n")
    [line] = taken.stderr.splitlines()
    assert line.startswith(f"tour: {url} answered ")


def test_without_a_ready_file_it_says_what_to_start(tmp_path: Path) -> None:
    taken = take_tour("--ready-file", str(tmp_path / "ready.json"))
    assert taken.returncode == 1
    assert "florin dev" in taken.stderr
    assert taken.stderr.count("\n") == 1


def take_tour(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOUR), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def normalized(output: str) -> str:
    """What is the same on every run: ids and ports are not, nor whether the answer or its webhook came first."""
    output = re.sub(r"\b(txn|src)_\w+", r"\1_...", output)
    output = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:...", output)
    output = re.sub(r"by its (?:response|webhook)", "by its ...", output)
    return output.strip()
