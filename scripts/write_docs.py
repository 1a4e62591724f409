"""Write the pages of docs/ that the code determines: docs/settings.md, docs/errors.md and docs/access.md.

A test compares them with the code, and so fails when the code has changed and they have not.
"""

import sys
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path

from pydantic.fields import FieldInfo

import api.server  # noqa: F401  whoever imports the addresses has imported every error that they answer with
from api.problem import status_of
from app.settings import SETTINGS
from domain.errors import FlorinError, Refusal, RequestError, catalogue
from scripts.access_page import access_page
from scripts.tables import table

DOCS = Path(__file__).resolve().parent.parent / "docs"

_SETTINGS = """\
# Settings

Florin reads its settings from the environment, once, when it starts. One that is missing or cannot be right stops it with a
line that names the setting and never repeats its value. `florin dev` sets all of them itself.

{table}
"""

_ERRORS = """\
# Errors

## Refusals

What a client can act on stands in the payload of a mutation, in `errors`, beside whatever there is to show. A refusal that
comes without a transaction or refund has changed nothing, and its idempotency key may be used again.

{refusals}

*Repeat* tells whether the same request with the same idempotency key may succeed later.

## Errors of a request

All other errors are top-level in GraphQL: `extensions` holds `code`, `retryable` and `requestId`. A client that accepts
`application/json` gets the HTTP status 200 once its request is well formed and its operation was looked at; everything
refused before that has the status below, and so have the addresses outside of GraphQL, which answer with
`application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with the same members.

{request_errors}

`requestId` is the caller's own `X-Request-ID` where it sent one of up to 64 letters, digits, dots, dashes and underscores.
The log holds one line under it.
"""


def settings_page() -> str:
    rows = ((f"`{name.upper()}`", _default(field), field.description or "") for name, field in SETTINGS.items())
    return _SETTINGS.format(table=table(("Setting", "Default", "Meaning"), rows))


def errors_page() -> str:
    refusals = ((f"`{error.code}`", _yes(error), error.default_message()) for error in catalogue(Refusal))
    request_errors = (
        (f"`{error.code}`", str(status_of(error())), _yes(error), error.default_message())
        for error in catalogue(RequestError)
    )
    return _ERRORS.format(
        refusals=table(("Code", "Repeat", "Meaning"), refusals),
        request_errors=table(("Code", "HTTP status", "Repeat", "Meaning"), request_errors),
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "access.md": access_page,
}


def _yes(error: type[FlorinError]) -> str:
    return "yes" if error.retryable else "no"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default.value if isinstance(field.default, Enum) else field.default
    if value is None or value == {}:
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main() -> int:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
