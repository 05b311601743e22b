"""Writes a message as a JSON object, and reads it."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from gre_core.api import Attachment, Message
from gre_core.errors import FormatFailed, ParseFailed
from gre_core.mime_text.file_names import safe_name

if TYPE_CHECKING:
    from gre_core.api import OpenJob, SealJob

LONGEST: Final = 16 << 20
"""The longest payload that is written or read, in bytes."""


class ExampleFormatter:
    """The formatter: text, subject, sender, date and files."""

    def format(self, message: Message, job: SealJob, /) -> bytes:
        """Give the payload; raises FormatFailed."""
        if message.html and not message.text:
            raise FormatFailed("This format has no HTML. Write the message as text.")
        try:
            fields = {
                "from": job.data.sender_id,  # what the gateway says, whatever the message claims
                "date": job.date.isoformat(),
                "subject": message.subject,
                "text": message.text,
                "files": [
                    [each.name, each.media_type, base64.b64encode(each.read()).decode()]
                    for each in message.attachments
                ],
            }
            payload = json.dumps(fields, ensure_ascii=False).encode()
        except OSError:
            raise FormatFailed("An attachment cannot be read. Attach it again.") from None
        except UnicodeEncodeError:
            raise FormatFailed("The message holds characters that do not exist. Write them anew.") from None
        if len(payload) > LONGEST:
            raise FormatFailed(f"The message is larger than {LONGEST >> 20} MiB. Leave out some files.")
        return payload

    def parse(self, payload: bytes, _job: OpenJob, /) -> Message:
        """Read a payload, which may be hostile; raises ParseFailed."""
        if len(payload) > LONGEST:
            raise ParseFailed(f"The payload is larger than {LONGEST >> 20} MiB.")
        try:
            return _message(json.loads(payload))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ParseFailed("This is no payload of the formatter example.") from None  # nothing is quoted


def _message(fields: Any) -> Message:
    date = datetime.fromisoformat(_text(fields["date"]))
    if date.tzinfo is None:
        raise ValueError
    return Message(
        text=_text(fields["text"]),
        subject=None if fields["subject"] is None else _text(fields["subject"]),
        attachments=tuple(_file(*each) for each in fields["files"]),
        claimed_sender=_text(fields["from"]),
        date=date,
    )


def _file(name: str, media_type: str, content: str) -> Attachment:
    harmless = safe_name(_text(name), _text(media_type))  # no folders, no control characters
    return Attachment.from_bytes(harmless, media_type, base64.b64decode(_text(content), validate=True))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
