"""The pages that scripts/write_docs.py writes are those of this code."""

import pytest

from api.problem import status_of
from app.settings import SETTINGS
from domain.errors import ErrorCode, Refusal, RequestError, catalogue
from scripts.write_docs import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "Run `python -m scripts.write_docs`."


def test_every_setting_has_a_line() -> None:
    page = PAGES["settings.md"]()
    for name, field in SETTINGS.items():
        assert field.description, name
        assert f"| `{name.upper()}` |" in page


def test_every_code_has_a_line_and_every_line_a_meaning() -> None:
    page = PAGES["errors.md"]()
    errors = [*catalogue(Refusal), *catalogue(RequestError)]
    assert {error.code for error in catalogue(Refusal)} == set(ErrorCode)
    for error in errors:
        assert f"| `{error.code}` |" in page
        assert error.default_message().endswith(".")


def test_only_a_fault_of_ours_has_no_status_of_its_own() -> None:
    statuses = {error.code: status_of(error()) for error in catalogue(RequestError)}
    assert [code for code, status in statuses.items() if status == 500] == ["INTERNAL"]
