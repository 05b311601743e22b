"""Files of plain messages, both ways."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gre_core.web import HttpsWeb
from gre_gateway_email.files.answers import Answered
from gre_gateway_email.files.incoming import Receive
from gre_gateway_email.files.outgoing import FETCH_SECONDS, Compose
from gre_gateway_email.files.slots import Services
from gre_gateway_email.relaying.composing import message_id
from gre_gateway_email.relaying.reading import PlainContent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gre_core.slixmpp.stream import Stream
    from gre_gateway_email.config import Files
    from gre_gateway_email.mail.reply_ids import ReplyIds


class FileSide:
    """Makes mails of plain messages, and messages of plain mails.

    Arguments:
        settings: what may be fetched and uploaded.
        stream: upload services are asked over it.
        reply_ids: reads which mail a message answers.

    Attributes:
        write: makes the mail of a plain message.
    """

    def __init__(self, settings: Files, stream: Stream, reply_ids: ReplyIds) -> None:
        web = HttpsWeb(timeout=FETCH_SECONDS, hosts=settings.hosts)
        self.write = Compose(settings, web, Answered(message_id, reply_ids))
        self._receive = Receive(settings, Services(stream, settings.service, time.monotonic), web)

    async def read(self, users: Sequence[str], mail: bytes) -> Mapping[str, PlainContent]:
        """Read a plain mail for users; raises as :class:`gre_gateway_email.files.incoming.Receive` does."""
        shown = await self._receive(users, mail)
        return {user: PlainContent(each.text, each.subject, each.links) for user, each in shown.items()}
