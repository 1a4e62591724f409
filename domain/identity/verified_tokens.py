"""Tokens whose signatures held: what they said, for as long as they have not expired."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

TOKENS_MAX: Final = 10_000
"""How many are remembered: some kilobytes each. Only whoever can sign one gets it in here."""


@dataclass(frozen=True, slots=True)
class _Remembered(Generic[T]):
    said: T
    expires_at: float


class VerifiedTokens(Generic[T]):
    """To verify a signature takes longer than most of what a request takes, so that it is done once for each token."""

    def __init__(self, tokens_max: int = TOKENS_MAX) -> None:
        self._tokens_max = tokens_max
        # The one that was verified first is the first to go.
        self._remembered: dict[str, _Remembered[T]] = {}

    def find(self, token: str, now: float) -> T | None:
        """What the token said; None where it is not known, or has expired by `now`, in seconds since 1970."""
        remembered = self._remembered.get(token)
        if remembered is None:
            return None
        if remembered.expires_at <= now:
            self.forget(token)
            return None
        return remembered.said

    def keep(self, token: str, said: T, expires_at: float) -> None:
        """Remember what a token says whose signature holds."""
        if len(self._remembered) >= self._tokens_max:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[token] = _Remembered(said, expires_at)

    def forget(self, token: str) -> None:
        self._remembered.pop(token, None)
