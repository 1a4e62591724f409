"""What an operation costs, before it runs: an upper bound from the document and the sizes of the pages it asks for.

One unit is about what it takes to answer with one field, 20 µs. A document is looked at once; then each request only multiplies
the sizes of its pages, which may be variables. What the answer turned out to hold is counted afterwards, along the lists alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    VariableNode,
    get_named_type,
    is_list_type,
    is_non_null_type,
)

from domain.payments.queries import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX

FIELD: Final = 1
ROW: Final = 5
"""An object with an id of its own, which is read from the database."""
COUNT: Final = 20
"""A list that is counted, or an account that is added up."""
MUTATION: Final = 100
SHORT_LIST: Final = 5
"""How many items a list is taken to have that has no page size, such as the lines of a journal entry."""
INTROSPECTED_LIST: Final = 8
"""How many items a list of introspection is taken to have: a query that goes round in it costs more than one may."""

_COUNTED: Final = frozenset({"totalCount", "balance", "debits", "credits", "trialBalance"})

_META_FIELDS: Final = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}

Variables: TypeAlias = Mapping[str, Any]  # Any: whatever JSON the client sends


@dataclass(frozen=True, slots=True)
class PageSize:
    """How many items a list may have: a number, or what the first of some variables says that is not null."""

    constant: int | None
    variables: tuple[str, ...] = ()

    def of(self, variables: Variables) -> int:
        if self.constant is not None:
            return self.constant
        for name in self.variables:
            # One that is left out may have a default: the most is taken then.
            value = variables.get(name, PAGE_SIZE_MAX)
            if isinstance(value, int):
                return _within(value)
            if isinstance(value, list):
                return _within(len(value))
        return PAGE_SIZE_DEFAULT


@dataclass(slots=True)
class Plan:
    """The cost of a selection: of what is there once, and of lists whose items cost again."""

    once: int = 0
    lists: "list[ListPlan]" = field(default_factory=list)
    fixed: int | None = None
    """The whole cost, where no variable has a part in it."""

    def cost(self, variables: Variables) -> int:
        """The most that it can cost."""
        if self.fixed is not None:
            return self.fixed
        return self.once + sum(each.size.of(variables) * each.item.cost(variables) for each in self.lists)

    def actual(self, data: object) -> int:
        """What it has cost, by what the answer holds. Fields that are null or left out are counted all the same."""
        return self.actual_of([data])

    def actual_of(self, parts: Sequence[object]) -> int:
        """What it has cost for all these parts of an answer, which were selected alike."""
        return len(parts) * self.once + sum(each.actual_of(parts) for each in self.lists)


@dataclass(frozen=True, slots=True)
class ListPlan:
    """A list below a selection, by its path in the answer."""

    path: tuple[str, ...]
    item: Plan
    size: PageSize

    def actual_of(self, parents: Sequence[object]) -> int:
        """What the lists of all these parents have cost; of a page, one look at each of its levels."""
        found = parents
        for name in self.path:
            found = [each.get(name) for each in found if isinstance(each, dict)]
        lists = [each for each in found if isinstance(each, list)]
        if not self.item.lists:
            return sum(map(len, lists)) * self.item.once
        return self.item.actual_of([item for each in lists for item in each])


class CostPlanner:
    """Makes plans for the operations of one valid document."""

    def __init__(self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._schema = schema
        self._fragments = fragments

    def plan(self, operation: OperationDefinitionNode, root_fields: int) -> Plan:
        """`root_fields` is how many the operation has with its fragments written out: each is an act in a mutation."""
        root = self._schema.get_root_type(operation.operation)
        plan = Plan()
        if root is not None:
            self._select(plan, (), operation.selection_set, root, page=None)
            if operation.operation is OperationType.MUTATION:
                plan.once += MUTATION * root_fields
        return _folded(plan)

    def _select(
        self,
        plan: Plan,
        path: tuple[str, ...],
        selections: SelectionSetNode,
        kind: GraphQLNamedType,
        page: PageSize | None,
    ) -> None:
        """Add the cost of a selection to `plan`. `page` is the size of the page that `kind`, a connection, is."""
        for node in selections.selections:
            if isinstance(node, FieldNode):
                self._add(plan, path, node, kind, page)
            elif isinstance(node, InlineFragmentNode):
                self._select(plan, path, node.selection_set, self._condition(node, kind), page)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self._fragments[node.name.value]
                self._select(plan, path, fragment.selection_set, self._condition(fragment, kind), page)

    def _definition(self, kind: GraphQLNamedType, name: str) -> GraphQLField | None:
        if name in _META_FIELDS:
            return _META_FIELDS[name]
        return kind.fields.get(name) if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType) else None

    def _condition(self, node: InlineFragmentNode | FragmentDefinitionNode, kind: GraphQLNamedType) -> GraphQLNamedType:
        condition = node.type_condition
        return kind if condition is None else self._schema.type_map.get(condition.name.value, kind)

    def _add(
        self,
        plan: Plan,
        path: tuple[str, ...],
        node: FieldNode,
        kind: GraphQLNamedType,
        page: PageSize | None,
    ) -> None:
        name = node.name.value
        plan.once += COUNT if name in _COUNTED else FIELD
        definition = self._definition(kind, name)
        if definition is None or node.selection_set is None:
            return
        inner = get_named_type(definition.type)
        below = (*path, (node.alias or node.name).value)
        if _is_list(definition.type):
            if page is not None and name in {"edges", "nodes"}:
                size = page
            elif inner.name.startswith("__"):
                size = PageSize(INTROSPECTED_LIST)
            else:
                size = _size_by_ids(node)
            item = Plan(once=_row(inner))
            self._select(item, (), node.selection_set, inner, page=None)
            plan.lists.append(ListPlan(below, _folded(item), size))
            return
        if "first" in definition.args:
            self._select(plan, below, node.selection_set, inner, page=_page_size(node))
            return
        plan.once += _row(inner)
        self._select(plan, below, node.selection_set, inner, page=None)


def _folded(plan: Plan) -> Plan:
    """The plan with its cost worked out, where no variable has a part in it."""
    total = plan.once
    for each in plan.lists:
        if each.size.constant is None or each.item.fixed is None:
            return plan
        total += each.size.constant * each.item.fixed
    plan.fixed = total
    return plan


def _row(kind: GraphQLNamedType) -> int:
    """What an object costs beside its fields."""
    if isinstance(kind, GraphQLInterfaceType):
        return ROW if kind.name == "Node" else 0
    if isinstance(kind, GraphQLObjectType):
        return ROW if any(each.name == "Node" for each in kind.interfaces) else 0
    return 0


def _is_list(kind: GraphQLOutputType) -> bool:
    return is_list_type(kind.of_type if is_non_null_type(kind) else kind)


def _page_size(node: FieldNode) -> PageSize:
    """How many items a page may have: what first or last says, within what a page may be."""
    names: list[str] = []
    for argument in node.arguments or ():
        if argument.name.value not in {"first", "last"}:
            continue
        if isinstance(argument.value, IntValueNode):
            return PageSize(_within(int(argument.value.value)))
        if isinstance(argument.value, VariableNode):
            names.append(argument.value.name.value)
    return PageSize(None, tuple(names)) if names else PageSize(PAGE_SIZE_DEFAULT)


def _size_by_ids(node: FieldNode) -> PageSize:
    """How many items a list may have that is no page: as many as ids are given, else a few."""
    for argument in node.arguments or ():
        if argument.name.value == "ids":
            if isinstance(argument.value, ListValueNode):
                return PageSize(_within(len(argument.value.values)))
            if isinstance(argument.value, VariableNode):
                return PageSize(None, (argument.value.name.value,))
    return PageSize(SHORT_LIST)


def _within(size: int) -> int:
    return min(max(size, 1), PAGE_SIZE_MAX)
