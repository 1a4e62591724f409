"""Documentation is a part of the product: what it shows must work, and what it points to must be there."""

import re
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate
from typer.main import get_command

from app.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)[^)]*\)")
_GRAPHQL = re.compile(r"```graphql\n(.*?)```", re.DOTALL)


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_queries_fit_the_schema(page: Path) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    for document in _GRAPHQL.findall(page.read_text()):
        assert validate(schema, parse(document)) == []


def test_the_readme_shows_queries() -> None:
    assert len(_GRAPHQL.findall((ROOT / "README.md").read_text())) >= 3


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_exist(page: Path) -> None:
    # Typer ships its own copy of Click, whose groups hold their commands by name.
    root = get_command(app)
    known = set(getattr(root, "commands", {}))
    shown = re.findall(r"(?:`|^)florin ((?:[a-z-]+)(?: [a-z]+)?)", page.read_text(), re.MULTILINE)
    for words in shown:
        assert words.split()[0] in known, words


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert shown <= targets


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(page.name[:4]) for page in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_schema_file_is_what_the_code_says() -> None:
    from api.graphql.schema import schema  # noqa: PLC0415  building it takes a while, and only this test needs it

    stored = (ROOT / "schema.graphql").read_text()
    assert stored == schema.as_str() + "\n", "run: .venv/bin/florin schema > schema.graphql"
