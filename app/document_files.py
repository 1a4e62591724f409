"""A frontend's documents as it keeps them: files of GraphQL, and the manifests that its tools write."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from domain.access import Capability
from domain.trusted_documents import TrustedDocument, digest_of

_SUFFIXES = frozenset({".graphql", ".gql"})
_APOLLO = "apollo-persisted-query-manifest"
_HEXADECIMAL = re.compile(r"[0-9a-f]{64}")
# A line of its own in a document: "# florin capabilities: payments:read payments:refund".
_CAPABILITIES = re.compile(r"^[ \t]*#[ \t]*florin capabilities:(.*)$", re.MULTILINE)
# The same for what it may cost: "# florin cost: 200".
_COST = re.compile(r"^[ \t]*#[ \t]*florin cost:(.*)$", re.MULTILINE)
_COST_LARGEST = 2**31 - 1
_NAME_LENGTH_MAX = 255


class DocumentsUnusable(Exception):
    """A file is not what it should be; each line names one and says what is wrong with it."""


def read_documents(folder: Path) -> list[TrustedDocument]:
    """Every document below a folder, once.

    A file that ends in .graphql or .gql is one document, its text as it stands. One that ends in .json is a manifest: Apollo's
    (`generate-persisted-query-manifest`), or an object with a hash and a text for each document, as Relay and GraphQL Code
    Generator write it. Raises DocumentsUnusable.
    """
    if not folder.is_dir():
        raise DocumentsUnusable(f"{folder} is no folder.")
    found: dict[bytes, TrustedDocument] = {}
    complaints: list[str] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            for document in _documents_in(path, str(path.relative_to(folder))):
                found.setdefault(document.digest, document)
        except (OSError, ValueError) as error:
            complaints.append(f"{path}: {error}")
    if complaints:
        raise DocumentsUnusable("\n".join(complaints))
    return list(found.values())


def _documents_in(path: Path, name: str) -> Iterator[TrustedDocument]:
    if path.suffix in _SUFFIXES:
        yield _document(name, path.read_bytes().decode())
    elif path.suffix == ".json":
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it is no manifest.")
        if content.get("format") == _APOLLO:
            yield from (
                _from_manifest(each.get("id"), each.get("body"), each.get("name")) for each in _entries(content)
            )
        else:
            yield from (_from_manifest(digest, text, name) for digest, text in content.items())


# What a manifest holds is known only once it has been looked at, here and below.
def _entries(content: dict[str, object]) -> Iterator[dict[str, object]]:
    entries = content.get("operations")
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise ValueError("its operations are no list of objects.")
    yield from entries


def _from_manifest(digest: object, text: object, name: object) -> TrustedDocument:
    if not isinstance(digest, str) or not isinstance(text, str) or not _HEXADECIMAL.fullmatch(digest):
        raise ValueError("it is no manifest: every document has a SHA-256 in hexadecimal digits and a text.")
    document = _document(name if isinstance(name, str) else digest, text)
    if document.digest.hex() != digest:
        raise ValueError(f"{digest} is not the SHA-256 of its text.")
    return document


def _document(name: str, text: str) -> TrustedDocument:
    told = _CAPABILITIES.search(text)
    capabilities = None
    if told is not None:
        try:
            capabilities = frozenset(Capability(each) for each in told[1].replace(",", " ").split())
        except ValueError as error:
            raise ValueError(f"{error}; docs/access.md has the names.") from None
    return TrustedDocument(
        digest=digest_of(text),
        name=name[:_NAME_LENGTH_MAX],
        text=text,
        capabilities=capabilities,
        cost_max=_cost_in(text),
    )


def _cost_in(text: str) -> int | None:
    told = _COST.search(text)
    if told is None:
        return None
    number = told[1].strip()
    if not (number.isascii() and number.isdigit() and len(number) <= 10 and 0 < int(number) <= _COST_LARGEST):
        raise ValueError("its line `florin cost` is a whole number of units.")
    return int(number)
