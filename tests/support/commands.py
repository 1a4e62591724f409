"""Florin's commands as processes, with these settings and no others."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

FLORIN = str(Path(sys.executable).with_name("florin"))


def florin(command: str, environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command, of one word or more, to its end."""
    return subprocess.run(
        [FLORIN, *command.split(), *arguments],
        env=clean(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """These settings and no others, whatever the shell that runs the tests has set."""
    return {"PATH": os.defpath, **environment}
