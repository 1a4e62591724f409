"""How PostgreSQL carries out a statement: what it read, and what it had to sort."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy.ext.asyncio import AsyncEngine

_Node: TypeAlias = dict[str, Any]  # Any: as EXPLAIN's JSON has it


@dataclass(frozen=True, slots=True)
class Plan:
    """A statement's plan with what happened when it ran."""

    root: _Node

    def nodes(self) -> Iterator[_Node]:
        """Every step of it, those that were never run left out."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            waiting += node.get("Plans", ())
            if node["Actual Loops"]:
                yield node

    @property
    def scanned_whole(self) -> set[str]:
        """The tables that were read from one end to the other."""
        return {node["Relation Name"] for node in self.nodes() if node["Node Type"] == "Seq Scan"}

    @property
    def rows_read(self) -> int:
        """How many rows were looked at, whether they were of use or not.

        What an index puts into a bitmap is left out: a million entries of it take some milliseconds, and rows a second.
        """
        scans = [node for node in self.nodes() if "Relation Name" in node]
        return round(sum(map(_looked_at, scans)))

    @property
    def rows_sorted(self) -> int:
        """How many rows went into sorts."""
        sorts = [node for node in self.nodes() if node["Node Type"] in {"Sort", "Incremental Sort"}]
        rows: float = sum(child["Actual Rows"] * child["Actual Loops"] for sort in sorts for child in sort["Plans"])
        return round(rows)

    def __str__(self) -> str:
        return "\n".join(_line_of(node) for node in self.nodes())


def _line_of(node: _Node) -> str:
    told = ("Relation Name", "Index Name", "Index Cond", "Filter", "Sort Key")
    return f"{node['Node Type']}: looked at {_looked_at(node):.0f} rows, " + ", ".join(
        f"{name} {node[name]}" for name in told if name in node
    )


def _looked_at(node: _Node) -> float:
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    rows: float = node["Actual Rows"] + sum(node.get(each, 0) for each in removed)
    return rows * float(node["Actual Loops"])


async def plan_of(engine: AsyncEngine, statement: str, arguments: Sequence[object]) -> Plan:
    """Run a statement that only reads, and tell how that went."""
    async with engine.connect() as connection:
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
        (found,) = (await connection.exec_driver_sql(explain, tuple(arguments))).scalar_one()
    return Plan(found["Plan"])
