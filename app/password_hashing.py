"""The port PasswordHasher, by Argon2id (RFC 9106) in a few threads of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from domain.errors import Unavailable

T = TypeVar("T")

THREADS = 2
"""How many passwords are hashed at a time. Each takes 64 MiB and, for a fifth of a second, several cores."""

WAITING_MAX = 64
"""How many more may wait, which is some seconds. Whoever comes then is told to come again, and has cost nothing."""

# RFC 9106, section 4: the second recommended option, for where memory is not plentiful. OWASP asks for less.
STRENGTH = Argon2Hasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)


class Argon2Passwords:
    """Hashes off the event loop, so that nobody else waits for it."""

    def __init__(
        self, hasher: Argon2Hasher = STRENGTH, *, threads: int = THREADS, waiting_max: int = WAITING_MAX
    ) -> None:
        self._hasher = hasher
        self._passwords = PasswordHash((hasher,))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._places = threads + waiting_max
        self._taken = 0

    async def hash(self, password: str) -> str:
        return await self._work(lambda: self._passwords.hash(password))

    async def verify(self, password: str, hashed: str | None) -> bool:
        if hashed is None:
            await self.hash(password)
            return False
        return await self._work(lambda: self._passwords.verify(password, hashed))

    def is_outdated(self, hashed: str) -> bool:
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        """Let go of the threads; what waits is not done any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _work(self, do: Callable[[], T]) -> T:
        if self._taken >= self._places:
            raise Unavailable("Too many people sign in right now. Try again.")
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, do)
        finally:
            self._taken -= 1
