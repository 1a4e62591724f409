"""The schema as it is published: complete, described, and what clients were promised."""

import subprocess
import sys
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

from api.graphiql import Example
from api.graphiql_examples import default_examples
from api.graphql.schema import schema as strawberry_schema
from domain.currencies import Currency

SCHEMA: GraphQLSchema = strawberry_schema._schema
EXPORTED = Path(__file__).parents[2] / "schema.graphql"
PAGING = {"first": "Int", "after": "String", "last": "Int", "before": "String"}

# What clients were promised: fields with their types, and arguments where a field takes some. There may be more of
# everything, never less.
PROMISED_FIELDS: dict[str, dict[str, str]] = {
    "Node": {"id": "ID!"},
    "Money": {
        "amountMinor": "BigInt!",
        "amount": "Decimal!",
        "currency": "CurrencyCode!",
        "formatted": "String!",
    },
    "Transaction": {
        "id": "ID!",
        "status": "TransactionStatus!",
        "money": "Money!",
        "capturedMoney": "Money!",
        "refundedMoney": "Money!",
        "refundableMoney": "Money!",
        "feeMoney": "Money",
        "netMoney": "Money",
        "description": "String",
        "metadata": "JSON!",
        "paymentMethod": "PaymentMethodSummary",
        "processor": "String!",
        "processorReference": "String",
        "processorStatus": "String",
        "failure": "PaymentFailure",
        "nextAction": "NextAction",
        "user": "User",
        "refunds": "RefundConnection!",
        "auditLog": "AuditEntryConnection!",
        "createdAt": "DateTime!",
        "updatedAt": "DateTime!",
    },
    "PaymentMethodSummary": {"brand": "String!", "last4": "String!", "expiryMonth": "Int!", "expiryYear": "Int!"},
    "PaymentFailure": {"code": "String!", "declineCode": "String", "message": "String!", "retryable": "Boolean!"},
    "NextAction": {"type": "NextActionType!", "redirectUrl": "String", "clientSecret": "String"},
    "AuditEntry": {
        "id": "ID!",
        "action": "String!",
        "actor": "User",
        "actorKind": "ActorKind!",
        "details": "JSON!",
        "at": "DateTime!",
    },
    "User": {
        "id": "ID!",
        "email": "String!",
        "name": "String!",
        "role": "Role!",
        "createdAt": "DateTime!",
        "transactions": "TransactionConnection!",
    },
    "Refund": {
        "id": "ID!",
        "status": "RefundStatus!",
        "money": "Money!",
        "reason": "RefundReason",
        "processorReference": "String",
        "failure": "PaymentFailure",
        "transaction": "Transaction!",
        "createdAt": "DateTime!",
    },
    "Query": {
        "node": "Node",
        "nodes": "[Node]!",
        "me": "User!",
        "transaction": "Transaction",
        "transactions": "TransactionConnection!",
        "user": "User",
    },
    "Mutation": {"createPayment": "CreatePaymentPayload!", "refund": "RefundPayload!"},
    "CreatePaymentPayload": {"transaction": "Transaction", "errors": "[UserError!]!", "replayed": "Boolean!"},
    "RefundPayload": {
        "refund": "Refund",
        "transaction": "Transaction",
        "errors": "[UserError!]!",
        "replayed": "Boolean!",
    },
    "UserError": {"code": "ErrorCode!", "message": "String!", "path": "[String!]"},
    "TransactionConnection": {
        "edges": "[TransactionEdge!]!",
        "nodes": "[Transaction!]!",
        "pageInfo": "PageInfo!",
        "totalCount": "Int",
    },
    "RefundConnection": {
        "edges": "[RefundEdge!]!",
        "nodes": "[Refund!]!",
        "pageInfo": "PageInfo!",
        "totalCount": "Int",
    },
    "AuditEntryConnection": {
        "edges": "[AuditEntryEdge!]!",
        "nodes": "[AuditEntry!]!",
        "pageInfo": "PageInfo!",
        "totalCount": "Int",
    },
    "TransactionEdge": {"node": "Transaction!", "cursor": "String!"},
    "RefundEdge": {"node": "Refund!", "cursor": "String!"},
    "AuditEntryEdge": {"node": "AuditEntry!", "cursor": "String!"},
    "PageInfo": {
        "hasNextPage": "Boolean!",
        "hasPreviousPage": "Boolean!",
        "startCursor": "String",
        "endCursor": "String",
    },
}
PROMISED_ARGUMENTS: dict[tuple[str, str], dict[str, str]] = {
    ("Money", "formatted"): {"locale": "String!"},
    ("Transaction", "refunds"): PAGING,
    ("Transaction", "auditLog"): PAGING,
    ("User", "transactions"): PAGING,
    ("Query", "node"): {"id": "ID!"},
    ("Query", "nodes"): {"ids": "[ID!]!"},
    ("Query", "transaction"): {"id": "ID!"},
    ("Query", "transactions"): {**PAGING, "filter": "TransactionFilter", "orderBy": "TransactionOrder"},
    ("Query", "user"): {"id": "ID!"},
    ("Mutation", "createPayment"): {"input": "CreatePaymentInput!"},
    ("Mutation", "refund"): {"input": "RefundInput!"},
}
PROMISED_INPUTS: dict[str, dict[str, str]] = {
    "MoneyInput": {"currency": "CurrencyCode!", "amount": "Decimal", "amountMinor": "BigInt"},
    "CreatePaymentInput": {
        "idempotencyKey": "String!",
        "money": "MoneyInput!",
        "paymentMethodId": "String!",
        "description": "String",
        "metadata": "JSON",
        "captureMethod": "CaptureMethod!",
    },
    "RefundInput": {
        "idempotencyKey": "String!",
        "transactionId": "ID!",
        "money": "MoneyInput",
        "reason": "RefundReason",
    },
    "TransactionFilter": {
        "status": "[TransactionStatus!]",
        "currency": "[CurrencyCode!]",
        "userId": "ID",
        "createdFrom": "DateTime",
        "createdTo": "DateTime",
        "minAmount": "Decimal",
        "maxAmount": "Decimal",
        "text": "String",
    },
    "TransactionOrder": {"field": "TransactionOrderField!", "direction": "OrderDirection!"},
}
PROMISED_VALUES: dict[str, set[str]] = {
    "TransactionStatus": {
        *("PENDING", "REQUIRES_ACTION", "AUTHORIZED", "COMPLETED"),
        *("PARTIALLY_REFUNDED", "REFUNDED", "FAILED", "CANCELED"),
    },
    "RefundStatus": {"PENDING", "COMPLETED", "FAILED"},
    "RefundReason": {"DUPLICATE", "FRAUDULENT", "REQUESTED_BY_CUSTOMER"},
    "CaptureMethod": {"AUTOMATIC", "MANUAL"},
    "ActorKind": {"USER", "API_KEY", "PROCESSOR", "SYSTEM"},
    "Role": {"CUSTOMER", "SUPPORT", "ADMIN"},
    "TransactionOrderField": {"CREATED_AT", "AMOUNT"},
    "OrderDirection": {"ASC", "DESC"},
    "CurrencyCode": {currency.value for currency in Currency},
    "ErrorCode": {
        *("CARD_DECLINED", "INVALID_AMOUNT", "INVALID_CURRENCY", "INVALID_PAYMENT_METHOD", "ALREADY_REFUNDED"),
        *("REFUND_EXCEEDS_REMAINING", "NOT_REFUNDABLE", "IDEMPOTENCY_KEY_REUSED", "IDEMPOTENCY_IN_PROGRESS"),
        *("PROCESSOR_UNAVAILABLE", "NOT_FOUND"),
    },
}


