"""Nothing that a user, or whoever speaks to a user, chooses becomes a header field, a recipient or a second mail.

Each message goes the whole way: the stanza through the engine, the mail through the writer, both over the connection to
a relay, whose bytes are read here by the letter of RFC 5321 and 5322.
"""

from __future__ import annotations

import asyncio
import base64
import re
from email.header import decode_header, make_header
from xml.etree.ElementTree import Element, SubElement

import pytest
from gre_gateway_email.carriers.pgp_mime import PgpMime
from gre_gateway_email.files.answers import Answered
from gre_gateway_email.mail.addresses import check_address, on_the_wire
from gre_gateway_email.mail.plain_writing import File, write_plain
from gre_gateway_email.mail.relay import _letter
from gre_gateway_email.mail.reply_ids import ReplyIds
from gre_gateway_email.mail.smtp_dialogue import Dialogue, Extensions
from gre_gateway_email.relaying.composing import envelope_of, message_id
from hypothesis import example, given
from hypothesis import strategies as st

from gre_core.api import encrypter, formatter
from gre_core.errors import GreError, InvalidAddress
from gre_core.gateway import GatewayEngine
from gre_core.jid_escape import escape

DOMAIN = "mail.localhost"
SENDER = "juliet@example.org"
PAIR = formatter("mime"), encrypter("openpgp")
CLIENT = "{jabber:client}"
FIELDS = ["Received", "Date", "From", "To", "Message-ID", "Subject", "MIME-Version", "Content-Type"]
PLAIN_FIELDS = [*FIELDS, "Content-Transfer-Encoding"]
SEALED = base64.b64encode(b"\xd2\xff\0\0\0\x65\x01" + bytes(100)).decode()

ATTACKS = [
    "\r\nBcc: eve@example.net",
    "\nBcc: eve@example.net",
    "\rBcc: eve@example.net",
    "\r\n\r\n.\r\nMAIL FROM:<eve@example.net>\r\n",
    "\n.\n",
    "\r.\r",
    "\0",
    "\u2028Bcc: eve@example.net",
    "\x85Bcc: eve@example.net",
    "\x0bX: y",
    "\x0c",
    "\x1c",
    "=?utf-8?q?=0D=0ABcc:_eve=40example.net?=",
    "=?utf-8?b?DQpCY2M6IGV2ZUBleGFtcGxlLm5ldA==?=",
    "> SIZE=1\r\nRCPT TO:<eve@example.net",
    ">, <eve@example.net",
    '"; x="',
    "\ud800",
    "\udcff",
    "\ufeff",
    "\u202e",
    "(comment)",
    "\\",
    "%s%n{0}",
    "x" * 2000,
]  # fmt: skip
HOSTILE = st.lists(
    st.one_of(st.text(max_size=20), st.sampled_from(ATTACKS), st.sampled_from(["a", " ", "bob", "@", "example.net", "."])),
    max_size=6,
).map("".join)  # fmt: skip
ADDRESS = st.one_of(
    HOSTILE,
    HOSTILE.map("bob{}@example.net".format),
    HOSTILE.map("bob@example.net{}".format),
    st.text(st.characters(categories=("Ll", "Lo", "Nd", "Mn")), min_size=1, max_size=12).map(
        "{}@example.net".format
    ),
    st.text("abc!#$%&'*+/=?^_`{|}~.-", min_size=1, max_size=20).map("{}@example.net".format),
)
LOCAL = re.compile(r"[^\s<>()\[\]:;@\\,\"\x00-\x1f\x7f]+")
MAIL_COMMAND = re.compile(
    rb"MAIL FROM:<juliet@example\.org> SIZE=[0-9]+(?: BODY=8BITMIME SMTPUTF8)? RET=HDRS"
)
FIELD = re.compile(rb"([!-9;-~]+):[ \r\n]")


class Wire(asyncio.Transport):
    """A relay that takes everything, and keeps it."""

    def __init__(self):
        super().__init__()
        self.written = b""

    def write(self, data):
        self.written += data
        reply = b"354 go\r\n" if data == b"DATA\r\n" else b"250 OK\r\n"
        asyncio.get_running_loop().call_soon(self.protocol.data_received, reply)

    def set_protocol(self, protocol):
        self.protocol = protocol

    def is_closing(self):
        return False


def handed_over(recipients, mail):
    """Send a mail; give all bytes that the relay gets."""

    async def work():
        wire = Wire()
        dialogue = Dialogue(
            wire, timeout=5, extensions=Extensions(pipelining=False, size=True, dsn=True, smtputf8=True)
        )
        await dialogue.send(_letter(SENDER, recipients, mail, "", "localhost"))
        return wire.written

    return asyncio.run(work())


