"""Trusted documents: requests that name a document by its hash, and who may run any other.

Both forms that clients send are taken: `extensions.persistedQuery` as Apollo's clients do (version 1, with `sha256Hash`), and
`documentId: "sha256:..."` of GraphQL over HTTP's appendix on persisted documents. Unlike with Apollo's "automatic" ones nobody
registers a document by sending it: that is done by `florin documents sync`, before.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from api.graphql.execution import OperationRequest
from domain.access import Actor
from domain.errors import BadInput, RequestError
from domain.trusted_documents import DocumentDigest, TrustedDocument, TrustedDocuments, digest_of

_HEXADECIMAL = re.compile(r"[0-9a-f]{64}")
_PREFIX = "sha256:"
_KEPT_SECONDS = 60.0
"""For so long a document is still run that was removed from the register."""
_KEPT_MAX = 1000


class PersistedQueryNotFound(RequestError):
    """No document is registered under this hash. Sending its text does not register it."""

    code = "PERSISTED_QUERY_NOT_FOUND"


class DocumentNotTrusted(RequestError):
    """Only registered documents may be run here; staff may run any."""

    code = "DOCUMENT_NOT_TRUSTED"


def digest_in(content: Mapping[str, Any]) -> DocumentDigest | None:  # Any: whatever JSON the client sends
    """The hash by which a request names its document; None where it names none. Raises BadInput for what is none."""
    document_id, extensions = content.get("documentId"), content.get("extensions")
    persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    if document_id is None and persisted is None:
        return None
    if document_id is not None and persisted is not None:
        raise BadInput("Give documentId or extensions.persistedQuery, not both.")
    if document_id is not None:
        wrong = 'documentId is "sha256:" and 64 lower-case hexadecimal digits.'
        named = isinstance(document_id, str) and document_id.startswith(_PREFIX)
        text = document_id[len(_PREFIX) :] if named else None
    else:
        wrong = "extensions.persistedQuery is {version: 1, sha256Hash: 64 lower-case hexadecimal digits}."
        text = None
        if isinstance(persisted, dict) and persisted.get("version") == 1:
            text = persisted.get("sha256Hash")
    if not isinstance(text, str) or not _HEXADECIMAL.fullmatch(text):
        raise BadInput(wrong)
    return DocumentDigest(bytes.fromhex(text))


class Admission:
    """Finds the document that is to be run, and refuses one that may not be. `only_trusted` is a setting."""

    def __init__(
        self, documents: TrustedDocuments, *, only_trusted: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`now` tells seconds, by which what was looked up grows old."""
        self._documents = documents
        self._only_trusted = only_trusted
        self._now = now
        self._kept: OrderedDict[DocumentDigest, tuple[TrustedDocument, float]] = OrderedDict()

    async def admit(self, request: OperationRequest, actor: Actor | None) -> tuple[OperationRequest, Actor | None]:
        """The request with its document's text, and who runs it, and within what cost and capabilities.

        Raises PersistedQueryNotFound, DocumentNotTrusted, and BadInput where text and hash are not of one document.
        """
        digest = request.digest
        if digest is None:
            if not self._only_trusted or (actor is not None and actor.reach.owner is None):
                return request, actor
            # The text of a registered document is that document.
            document = await self._find(digest_of(request.query))
            if document is None:
                raise DocumentNotTrusted
        else:
            if request.query and digest_of(request.query) != digest:
                raise BadInput("The hash is not that of query.")
            document = await self._find(digest)
            if document is None:
                raise PersistedQueryNotFound
        if actor is not None and document.capabilities is not None:
            actor = replace(actor, within=document.capabilities)
        return replace(request, query=document.text, cost_max=document.cost_max), actor

    async def _find(self, digest: DocumentDigest) -> TrustedDocument | None:
        now = self._now()
        kept = self._kept.get(digest)
        if kept is not None and now - kept[1] < _KEPT_SECONDS:
            return kept[0]
        found = await self._documents.find(digest)
        self._kept.pop(digest, None)
        if found is not None:
            self._kept[digest] = (found, now)
            if len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)
        return found
