"""Runs one operation: from a request's parts to a response's parts, without a word about HTTP."""

from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import ExecutionResult, GraphQLError, OperationDefinitionNode, execute
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from api.graphql.context import Context
from api.graphql.documents import Documents, InvalidDocument, is_mutation
from api.graphql.problems import format_error
from domain.errors import BadInput
from domain.trusted_documents import DocumentDigest


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRequest:
    """The parts of a request (GraphQL over HTTP, section 5).

    `query` is empty where the request names its document by `digest` alone.
    """

    query: str
    operation_name: str | None
    variables: dict[str, Any] | None  # Any: whatever JSON the client sends
    digest: DocumentDigest | None = None


@dataclass(frozen=True, slots=True)
class OperationResponse:
    """A response's body. `executed` is False where the request failed before anything ran (no `data` then)."""

    body: dict[str, object]
    executed: bool


class MutationByGet(BadInput):
    """A GET request may only read; send a mutation by POST."""


class Executor:
    """Executes operations on a schema."""

    def __init__(self, schema: strawberry.Schema) -> None:
        self._schema = schema._schema  # noqa: SLF001  Strawberry has no public name for the graphql-core schema inside
        self._documents = Documents(self._schema)

    async def run(self, request: OperationRequest, context: Context, *, read_only: bool) -> OperationResponse:
        """Execute an operation.

        Raises MutationByGet where only reading is allowed and the operation does more, BadInput for a document that is too
        large to look at.
        """
        try:
            document = self._documents.get(request.query)
        except InvalidDocument as invalid:
            return _refused(invalid.errors, context)
        try:
            operation = document.operation(request.operation_name)
        except BadInput as error:
            return _refused([GraphQLError(error.message, original_error=error)], context)
        context.operation_name = _name(operation)
        context.operation_kind = operation.operation.value
        if read_only and is_mutation(operation):
            raise MutationByGet
        result = execute(
            self._schema,
            document.ast,
            context_value=context,
            variable_values=request.variables,
            operation_name=context.operation_name,
            executor_class=StrawberryGraphQLCoreExecutionContext,
        )
        if not isinstance(result, ExecutionResult):
            result = await result
        if result.data is None and result.errors and all(error.path is None for error in result.errors):
            return _refused(result.errors, context)
        body: dict[str, object] = {"data": result.data}
        if result.errors:
            body["errors"] = [format_error(error, context.request_id) for error in result.errors]
        return OperationResponse(body, executed=True)


def _name(operation: OperationDefinitionNode) -> str | None:
    return operation.name.value if operation.name else None


def _refused(errors: list[GraphQLError], context: Context) -> OperationResponse:
    return OperationResponse({"errors": [format_error(error, context.request_id) for error in errors]}, executed=False)
