"""A mailbox for tests: the letters that would have gone out, and the tokens in them."""

import re
from dataclasses import dataclass, field

from app.wiring import Parts
from domain.identity.one_time import MAIL_MARK
from domain.messaging.mails import Letter, MailNotSent, MailState
from domain.messaging.send_mails import SendMails

_TOKEN = re.compile(rf"{MAIL_MARK}[\w-]+")


@dataclass(slots=True)
class Mailbox:
    """The port Mailer, which keeps what it gets; it refuses it first as often as a test says, and how."""

    letters: list[Letter] = field(default_factory=list)
    refusals: list[MailNotSent] = field(default_factory=list)

    async def send(self, letter: Letter) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.letters.append(letter)

    async def collect(self, parts: Parts) -> list[MailState]:
        """Let everything be sent that waits, as the worker does; how each came out, in order."""
        sender = SendMails(
            units=parts.units, mailer=self, clock=parts.clock, ids=parts.ids, config=parts.settings.letters()
        )
        states = []
        while mails := await sender.claim(10):
            states += [(await sender.send(mail)).state for mail in mails]
        return states

    def token_to(self, recipient: str) -> str:
        """The token in the last letter to somebody."""
        texts = [letter.text for letter in self.letters if letter.recipient == recipient]
        found = _TOKEN.search(texts[-1])
        assert found is not None, texts[-1]
        return found[0]