def test_the_exported_schema_is_current() -> None:
    current = strawberry_schema.as_str() + "\n"
    assert EXPORTED.read_text() == current, "Run `.venv/bin/florin schema > schema.graphql`."


@pytest.mark.parametrize("first", ["api.server", "api.graphql.money"])
def test_the_schema_is_the_same_whatever_is_imported_first(first: str) -> None:
    """Strawberry makes types while modules are imported; what is served was once not what was exported."""
    program = f"import {first}; from api.graphql.schema import schema; print(schema.as_str())"
    served = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert served == EXPORTED.read_text()


@pytest.mark.parametrize("name", PROMISED_FIELDS)
def test_promised_fields_exist(name: str) -> None:
    kind = _type(name)
    assert isinstance(kind, GraphQLObjectType | GraphQLInterfaceType)
    found = {field: str(definition.type) for field, definition in kind.fields.items()}
    assert PROMISED_FIELDS[name].items() <= found.items()


@pytest.mark.parametrize(("name", "field"), PROMISED_ARGUMENTS)
def test_promised_arguments_exist(name: str, field: str) -> None:
    kind = _type(name)
    assert isinstance(kind, GraphQLObjectType)
    found = {argument: str(definition.type) for argument, definition in kind.fields[field].args.items()}
    promised = PROMISED_ARGUMENTS[name, field]
    assert promised.items() <= found.items()
    # One that clients do not know must not be required of them.
    assert all(not found[argument].endswith("!") for argument in found.keys() - promised.keys())


