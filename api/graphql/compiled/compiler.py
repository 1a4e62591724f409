"""Writes the code of a plan: one expression for what is synchronous, one function for each level that is not.

What a resolver returns at once is completed depth first, in nested expressions, because nothing is faster. Where something has to
be waited for, the objects of a level are completed together: their synchronous fields first, then every coroutine is begun, then
each field's values go on to the next level as one list.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, GraphQLList, GraphQLNonNull, GraphQLOutputType, is_leaf_type
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE

from api.graphql.compiled.calls import Call
from api.graphql.compiled.driving import Drive, Run, together
from api.graphql.compiled.guards import Guard, Guards, Surprise, Unsupported
from api.graphql.compiled.leaves import leaf_code
from api.graphql.compiled.levels import complete_by_class, complete_lists, complete_ones
from api.graphql.compiled.selections import AbstractSelection, Child, FieldSelection, ObjectSelection, Selector
from api.graphql.compiled.source import Source
from api.graphql.compiled.values import batch_check, check_plain, is_cast, is_null, list_check, object_check

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled selection. `begin` makes the function that completes a value, for one run."""

    # Any: graphql-core's own context, and whatever value a resolver returned.
    begin: "Callable[[Executor[Any], Run], Callable[[Any], object | Awaitable[object]]]"
    is_async: bool
    fields: int


def compile_plan(
    executor: Executor[Any],  # Any: as above
    declared: GraphQLOutputType,
    details: list[FieldDetails],
    guards: Guards,
) -> Plan:
    """The plan for what is selected of a root field. Raises Unsupported."""
    try:
        selector = Selector(executor, guards)
        child = selector.root(declared, details)
        compiler = Compiler(executor, guards)
        text = compiler.root(declared, child)
        log.debug("compiled:\n%s", text)
        constants = compiler.source.constants
        # The names in the text are made by Source, and its literals are response keys by repr.
        exec(compile(text, "<compiled GraphQL>", "exec"), constants)  # noqa: S102
    except (RecursionError, SyntaxError, MemoryError) as error:
        raise Unsupported("nested too deeply") from error
    except (GraphQLError, Surprise) as error:
        raise Unsupported("arguments that only graphql-core treats rightly") from error
    begin: Any = constants["plan"]  # Any: what exec made, which no type checker has seen
    return Plan(begin, child is not None and child.is_async, selector.fields)