def read_wire(raw, recipients):
    """Check the dialogue; give the header fields of the mail, unfolded, and its body."""
    commands, _, content = raw.partition(b"DATA\r\n")
    first, *others = commands.split(b"\r\n")[:-1]
    assert MAIL_COMMAND.fullmatch(first), first
    assert [line.partition(b"> NOTIFY=")[0] for line in others] == [
        f"RCPT TO:<{on_the_wire(each)}".encode() for each in recipients
    ]
    assert content.endswith(b"\r\n.\r\n")
    assert content.find(b"\r\n.\r\n") == len(content) - 5, "the mail ends early"
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert b"\0" not in content
    head, _, body = content[:-3].partition(b"\r\n\r\n")
    assert max(map(len, head.split(b"\r\n"))) <= 998
    fields = re.sub(rb"\r\n[ \t]", b" ", head).split(b"\r\n")
    assert all(FIELD.match(each + b" ") for each in fields), fields
    return [
        tuple(each.split(b": ", 1)) if b": " in each else (each.rstrip(b":"), b"") for each in fields
    ], body


def names(fields):
    return [name.decode() for name, _ in fields]


ENGINE = GatewayEngine(DOMAIN, [PAIR], sender_id=lambda _: _sender(), check_legacy_id=check_address)


async def _sender():
    return SENDER


def accepted(stanza):
    """What the engine makes of a stanza, or None when it refuses it."""
    try:
        return asyncio.run(ENGINE.accept(stanza))
    except GreError:
        return None


def stanza(to, *, text="hello", subject=None, id_="m1"):
    made = Element(f"{CLIENT}message", {"from": "juliet@localhost/r", "to": to, "id": id_, "type": "chat"})
    if subject is not None:
        SubElement(made, f"{CLIENT}subject").text = subject
    SubElement(made, f"{CLIENT}body").text = text
    return made


def mailed(made):
    """The whole way of a stanza; None when it was refused on it."""
    message = accepted(made)
    if message is None:
        return None
    recipients = tuple(each.legacy_id for each in (*message.recipients, *message.hidden))
    before = Answered(message_id, ReplyIds(b"s" * 32))(message)
    mail = write_plain(
        message.text,
        message.subject,
        envelope_of(message),
        in_reply_to=before.answers,
        references=before.references,
    )
    return message, recipients, mail


# -- recipients ----------------------------------------------------------------------------------------


@given(ADDRESS, st.booleans())
@example("bob@example.net\r\nBcc: eve@example.net", True)
@example("bob\u2028@example.net", False)
def test_a_jid_is_one_recipient_or_none(address, escaped):
    """XEP-0106 can write every character, so each text can come out of a local part."""
    local = address
    if escaped:
        try:
            local = escape(address)
        except InvalidAddress:
            local = "".join(f"\\{ord(char):02x}" if char in " \"&'/:<>@\\" else char for char in address)
    found = mailed(stanza(f"{local}@{DOMAIN}"))
    if found is None:
        return
    _, recipients, mail = found
    assert len(recipients) == 1
    assert LOCAL.fullmatch(recipients[0].partition("@")[0])
    fields, _ = read_wire(handed_over(recipients, mail), recipients)
    assert names(fields) == PLAIN_FIELDS
    assert dict(fields)[b"To"] == on_the_wire(recipients[0]).encode()


@given(st.lists(st.tuples(st.sampled_from(["to", "cc", "bcc"]), ADDRESS), min_size=1, max_size=4))
@example(
    [("to", "bob@example.net"), ("bcc", "eve@example.net"), ("cc", "x@example.net\r\nBcc: y@example.net")]
)
def test_several_recipients_are_those_and_no_others(wanted):
    """XEP-0033."""
    made = stanza(DOMAIN)
    addresses = SubElement(made, "{http://jabber.org/protocol/address}addresses")
    for kind, text in wanted:
        SubElement(
            addresses,
            "{http://jabber.org/protocol/address}address",
            {"type": kind, "jid": f"{text.replace('@', chr(92) + '40')}@{DOMAIN}"},
        )
    found = mailed(made)
    if found is None:
        return
    message, recipients, mail = found
    fields, _ = read_wire(handed_over(recipients, mail), recipients)
    assert names(fields) == PLAIN_FIELDS
    shown = dict(fields)[b"To"].decode()
    for hidden in message.hidden:
        assert on_the_wire(hidden.legacy_id) not in re.split(r"[, ]+", shown)


@given(HOSTILE)
def test_what_passes_as_an_address_can_end_no_command_and_no_field(text):
    """Addresses come from forms, commands and the operator's file, too."""
    for address in (text, f"{text}@example.net", f"bob@{text}"):
        try:
            check_address(address)
        except InvalidAddress:
            continue
        assert address.count("@") == 1
        assert not re.search(r"[\s<>,;:\"()\[\]\\\x00-\x1f\x7f-\x9f\u2028\u2029]", address)
        assert on_the_wire(address).isprintable()


