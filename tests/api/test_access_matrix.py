"""Who may ask for what: every root field, every type of object and every field of one, for everybody, out of the schema itself.

The table below is a second opinion, written by hand: a field that is not in it, or a rule that says otherwise, is red here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

import pytest
from graphql import GraphQLInputObjectType, GraphQLObjectType, get_named_type

from api.graphql.rules import node_types, rules_of
from api.graphql.schema import schema as strawberry_schema
from domain import ids
from domain.access import Capability
from domain.identity.api_keys import ApiKey
from domain.identity.key_text import digest_of, new_key, visible_part
from domain.ids import ApiKeyId, IdKind
from tests.api.application import Client, Florin, Json, Person
from tests.api.stored import store
from tests.api.test_discrepancies import record as record_discrepancy
from tests.api.test_webhook_inbox import event, receive
from tests.support.database import rows
from tests.support.documents import call, everything

SCHEMA = strawberry_schema._schema
QUERY, MUTATION = SCHEMA.query_type, SCHEMA.mutation_type
assert QUERY is not None
assert MUTATION is not None

# Callers by name; "ada" owns what there is. Who is missing in a set is refused.
EVERYBODY = frozenset({"ada", "alan", "grace", "margaret"})
STAFF = frozenset({"grace", "margaret"})
ADMINISTRATORS = frozenset({"margaret"})
OWNER_AND_STAFF = EVERYBODY - {"alan"}
CALLERS = ("anonymous", "ada", "alan", "grace", "margaret")

ANYBODY = EVERYBODY | {"anonymous"}

ROOT_FIELDS: Mapping[str, frozenset[str]] = {
    "Query.apiKeys": ADMINISTRATORS,
    "Query.attempts": STAFF,
    "Query.discrepancies": ADMINISTRATORS,
    "Query.journalEntries": STAFF,
    "Query.ledgerAccounts": STAFF,
    "Query.me": EVERYBODY,
    "Query.node": EVERYBODY,
    "Query.nodes": EVERYBODY,
    "Query.previewRefund": EVERYBODY,
    "Query.refunds": EVERYBODY,
    "Query.transaction": EVERYBODY,
    "Query.transactions": EVERYBODY,
    "Query.trialBalance": STAFF,
    "Query.user": EVERYBODY,
    "Query.users": STAFF,
    "Query.webhookEvents": ADMINISTRATORS,
    "Mutation.approveRefund": ADMINISTRATORS,
    "Mutation.capture": STAFF,
    "Mutation.createApiKey": ADMINISTRATORS,
    "Mutation.createPayment": EVERYBODY,
    "Mutation.reapplyWebhookEvent": ADMINISTRATORS,
    "Mutation.refund": EVERYBODY,
    "Mutation.rejectRefund": ADMINISTRATORS,
    "Mutation.resolveAttempt": ADMINISTRATORS,
    "Mutation.resolveDiscrepancy": ADMINISTRATORS,
    "Mutation.revokeApiKey": ADMINISTRATORS,
    "Mutation.changePassword": EVERYBODY,
    "Mutation.changeUserRole": ADMINISTRATORS,
    "Mutation.disableUser": ADMINISTRATORS,
    "Mutation.enableUser": ADMINISTRATORS,
    "Mutation.beginSecondFactor": EVERYBODY,
    "Mutation.confirmSecondFactor": EVERYBODY,
    "Mutation.disableSecondFactor": EVERYBODY,
    "Mutation.refreshSession": ANYBODY,
    "Mutation.requestEmailVerification": EVERYBODY,
    "Mutation.requestPasswordReset": ANYBODY,
    "Mutation.resetPassword": ANYBODY,
    "Mutation.revokeSession": EVERYBODY,
    "Mutation.signIn": ANYBODY,
    "Mutation.signInWithProvider": ANYBODY,
    "Mutation.signOut": ANYBODY,
    "Mutation.signOutEverywhere": EVERYBODY,
    "Mutation.signUp": ANYBODY,
    "Mutation.verifyEmail": ANYBODY,
    "Mutation.void": STAFF,
}
OBJECTS: Mapping[str, frozenset[str]] = {
    "ApiKey": ADMINISTRATORS,
    "Attempt": STAFF,
    "AuditEntry": OWNER_AND_STAFF,
    "Discrepancy": ADMINISTRATORS,
    "Dispute": OWNER_AND_STAFF,
    "JournalEntry": STAFF,
    "LedgerAccount": STAFF,
    "Refund": OWNER_AND_STAFF,
    "Transaction": OWNER_AND_STAFF,
    "User": OWNER_AND_STAFF,
    "WebhookEvent": ADMINISTRATORS,
}
WITHHELD: Mapping[str, frozenset[str]] = {
    "Recovery.attempt": STAFF,
    "Recovery.reason": STAFF,
    "RefundPreview.postings": STAFF,
    "Transaction.journalEntries": STAFF,
}

# What a key of an administrator's with one scope may do: nobody's scope is the empty text, and None is every key's.
SCOPES: Mapping[str, str | None] = {
    "Query.apiKeys": "",
    "Query.attempts": "attempts:read",
    "Query.discrepancies": "reconciliation:read",
    "Query.journalEntries": "ledger:read",
    "Query.ledgerAccounts": "ledger:read",
    "Query.me": None,
    "Query.node": None,
    "Query.nodes": None,
    "Query.previewRefund": "payments:refund",
    "Query.refunds": "payments:read",
    "Query.transaction": "payments:read",
    "Query.transactions": "payments:read",
    "Query.trialBalance": "ledger:read",
    "Query.user": None,
    "Query.users": "users:read",
    "Query.webhookEvents": "webhooks:read",
    "Mutation.approveRefund": "",
    "Mutation.capture": "payments:capture",
    "Mutation.createApiKey": "",
    "Mutation.createPayment": "payments:create",
    "Mutation.reapplyWebhookEvent": "webhooks:reapply",
    "Mutation.refund": "payments:refund",
    "Mutation.rejectRefund": "",
    "Mutation.resolveAttempt": "attempts:resolve",
    "Mutation.resolveDiscrepancy": "reconciliation:resolve",
    "Mutation.revokeApiKey": "",
    "Mutation.changePassword": "",
    "Mutation.changeUserRole": "",
    "Mutation.disableUser": "",
    "Mutation.enableUser": "",
    "Mutation.beginSecondFactor": "",
    "Mutation.confirmSecondFactor": "",
    "Mutation.disableSecondFactor": "",
    "Mutation.refreshSession": None,
    "Mutation.requestEmailVerification": "",
    "Mutation.requestPasswordReset": None,
    "Mutation.resetPassword": None,
    "Mutation.revokeSession": "",
    "Mutation.signIn": None,
    "Mutation.signInWithProvider": None,
    "Mutation.signOut": None,
    "Mutation.signOutEverywhere": "",
    "Mutation.signUp": None,
    "Mutation.verifyEmail": None,
    "Mutation.void": "payments:capture",
}
OBJECT_SCOPES: Mapping[str, str] = {
    "ApiKey": "",
    "Attempt": "attempts:read",
    "AuditEntry": "payments:read",
    "Discrepancy": "reconciliation:read",
    "Dispute": "payments:read",
    "JournalEntry": "ledger:read",
    "LedgerAccount": "ledger:read",
    "Refund": "payments:read",
    "Transaction": "payments:read",
    "User": "users:read",
    "WebhookEvent": "webhooks:read",
}

_KINDS = {
    "ApiKey": IdKind.API_KEY,
    "Attempt": IdKind.ATTEMPT,
    "AuditEntry": IdKind.AUDIT_ENTRY,
    "Discrepancy": IdKind.DISCREPANCY,
    "Dispute": IdKind.DISPUTE,
    "JournalEntry": IdKind.JOURNAL_ENTRY,
    "LedgerAccount": IdKind.LEDGER_ACCOUNT,
    "Refund": IdKind.REFUND,
    "Transaction": IdKind.TRANSACTION,
    "User": IdKind.USER,
    "WebhookEvent": IdKind.WEBHOOK_EVENT,
}
_TABLES = {
    "ApiKey": "SELECT id FROM api_keys",
    "Attempt": "SELECT id FROM attempts",
    "AuditEntry": "SELECT id FROM audit_entries",
    "Dispute": "SELECT id FROM disputes",
    "JournalEntry": "SELECT id FROM journal_entries",
    "LedgerAccount": "SELECT id FROM ledger_accounts",
    "Refund": "SELECT id FROM refunds",
    "WebhookEvent": "SELECT public_id FROM webhook_events",
}


def roots() -> dict[str, tuple[str, str, Any]]:  # Any: a field's arguments are of any type
    """Every root field with the keyword of its operation and its definition."""
    assert QUERY is not None
    assert MUTATION is not None
    found = ((f"{kind.name}.{name}", (word, name, field)) for word, kind in _operations() for name, field in _of(kind))
    # What ends the session of whoever asks comes last.
    return dict(sorted(found, key=lambda each: each[0] == "Mutation.signOut"))


def _operations() -> list[tuple[str, GraphQLObjectType]]:
    assert QUERY is not None
    assert MUTATION is not None
    return [("query", QUERY), ("mutation", MUTATION)]


def _of(kind: GraphQLObjectType) -> Any:  # Any: as above
    return kind.fields.items()


def caller(florin: Florin, name: str) -> Client:
    found: Client = getattr(florin, name)
    return found


async def refusal(who: Client, document: str) -> str | None:
    """The code with which the operation as a whole is refused; None where it is not."""
    answer = (await who.send(document)).json()
    codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
    assert len(codes) <= 1, answer
    return next(iter(codes), None)


def missing(kind: IdKind) -> str:
    return ids.encode(kind, UUID(int=0xDEAD))


async def key_with(florin: Florin, scope: Capability) -> Client:
    """A client by a key of Margaret's with one scope; stored as it is, whether or not such a key can be created."""
    text = new_key(live=False)
    record = ApiKey(
        id=ApiKeyId(florin.parts.ids.new()),
        owner_id=florin.margaret.user.id,
        name=scope,
        prefix=visible_part(text),
        scopes=frozenset({scope}),
        created_at=florin.parts.clock.now(),
    )
    async with florin.parts.units.begin() as uow:
        await uow.api_keys.add(record, digest_of(text))
    return Client(florin.http, text)


