"""The language-neutral vectors of MIME payloads, both ways."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from gre_core.api import Attachment, Message
from gre_core.testing import vectors

if TYPE_CHECKING:
    from gre_formatter_mime.formatter import MimeFormatter

    from gre_core.api import OpenJob, SealJob
    from gre_core.testing.vectors import Vector

VECTORS = [pytest.param(each, id=each["name"]) for each in vectors.read("mime")]


def files(vector: Vector) -> tuple[Attachment, ...]:
    """Read the files of a vector, whose lines come in the order name, type, inline, content."""
    found: list[Attachment] = []
    name = kind = ""
    shown: str | None = None
    for key, value in vector.lines:
        match key:
            case "file-name-base64":
                name, shown = base64.b64decode(value).decode(), None
            case "file-type":
                kind = value
            case "file-inline":
                shown = value
            case "file-content-base64":
                content = base64.b64decode(value)
                found.append(
                    Attachment.from_bytes(
                        name, kind, content, inline=shown is not None, content_id=shown or None
                    )
                )
            case _:
                pass
    return tuple(found)


def message(vector: Vector) -> Message:
    return Message(
        text=vector.text("text") or "",
        html=vector.text("html"),
        subject=vector.text("subject"),
        attachments=files(vector),
        to=tuple(vector.all("to")),
        claimed_sender=vector["from"],
        message_id=vector["message-id"],
        in_reply_to=vector.text("in-reply-to"),
        references=tuple(vector.all("reference")),
        date=datetime.fromisoformat(vector["date"]),
    )


def contents(read: Message) -> list[bytes]:
    return [each.read() for each in read.attachments]


@pytest.mark.parametrize("vector", VECTORS)
def test_reading(mime: MimeFormatter, open_job: OpenJob, vector: Vector) -> None:
    read, wanted = mime.parse(vector.bytes("payload"), open_job), message(vector)
    assert read == wanted
    assert contents(read) == contents(wanted)


@pytest.mark.parametrize("vector", VECTORS)
def test_writing(mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob, vector: Vector) -> None:
    from dataclasses import replace

    wanted = message(vector)
    origin, _, _ = vector["message-id"].partition("@")
    data = replace(seal_job.data, sender_id=vector["from"])
    job = replace(seal_job, data=data, origin_id=origin, date=wanted.date)  # type: ignore[arg-type]
    read = mime.parse(mime.format(wanted, job), open_job)
    assert read == wanted
    assert contents(read) == contents(wanted)
