"""From an identity provider's access token to the actor who acts by it."""

from dataclasses import dataclass

from domain.access import Role
from domain.identity.admit_person import AdmitPerson
from domain.identity.providers import IdentityDirectory, TokenVerifier
from domain.ids import UserId


@dataclass(frozen=True, slots=True)
class VouchedCaller:
    """Who acts by a token, and whether the provider says that it asked them for more than one factor."""

    user_id: UserId
    role: Role
    second_factor: bool


class AuthenticateVouched:
    """Finds out who acts by a provider's token: by one statement, except for whoever is seen for the first time or got a role."""

    def __init__(self, verifier: TokenVerifier, directory: IdentityDirectory, admit: AdmitPerson) -> None:
        self._verifier = verifier
        self._directory = directory
        self._admit = admit

    def is_for(self, token: str) -> bool:
        """Whether the token says of itself that it is a provider's that we know: nobody else's word is asked for it then."""
        return self._verifier.knows(token)

    async def __call__(self, token: str) -> VouchedCaller:
        """Raises Unauthenticated, NotAdmitted or Unavailable."""
        vouched = await self._verifier.verify(token)
        holder = await self._directory.holder_of(vouched.issuer, vouched.subject)
        if holder is None or holder.learns_from(vouched):
            holder = await self._admit(vouched)
        return VouchedCaller(holder.user_id, holder.role_by(vouched), vouched.second_factor)