@dataclass(frozen=True, slots=True)
class Things:
    """An object of every type, by the type's name: all Ada's, as far as something can be somebody's."""

    ids: Mapping[str, str]


@pytest.fixture
async def things(florin: Florin) -> Things:
    paid = await florin.ada.paid()
    await florin.ada.refund(paid["id"], money={"currency": "USD", "amount": "1.00"})
    uuid = ids.decode_as(IdKind.TRANSACTION, paid["id"])
    await rows(
        florin.parts.engine,
        "INSERT INTO disputes (id, transaction_id, status, processor_status, processor_reference, amount, currency, reason,"
        " withdrawn, movements, created_at, updated_at) VALUES (:id, :of, 'NEEDS_RESPONSE', 'needs_response', 'dp_1', 100,"
        " 'USD', 'fraudulent', 0, 0, now(), now()) RETURNING 1",
        id=florin.parts.ids.new(),
        of=uuid,
    )
    await receive(florin, event(1))
    await key_with(florin, Capability.PAYMENTS_READ)
    # So that there is a recovery to see, and a word of it for colleagues.
    await rows(
        florin.parts.engine,
        "UPDATE attempts SET state = 'MANUAL', reason = 'for colleagues' WHERE kind = 'CHARGE' RETURNING 1",
    )
    found = {"Transaction": paid["id"], "User": florin.ada.id, "Discrepancy": await record_discrepancy(florin)}
    for name, query in _TABLES.items():
        value = (await rows(florin.parts.engine, query))[0][0]
        assert isinstance(value, UUID)
        found[name] = ids.encode(_KINDS[name], value)
    return Things(found)


