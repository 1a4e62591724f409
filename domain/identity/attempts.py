"""How often somebody may try to prove who they are, and how much mail they may cause.

Each try counts before any work is done for it, for the account and for the address it comes from: it makes no difference
whether many come in many requests or, by aliases, in one. An account counts whether it exists or not. A try that succeeds is
taken back from the account, so that people who sign in often are not kept out.
"""

import hashlib
from ipaddress import ip_address, ip_network

from domain.identity.addresses import comparable
from domain.limits import Limit, RateLimits

OF_ACCOUNT = Limit("sign-in/account", 10, 900)
"""Far below what NIST SP 800-63B (section 3.2.2) allows at most, 100 in a row: 960 guesses a day."""

OF_ADDRESS = Limit("sign-in/address", 100, 900)
"""Several people may share one; nobody tries a list of leaked passwords with it."""

SIGN_UPS = Limit("sign-up/address", 20, 3600)
MAILS = Limit("mail/recipient", 5, 3600)
"""So that nobody's mailbox can be filled through us."""

MAILS_FROM = Limit("mail/address", 50, 3600)


class AttemptGuard:
    """Counts tries. Every method raises domain.errors.RateLimited where there were too many."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits

    async def prove(self, account: str, address: str) -> None:
        """Somebody tries to prove that an account is theirs. `account` is an email address or an id."""
        await self._limits.require(OF_ADDRESS, network_of(address))
        await self._limits.require(OF_ACCOUNT, _digest(account))

    async def forgive(self, account: str) -> None:
        """The try was right."""
        await self._limits.take(OF_ACCOUNT, _digest(account), -1)

    async def sign_up(self, email: str, address: str) -> None:
        await self._limits.require(SIGN_UPS, network_of(address))
        await self._limits.require(MAILS, _digest(email))

    async def mail(self, email: str, address: str) -> None:
        """Somebody asks for a mail to an address."""
        await self._limits.require(MAILS_FROM, network_of(address))
        await self._limits.require(MAILS, _digest(email))


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 a /64, because whoever has one address there has 2 ** 64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed)


def _digest(account: str) -> str:
    # Counters may be kept outside of this process, where nobody's address has anything to do.
    return hashlib.sha256(comparable(account).encode("utf-8", "replace")).hexdigest()[:32]
