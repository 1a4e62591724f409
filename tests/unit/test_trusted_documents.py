"""Trusted documents that were looked up: kept for a minute and no longer, so that what is removed ends on every server."""

import pytest

from api.graphql.execution import OperationRequest
from api.graphql.trusted import Admission, PersistedQueryNotFound
from domain.trusted_documents import DocumentDigest, TrustedDocument, digest_of

ME = "query Me { me { email } }"
DIGEST = digest_of(ME)
BY_HASH = OperationRequest(query="", operation_name=None, variables=None, digest=DIGEST)


class Register:
    """Documents by their hashes, with how often one was looked up."""

    def __init__(self) -> None:
        self.kept: dict[DocumentDigest, TrustedDocument] = {}
        self.asked = 0

    async def find(self, digest: DocumentDigest) -> TrustedDocument | None:
        self.asked += 1
        return self.kept.get(digest)


async def test_a_removed_document_ends_within_a_minute_also_where_it_was_run() -> None:
    register, seconds = Register(), 1000.0
    register.kept[DIGEST] = TrustedDocument(digest=DIGEST, name="me", text=ME)
    admission = Admission(register, only_trusted=True, now=lambda: seconds)
    await admission.admit(BY_HASH, None)
    register.kept.clear()
    seconds += 59
    # Running it meanwhile must not keep it alive.
    assert (await admission.admit(BY_HASH, None))[0].query == ME
    assert register.asked == 1
    seconds += 1
    with pytest.raises(PersistedQueryNotFound):
        await admission.admit(BY_HASH, None)


async def test_a_document_that_is_registered_later_is_found_at_once() -> None:
    register = Register()
    admission = Admission(register, only_trusted=True, now=lambda: 1000.0)
    for _ in range(2):
        with pytest.raises(PersistedQueryNotFound):
            await admission.admit(BY_HASH, None)
    assert register.asked == 2
    register.kept[DIGEST] = TrustedDocument(digest=DIGEST, name="me", text=ME)
    assert (await admission.admit(BY_HASH, None))[0].query == ME
