"""Real and malformed mails of other projects: all are read, in bounded time, and as Python's ``email`` reads them."""

from __future__ import annotations

import email
import html
import io
import tracemalloc
from email import policy
from email.message import EmailMessage
from typing import TYPE_CHECKING

import pytest
from gre_formatter_mime.parse import parse_source
from gre_formatter_mime.source import BytesSource

from gre_core.errors import ParseFailed
from gre_core.message_codec import decode_message, encode_message
from gre_core.testing import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gre_formatter_mime.formatter import MimeFormatter

    from gre_core.api import Message, OpenJob

FOLDERS = {
    "stalwart-mail-parser": ("*.eml", 90),
    "mime4j": ("*.msg", 60),
    "deltachat-core": ("*.eml", 80),
    "autocrypt-spec": ("*.eml", 5),
    "sisimai-bounces": ("*.eml", 400),
}
# They have no header section: a mail client would show them, an encrypted payload cannot be them.
NO_MAIL = {"malformedHeaderStartsBody-noheader.msg", "malformedHeader-noheader.msg", "gmx-quote-body.eml"}


def mails(corpora: Path, folder: str) -> list[Path]:
    require((corpora / folder).is_dir(), f"the mails of {folder} (folder ../shared/corpora, or GRE_CORPORA)")
    pattern, least = FOLDERS[folder]
    found = sorted((corpora / folder).rglob(pattern))
    assert len(found) >= least
    return found


class Counting(BytesSource):
    """Counts how much of a payload is looked at."""

    looked_at = 0

    def read(self, start: int, end: int) -> memoryview:
        piece = super().read(start, end)
        self.looked_at += len(piece)
        return piece

    def find(self, needle: bytes, start: int, end: int) -> int:
        found = super().find(needle, start, end)
        self.looked_at += (end if found < 0 else found) - start
        return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_mail_is_read_within_its_bounds(
    mime: MimeFormatter, open_job: OpenJob, corpora: Path, folder: str
) -> None:
    """Each byte is looked at a few times at most, memory stays near the size, and every way of reading agrees."""
    refused = set()
    for path in mails(corpora, folder):
        payload = path.read_bytes()
        source = Counting(payload)
        tracemalloc.start()
        try:
            parse_source(source)
            peak = tracemalloc.get_traced_memory()[1]
        except ParseFailed:
            refused.add(path.name)
            continue
        finally:
            tracemalloc.stop()
        assert source.looked_at <= 6 * len(payload) + 1000, path
        assert peak <= 8 * len(payload) + 400_000, path
        message = mime.parse(payload, open_job)
        # Line ends of a bare CR are mended in memory only.
        streamed = mime.parse_from(io.BytesIO(payload), open_job) if b"\n" in payload else message
        carried = decode_message(encode_message(message))
        assert (message.text, message.html) == (streamed.text, streamed.html), path
        assert message.notices == streamed.notices == carried.notices, path
        assert message.hidden == streamed.hidden == carried.hidden, path
        for one, other, third in zip(
            message.attachments, streamed.attachments, carried.attachments, strict=True
        ):
            content = one.read()
            assert one.name
            assert one.size is None or one.size == len(content), path
            assert content == other.read() == third.read(), path
    assert refused <= NO_MAIL


def leaves(part: EmailMessage) -> Iterator[EmailMessage]:
    if part.get_content_maintype() == "multipart" and isinstance(part.get_payload(), list):
        for child in part.iter_parts():
            assert isinstance(child, EmailMessage)
            yield from leaves(child)
    elif part.get_content_maintype() != "message":
        yield part


def words(text: str) -> str:
    return " ".join(text.split())


def is_shown_or_attached(part: EmailMessage, message: Message) -> bool:
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    found = [attachment.read() for attachment in message.attachments]
    found += [message.signed.signature] if message.signed else []
    if raw.rstrip(b"\r\n") in [content.rstrip(b"\r\n") for content in found]:
        return True
    text = words(part.get_content()) if part.get_content_maintype() == "text" else None
    shown = words(f"{message.text} {message.html}")
    return text is not None and (text in shown or html.escape(text) in shown)


# The two disagree on these, each for a reason: damaged beyond an agreed reading, or older than MIME.
DIFFERENT = {
    "badbound.msg", "infinite.msg", "twopart.msg", "obsolete.msg", "weird-boundary.msg", "multipartemptypart.msg",
    # An unknown charset, which we guess; an encoding with white space after it, which we strip.
    "052.eml", "003.eml",
    # Words behind base64: from Python 3.14 on the library gives all of it undecoded.
    "002.eml",
    # Several plain alternatives: the last one is shown.
    "double-semicolon.msg", "double-semicolon2.msg", "000.eml", "001.eml",
}  # fmt: skip


@pytest.mark.parametrize("folder", ["stalwart-mail-parser", "mime4j", "deltachat-core"])
def test_nothing_that_the_standard_library_finds_is_lost(
    mime: MimeFormatter, open_job: OpenJob, corpora: Path, folder: str
) -> None:
    compared = 0
    for path in mails(corpora, folder):
        if path.name in DIFFERENT | NO_MAIL:
            continue
        mail = email.message_from_bytes(path.read_bytes(), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        parts = list(leaves(mail))
        if any(part.defects for part in mail.walk()):
            continue
        message = mime.parse(path.read_bytes(), open_job)
        for part in parts:
            if part.get_content_maintype() == "text":
                try:
                    if "\ufffd" in part.get_content():
                        continue
                except (LookupError, UnicodeError):
                    continue
            assert is_shown_or_attached(part, message), (path, part.get_content_type())
            compared += 1
    assert compared > 90


def test_delta_chat_attachments_have_the_names_that_it_expects(
    mime: MimeFormatter, open_job: OpenJob, corpora: Path
) -> None:
    folder = mails(corpora, "deltachat-core")[0].parent
    for name, expected in {
        "attach_filename_simple.eml": "test.html",
        "attach_filename_encoded_words.eml": "Maßnahmen Okt. 2020.html",
        "attach_filename_encoded_words_windows1251.eml": "file Что нового 2020.pdf",
        "attach_filename_encoded_words_cont.eml": "Maßn'ah'men Okt. 2020.html",
        "attach_filename_apostrophed.eml": "Maßnahmen Okt. 2021.html",
        "attach_filename_apostrophed_cont.eml": "Maßnahmen März 2022.html",
        "attach_filename_apostrophed_windows1251.eml": "программирование.HTM",
        "attach_filename_apostrophed_cp1252.eml": "Auftragsbestätigung.pdf",
    }.items():
        message = mime.parse((folder / name).read_bytes(), open_job)
        assert [attachment.name for attachment in message.attachments] == [expected], name


def test_delta_chat_legacy_display_is_not_shown(
    mime: MimeFormatter, open_job: OpenJob, corpora: Path
) -> None:
    path = mails(corpora, "deltachat-core")[0].parent / "hp_legacy_display.eml"
    assert "Subject:" not in mime.parse(path.read_bytes(), open_job).text
