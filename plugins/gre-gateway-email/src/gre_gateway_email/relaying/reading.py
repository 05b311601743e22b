"""What a received mail is: encrypted content, or text. Says within the dialogue why a mail is not taken."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from gre_core.errors import BadEncrypted
from gre_gateway_email.mail import identity, mime_scan
from gre_gateway_email.mail.authorship import author_note
from gre_gateway_email.mail.auto_submitted import is_automatic
from gre_gateway_email.mail.mime_scan import Unreadable
from gre_gateway_email.mail.plain_reading import read_plain
from gre_gateway_email.mail.reply_ids import first_listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gre_gateway_email.carrier import Carriers

MAX_REPLY: Final = 400
_MAX_MESSAGE_ID: Final = 900


class Unwanted(Exception):
    """A mail is refused, for one recipient or for all.

    Arguments:
        code: reply code and enhanced status code, ``550 5.1.1``.
        text: for people.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.status = code.partition(" ")[2]
        self.reply = reply(code, text)


@dataclass(frozen=True, slots=True)
class Encrypted:
    """The encrypted content of a mail.

    Arguments:
        formatter: namespace.
        encrypter: namespace.
        text: the content of ``<encrypted/>``.
        notes: codes of what stood around it.
    """

    formatter: str
    encrypter: str
    text: str = field(repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlainContent:
    """What a user sees of a plain mail.

    Arguments:
        text: with a note about what is left out.
        subject: or ``""``.
        files: links to its attachments.
    """

    text: str = field(repr=False)
    subject: str = field(default="", repr=False)
    files: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Header:
    """What a later report about the mail, and an answer to it, need.

    Arguments:
        automatic: no report may go back: two programs would go on for ever.
        message_id: without angle brackets, or ``""``.
        digest: the same when the mail comes again.
        first: Message-ID of the first mail of the conversation, as far as the mail says; without angle brackets.
    """

    automatic: bool
    message_id: str
    digest: bytes
    first: str = ""


PlainReader = Callable[["Sequence[str]", bytes], Awaitable["Mapping[str, PlainContent]"]]
"""Reads a plain mail for users, by bare JID.

Raises Unreadable when its header is beyond the bounds, PeerTimeout when its attachments cannot be passed on now.
"""


async def read_text(users: Sequence[str], mail: bytes) -> Mapping[str, PlainContent]:
    """Read text and subject alone: attachments are named."""
    plain = read_plain(mail)
    return dict.fromkeys(users, PlainContent(plain.shown(plain.files), plain.subject))


def with_author(sender: str, mail: bytes, plain: PlainContent) -> PlainContent:
    """Say in the text of a plain mail who wrote it, where that is not its sender."""
    try:
        note = author_note(mime_scan.read(mail), sender)
    except Unreadable:
        return plain
    return replace(plain, text=f"{note}\n\n{plain.text}".rstrip("\n")) if note else plain


def unwrap(carriers: Carriers, sender: str, mail: bytes) -> Encrypted | None:
    """Take the encrypted content out of a mail; None: it has none.

    Raises:
        Unwanted: it is damaged, beyond the bounds, or a report that is encrypted.
    """
    try:
        unwrapped = carriers.unwrap(mail)
    except BadEncrypted as error:
        raise Unwanted("554 5.6.0", error.text) from error
    except Unreadable as error:
        raise Unwanted("554 5.6.0", f"The mail {error}") from error
    if unwrapped is None:
        return None
    if not sender:
        raise Unwanted("554 5.7.1", "A report of a mail system cannot be encrypted")
    carrier, carried = unwrapped
    return Encrypted(str(carrier.formatter), str(carrier.encrypter), carried.body.text, carried.notes)


def read_header(sender: str, mail: bytes) -> Header:
    """Read what a later report, and an answer, need."""
    try:
        root = mime_scan.read(mail)
    except Unreadable:
        return Header(automatic=True, message_id="", digest=hashlib.sha256(mail).digest())
    found = root.first("message-id").strip()
    message_id = found[1:-1] if found.startswith("<") and found.endswith(">") else ""
    message_id = message_id if len(message_id) <= _MAX_MESSAGE_ID else ""
    before = (first_listed(root.first(name)) for name in ("references", "in-reply-to"))
    first = next(filter(None, before), message_id)
    return Header(is_automatic(root, sender), message_id, identity.digest(root), first)


def escaped_size(text: str) -> int:
    """Give how many bytes a text has in a stanza, at most a little too many."""
    return len(text.encode("utf-8")) + 5 * sum(text.count(char) for char in "&<>\"'")


def reply(code: str, text: str) -> str:
    """Make a reply of one line in ASCII of any text."""
    line = "".join(char if " " <= char <= "~" else "?" for char in text)
    return f"{code} {line}"[:MAX_REPLY]
