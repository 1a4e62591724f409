"""Fixtures that every test may ask for; the modules in tests/support say what each is."""

import pytest
from hypothesis import settings

from tests.support.acts import acts
from tests.support.database import engine, migrated_engine, reader, units
from tests.support.development import florin_dev
from tests.support.postgres import addresses, app_database_url, database_url
from tests.support.reconciliation import books

__all__ = [
    "acts",
    "addresses",
    "app_database_url",
    "books",
    "database_url",
    "engine",
    "florin_dev",
    "migrated_engine",
    "reader",
    "units",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that mostly wait, so that they do so while others work."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


# No deadline: a test says what is right, never how fast a busy machine is. The same examples on every run, so that a red
# test stays red until it is repaired.
settings.register_profile("florin", deadline=None, derandomize=True)
settings.load_profile("florin")