def test_the_tables_above_name_everything_that_there_is() -> None:
    assert set(roots()) == set(ROOT_FIELDS) == set(SCOPES)
    assert set(node_types(SCHEMA)) == set(OBJECTS) == set(OBJECT_SCOPES) == set(_KINDS)
    assert {name for name, rule in rules_of(SCHEMA) if rule.withheld} == set(WITHHELD)
    # By which objects are refused before anything is read; the queries that find them hold the same for themselves.
    seen_with = {name: origin.seen_with for name, origin in node_types(SCHEMA).items()}
    assert seen_with == {**OBJECT_SCOPES, "ApiKey": Capability.KEYS_MANAGE, "User": None}


@pytest.mark.parametrize("name", CALLERS)
async def test_root_fields(florin: Florin, name: str) -> None:
    found = {}
    for field, (word, own_name, definition) in roots().items():
        document = f"{word} {{ {call(own_name, definition, id_=missing(IdKind.TRANSACTION))} }}"
        found[field] = await refusal(caller(florin, name), document)
    otherwise = "UNAUTHENTICATED" if name == "anonymous" else "FORBIDDEN"
    assert found == {field: None if name in allowed else otherwise for field, allowed in ROOT_FIELDS.items()}


@pytest.mark.parametrize("scope", Capability)
async def test_root_fields_by_key(florin: Florin, scope: Capability) -> None:
    who, found = await key_with(florin, scope), {}
    for field, (word, own_name, definition) in roots().items():
        document = f"{word} {{ {call(own_name, definition, id_=missing(IdKind.TRANSACTION))} }}"
        found[field] = await refusal(who, document)
    allowed = {field for field, needed in SCOPES.items() if needed in {None, scope.value}}
    assert found == {field: None if field in allowed else "FORBIDDEN" for field in SCOPES}


