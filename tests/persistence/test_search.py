from uuid import UUID

import pytest

from domain.access import EVERYTHING
from domain.payments.queries import FIRST_PAGE, Order, TransactionFilter
from persistence.reader import SqlReader
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.records import transaction, user


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ("Invoice INV-1234", "1234"),
        ("Invoice INV-1234", "inv-12"),
        ("for ada@example.test", "example"),
        ("for ada@example.test", "ada@exam"),
        ("12.50 EUR", "12.5"),
        ("period 10/2026", "2026"),
        ("https://shop.test/cart_77", "cart"),
        ("O'Brien", "o'br"),
        ("Café crème", "CAFÉ"),
        ("注文 42", "注文"),
    ],
)
async def test_every_word_of_a_description_is_found_by_its_beginning(
    reader: SqlReader, units: SqlUnitsOfWork, description: str, text: str
) -> None:
    payer = user(UUID(int=1))
    async with units.begin() as uow:
        await uow.users.add(payer)
        await uow.transactions.add(transaction(UUID(int=2), payer.id, description=description))
        await uow.transactions.add(transaction(UUID(int=3), payer.id, description="Something else"))
    page = await reader.transactions(EVERYTHING, TransactionFilter(text=text), Order(), FIRST_PAGE)
    assert [one.description for one in page.items] == [description]
