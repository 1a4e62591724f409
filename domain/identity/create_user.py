"""Create a user."""

from domain.access import Role
from domain.identity.addresses import is_email
from domain.identity.users import User
from domain.ids import UserId
from domain.ports import Clock, IdSource, UnitsOfWork

NAME_LENGTH_MAX = 200


class InvalidUser(ValueError):
    """The address or the name cannot be one."""


class CreateUser:
    """The act of creating a user."""

    def __init__(self, *, units: UnitsOfWork, clock: Clock, ids: IdSource) -> None:
        self._units = units
        self._clock = clock
        self._ids = ids

    async def __call__(self, *, email: str, name: str, role: Role) -> User:
        """Raises InvalidUser, and EmailTaken where the address belongs to a user already."""
        if not is_email(email):
            raise InvalidUser(f"{email!r} is no email address.")
        if not name.strip() or len(name) > NAME_LENGTH_MAX or "\x00" in name:
            raise InvalidUser(f"A name holds 1 to {NAME_LENGTH_MAX} characters.")
        user = User(id=UserId(self._ids.new()), email=email, name=name, role=role, created_at=self._clock.now())
        async with self._units.begin() as uow:
            await uow.users.add(user)
        return user
