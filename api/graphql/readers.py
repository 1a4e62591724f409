"""Everything that GraphQL reads from, one port for each part of the domain."""

from dataclasses import dataclass

from domain.identity.api_keys import ApiKeyReader
from domain.identity.queries import IdentityReader
from domain.ledger.queries import LedgerReader
from domain.messaging.inbox import InboxReader
from domain.payments.actions import FollowUpReader
from domain.payments.attempt_queries import AttemptReader
from domain.payments.queries import DisputeReader, Reader
from domain.reconciliation.discrepancies import DiscrepancyReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The readers. Each takes the actor, or the actor's scope, with every read."""

    payments: Reader
    identity: IdentityReader
    disputes: DisputeReader
    follow_ups: FollowUpReader
    ledger: LedgerReader
    inbox: InboxReader
    discrepancies: DiscrepancyReader
    attempts: AttemptReader
    api_keys: ApiKeyReader
