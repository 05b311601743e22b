"""Large payloads, piece by piece."""

from __future__ import annotations

import io
import tracemalloc
from typing import TYPE_CHECKING, cast

import pytest
from gre_formatter_mime.limits import MAX_HEADER

from gre_core.api import Attachment, FileFormatter, Message
from gre_core.errors import FormatFailed, ParseFailed

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from gre_formatter_mime.formatter import MimeFormatter

    from gre_core.api import OpenJob, SealJob

SIZE = 24 << 20


def test_it_is_a_file_formatter(mime: MimeFormatter) -> None:
    assert isinstance(mime, FileFormatter)


def test_from_file_to_file_in_little_memory(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob, tmp_path: Path
) -> None:
    source, payload, target = tmp_path / "film.bin", tmp_path / "payload", tmp_path / "copy.bin"
    block = bytes(range(256)) * 4096
    with source.open("wb") as stream:
        for _ in range(SIZE // len(block)):
            stream.write(block)
    message = Message("Look!", attachments=(Attachment.from_path(source, "video/mp4"),))
    tracemalloc.start()
    with payload.open("wb") as sink:
        mime.format_to(message, seal_job, sink)
    written = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    with payload.open("rb") as stream:
        read = mime.parse_from(stream, open_job)
        with read.attachments[0].open() as content, target.open("wb") as copy:
            while piece := content.read(100_000):
                copy.write(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read.attachments == message.attachments
    assert target.read_bytes() == source.read_bytes()
    assert written < 8 << 20
    assert peak < 8 << 20


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("encoding", ["base64", "8bit", "quoted-printable", "ragged base64", "wide base64"])
def test_attachments_of_any_layout(
    mime: MimeFormatter, open_job: OpenJob, encoding: str, line_end: bytes
) -> None:
    import base64
    import quopri

    content = bytes(set(range(256)) - set(b"\r\n")) * 1000 + b"end"
    coded = base64.b64encode(content)
    body = {
        "base64": base64.encodebytes(content).rstrip(),
        "wide base64": b"\n".join(coded[at : at + 128] for at in range(0, len(coded), 128)),
        "ragged base64": b"\n".join(coded[at : at + 60 + at % 7] for at in range(0, len(coded), 67)),
        "quoted-printable": quopri.encodestring(content),
        "8bit": content,
    }[encoding]
    if encoding == "ragged base64":
        body = b"\n".join(
            [coded[:50], coded[50:113], *(coded[at : at + 60] for at in range(113, len(coded), 60))]
        )
    head = (
        f"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nhi\n--x\nContent-Type: application/octet-stream\n"
        f"Content-Transfer-Encoding: {encoding.rsplit(maxsplit=1)[-1]}\n\n"
    ).encode()
    if encoding != "8bit":
        body = body.replace(b"\n", line_end)
    payload = head.replace(b"\n", line_end) + body + line_end + b"--x--" + line_end
    for read in (mime.parse(payload, open_job), mime.parse_from(io.BytesIO(payload), open_job)):
        (attachment,) = read.attachments
        assert attachment.read() == content
        assert attachment.size in (
            {None} if encoding in {"quoted-printable", "ragged base64"} else {len(content)}
        )


def test_several_readers_share_the_stream(mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob) -> None:
    contents = [bytes([number]) * 1_500_000 for number in range(3)]
    message = Message(
        attachments=tuple(
            Attachment.from_bytes(f"{content[0]}.bin", "application/x-own", content) for content in contents
        )
    )
    stream = io.BytesIO()
    mime.format_to(message, seal_job, stream)
    opened = [attachment.open() for attachment in mime.parse_from(stream, open_job).attachments]
    read = [b"", b"", b""]
    for _ in range(1000):
        for number, each in enumerate(opened):
            read[number] += each.read(1501)
    assert read == contents
    assert opened[0].read() == b""


class Pipe(io.RawIOBase):
    """Gives less than it is asked for, as pipes and sockets do."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._inner.read(min(size, 1000) if size > 0 else 1000)


def test_attachments_that_come_in_small_pieces(
    mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob
) -> None:
    content = bytes(range(251)) * 5000
    attachment = Attachment("a.bin", "application/x-own", lambda: cast("BinaryIO", Pipe(content)))
    read = mime.parse(mime.format(Message("x", attachments=(attachment,)), seal_job), open_job)
    assert read.attachments[0].read() == content


class Broken(io.RawIOBase):
    def read(self, size: int = -1, /) -> bytes:
        raise OSError(5, "Input/output error", "/home/romeo/secret.pdf")


def test_a_disk_that_fails_is_told(mime: MimeFormatter, seal_job: SealJob) -> None:
    for kind in ("application/pdf", "message/rfc822"):
        attachment = Attachment("a.pdf", kind, lambda: cast("BinaryIO", Broken()))
        with pytest.raises(FormatFailed, match="Input/output error") as caught:
            mime.format(Message("x", attachments=(attachment,)), seal_job)
        assert "secret" not in caught.value.text


def test_a_stream_that_fails_is_told(mime: MimeFormatter, seal_job: SealJob, open_job: OpenJob) -> None:
    class NotSeekable(io.BytesIO):
        def seek(self, *_: object) -> int:
            raise OSError("no")

    with pytest.raises(ParseFailed, match="cannot be read"):
        mime.parse_from(NotSeekable(b"Subject: x\n\n"), open_job)
    closed = io.BytesIO(b"Subject: x\n\n")
    closed.close()
    with pytest.raises(ParseFailed, match="cannot be read"):
        mime.parse_from(closed, open_job)
    stream = io.BytesIO()
    message = Message("x", attachments=(Attachment.from_bytes("a", "application/pdf", b"x" * 3_000_000),))
    mime.format_to(message, seal_job, stream)
    (attachment,) = mime.parse_from(stream, open_job).attachments
    stream.truncate(2_000_000)
    with pytest.raises(OSError, match="became shorter"):
        attachment.read()


def test_a_header_section_longer_than_the_first_look(mime: MimeFormatter, open_job: OpenJob) -> None:
    long = b"X-Long: " + b"y" * 60_000 + b"\r\n"
    for count in (1, 5):
        message = mime.parse_from(io.BytesIO(long * count + b"Subject: found\r\n\r\nhello\r\n"), open_job)
        assert (message.subject, message.text) == ("found", "hello")
    with pytest.raises(ParseFailed, match="larger than"):
        mime.parse_from(io.BytesIO(long * 9 + b"\r\n" + b"x" * MAX_HEADER), open_job)


def test_delimiters_across_the_windows_of_a_stream(mime: MimeFormatter, open_job: OpenJob) -> None:
    head = b"Content-Type: multipart/mixed; boundary=boundary\r\n\r\n--boundary\r\n\r\n"
    for shift in range(-14, 4):
        text = b"x" * ((1 << 20) - 2 + shift)
        tail = b"\r\n--boundary\r\nContent-Disposition: attachment\r\n\r\nfile\r\n--boundary--\r\n"
        message = mime.parse_from(io.BytesIO(head + text + tail), open_job)
        assert len(message.text) == len(text)
        assert [attachment.read() for attachment in message.attachments] == [b"file"]
