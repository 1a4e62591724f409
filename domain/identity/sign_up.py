"""Sign up: ask for an account with an address of one's own."""

from dataclasses import dataclass, field

from domain.errors import InvalidText
from domain.identity.addresses import check_email
from domain.identity.attempts import AttemptGuard
from domain.identity.create_user import NAME_LENGTH_MAX
from domain.identity.one_time import LIFETIMES, Purpose, SignUp
from domain.identity.passwords import PasswordHasher, check_password
from domain.ids import MailId, SignUpId
from domain.messaging.mails import Mail, MailKind
from domain.messaging.webhook_events import WorkerBell
from domain.ports import Clock, IdSource, UnitsOfWork
from domain.text import check_text


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSignUp:
    """What is asked for. `address` is where the request came from."""

    email: str
    name: str
    password: str = field(repr=False)
    address: str


class RequestSignUp:
    """The act behind the mutation signUp.

    It does the same work and gives the same answer whether or not the address belongs to a user: it never looks. Whoever
    sends the mail looks, and tells the owner of the address, who alone may know. Only when the link in that mail is opened does
    the user come into being, with the password of the very sign-up that the mail is about. So nobody can take an address
    beforehand and wait for its owner.
    """

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        passwords: PasswordHasher,
        guard: AttemptGuard,
        clock: Clock,
        ids: IdSource,
        bell: WorkerBell,
        password_length_min: int,
    ) -> None:
        self._units = units
        self._passwords = passwords
        self._guard = guard
        self._clock = clock
        self._ids = ids
        self._bell = bell
        self._length_min = password_length_min

    async def __call__(self, wanted: NewSignUp) -> str:
        """The address that a mail goes to. Raises a Refusal, or RateLimited, and has stored nothing then."""
        email = check_email(wanted.email)
        name = wanted.name.strip()
        path = ("input", "name")
        if not name:
            raise InvalidText("Tell your name.", path=path)
        check_text(name, path=path, length_max=NAME_LENGTH_MAX)
        password = check_password(
            wanted.password, length_min=self._length_min, path=("input", "password"), about=(email, name)
        )
        await self._guard.sign_up(email, wanted.address)
        password_hash = await self._passwords.hash(password)
        now = self._clock.now()
        sign_up = SignUp(
            id=SignUpId(self._ids.new()),
            email=email,
            name=name,
            password_hash=password_hash,
            created_at=now,
            expires_at=now + LIFETIMES[Purpose.SIGN_UP],
        )
        mail = Mail(
            id=MailId(self._ids.new()), kind=MailKind.SIGN_UP, recipient=email, sign_up_id=sign_up.id, created_at=now
        )
        async with self._units.begin() as uow:
            await uow.one_time_tokens.add_sign_up(sign_up)
            await uow.mails.add(mail)
        self._bell.ring()
        return email
