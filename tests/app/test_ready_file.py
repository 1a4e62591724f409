"""The ready file is complete, private, and gone when the programs are."""

import json
import stat
from pathlib import Path

import pytest

from app.processes.ready_file import ready_file, write_ready_file


def test_it_is_there_from_the_moment_it_is_written_to_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ready.json"
    with ready_file(path) as write:
        assert not path.exists()
        write({"api": "http://127.0.0.1:8000", "pid": 7})
        assert json.loads(path.read_text()) == {"api": "http://127.0.0.1:8000", "pid": 7}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == []


def test_what_a_killed_run_left_behind_is_removed_first(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    write_ready_file(path, {"pid": 7})
    with ready_file(path):
        assert not path.exists()


def test_it_goes_on_failure_too(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"

    def fail() -> None:
        with ready_file(path) as write:
            write({})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not path.exists()


def test_what_cannot_be_written_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    write_ready_file(path, {"run": 1})
    with pytest.raises(TypeError):
        write_ready_file(path, {"run": object()})
    assert json.loads(path.read_text()) == {"run": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["ready.json"]