@pytest.mark.parametrize("name", PROMISED_INPUTS)
def test_promised_inputs_exist(name: str) -> None:
    kind = _type(name)
    assert isinstance(kind, GraphQLInputObjectType)
    found = {field: str(definition.type) for field, definition in kind.fields.items()}
    assert PROMISED_INPUTS[name].items() <= found.items()
    assert all(not found[field].endswith("!") for field in found.keys() - PROMISED_INPUTS[name].keys())


@pytest.mark.parametrize("name", PROMISED_VALUES)
def test_promised_values_exist(name: str) -> None:
    kind = _type(name)
    assert isinstance(kind, GraphQLEnumType)
    assert PROMISED_VALUES[name] <= kind.values.keys()


def test_promised_defaults() -> None:
    schema = build_schema(EXPORTED.read_text())
    field = schema.type_map["CreatePaymentInput"]
    assert isinstance(field, GraphQLInputObjectType)
    # A client may leave out what has a default although its type is not nullable.
    for name, document in {
        "captureMethod": "mutation ($i: CreatePaymentInput!) { createPayment(input: $i) { replayed } }",
        "locale": "{ transactions { nodes { money { formatted } } } }",
        "orderBy": "{ transactions(orderBy: {}) { totalCount } }",
    }.items():
        assert validate(schema, parse(document)) == [], name
    assert "captureMethod: CaptureMethod! = AUTOMATIC" in EXPORTED.read_text()
    assert 'locale: String! = "en_US"' in EXPORTED.read_text()


@pytest.mark.parametrize("name", ["Transaction", "Refund", "User", "AuditEntry"])
def test_nodes_are_nodes(name: str) -> None:
    kind = _type(name)
    assert isinstance(kind, GraphQLObjectType)
    assert [interface.name for interface in kind.interfaces] == ["Node"]


def test_every_error_type_is_a_user_error() -> None:
    interface = _type("UserError")
    assert isinstance(interface, GraphQLInterfaceType)
    assert {kind.name for kind in SCHEMA.get_possible_types(interface)} == {
        "GeneralError",
        "CardDeclinedError",
        "RefundExceedsRemainingError",
    }


def test_everything_is_described() -> None:
    missing: list[str] = []
    for name, kind in SCHEMA.type_map.items():
        if name.startswith("__"):
            continue
        if not kind.description:
            missing.append(name)
        if isinstance(kind, GraphQLEnumType):
            missing += [f"{name}.{value}" for value, definition in kind.values.items() if not definition.description]
        if isinstance(kind, GraphQLInputObjectType):
            missing += [f"{name}.{field}" for field, definition in kind.fields.items() if not definition.description]
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field, output in kind.fields.items():
                if not output.description:
                    missing.append(f"{name}.{field}")
                missing += [f"{name}.{field}({arg})" for arg, given in output.args.items() if not given.description]
    assert missing == []


@pytest.mark.parametrize("example", default_examples(), ids=lambda example: example.name)
def test_graphiqls_examples_fit_the_schema(example: Example) -> None:
    document = parse(example.query)
    assert validate(SCHEMA, document) == []
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    values = get_variable_values(SCHEMA, operation.variable_definitions or (), dict(example.variables))
    assert not isinstance(values, list), values


def _type(name: str) -> GraphQLNamedType:
    kind = SCHEMA.get_type(name)
    assert kind is not None, f"The schema has no type {name}."
    return kind