@pytest.mark.parametrize("scope", Capability)
async def test_objects_by_key(florin: Florin, things: Things, scope: Capability) -> None:
    """A key finds objects of its scope alone, wherever it looks."""
    who, found = await key_with(florin, scope), set()
    for kind, id_ in things.ids.items():
        selection = everything(_object(kind), id_=id_, depth=4)
        node = (await who.send(f'{{ node(id: "{id_}") {{ ... on {kind} {selection} }} }}')).json()["data"]["node"]
        # Of people a key sees at least whom it acts for, and that is not what was asked for here.
        found |= (_typenames(node) & OBJECTS.keys()) - ({"User"} if kind != "User" else set())
    assert found <= {kind for kind, needed in OBJECT_SCOPES.items() if needed == scope.value}
    for kind, id_ in things.ids.items():
        query = "query ($id: ID!) { node(id: $id) { __typename } }"
        seen, nothing = await _same_but_for_ids(who, query, id_, missing(_KINDS[kind]))
        assert (seen["data"]["node"] is not None) == (OBJECT_SCOPES[kind] == scope.value)
        assert nothing == {"data": {"node": None}}


@pytest.mark.parametrize("name", CALLERS)
async def test_objects(florin: Florin, things: Things, name: str) -> None:
    who, found = caller(florin, name), {}
    for kind, id_ in things.ids.items():
        query = "query ($id: ID!) { node(id: $id) { __typename id } nodes(ids: [$id]) { __typename id } user(id: $id) { id } }"
        seen, nothing = await _same_but_for_ids(who, query, id_, missing(_KINDS[kind]))
        if name == "anonymous":
            assert seen == nothing
            assert {error["extensions"]["code"] for error in seen["errors"]} == {"UNAUTHENTICATED"}
            continue
        assert nothing["data"] == {"node": None, "nodes": [None], "user": None}
        if seen["data"]["node"] is None:
            # Exactly as if it did not exist.
            assert seen == nothing
        else:
            assert seen["data"]["node"] == seen["data"]["nodes"][0] == {"__typename": kind, "id": id_}
            found[kind] = id_
    assert set(found) == {kind for kind, allowed in OBJECTS.items() if name in allowed}


@pytest.mark.parametrize("name", sorted(EVERYBODY))
async def test_every_field_of_every_object(florin: Florin, things: Things, name: str) -> None:
    """Whoever sees an object sees all of its fields, and what hangs on them, but for what is withheld."""
    who, held = caller(florin, name), set()
    for kind, id_ in things.ids.items():
        selection = everything(_object(kind), id_=id_, depth=4)
        node = (await who.ask(f'{{ node(id: "{id_}") {{ ... on {kind} {selection} }} }}'))["node"]
        assert (node is not None) == (name in OBJECTS[kind])
        for field, allowed in WITHHELD.items():
            for value in _values(node, *field.split(".")):
                held.add(field)
                assert (value is not None) == (name in allowed), (kind, field)
        for type_name in _typenames(node) & OBJECTS.keys() - {kind, "User"}:
            assert name in OBJECTS[type_name], (kind, type_name)
    assert held == (WITHHELD.keys() - {"RefundPreview.postings"} if name in OBJECTS["Transaction"] else set())
    preview = (
        'query ($id: ID!) { previewRefund(input: {transactionId: $id, money: {currency: USD, amount: "1"}}) '
        "{ preview { __typename postings { kind } } } }"
    )
    shown = (await who.ask(preview, {"id": things.ids["Transaction"]}))["previewRefund"]["preview"]
    if name in OBJECTS["Transaction"]:
        assert (shown["postings"] is not None) == (name in WITHHELD["RefundPreview.postings"])
    else:
        assert shown is None


