"""Documents: parsed and validated once, then kept, because clients send the same few again and again."""

import re
from collections import OrderedDict
from dataclasses import dataclass

from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode, OperationType, parse
from graphql.validation import specified_rules
from strawberry.schema.schema import validate_document

from domain.errors import BadInput

TOKENS_MAX = 2000
SOURCE_LENGTH_MAX = 100_000
CACHED_DOCUMENTS_MAX = 512

# No type of this API takes a number of so many digits, and Python needs quadratic time to read one (CVE-2020-10735).
_HUGE_NUMBER = re.compile(r"[0-9]{1000}")


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document with its operations by name."""

    ast: DocumentNode
    operations: dict[str | None, OperationDefinitionNode]

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """The operation to run. Raises BadInput where the name finds none, or is missing where there are several."""
        if name is None and len(self.operations) > 1:
            raise BadInput("The document has several operations: say in operationName which one to run.")
        found = next(iter(self.operations.values()), None) if name is None else self.operations.get(name)
        if found is None:
            raise BadInput(f"The document has no operation named {name}." if name else "The document has no operation.")
        return found


class InvalidDocument(Exception):
    """A document that does not parse or does not fit the schema."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors)
        self.errors = errors


class Documents:
    """Parses and validates documents, and keeps the latest valid ones. Its size is bounded, so that nobody can fill it."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._cache: OrderedDict[str, Document] = OrderedDict()

    def get(self, source: str) -> Document:
        """The valid document with this text. Raises InvalidDocument, or BadInput for one that is too large to look at."""
        document = self._cache.get(source)
        if document is not None:
            self._cache.move_to_end(source)
            return document
        document = self._read(source)
        self._cache[source] = document
        if len(self._cache) > CACHED_DOCUMENTS_MAX:
            self._cache.popitem(last=False)
        return document

    def _read(self, source: str) -> Document:
        if len(source) > SOURCE_LENGTH_MAX:
            raise BadInput(f"The document has {len(source)} characters; {SOURCE_LENGTH_MAX} is the most.")
        if _HUGE_NUMBER.search(source):
            raise BadInput("The document holds a number that is too large.")
        try:
            ast = parse(source, max_lexical_tokens=TOKENS_MAX)
            errors = validate_document(self._schema, ast, tuple(specified_rules))
        except GraphQLError as error:
            raise InvalidDocument([error]) from error
        except RecursionError as error:
            raise BadInput("The document is nested too deeply.") from error
        if errors:
            raise InvalidDocument(errors)
        operations = [node for node in ast.definitions if isinstance(node, OperationDefinitionNode)]
        return Document(ast, {node.name.value if node.name else None: node for node in operations})


def is_mutation(operation: OperationDefinitionNode) -> bool:
    return operation.operation is not OperationType.QUERY
