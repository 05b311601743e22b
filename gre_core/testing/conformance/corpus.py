"""Messages that every formatter meets: empty, huge, in every script, with attachments of every shape."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final

from gre_core.model import Attachment, Message

if TYPE_CHECKING:
    from collections.abc import Iterable

SCRIPTS: Final = {
    "Arabic": "خطة السفر إلى فيرونا غدًا، إن شاء الله.",
    "Armenian": "Բարև, ինչպե՞ս ես։",
    "Chinese": "吾爱，汝为何名罗密欧？",
    "combining marks": "e\u0301 a\u030a o\u0308 n\u0303 \u0915\u094d\u0937",
    "Cyrillic": "О, зачем же ты Ромео?",
    "Devanagari": "हे रोमियो, तुम रोमियो क्यों हो?",
    "emoji": "👩\u200d🚀🏳️\u200d🌈🇻🇦 👍🏽",
    "Ethiopic": "ሰላም ለዓለም",
    "Georgian": "გამარჯობა მსოფლიო",
    "Greek": "Ῥωμαῖε, διὰ τί εἶ Ῥωμαῖος;",
    "Hebrew": "מדוע אתה רומאו?",
    "Japanese": "ああロミオ、どうしてあなたはロミオなの？",
    "Khmer": "សួស្តី\u200bពិភពលោក",
    "Korean": "오 로미오, 왜 당신은 로미오인가요?",
    "left and right mixed": "abc \u05d0\u05d1\u05d2 123 \u0627\u0644\u0633 xyz",
    "mathematics": "𝕽𝖔𝖒𝖊𝖔 ∀x∈ℝ: ⌈x⌉ ≥ x",
    "Tamil": "ரோமியோ, நீ ஏன் ரோமியோ?",
    "Thai": "โรมิโอ ทำไมเธอถึงเป็นโรมิโอ",
    "Tibetan": "བཀྲ་ཤིས་བདེ་ལེགས།",
    "Vietnamese": "Ôi Romeo, vì sao chàng lại là Romeo?",
}
"""One sentence for each script, by its name."""

AWKWARD: Final = {
    "a dot alone": ".\n..\n. \n",
    "From at the start of a line": "From me to you\n>From you to me\n",
    "a line of 5,000 characters": "a" * 5000 + "\n" + "é" * 5000,
    "a signature's dashes": "-- \nRomeo\n--=_x\n--x--\n",
    "delimiters of many formats": '</a><!-- --> ]]> \\" \' ; & &amp; {"a": [1]} %00 =?utf-8?q?a?= =20 =\n',
    "what looks like header fields": "Subject: other\nTo: other@example.org\n\nText",
    "only a line end": "\n",
    "only spaces": "   ",
    "spaces at the ends": "  text  \n\n\n",
    "tabs": "\ta\tb\t\n",
    "a byte order mark": "\ufefftext",
    "other line separators": "a\u2028b\u2029c\u0085d",
    "line ends of every system": "a\nb\r\nc\rd\r\r\ne\n\rf\r",
}
"""Texts at which formats break, by what is special about them."""

TINY_PNG: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8ff9f01000501"
    "01ff7a6bb5420000000049454e44ae426082"
)
"""A picture of one pixel."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A message of the corpus.

    Arguments:
        name: what is special about it.
        message: the message.
        needs: switches of the suite that must be on for it.
    """

    name: str
    message: Message
    needs: frozenset[str] = frozenset()


def messages(huge: int, addresses: tuple[str, ...]) -> list[Sample]:
    """Give the whole corpus.

    Arguments:
        huge: size of the largest texts and attachments, in bytes.
        addresses: some legacy ids that the format can write.
    """
    return [
        Sample("empty", Message()),
        Sample("one letter", Message("a")),
        Sample("several lines", Message("Wherefore art thou\nRomeo?\n\nDeny thy father\n")),
        *(Sample(name, Message(text + "\n" + text)) for name, text in SCRIPTS.items()),
        *(Sample(name, Message(text)) for name, text in AWKWARD.items()),
        Sample("huge, of one byte each", Message("Wherefore art thou?\n" * (huge // 20))),
        Sample("huge, of three bytes each", Message("吾爱汝\n" * (huge // 10))),
        *_subjects(),
        *_hypertexts(),
        *_files(huge),
        *_inline(),
        *_conversation(addresses),
    ]


def _subjects() -> Iterable[Sample]:
    needs = frozenset({"subject"})
    yield Sample("a subject and no text", Message(subject="Balcony"), needs)
    yield Sample("a subject of 300 characters", Message("a", subject="word " * 59 + "ende!"), needs)
    for name, text in SCRIPTS.items():
        yield Sample(f"subject: {name}", Message("a", subject=text), needs)


def _hypertexts() -> Iterable[Sample]:
    needs = frozenset({"html"})
    yield Sample("text and HTML", Message("Romeo", "<p>Romeo</p>"), needs)
    yield Sample("HTML without text", Message(html="<p>Romeo, <b>wherefore</b>?</p>"), needs)
    yield Sample("HTML of all scripts", Message("a", "".join(f"<p>{t}</p>" for t in SCRIPTS.values())), needs)
    page = (
        "<!DOCTYPE html>\n<html><head><style>p { color: red }</style><!-- a --></head>\n"
        "<body onload=\"a('b')\">\n<script>if (a < b && c) { d() }</script>\n<p>a&nbsp;b &lt;</p></body></html>"
    )
    yield Sample("HTML of a whole page", Message("a", page), needs)
    yield Sample("HTML on one long line", Message("a", "<p>" + "wherefore " * 3000 + "</p>"), needs)


def _files(huge: int) -> Iterable[Sample]:
    needs = frozenset({"attachments"})

    def files(*these: Attachment) -> Message:
        return Message("See there", attachments=these)

    make = Attachment.from_bytes
    binary = "application/octet-stream"
    yield Sample("a file and no text", Message(attachments=(make("a.bin", binary, b"\0\1\2"),)), needs)
    yield Sample("an empty file", files(make("empty.bin", binary, b"")), needs)
    yield Sample("all bytes", files(make("all.bin", binary, bytes(range(256)) * 9)), needs)
    yield Sample(
        "line ends in a file", files(make("a.bin", binary, b"\r\n\n\r\r\n.\r\n..\nFrom \n--\n")), needs
    )
    yield Sample(
        "line ends in a text", files(make("a.txt", "text/plain", b"\r\n\n\r a \t\r\n\xff\n\n")), needs
    )
    yield Sample("a huge file", files(make("huge.bin", binary, bytes(range(256)) * (huge // 256))), needs)
    unknown = Attachment("stream.bin", binary, lambda: BytesIO(bytes(range(256))))
    yield Sample("a file of unknown size", files(unknown), needs)
    yield Sample(
        "two of the same name",
        files(*(make("a.png", "image/png", TINY_PNG + c) for c in (b"1", b"2"))),
        needs,
    )
    yield Sample(
        "thirty files", files(*(make(f"{n}.txt", "text/plain", b"%d" % n) for n in range(30))), needs
    )
    yield Sample("a name without ending", files(make("README", "text/plain", b"a")), needs)
    yield Sample(
        "a name of 100 characters", files(make("a" * 96 + ".pdf", "application/pdf", b"%PDF")), needs
    )
    yield Sample("a name with quotes", files(make("it's a (good) plan; 100%.txt", "text/plain", b"a")), needs)
    for kind, content in (
        ("text/csv", b"a,b\r\n1,2\r\n"),
        ("text/html", b"<p>attached, not shown</p>"),
        ("text/calendar", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
        ("message/rfc822", b"Subject: inner\r\n\r\nText\r\n"),
        ("application/x-own+zip", b"PK\x05\x06" + bytes(18)),
    ):
        yield Sample(f"a file of type {kind}", files(make("file.dat", kind, content)), needs)
    for name in ("Arabic", "Chinese", "Cyrillic", "Devanagari", "emoji", "Hebrew", "Korean", "Vietnamese"):
        title = SCRIPTS[name].replace("?", "").replace("？", "")[:20].strip(" ,.")
        yield Sample(f"file name: {name}", files(make(f"{title}.txt", "text/plain", b"a")), needs)
    decomposed = "re\u0301sume\u0301 \u00c5\u212b.txt"
    yield Sample("file name: combining marks", files(make(decomposed, "text/plain", b"a")), needs)
    named = ("b.txt", "a.txt", "c.txt", "B.txt")
    yield Sample("files in no order", files(*(make(name, "text/plain", b"a") for name in named)), needs)


def _inline() -> Iterable[Sample]:
    picture = Attachment.from_bytes(
        "pixel.png", "image/png", TINY_PNG, inline=True, content_id="pixel@example.org"
    )
    other = Attachment.from_bytes("plan.pdf", "application/pdf", b"%PDF-")
    html = '<p><img src="cid:pixel@example.org"></p>'
    needs = frozenset({"html", "attachments", "inline"})
    yield Sample("a picture inside the text", Message("Look", html, attachments=(picture,)), needs)
    yield Sample("a picture inside and a file", Message("Look", html, attachments=(picture, other)), needs)


def _conversation(addresses: tuple[str, ...]) -> Iterable[Sample]:
    first, *others = addresses
    replies, named = frozenset({"replies"}), frozenset({"addresses"})
    ids = tuple(f"message-{number}@example.org" for number in range(40))
    yield Sample("an answer", Message("a", in_reply_to=ids[0], references=ids[:1]), replies)
    yield Sample("an answer in a long thread", Message("a", in_reply_to=ids[-1], references=ids), replies)
    yield Sample("one recipient by name", Message("a", to=(first,)), named)
    yield Sample("several recipients by name", Message("a", to=(first, *others), cc=(first,)), named)