@pytest.mark.parametrize("name", CALLERS)
async def test_mutations_and_previews_tell_nobody_what_exists(florin: Florin, things: Things, name: str) -> None:
    """Somebody else's object and one that does not exist are refused alike, without a trace."""
    who = caller(florin, name)
    before = await florin.traces()
    tried = 0
    for field, (word, own_name, definition) in roots().items():
        for argument, kind in _named_objects(definition):
            if kind in OBJECTS and name in OBJECTS[kind] and name in ROOT_FIELDS[field]:
                continue
            tried += 1
            answers = []
            for id_ in (things.ids[kind], missing(_KINDS[kind])):
                document = f"{word} {{ {_with_errors(call(own_name, definition, id_=id_))} }}"
                answers.append(_without_request_ids((await who.send(document)).json()))
            assert answers[0] == answers[1], (field, argument)
    assert await florin.traces() == before
    assert tried > 0 or name == "margaret"


@pytest.mark.parametrize("name", ["alan", "ada"])
async def test_lists_hold_what_is_ones_own(florin: Florin, things: Things, name: str) -> None:
    await store(florin, florin.ada)
    who = caller(florin, name)
    assert isinstance(who, Person)
    listed = (await who.ask("{ transactions { totalCount nodes { user { id } } } }"))["transactions"]
    assert {node["user"]["id"] for node in listed["nodes"]} <= {who.id}
    assert listed["totalCount"] == len(listed["nodes"]) == (2 if name == "ada" else 0)
    filtered = await who.ask(
        "query ($id: ID!) { transactions(filter: {userId: $id}) { totalCount } }", {"id": florin.ada.id}
    )
    assert filtered["transactions"]["totalCount"] == (2 if name == "ada" else 0)
    assert things.ids["User"] == florin.ada.id


def _object(name: str) -> GraphQLObjectType:
    kind = SCHEMA.get_type(name)
    assert isinstance(kind, GraphQLObjectType)
    return kind


def _named_objects(field: Any) -> list[tuple[str, str]]:  # Any: as above
    """The ids that a field takes, with the type whose objects they name."""
    found = []
    for definition in field.args.values():
        kind = get_named_type(definition.type)
        if isinstance(kind, GraphQLInputObjectType):
            found += [
                (name, name.removesuffix("Id")[0].upper() + name.removesuffix("Id")[1:])
                for name, each in kind.fields.items()
                if str(each.type) == "ID!"
            ]
    return [(name, kind) for name, kind in found if kind in OBJECTS]


def _with_errors(call_: str) -> str:
    return call_.removesuffix("{ __typename }") + "{ errors { code message path } }"


async def _same_but_for_ids(who: Client, query: str, *id_s: str) -> list[Json]:
    return [_without_request_ids((await who.send(query, {"id": id_})).json()) for id_ in id_s]


def _without_request_ids(answer: Json) -> Json:
    for error in answer.get("errors", ()):
        del error["extensions"]["requestId"]
    return answer


def _values(node: object, kind: str, field: str) -> list[object]:
    """What stands in this field of every object of this type below."""
    if isinstance(node, list):
        return list(chain.from_iterable(_values(each, kind, field) for each in node))
    if not isinstance(node, dict):
        return []
    own = [node[field]] if node.get("__typename") == kind and field in node else []
    return own + list(chain.from_iterable(_values(each, kind, field) for each in node.values()))


def _typenames(node: object) -> set[str]:
    if isinstance(node, list):
        return set().union(*(_typenames(each) for each in node))
    if not isinstance(node, dict):
        return set()
    own = {node["__typename"]} if "__typename" in node and len(node) > 1 else set()
    return own.union(*(_typenames(each) for each in node.values()))