class Compiler:
    """Writes one plan."""

    # Any: graphql-core's own context, which means nothing here.
    def __init__(self, executor: Executor[Any], guards: Guards) -> None:
        self.source = Source()
        self._executor = executor
        self._guards = guards
        # By the id of a Call, which the selection keeps alive.
        self._shared: dict[int, list[str]] = {}
        self._gates: dict[int, str] = {}
        constants = self.source.constants
        constants.update(
            complete_ones=complete_ones,
            complete_lists=complete_lists,
            complete_by_class=complete_by_class,
            together=together,
        )

    def root(self, declared: GraphQLOutputType, child: Child | None) -> str:
        """The whole text: a function that makes the completing function of a run."""
        if child is not None and child.is_async:
            completed = self._completion(declared, child, "(value,)")
            self.source.add("async def root(value):", f"    return (await {completed})[0]")
        else:
            self.source.add("def root(value):", f"    return {self._value(declared, child, 'value')}")
        return self.source.text("def plan(executor, run):", "return root")

    # Synchronous values.

    def _value(self, declared: GraphQLOutputType, child: Child | None, value: str) -> str:
        """An expression for the completed value of a synchronous selection."""
        refuses_null = isinstance(declared, GraphQLNonNull)
        kind = declared.of_type if isinstance(declared, GraphQLNonNull) else declared
        if isinstance(kind, GraphQLList):
            return f"{self._list(kind.of_type, child, refuses_null=refuses_null)}({value})"
        if is_leaf_type(kind):
            return leaf_code(self.source, kind, value, self._guards, refuses_null=refuses_null)
        if isinstance(child, ObjectSelection):
            return self._object(child, value, refuses_null=refuses_null)
        if isinstance(child, AbstractSelection):
            return f"{self._abstract(child, refuses_null=refuses_null)}({value})"
        raise Unsupported("a type of another kind")

    def _list(self, item: GraphQLOutputType, child: Child | None, *, refuses_null: bool) -> str:
        """The name of a function that completes a list."""
        name = self.source.name("list")
        no_list = self.source.constant(list_check(self._guards, refuses_null=refuses_null), "no_list")
        completed = self._value(item, child, "o")
        self.source.add(
            f"def {name}(values):",
            "    if values.__class__ is not list and values.__class__ is not tuple:",
            f"        values = {no_list}(values)",
            "        if values is None:",
            "            return None",
            "    completed = []",
            "    append = completed.append",
            "    for o in values:",
            f"        append({completed})",
            "    return completed",
        )
        return name

    def _object(self, selection: ObjectSelection, value: str, *, refuses_null: bool) -> str:
        name, bound = (value, value) if value.isidentifier() else (self._bound("o", value))
        expected, odd = self._expectation(selection, name, bound, refuses_null=refuses_null)
        fields = ", ".join(f"{each.key!r}: {self._field(selection, each, name)}" for each in selection.fields)
        return f"({{{fields}}} if {expected} or {odd} else None)"

    def _bound(self, prefix: str, value: str) -> tuple[str, str]:
        name = self.source.name(prefix)
        return name, f"({name} := {value})"

    def _expectation(self, selection: ObjectSelection, name: str, bound: str, *, refuses_null: bool) -> tuple[str, str]:
        """A condition that holds for objects as expected, and a call that tells whether another one has fields."""
        check = object_check(selection.kind, self._guards, refuses_null=refuses_null)
        odd = f"{self.source.constant(check, 'has_fields')}({name})"
        origin = selection.origin
        if issubclass(origin, Exception) or hasattr(origin, "__await__"):
            # It is never as expected: the value is bound, and then compared with itself.
            return f"{bound} is not {name}", odd
        expected = f"{bound}.__class__ is {self.source.constant(origin, 'kind')}"
        if selection.kind.is_type_of is not None and Guard.CAST in self._guards:
            expected = f"{expected} and getattr({name}, {TYPE_CAST_ATTRIBUTE!r}, None) is None"
        return expected, odd

    def _abstract(self, selection: AbstractSelection, *, refuses_null: bool) -> str:
        """The name of a function that completes an object behind an interface or union."""
        name, members = self.source.name("abstract"), self.source.name("members")
        entries = ", ".join(f"{self._origin(each)}: {self._complete_one(each)}" for each in selection.members)
        kind_of = self.source.constant(_kind_of(selection, self._guards, refuses_null=refuses_null), "kind_of")
        self.source.add(
            f"{members} = {{{entries}}}",
            f"def {name}(value):",
            f"    kind = {kind_of}(value)",
            f"    return None if kind is None else {members}[kind](value)",
        )
        return name

    def _origin(self, selection: ObjectSelection) -> str:
        return self.source.constant(selection.origin, "kind")

    def _complete_one(self, selection: ObjectSelection) -> str:
        """The name of a function that completes one object."""
        name = self.source.name("object")
        completed = self._object(selection, "o", refuses_null=True)
        self.source.add(f"def {name}(o):", f"    return {completed}")
        return name

    # Fields.

    def _field(self, selection: ObjectSelection, field: FieldSelection, parent: str) -> str:
        """An expression for a field of the object that `parent` names; None for one that is waited for, to be filled in."""
        if field.call is None:
            return repr(selection.kind.name)
        if field.is_async:
            return "None"
        completed = self._value(field.type, field.child, self._call(field.call, parent))
        gate = self._gate(field.call)
        return completed if gate is None else f"({completed} if {gate} else None)"

    def _gate(self, call: Call) -> str | None:
        """The name of what says whether the field is shown in this run."""
        if call.gate is None:
            return None
        known = self._gates.get(id(call))
        if known is None:
            known = self._gates[id(call)] = self.source.name("shown")
            self.source.add(f"{known} = {self.source.constant(call.gate.allows, 'allows')}(executor.context_value)")
        return known

    def _call(self, call: Call, parent: str) -> str:
        """An expression for what the field's resolver returns, or its attribute holds."""
        if call.function is None:
            return f"{parent}.{call.attribute}"
        taken = [parent] if call.takes_self else []
        taken += [f"{name}={parent}" for name in call.source_keywords]
        shared = self._shared.get(id(call))
        if shared is None:
            shared = self._shared[id(call)] = self._shared_arguments(call)
        return f"{self.source.constant(call.function, 'resolve')}({', '.join([*taken, *shared])})"

    def _shared_arguments(self, call: Call) -> list[str]:
        """What a resolver is called with for every object of a run alike."""
        shared: list[str] = []
        if call.info_keyword is not None:
            info = self.source.name("info")
            self.source.add(f"{info} = {self.source.constant(call.info, 'make_info')}(executor)")
            shared.append(f"{call.info_keyword}={info}")
        if call.has_arguments and call.arguments_vary:
            arguments = self.source.name("arguments")
            self.source.add(f"{arguments} = {self.source.constant(call.arguments, 'make_arguments')}(executor)")
            shared.append(f"**{arguments}")
        elif call.has_arguments:
            shared += [
                f"{name}={value!r}" if value is None else f"{name}={self.source.constant(value, 'argument')}"
                for name, value in call.arguments(self._executor).items()
            ]
        return shared

    # What has to be waited for.

    def _completion(self, declared: GraphQLOutputType, child: Child, values: str) -> str:
        """An expression for an awaitable that completes a list of values, for a selection that has to be waited for."""
        guarded = Guard.NULL in self._guards
        refuses_null = isinstance(declared, GraphQLNonNull) and guarded
        kind = declared.of_type if isinstance(declared, GraphQLNonNull) else declared
        if not isinstance(kind, GraphQLList):
            return f"complete_ones({self._level(child)}, {values}, {refuses_null})"
        items_refuse_null = isinstance(kind.of_type, GraphQLNonNull) and guarded
        item = kind.of_type.of_type if isinstance(kind.of_type, GraphQLNonNull) else kind.of_type
        if isinstance(item, GraphQLList):
            raise Unsupported("a list of lists that has to be waited for")
        any_class = Guard.LIST_CLASS not in self._guards
        return f"complete_lists({self._level(child)}, {values}, {refuses_null}, {items_refuse_null}, {any_class})"

    def _level(self, child: Child) -> str:
        """The name of a coroutine function that completes a list of objects, none of which is null."""
        name = self.source.name("level")
        if isinstance(child, ObjectSelection):
            lines = self._level_lines(child)
        else:
            members = ", ".join(
                f"{self._origin(each)}: "
                + (f"({self._level(each)}, None)" if each.is_async else f"(None, {self._complete_one(each)})")
                for each in child.members
            )
            kind_of = self.source.constant(_kind_of(child, self._guards, refuses_null=True), "kind_of")
            known = self.source.name("members")
            self.source.add(f"{known} = {{{members}}}")
            lines = [f"return await complete_by_class(values, {kind_of}, {known})"]
        self.source.add(f"async def {name}(values):", *(f"    {line}" for line in lines))
        return name

    def _level_lines(self, selection: ObjectSelection) -> list[str]:
        expected, odd = self._expectation(selection, "o", "o", refuses_null=True)
        fields = ", ".join(f"{each.key!r}: {self._field(selection, each, 'o')}" for each in selection.fields)
        lines = [
            "completed = []",
            "append = completed.append",
            "for o in values:",
            f"    {expected} or {odd}",
            f"    append({{{fields}}})",
        ]
        branches: list[list[str]] = []
        goes_on = False
        for field in selection.fields:
            if field.call is None or not field.is_async:
                continue
            begin, branch = self._branch(field, field.call)
            lines.append(begin)
            branches.append(branch)
            goes_on = goes_on or (field.child is not None and field.child.is_async)
        if goes_on and len(branches) > 1:
            # Where one field goes on to a level that is waited for, no other may have to wait for that too.
            names = [self.source.name("branch") for _ in branches]
            for name, branch in zip(names, branches, strict=True):
                lines += [f"async def {name}():", *(f"    {line}" for line in branch)]
            lines.append(f"await together({', '.join(f'{name}()' for name in names)})")
        else:
            lines += [line for branch in branches for line in branch]
        return [*lines, "return completed"]

    def _branch(self, field: FieldSelection, call: Call) -> tuple[str, list[str]]:
        """The line that begins a field for all objects of a level, and those that fill its values in."""
        begun = self.source.name("begun")
        called = (
            f"[{self._call(call, 'tuple(values)')}]"
            if call.is_batched
            else f"[{self._call(call, 'o')} for o in values]"
        )
        if call.is_async:
            drive = Drive(keeps_task=Guard.NO_TASK not in self._guards)
            called = f"run.start({self.source.constant(drive, 'drive')}, {called})"
        resolved = f"await {begun}.wait()" if call.is_async else begun
        if call.is_batched:
            resolved = f"{self.source.constant(batch_check(self._guards), 'of_each')}({resolved}, values)"
        if field.child is not None and field.child.is_async:
            resolved = f"await {self._completion(field.type, field.child, resolved)}"
            completed = "x"
        else:
            completed = self._value(field.type, field.child, "x")
        if call.is_batched and completed != "x":
            # Many often have one and the same, such as the user of a page of transactions, which is completed once.
            same = self.source.name("same")
            fill = [
                f"resolved = {resolved}",
                f"{same} = dict(zip(map(id, resolved), resolved))",
                f"for key, x in {same}.items():",
                f"    {same}[key] = {completed}",
                "for each, x in zip(completed, resolved):",
                f"    each[{field.key!r}] = {same}[id(x)]",
            ]
        else:
            fill = [f"for each, x in zip(completed, {resolved}):", f"    each[{field.key!r}] = {completed}"]
        gate = self._gate(call)
        if gate is None:
            return f"{begun} = {called}", fill
        return f"{begun} = {called} if {gate} else None", [f"if {gate}:", *(f"    {line}" for line in fill)]


def _kind_of(selection: AbstractSelection, guards: Guards, *, refuses_null: bool) -> Callable[[object], type | None]:
    """What tells of which type an object is, by its class; None for null. Raises Surprise for one of none of them."""
    origins = [each.origin for each in selection.members]
    known = frozenset(origins)
    casts = Guard.CAST in guards

    def kind_of(value: object) -> type | None:
        kind = value.__class__
        if kind in known and not (casts and is_cast(value)):
            return kind
        if is_null(value, guards, refuses_null=refuses_null):
            return None
        check_plain(value, guards)
        if Guard.RUNTIME_TYPE in guards:
            raise Surprise("an object of none of the types")
        return origins[0]

    return kind_of
