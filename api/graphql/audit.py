"""The audit log."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import strawberry
from strawberry.scalars import JSON

from api.graphql.compiled import batched
from api.graphql.context import Info
from api.graphql.nodes import Node
from api.graphql.paging import Ordering
from api.graphql.users import User, users_with
from domain import ids
from domain.access import ActorKind, Capability
from domain.audit import AuditAction
from domain.audit import AuditEntry as AuditEntryRecord
from domain.ids import IdKind

OLDEST_FIRST = Ordering("audit", int)

# Why somebody decided so is written for colleagues, not for the payer.
_FOR_COLLEAGUES = frozenset({AuditAction.ATTEMPT_RESOLVED, AuditAction.REFUND_REJECTED})


@strawberry.type(description="One change of a transaction: what, by whom, when. Entries are never edited.")
class AuditEntry(Node):
    """An audit entry on the wire."""

    seen_with: ClassVar[Capability | None] = Capability.PAYMENTS_READ
    record: strawberry.Private[AuditEntryRecord]

    @strawberry.field(description="The entry's opaque global id.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.AUDIT_ENTRY, self.record.id))

    @strawberry.field(description='What happened, such as "transaction.created" or "refund.requested".')
    def action(self) -> str:
        return str(self.record.action)

    @batched(description="Who did it; null for the processor and the system, and for a user you may not see.")
    @staticmethod
    async def actor(entries: "Sequence[AuditEntry]", info: Info) -> list[User | None]:
        return await users_with(info, [each.record.actor_id for each in entries])

    @strawberry.field(description="What kind of party did it.")
    def actor_kind(self) -> ActorKind:
        return self.record.actor_kind

    @strawberry.field(description="What the action says beside: amounts in minor units, codes, the status before.")
    def details(self, info: Info) -> JSON:
        details = dict(self.record.details)
        if self.record.action in _FOR_COLLEAGUES and not info.context.may(Capability.ATTEMPTS_READ):
            details.pop("reason", None)
        return JSON(details)

    @strawberry.field(description="When it happened.")
    def at(self) -> datetime:
        return self.record.at


def audit_entry_type(record: AuditEntryRecord) -> AuditEntry:
    return AuditEntry(record=record)
