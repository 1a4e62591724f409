"""Fixtures for tests of repositories: somebody who pays, and a payment."""

from uuid import UUID

import pytest

from domain.ids import UserId
from domain.payments.transaction import Transaction, TransactionStatus
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.clock import SequentialIds
from tests.support.records import add_transaction, transaction, user


@pytest.fixture
def ids() -> SequentialIds:
    return SequentialIds()


@pytest.fixture
async def payer(units: SqlUnitsOfWork) -> UserId:
    somebody = user(UUID(int=1 << 100))
    async with units.begin() as uow:
        await uow.users.add(somebody)
    return somebody.id


@pytest.fixture
async def paid(units: SqlUnitsOfWork, payer: UserId, ids: SequentialIds) -> Transaction:
    wanted = transaction(ids.new(), payer, status=TransactionStatus.COMPLETED, processor_reference="ch_1")
    return await add_transaction(units, wanted)
