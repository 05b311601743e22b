"""Real and malformed mails that come with what another parser, in Rust or Java, makes of them.

All that can be compared is compared. Each mail on which we differ stands here with its reason, so the share that agrees
cannot fall unseen.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from gre_core.mime_text.charsets import to_text
from gre_core.testing import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gre_formatter_mime.formatter import MimeFormatter

    from gre_core.api import Message, OpenJob

Difference = tuple[str, str]
"""A mail and what of it differs."""


def words(text: str | None) -> str:
    return " ".join((text or "").split())


class Tally:
    """Counts what agrees."""

    def __init__(self) -> None:
        self.compared: Counter[str] = Counter()
        self.differences: set[Difference] = set()

    def add(self, mail: str, what: str, *, agrees: bool) -> None:
        self.compared[what] += 1
        if not agrees:
            self.differences.add((mail, what))


# -- stalwart-mail-parser: JSON ---------------------------------------------------------------------


def body(tree: dict[str, Any], number: int) -> tuple[str, Any]:
    kind = tree["parts"][number]["body"]
    return next(iter(kind.items())) if isinstance(kind, dict) else (kind, None)


def header(tree: dict[str, Any], name: str) -> Any:
    return next((each["value"] for each in tree["parts"][0]["headers"] if each["name"] == name), None)


def compare_with_json(tally: Tally, mail: str, tree: dict[str, Any], message: Message) -> None:
    match header(tree, "subject"):
        case {"Text": str(subject)}:
            tally.add(mail, "subject", agrees=words(message.subject) == words(subject))
        case _:
            pass
    match header(tree, "from"):
        case {"Address": {"List": [{"address": str(address)}, *_]}} if "@" in address:
            tally.add(mail, "from", agrees=message.claimed_sender == address)
        case _:
            pass
    match header(tree, "message_id"):
        case {"Text": str(identifier)}:
            tally.add(mail, "id", agrees=message.message_id == identifier)
        case _:
            pass
    texts = [body(tree, number) for number in tree["text_body"]]
    if texts and all(kind == "Text" for kind, _ in texts):
        tally.add(mail, "text", agrees=words(message.text) == words(" ".join(text for _, text in texts)))
    files = [body(tree, number) for number in tree["attachments"]]
    tally.add(mail, "count", agrees=len(files) == len(message.attachments))
    if len(files) == len(message.attachments):
        for (kind, wanted), file in zip(files, message.attachments, strict=True):
            if kind in {"Binary", "InlineBinary"}:
                tally.add(mail, "content", agrees=bytes(wanted) == file.read())
            elif kind in {"Text", "Html"}:
                found = file.read().decode("utf-8", "replace")
                tally.add(mail, "content", agrees=words(wanted) == words(found))


UNDECODED = {("legacy/" + name, "content") for name in ("017.eml", "026.eml", "048.eml")}
"""It leaves uuencode as it is."""
RAW_CHARSET = {("legacy/" + name, "content") for name in ("023.eml", "045.eml", "047.eml")}
"""A text as attachment: it decodes the charset, we give the bytes and name the charset."""
RAW_SUBJECT = {
    ("legacy/010.eml", "subject"), ("legacy/020.eml", "subject"), ("legacy/022.eml", "subject"),
    ("legacy/027.eml", "subject"), ("legacy/052.eml", "subject"), ("legacy/052.eml", "text"),
}  # fmt: skip
"""Bytes that are no UTF-8: it puts signs of replacement where we read windows-1252, which it is."""
BOUNDARY_OF_ANOTHER = {
    ("malformed/" + name, what)
    for name, whats in {
        "001.eml": ("text", "count"), "005.eml": ("text",), "008.eml": ("text", "count"), "009.eml": ("text", "count"),
        "011.eml": ("text", "count"), "012.eml": ("count",), "016.eml": ("text", "count"),
    }.items()
    for what in whats
}  # fmt: skip
"""Multiparts in each other whose boundaries are each other's beginnings, or end in dashes, and miss their ends."""
NO_DELIMITER = {
    ("malformed/" + name, "count") for name in ("002.eml", "003.eml", "004.eml", "006.eml", "007.eml")
}
"""A multipart in which no part begins: it makes it a file, we show it."""
OTHERS = {
    ("legacy/016.eml", "content"),  # BinHex as it stands there: it changes the line ends
    ("malformed/015.eml", "count"),  # a signature that covers all is Message.signed, no file
    ("malformed/015.eml", "from"),  # and what stands around it is not signed
    ("malformed/015.eml", "id"),
    ("malformed/019.eml", "text"),  # a delimiter in the wrong case: it shows nothing, we show what is there
    ("malformed/020.eml", "text"),  # a delimiter that begins with a tab: it shows the HTML as text
    ("malformed/021.eml", "text"),
    ("rfc/000.eml", "content"),  # "base64-encoded data goes here" is not base64: it leaves it
    ("thirdparty/000.eml", "text"),  # several plain alternatives: the last one is shown (RFC 2046, section 5.1.4)
    ("thirdparty/001.eml", "text"),
    ("thirdparty/002.eml", "text"),  # base64 of nonsense
    ("thirdparty/002.eml", "count"),
    ("thirdparty/005.eml", "text"),  # a delimiter in the middle of a line is none
    ("thirdparty/015.eml", "count"),  # messages in a digest: it puts them into each other
}  # fmt: skip
STALWART = UNDECODED | RAW_CHARSET | RAW_SUBJECT | BOUNDARY_OF_ANOTHER | NO_DELIMITER | OTHERS


