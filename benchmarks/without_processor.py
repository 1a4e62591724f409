"""`florin serve` whose processor answers at once and in its own process, so that createPayment's own cost is left."""

import app.serve
import app.wiring
from app.commands import all_settings
from app.time_and_ids import SystemClock, TimeOrderedIds
from tests.support.fake_gateway import FakeGateway

_MADE_BY = "StripeGateway"


class _AtOnce(FakeGateway):
    """The gateway that the tests of the domain use."""

    async def close(self) -> None:
        """There is nothing to close."""


def main() -> None:
    # Its references are kept in the database, beside those of earlier runs.
    gateway = _AtOnce(now=SystemClock().now, name=TimeOrderedIds().new().hex)
    # Raises AttributeError where it is made under another name.
    getattr(app.wiring, _MADE_BY)
    setattr(app.wiring, _MADE_BY, lambda *_, **__: gateway)
    app.serve.run(lambda: app.serve.serve_api(all_settings()))


if __name__ == "__main__":
    main()
