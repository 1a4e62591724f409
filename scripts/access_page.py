"""docs/access.md: who may see and do what, out of the table that decides it."""

from collections.abc import Iterator

from api.graphql.rules import Rule, node_types, rules_of
from api.graphql.schema import schema
from domain.access import FOR_PEOPLE_ALONE, MEANINGS, ROLES, Capability
from scripts.tables import table

SCHEMA = schema._schema  # noqa: SLF001  Strawberry has no public name for the graphql-core schema inside

_PAGE = """\
# Who may see and do what

Every request acts for a user, whose role is read from the database each time. What a role allows is named by *capabilities*;
whose objects they are about is the role's *reach*. Both stand in one table in the code (`ROLES` in `domain/access.py`), out
of which this page is written.

{roles}

The reach is a condition inside every query, so that no code can forget it. An object that you may not see looks exactly like one
that does not exist: null where it is asked for by its id, `NOT_FOUND` where something is to be done with it. Asking for
something that takes a capability which you do not have is answered with `FORBIDDEN`, without credentials with
`UNAUTHENTICATED`.

## API keys

A program shows an API key where a person shows an access token:

```
Authorization: Bearer florin_live_...
```

It acts for the user who owns it, and can do what is both in its scopes and among its owner's capabilities, at the moment of
the request: an owner who becomes a customer takes the keys along. {alone} are for people alone, and no key
can have them. Administrators create keys of their own (`createApiKey`), see everybody's (`apiKeys`) and revoke them
(`revokeApiKey`); whoever runs the server makes one for any user:

```
florin api-keys create ops@example.com --name "night batch" --scope payments:read --scope payments:refund --days 90
florin api-keys list
florin api-keys revoke key_0190...
```

A key is shown once. What is stored is its SHA-256, its first characters, by which people tell keys apart, and when it was last
used, to the minute. A key has 256 random bits, so that there is nothing to guess, and no slow hash is needed. It is looked up
together with its owner in one statement at each request: one that is revoked or expired is refused from the next request on,
by every process ([why so](decisions/0014-api-keys-are-looked-up-each-time.md)).

Its form is `florin_live_` or `florin_test_`, 43 characters of `0-9A-Za-z`, and 6 more that are the CRC-32 of all before, as a
number in base 62 with the digits in that order. Programs that look for leaked secrets can tell one by the expression
`florin_(live|test)_[0-9A-Za-z]{{49}}` and that checksum. A key works only on servers of its mode, which is that of
`STRIPE_SECRET_KEY`: one for tests moves no real money, however it got about. What an API key does is in the audit log as done by
`API_KEY`, with the key's id in the details and its owner as the actor.

## Refunds that wait

With `REFUND_APPROVAL_ABOVE` ([settings](settings.md)), a refund of more than that waits as `PENDING_APPROVAL` where it is asked
for by somebody who gives back other people's money and may not approve: the support, and every API key of staff. Refunds of one
payment are added up, so that a large one cannot be made of small ones; a currency that the setting does not name always waits.
Customers do not wait, and neither do administrators in person. `previewRefund` tells `needsApproval`, and
`Transaction.actions` up to how much is done at once.

The money of a refund that waits is set aside, and nothing is sent to the processor. A second person with `refunds:approve`
decides (`approveRefund`, `rejectRefund`; `refunds(filter: {{needsApproval: true}})` lists what waits): never who asked for it, in
person or by an API key, and never whose payment it is. Both are audited. While a payment is disputed its refund cannot be
approved. A refund that was made at the processor itself comes first: where both do not fit into what was captured, the one that
waits is `REJECTED` ([why so](decisions/0015-refunds-that-wait-claim-their-money.md)).

## Trusted documents

A frontend asks the same few documents again and again. `florin documents sync FOLDER` registers them by the SHA-256 of their
text, and with `TRUSTED_DOCUMENTS_ONLY` customers and anonymous callers can run nothing else: whatever an attacker thinks up is
refused with `DOCUMENT_NOT_TRUSTED` before it is even parsed. Staff, in person or by an API key, run what they like.

```
MIGRATION_DATABASE_URL=postgresql://florin:...@db/florin florin documents sync frontend/documents
```

takes every `.graphql` and `.gql` file below the folder as one document, its text as it stands, and every `.json` file as a
manifest: Apollo's (`generate-persisted-query-manifest`), or an object of hashes and texts, as Relay and GraphQL Code Generator
write it. All must fit the schema, or nothing is registered. What was registered stays, because older frontends are still
about; `--prune` removes what is not in the folder, which a running server notices within a minute. It works as the role that
owns the tables: the application can read the register and not add to it.

A request names a document in either of the two usual ways, and may leave `query` out:

```
{{"extensions": {{"persistedQuery": {{"version": 1, "sha256Hash": "..."}}}}, "variables": {{}}}}
{{"documentId": "sha256:...", "variables": {{}}}}
```

A hash that is not registered is answered with `PERSISTED_QUERY_NOT_FOUND`. Sending the text along does not register it, as
it would with automatic persisted queries: that would let everybody register what they like.

A document may be given capabilities and a cost of its own, each by a line of its text:

```
# florin capabilities: payments:read payments:refund
# florin cost: 200
```

The cost is the most that one run may come to, in [units](limits.md), more or less than `QUERY_COST_MAX`; it is taken from the
same budget as all else. Whoever runs the document has no other capabilities meanwhile, and never more than their own. One
that needs a capability which it does not name is not registered, so
that a review of that line is a review of what the document can do.

## Fields

A field of `Query` or `Mutation` is refused to whoever lacks what stands beside it here. The rule stands beside the field in the
code too, and a schema with a field that has none is not served (`api/graphql/rules.py`).

{fields}

## Objects

With these an object is seen, wherever it is found: in a list, beside another object, or by its id (`node`).

{objects}

Fields of objects that you see, which are null for you all the same unless you have the capability:

{withheld}
"""


def access_page() -> str:
    rules = dict(rules_of(SCHEMA))
    roots = ((f"`{name}`", _needed(rule)) for name, rule in sorted(rules.items()) if not rule.withheld)
    withheld = ((f"`{name}`", f"`{rule.capability}`") for name, rule in sorted(rules.items()) if rule.withheld)
    objects = (
        (f"`{name}`", f"`{kind.seen_with}`" if kind.seen_with else "oneself; `users:read` for others")
        for name, kind in sorted(node_types(SCHEMA).items())
    )
    return _PAGE.format(
        roles=_roles(),
        alone=", ".join(f"`{capability}`" for capability in sorted(FOR_PEOPLE_ALONE)),
        fields=table(("Field", "Takes"), roots),
        objects=table(("Type", "Seen with"), objects),
        withheld=table(("Field", "Takes"), withheld),
    )


def _needed(rule: Rule) -> str:
    if rule.anonymous:
        return "nothing"
    if rule.in_person:
        return "an access token, in person"
    return "credentials" if rule.capability is None else f"`{rule.capability}`"


def _roles() -> str:
    head = ("Capability", *(role.value for role in ROLES), "Allows")
    reach = ("*reach*", *(rights.reach.value for rights in ROLES.values()), "Whose objects it is about.")
    return table(head, [reach, *_rows()])


def _rows() -> Iterator[tuple[str, ...]]:
    for capability in Capability:
        marks = ("yes" if capability in rights.capabilities else "" for rights in ROLES.values())
        yield (f"`{capability}`", *marks, MEANINGS[capability])