def test_stalwart_expects_the_same(mime: MimeFormatter, open_job: OpenJob, corpora: Path) -> None:
    folder = corpora / "stalwart-mail-parser" / "resources" / "eml"
    require(folder.is_dir(), "the mails of stalwart-mail-parser (folder ../shared/corpora, or GRE_CORPORA)")
    tally = Tally()
    for path in sorted(folder.rglob("*.eml")):
        tree = json.loads(path.with_suffix(".json").read_text())
        compare_with_json(
            tally, f"{path.parent.name}/{path.name}", tree, mime.parse(path.read_bytes(), open_job)
        )
    assert tally.differences == STALWART
    # 91 of 100 things that were compared agree, and all that differ stand above.
    assert sum(tally.compared.values()) >= 450
    assert len(tally.differences) / sum(tally.compared.values()) < 0.09


# -- mime4j: XML and decoded bodies -----------------------------------------------------------------


def leaves(part: ET.Element) -> Iterator[str]:
    """Give the files with the bodies, but for those of messages inside."""
    for child in part:
        if child.tag in {"multipart", "body-part"}:
            yield from leaves(child)
        elif child.tag in {"text-body", "binary-body"}:
            yield child.attrib["name"]


def is_there(raw: bytes, message: Message) -> bool:
    def plain(content: bytes) -> bytes:
        return content.replace(b"\r\n", b"\n").rstrip(b"\n")

    if plain(raw) in [plain(attachment.read()) for attachment in message.attachments]:
        return True
    shown = words(f"{message.text} {message.html or ''}")
    for charset in ("utf-8", "cp1252"):
        try:
            if words(raw.decode(charset)) in shown:
                return True
        except UnicodeDecodeError:
            continue
    return False


MIME4J = {
    ("double-semicolon.msg", "body"),  # several plain alternatives: the last one is shown
    ("double-semicolon2.msg", "body"),
    ("multi-frag.msg", "body"),  # base64 that runs into text for want of a delimiter: two bytes more
    ("malformedHeaderStartsBody-nocrlfcrlf.msg", "body"),  # a line that is no field begins the body
    ("qp-body.msg", "body"),  # the expected body is not decoded from its charset
}  # fmt: skip
BARE = {"malformedHeader-noheader.msg", "malformedHeaderStartsBody-noheader.msg"}


def test_mime4j_expects_the_same(mime: MimeFormatter, open_job: OpenJob, corpora: Path) -> None:
    folder = corpora / "mime4j"
    require(folder.is_dir(), "the mails of mime4j (folder ../shared/corpora, or GRE_CORPORA)")
    tally = Tally()
    for path in sorted(folder.rglob("*.msg")):
        tree = ET.fromstring(path.with_name(f"{path.stem}_decoded.xml").read_bytes())
        message = mime.parse(path.read_bytes(), open_job)
        if path.name in BARE:
            assert message.text == to_text(path.read_bytes(), "").replace("\r\n", "\n").removesuffix("\n")
            continue
        fields = [(field.text or "").strip() for field in tree.iterfind("header/field")]
        subject = next((each[8:] for each in fields if each.lower().startswith("subject:")), None)
        if subject is not None and subject.isascii() and "=?" not in subject:
            tally.add(path.name, "subject", agrees=words(message.subject) == words(subject))
        for name in leaves(tree):
            tally.add(path.name, "body", agrees=is_there((path.parent / name).read_bytes(), message))
    assert tally.differences == MIME4J
    # 97 of 100 agree.
    assert tally.compared["subject"] >= 50
    assert tally.compared["body"] >= 130
    assert len(tally.differences) / sum(tally.compared.values()) < 0.03
