"""How large a document may be, looked at before it is validated, because validation itself can be made to take minutes.

A fragment is measured once, however often it is spread: what a document comes to when all its fragments are written out is known
after one look at each of its nodes, and whatever goes over a limit ends the look. The rules of graphql-core that come next
compare fields with fields; their work is bounded by the fields that are written out and by how often one of them is repeated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

from domain.errors import BadInput

# These bound the reading of the text, and are passed to the parser or looked for before it.
CHARACTERS_MAX: Final = 50_000
LINES_MAX: Final = 5_000
COMMENTS_MAX: Final = 1_000
TOKENS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLimits:
    """The most that a document may hold, with every fragment written out wherever it is spread.

    `selections` counts fields and fragments alike; `depth` is the number of fields inside of each other; the directives are
    those on one node and all of them; `repetitions` is how often one name may be asked for in one place;
    `mutations` is how many mutations with an idempotency key, which are those that act on money, one request may hold.
    """

    depth: int = 16
    selections: int = 1_000
    aliases: int = 30
    directives: int = 30
    directives_in_one_place: int = 4
    root_fields: int = 20
    repetitions: int = 20
    operations: int = 25
    mutations: int = 1


@dataclass(frozen=True, slots=True)
class Size:
    """What a part of a document comes to, with its fragments written out."""

    depth: int = 0
    selections: int = 0
    aliases: int = 0
    directives: int = 0
    introspects: bool = False


class Measure:
    """One look at a document. `steps` counts the nodes that were looked at, which tests hold to be few."""

    def __init__(self, document: DocumentNode, limits: DocumentLimits) -> None:
        self._limits = limits
        self._operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._sizes: dict[str, Size | None] = {}
        self.steps = 0

    def check(self) -> dict[str | None, Size]:
        """The size of each operation by its name. Raises BadInput, which names the limit that does not hold.

        Fragments that nothing spreads are looked at like operations: they are refused later, but by rules that read them.
        """
        limits = self._limits
        _at_most(len(self._operations), limits.operations, "operations")
        sizes: dict[str | None, Size] = {}
        selections = 0
        for operation in self._operations:
            size = self._of(operation.selection_set)
            _at_most(len(operation.directives or ()), limits.directives_in_one_place, "directives in one place")
            sizes[operation.name.value if operation.name else None] = size
            selections += size.selections
        unused = [name for name in self._fragments if name not in self._sizes]
        for name in unused:
            selections += self._of_fragment(name).selections
        # The rules look at the whole document, whichever operation is run.
        _at_most(selections, limits.selections, "selections")
        for operation in self._operations:
            _at_most(sum(1 for _ in self._fields([operation.selection_set])), limits.root_fields, "fields at the root")
            self._check_repetitions([operation.selection_set])
        for name in unused:
            self._check_repetitions([self._fragments[name].selection_set])
        return sizes

    def root_fields(self, operation: OperationDefinitionNode) -> Iterator[FieldNode]:
        """The fields at an operation's root, with its fragments written out."""
        return self._fields([operation.selection_set])

    def _of(self, selection_set: SelectionSetNode | None) -> Size:
        """Raises BadInput where this part alone is too large."""
        if selection_set is None:
            return Size()
        limits = self._limits
        depth = selections = aliases = directives = 0
        introspects = False
        for node in selection_set.selections:
            self.steps += 1
            inner, own_depth = self._inside(node)
            depth = max(depth, inner.depth + own_depth)
            # A fragment counts too: one that holds nothing can be spread as often as one that holds a field.
            selections += inner.selections + 1
            aliases += inner.aliases
            directives += inner.directives
            introspects = introspects or inner.introspects
            if node.directives:
                directives += len(node.directives)
                _at_most(len(node.directives), limits.directives_in_one_place, "directives in one place")
            if isinstance(node, FieldNode):
                aliases += node.alias is not None
                introspects = introspects or node.name.value in {"__schema", "__type"}
        _at_most(depth, limits.depth, "fields inside of each other")
        _at_most(selections, limits.selections, "selections")
        _at_most(aliases, limits.aliases, "aliases")
        _at_most(directives, limits.directives, "directives")
        return Size(depth, selections, aliases, directives, introspects)

    def _inside(self, node: SelectionNode) -> tuple[Size, int]:
        """What is in a selection, and how much deeper that is: by one in a field, by none in a fragment."""
        if isinstance(node, FieldNode):
            return self._of(node.selection_set), 1
        if isinstance(node, InlineFragmentNode):
            return self._of(node.selection_set), 0
        if isinstance(node, FragmentSpreadNode):
            return self._of_fragment(node.name.value), 0
        raise TypeError(type(node).__name__)

    def _of_fragment(self, name: str) -> Size:
        """Raises BadInput for a fragment that contains itself; one that does not exist is left to validation."""
        fragment = self._fragments.get(name)
        if fragment is None:
            return Size()
        if name in self._sizes:
            size = self._sizes[name]
            if size is None:
                raise BadInput(f"The fragment {name} contains itself.")
            return size
        self._sizes[name] = None
        size = self._sizes[name] = self._of(fragment.selection_set)
        return size

    def _fields(self, sets: Sequence[SelectionSetNode]) -> Iterator[FieldNode]:
        """The fields of these selection sets with their fragments written out, as execution merges them."""
        for selections in sets:
            for node in selections.selections:
                self.steps += 1
                if isinstance(node, FieldNode):
                    yield node
                elif isinstance(node, InlineFragmentNode):
                    yield from self._fields([node.selection_set])
                elif isinstance(node, FragmentSpreadNode) and node.name.value in self._fragments:
                    yield from self._fields([self._fragments[node.name.value].selection_set])

    def _check_repetitions(self, sets: Sequence[SelectionSetNode]) -> None:
        """Raises BadInput. It visits the written-out document, whose size was checked before."""
        merged: dict[str, list[FieldNode]] = {}
        for field in self._fields(sets):
            merged.setdefault((field.alias or field.name).value, []).append(field)
        for same in merged.values():
            _at_most(len(same), self._limits.repetitions, "repetitions of one field in one place")
            inner = [field.selection_set for field in same if field.selection_set is not None]
            if inner:
                self._check_repetitions(inner)


def _at_most(number: int, most: int, what: str) -> None:
    if number > most:
        raise BadInput(f"The document has more than {most} {what}, which is the most.")
