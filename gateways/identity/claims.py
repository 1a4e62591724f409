"""What a provider's claims say of somebody."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from domain.access import Role, lesser
from domain.identity.providers import SUBJECT_LENGTH_MAX, Vouched
from gateways.identity.config import ProviderConfig

# Plain addresses only: what looks like another to a person, or ends a header, is nobody's.
_EMAIL = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,187}[A-Za-z0-9])?")
_SUBJECT = re.compile(rf"[ -~]{{1,{SUBJECT_LENGTH_MAX}}}")

_YEAR_3000 = 32_503_680_000


def read_person(
    claims: Mapping[str, object], provider: ProviderConfig, *, subject_claim: str = "sub"
) -> Vouched | None:
    """Whom the claims are about; None where they do not name anybody. The claims have been verified before."""
    subject, issued_at, name = claims.get(subject_claim), claims.get("iat"), claims.get("name")
    if not isinstance(subject, str) or _SUBJECT.fullmatch(subject) is None or not isinstance(issued_at, int | float):
        return None
    if not 0 < issued_at < _YEAR_3000:
        return None
    methods = claims.get("amr")
    return Vouched(
        provider=provider.name,
        issuer=provider.issuer,
        subject=subject,
        role=role_of(claims, provider),
        verified_email=_verified_email(claims),
        name=name if isinstance(name, str) else None,
        issued_at=datetime.fromtimestamp(int(issued_at), UTC),
        # RFC 8176: "mfa" says that more than one factor was asked for; the other values name one each.
        second_factor=isinstance(methods, list) and "mfa" in methods,
    )


def role_of(claims: Mapping[str, object], provider: ProviderConfig) -> Role | None:
    """The most that any value at the claim's path gives, and CUSTOMER where none does; None where no role can be given."""
    if not provider.roles:
        return None
    found: object = claims
    for name in provider.role_claim:
        found = found.get(name) if isinstance(found, Mapping) else None
    values = found if isinstance(found, list) else [found]
    role = Role.CUSTOMER
    for value in values:
        given = provider.roles.get(value) if isinstance(value, str) else None
        if given is not None and lesser(role, given) is role:
            role = given
    return role


def _verified_email(claims: Mapping[str, object]) -> str | None:
    """The address, if the provider says that it has verified it: by `true` itself, and not by what only looks like it."""
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return None
    return email if _EMAIL.fullmatch(email) else None
