"""Documents: guarded, parsed and validated once, then kept, because clients send the same few again and again."""

import re
from collections import OrderedDict
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
    parse,
    validate,
)
from graphql.validation import specified_rules
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from api.graphql.compiled import OperationPlans, PlanCache
from api.graphql.cost import CostPlanner, Plan
from api.graphql.guards import CHARACTERS_MAX, COMMENTS_MAX, LINES_MAX, TOKENS_MAX, DocumentLimits, Measure, Size
from domain.errors import BadInput

CACHED_DOCUMENTS_MAX = 512
# Each takes another look at the document; some of them at the whole of it.
ERRORS_MAX = 5

# No type of this API takes a number of so many digits, and Python needs quadratic time to read one (CVE-2020-10735).
_HUGE_NUMBER = re.compile(r"[0-9]{1000}")
_RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that may be run: what it costs, and how many mutations with an idempotency key it holds.

    `kind` is query or mutation. `compiled` is what it is executed by once it has come a few times.
    """

    node: OperationDefinitionNode
    name: str | None
    kind: str
    plan: Plan
    mutations: int
    introspects: bool
    compiled: OperationPlans

    @property
    def is_query(self) -> bool:
        return self.node.operation is OperationType.QUERY


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document with its operations by name."""

    ast: DocumentNode
    operations: dict[str | None, Operation]

    def operation(self, name: str | None) -> Operation:
        """The operation to run. Raises BadInput where the name finds none, or is missing where there are several."""
        if name is None and len(self.operations) > 1:
            raise BadInput("The document has several operations: say in operationName which one to run.")
        found = next(iter(self.operations.values()), None) if name is None else self.operations.get(name)
        if found is None:
            raise BadInput(f"The document has no operation named {name}." if name else "The document has no operation.")
        return found


class InvalidDocument(Exception):
    """A document that does not parse, or does not fit the schema: then its errors name what is in the schema."""

    def __init__(self, errors: list[GraphQLError], *, names_schema: bool) -> None:
        super().__init__(errors)
        self.errors = errors
        self.names_schema = names_schema


class Documents:
    """Reads documents, and keeps the latest valid ones. Its size is bounded, so that nobody can fill it."""

    def __init__(self, schema: GraphQLSchema, limits: DocumentLimits, plans: PlanCache | None = None) -> None:
        self._schema = schema
        self._plans = plans or PlanCache()
        self._limits = limits
        self._cache: OrderedDict[str, Document] = OrderedDict()
        self._with_key = frozenset(_mutations_with_key(schema))

    def known(self, source: str) -> Document | None:
        """The document with this text, if it was read before: then it costs nothing."""
        document = self._cache.get(source)
        if document is not None:
            self._cache.move_to_end(source)
        return document

    def read(self, source: str) -> Document:
        """The valid document with this text. Raises InvalidDocument; BadInput for one that goes over a limit."""
        document = self._read(source)
        self._cache[source] = document
        if len(self._cache) > CACHED_DOCUMENTS_MAX:
            self._cache.popitem(last=False)
        return document

    def _read(self, source: str) -> Document:
        if len(source) > CHARACTERS_MAX:
            raise BadInput(f"The document has {len(source)} characters; {CHARACTERS_MAX} is the most.")
        # Every error says in which line it is, and counts the lines for it.
        if source.count("\n") + source.count("\r") > LINES_MAX:
            raise BadInput(f"The document has more than {LINES_MAX} lines, which is the most.")
        if _HUGE_NUMBER.search(source):
            raise BadInput("The document holds a number of more than 999 digits.")
        try:
            ast = parse(source, max_lexical_tokens=TOKENS_MAX, max_comments=COMMENTS_MAX)
        except GraphQLError as error:
            raise InvalidDocument([error], names_schema=False) from error
        except RecursionError as error:
            raise BadInput("The document is nested too deeply.") from error
        measure = Measure(ast, self._limits)
        try:
            sizes = measure.check()
            errors = validate(self._schema, ast, _RULES, max_errors=ERRORS_MAX)
        except RecursionError as error:
            raise BadInput("The document is nested too deeply.") from error
        if errors:
            raise InvalidDocument(errors, names_schema=True)
        return Document(ast, self._operations(ast, measure, sizes))

    def _operations(
        self, ast: DocumentNode, measure: Measure, sizes: dict[str | None, Size]
    ) -> dict[str | None, Operation]:
        fragments = {node.name.value: node for node in ast.definitions if isinstance(node, FragmentDefinitionNode)}
        planner = CostPlanner(self._schema, fragments)
        operations: dict[str | None, Operation] = {}
        for node in ast.definitions:
            if not isinstance(node, OperationDefinitionNode):
                continue
            name = node.name.value if node.name else None
            root_fields = [*measure.root_fields(node)]
            mutations = 0
            if node.operation is OperationType.MUTATION:
                mutations = sum(field.name.value in self._with_key for field in root_fields)
                if mutations > self._limits.mutations:
                    raise BadInput(
                        f"The operation has {mutations} mutations with an idempotency key; {self._limits.mutations} is the "
                        "most in one request, because each is an act of its own that may have to be repeated."
                    )
            operations[name] = Operation(
                node,
                name,
                node.operation.value,
                planner.plan(node, len(root_fields)),
                mutations,
                sizes[name].introspects,
                self._plans.operation(ast, node),
            )
        return operations


def _mutations_with_key(schema: GraphQLSchema) -> list[str]:
    """The mutations that act on money, or on what is said about it: those that are repeated with a key."""
    if schema.mutation_type is None:
        return []
    return [
        name
        for name, field in schema.mutation_type.fields.items()
        if any(
            isinstance(kind := get_named_type(argument.type), GraphQLInputObjectType)
            and "idempotencyKey" in kind.fields
            for argument in field.args.values()
        )
    ]
