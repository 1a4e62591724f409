"""Mails as files in a folder, for development: nobody gets them, and everybody can read them."""

import asyncio
from pathlib import Path

from domain.messaging.mails import Letter, MailNotSent
from domain.ports import Clock
from gateways.mail.smtp import message_of


class MailFolder:
    """The port `domain.messaging.mails.Mailer`, whose letters are files: `<time>-<recipient>.eml`."""

    def __init__(self, folder: Path, sender: str, sender_name: str, clock: Clock) -> None:
        self._folder = folder
        self._sender = sender
        self._sender_name = sender_name
        self._clock = clock

    async def send(self, letter: Letter) -> None:
        message = message_of(letter, self._sender, self._sender_name, self._clock)
        safe = "".join(
            character if character.isalnum() or character in "@.-+_" else "_" for character in letter.recipient
        )
        name = f"{self._clock.now():%Y%m%dT%H%M%S.%f}-{safe}.eml"
        try:
            await asyncio.to_thread(self._keep, name, bytes(message))
        except OSError as error:
            raise MailNotSent(f"The mail could not be written: {error.strerror}.", for_good=False) from error

    def _keep(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whoever watches the folder finds whole mails only.
        unfinished = self._folder / f".{name}.part"
        unfinished.write_bytes(content)
        unfinished.rename(self._folder / name)
