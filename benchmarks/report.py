"""What was found, as a page and as a picture."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import protection
from benchmarks.contestants import CONTESTANTS, OPERATIONS
from benchmarks.side_by_side import POSTGRES
from scripts.tables import table

# Any: figures as they were read from the file that an earlier run has written.
Results: TypeAlias = dict[str, Any]
Row: TypeAlias = Mapping[str, Any]

TEMPLATE = Path(__file__).with_name("performance.md")
_TITLES = {each.key: each.title for each in CONTESTANTS} | {POSTGRES: "PostgreSQL alone, JSON made by it"}
_BAR_WIDTH, _BAR_HEIGHT, _LABEL_WIDTH = 420, 18, 270
_COLOURS = {"florin": "#b8860b", "without-processor": "#d9b54a"}
_OTHERS = "#7f8c9a"


def page(results: Results) -> str:
    """docs/performance.md. What was not measured is left out of it, and said to be."""
    parts = {
        "machine": _machine(results),
        "side_by_side": side_by_side_table(results),
        "ratios": _ratios(results),
        "layers": _or_not(results, "layers", _layers),
        "protection": _or_not(results, "protection", _protection),
        "growth": _or_not(results, "growth", _growth),
        "mixed": _or_not(results, "mixed", _mixed),
    }
    return TEMPLATE.read_text().format(**parts)


def _or_not(results: Results, part: str, shown: Any) -> str:  # Any: each part has a shape of its own
    text: str = shown(results[part]) if part in results else "Not measured in this run."
    return text


def _machine(results: Results) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("Python", "Node", "PostgreSQL"))
    return f"{machine['date']}, {machine['processor']}, {versions}"


def _by_contestant(results: Results) -> dict[str, dict[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in results["side-by-side"]:
        found.setdefault(row["contestant"], {})[row["operation"]] = row
    return {key: found[key] for key in _TITLES if key in found}


def side_by_side_table(results: Results) -> str:
    """CPU time first, because it is the steadiest figure; then how fast, and the times of waiting."""

    def cell(row: Row | None) -> str:
        if row is None:
            return ""
        cpu = (
            f"{row['server_cpu']:,.0f} + {row['postgres_cpu']:,.0f}"
            if row["server_cpu"]
            else f"{row['postgres_cpu']:,.0f}"
        )
        return f"{cpu} µs; {row['per_second']:,.0f}/s; {row['p50']:.1f}, {row['p99']:.1f} ms"

    rows = [
        (_TITLES[key], *(cell(rows.get(operation)) for operation in OPERATIONS), _memory(rows.values()))
        for key, rows in _by_contestant(results).items()
    ]
    return table(("", *OPERATIONS, "memory"), rows)


def _memory(rows: Iterable[Row]) -> str:
    most = max(row["memory"] for row in rows)
    return f"{most / 1e6:,.0f} MB" if most else ""


def _ratios(results: Results) -> str:
    """How many times the CPU time of Florin's server the others take; above 1 they take more."""
    found = _by_contestant(results)
    own = found.get("florin", {})

    def cell(row: Row | None, operation: str) -> str:
        if row is None or operation not in own or not row["server_cpu"]:
            return ""
        whole, others = (each["server_cpu"] + each["postgres_cpu"] for each in (own[operation], row))
        return f"{row['server_cpu'] / own[operation]['server_cpu']:.2f} ({others / whole:.2f})"

    rows = [
        (_TITLES[key], *(cell(rows.get(operation), operation) for operation in OPERATIONS))
        for key, rows in found.items()
        if key not in {"florin", POSTGRES}
    ]
    return table(("", *OPERATIONS), rows)


def _layers(layers: Sequence[Row]) -> str:
    """One column for each query, by what they take of the first."""
    operations = list(dict.fromkeys(each["operation"] for each in layers))
    cells = {
        (each["name"], each["operation"]): f"{each['microseconds']:,.0f} µs, {each['share']:.0%}" for each in layers
    }
    names = list(dict.fromkeys(each["name"] for each in layers))
    rows = [(name, *(cells.get((name, operation), "") for operation in operations)) for name in names]
    return table(("layer", *operations), rows)


def _protection(costs: Sequence[Row]) -> str:
    return protection.table([protection.Cost(**cost) for cost in costs])


def _growth(points: Sequence[Row]) -> str:
    rows = [
        (
            *(point["of"], f"{point['size']:,}", f"{point['per_second']:,.0f}"),
            *(f"{point['p50']:.1f}, {point['p99']:.1f} ms", f"{point['server_cpu']:,.0f} µs"),
            f"{point['postgres_cpu']:,.0f} µs",
        )
        for point in points
    ]
    return table(("of", "size", "requests/s", "p50, p99", "server", "PostgreSQL"), rows)


def _mixed(mixture: Row) -> str:
    rows = [
        (
            *(each["operation"], f"{each['answers']:,}", f"{each['errors']:,}"),
            *(f"{each[share]:,.0f} ms" for share in ("p50", "p95", "p99")),
        )
        for each in mixture["operations"]
    ]
    memory = ", ".join(f"{each / 1e6:,.0f}" for each in mixture["memory"])
    told = (
        f"{mixture['clients']} clients for {mixture['seconds']:,.0f} s: {mixture['per_second']:,.0f} requests/s. Resident memory "
        f"at the start and after each quarter: {memory} MB."
    )
    return f"{told}\n\n{table(('', 'answers', 'errors', 'p50', 'p95', 'p99'), rows)}"


def plot(results: Results) -> str:
    """An SVG of the CPU time that each server takes for a request, for the operations that everybody reads with."""
    found = _by_contestant(results)
    lines, y = [], 10
    for operation in ("Q1", "Q2"):
        bars = [(key, rows[operation]) for key, rows in found.items() if operation in rows]
        most = max(row["server_cpu"] + row["postgres_cpu"] for _, row in bars)
        lines.append(
            _text(10, y + 16, f"{operation}: CPU time for each request, µs (server, and paler PostgreSQL)", bold=True)
        )
        y += 28
        for key, row in bars:
            server, postgres = (row[name] / most * _BAR_WIDTH for name in ("server_cpu", "postgres_cpu"))
            colour = _COLOURS.get(key, _OTHERS)
            lines += [
                _text(_LABEL_WIDTH - 8, y + 13, _TITLES[key], end=True),
                _bar(_LABEL_WIDTH, y, server, colour),
                _bar(_LABEL_WIDTH + server, y, postgres, colour, opacity=0.4),
                _text(
                    _LABEL_WIDTH + server + postgres + 6,
                    y + 13,
                    f"{row['server_cpu']:,.0f} + {row['postgres_cpu']:,.0f}",
                ),
            ]
            y += _BAR_HEIGHT + 4
        y += 14
    width = _LABEL_WIDTH + _BAR_WIDTH + 130
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{y}" fill="white"/>', *lines, "</svg>", ""])


def _bar(x: float, y: float, width: float, colour: str, *, opacity: float = 1.0) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR_HEIGHT}" fill="{colour}" opacity="{opacity}"/>'


def _text(x: float, y: float, said: str, *, bold: bool = False, end: bool = False) -> str:
    style = (' font-weight="bold"' if bold else "") + (' text-anchor="end"' if end else "")
    return f'<text x="{x:.1f}" y="{y}"{style}>{said}</text>'