# -- subject, text, ids, files -------------------------------------------------------------------------


@given(HOSTILE, HOSTILE)
@example("=?utf-8?q?=0D=0ABcc:_eve=40example.net?=", "x")
@example("x" * 1500, "x")
@example("a\x7fb", "x")
@example("\u2028", "\n.\n")
def test_subject_and_text_stay_what_they_are(subject, text):
    found = mailed(stanza(f"bob\\40example.net@{DOMAIN}", subject=subject, text=text or "x"))
    if found is None:
        return
    message, recipients, mail = found
    fields, _ = read_wire(handed_over(recipients, mail), recipients)
    assert names(fields) == PLAIN_FIELDS
    shown = str(make_header(decode_header(dict(fields)[b"Subject"].decode())))
    typed = " ".join((message.subject or "").encode("utf-8", "replace").decode().split())
    assert typed.startswith(shown[: len(shown) - 3].rstrip(".")) if len(typed) > 900 else shown == typed
    assert "\r" not in shown
    assert "\n" not in shown


@given(HOSTILE, HOSTILE, HOSTILE)
def test_ids_of_stanzas_begin_no_field(id_, origin, thread):
    made = stanza(f"bob\\40example.net@{DOMAIN}", id_=id_)
    SubElement(made, "{urn:xmpp:sid:0}origin-id", {"id": origin})
    SubElement(made, f"{CLIENT}thread").text = thread
    SubElement(made, "{urn:xmpp:reply:0}reply", {"id": thread, "to": f"bob\\40example.net@{DOMAIN}"})
    SubElement(made, "{urn:xmpp:message-correct:0}replace", {"id": thread})
    found = mailed(made)
    assert found is not None
    _, recipients, mail = found
    fields, _ = read_wire(handed_over(recipients, mail), recipients)
    assert [name for name in names(fields) if name not in {"In-Reply-To", "References"}] == PLAIN_FIELDS
    for name, value in fields:
        if name in {b"Message-ID", b"In-Reply-To", b"References"}:
            assert re.fullmatch(rb"<[!-;=?-~]+@example\.org>", value.strip()), value


@given(st.lists(st.tuples(HOSTILE, st.binary(max_size=20)), min_size=1, max_size=3))
def test_names_of_files_begin_no_field_and_no_part(files):
    message = accepted(stanza(f"bob\\40example.net@{DOMAIN}"))
    attached = [File(name, "text/plain", content) for name, content in files]
    mail = write_plain("hello", "Hi", envelope_of(message), files=attached)
    fields, body = read_wire(handed_over(["bob@example.net"], mail), ["bob@example.net"])
    assert names(fields) == FIELDS
    boundary = re.search(rb'boundary="(=_[0-9a-f]{32})"', dict(fields)[b"Content-Type"])[1]
    text, *parts, end = body.split(b"--" + boundary)
    assert (text, end, len(parts)) == (b"", b"--\r\n", len(files) + 1)
    for part in parts[1:]:
        head = re.sub(rb"\r\n[ \t]", b" ", part.removeprefix(b"\r\n").partition(b"\r\n\r\n")[0])
        assert [line.partition(b":")[0] for line in head.split(b"\r\n")] == [
            b"Content-Type",
            b"Content-Disposition",
            b"Content-Transfer-Encoding",
        ]
        assert head.isascii()


@given(HOSTILE)
def test_an_encrypted_message_has_exactly_the_fields_of_the_template(kit_text):
    """Subject, body and ids outside of ``<encrypted/>`` go nowhere; what is not OpenPGP is refused."""
    from gre_core.api import Body

    made = stanza(f"bob\\40example.net@{DOMAIN}", subject=kit_text, text=kit_text)
    encrypted = SubElement(
        made, "{urn:xmpp:gre:0}encrypted", {"formatter": str(PAIR[0]), "encrypter": str(PAIR[1])}
    )
    encrypted.text = SEALED
    message = accepted(made)
    mail = PgpMime().wrap(Body(encrypted.text), envelope_of(message))
    fields, body = read_wire(handed_over(["bob@example.net"], mail), ["bob@example.net"])
    assert names(fields) == FIELDS
    assert dict(fields)[b"Subject"] == b"[...]"
    if len(kit_text.strip()) > 8:
        assert kit_text.encode("utf-8", "replace") not in body


@pytest.mark.parametrize("attack", [each for each in ATTACKS if each != "%s%n{0}"])
@pytest.mark.parametrize("part", ["local", "domain"])
def test_each_attack_alone_in_an_address(attack, part):
    address = f"bob{attack}@example.net" if part == "local" else f"bob@example.net{attack}"
    with pytest.raises(InvalidAddress):
        check_address(address)
