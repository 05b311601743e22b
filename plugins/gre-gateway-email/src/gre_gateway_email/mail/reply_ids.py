"""Stanza ids and threads that say which mail a plain message was, so that nothing has to be kept for an answer to it.

::

    ids = ReplyIds(secret)
    stanza_id = ids.stanza_id(
        "0f3c...", "juliet@xmpp.example", "m1@example.net"
    )  # 0f3c....m1@example.net.CODE
    ids.mail_of(stanza_id, "juliet@xmpp.example")  # "m1@example.net"

Who answers a message names its id (XEP-0461) or copies its thread (XEP-0201). Both are authenticated for one user: no
other text of a client becomes a header field of a mail.
"""

from __future__ import annotations

import re
from typing import Final

from gre_gateway_email.mail.authenticated import MAC_CHARS, code_of, is_code

MAX_STANZA_ID: Final = 186
"""Longest stanza id that is made, in characters: some servers index 191 of them, and files add up to five."""

MAX_THREAD: Final = 500
"""Longest thread that is made, in characters."""

_MESSAGE_ID: Final = r"[!-;=?-~]+@[!-;=?-~]+"
"""Without angle brackets: what can stand in a header field as it is (RFC 5322, section 3.6.4, and a little more)."""

_CODE: Final = rf"[A-Za-z0-9_-]{{{MAC_CHARS}}}"
_STANZA_ID: Final = re.compile(
    rf"(?P<stored>[0-9a-f]{{32}})(?:\.(?P<mail>{_MESSAGE_ID})\.(?P<code>{_CODE}))?(?P<part>-[0-9]{{1,4}})?"
)
_THREAD: Final = re.compile(rf"(?P<mail>{_MESSAGE_ID})\.(?P<code>{_CODE})")
_LISTED: Final = re.compile(rf"<({_MESSAGE_ID})>")
_ID, _ROOT = "stanza id", "thread"


class ReplyIds:
    """Makes and reads them.

    Arguments:
        secret: known to the gateway alone, at least 16 random bytes, the same after a restart.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def stanza_id(self, stored: str, user: str, message_id: str) -> str:
        """Give the id of the stanza of a plain message: the same whenever it is sent.

        Arguments:
            stored: id of the message in the inbox.
            user: bare JID of who gets it.
            message_id: of the mail, without angle brackets, or ``""``.

        Returns:
            ``stored`` itself when the Message-ID is none, too long, or not of the right shape.
        """
        said = f"{stored}.{message_id}"
        made = f"{said}.{code_of(self._secret, _ID, user, said)}"
        return made if len(made) <= MAX_STANZA_ID and _STANZA_ID.fullmatch(made) else stored

    def mail_of(self, stanza_id: str, user: str) -> str | None:
        """Give the Message-ID that a stanza id says; None: it says none, or was not made for that user."""
        found = _STANZA_ID.fullmatch(stanza_id) if len(stanza_id) <= 2 * MAX_STANZA_ID else None
        if found is None or found["mail"] is None:
            return None
        said = f"{found['stored']}.{found['mail']}"
        return found["mail"] if is_code(found["code"], self._secret, _ID, user, said) else None

    def thread(self, user: str, first: str) -> str | None:
        """Give the thread of a message: the same for all mails of a conversation (XEP-0201).

        Arguments:
            user: bare JID of who gets it.
            first: Message-ID of the first mail of the conversation, or ``""``.
        """
        made = f"{first}.{code_of(self._secret, _ROOT, user, first)}"
        return made if len(made) <= MAX_THREAD and _THREAD.fullmatch(made) else None

    def first_of(self, thread: str, user: str) -> str | None:
        """Give the first mail of a conversation; None: the thread is not one of ours, or not of that user."""
        found = _THREAD.fullmatch(thread) if len(thread) <= MAX_THREAD else None
        if found is None or not is_code(found["code"], self._secret, _ROOT, user, found["mail"]):
            return None
        return found["mail"]


def stored_id(stanza_id: str, *, parts: bool = False) -> str:
    """Give the id in the inbox of what came back as a receipt or an error.

    Arguments:
        stanza_id: as it came back.
        parts: also of the stanzas that stand before the last one of a message with files.
    """
    found = _STANZA_ID.fullmatch(stanza_id) if len(stanza_id) <= 2 * MAX_STANZA_ID else None
    return found["stored"] if found is not None and (parts or found["part"] is None) else stanza_id


def first_listed(field: str) -> str:
    """Give the first Message-ID of a References or In-Reply-To field, without angle brackets, or ``""``."""
    found = _LISTED.search(field[:4096])
    return found[1] if found is not None else ""
