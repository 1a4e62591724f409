"""The ready file: how a program that starts `florin dev` learns that it is up, and where."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def ready_file(path: Path) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """Keep a ready file's place for the time of the block, which gets the function that writes the file.

    Nothing is there at first, even if an earlier run was killed and could not remove its own, and nothing afterwards.
    """
    path.unlink(missing_ok=True)
    try:
        yield lambda contents: write_ready_file(path, contents)
    finally:
        path.unlink(missing_ok=True)


def write_ready_file(path: Path, contents: Mapping[str, object]) -> None:
    """Write `contents` as JSON, readable by this user alone because addresses in it may carry passwords.

    The file appears complete or not at all: whoever waits for it may read it as soon as it exists. Raises OSError when
    it cannot be written, and TypeError for what JSON does not know.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp creates with mode 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(dict(contents), file, indent=2)
            file.write("\n")
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
