"""What we send passes the encryption filter of a chatmail relay, which refuses with ``523`` what is not encrypted.

The rules are those that the filter documents and was seen to apply: ``From`` is the sender of the envelope; the mail is
``multipart/encrypted`` of exactly two parts; the first says ``Version: 1``, the second is an armor from its first to its
last line, without comments; what follows its last ``=`` counts as the checksum; the packets are session keys and then
one SEIPD packet to the end. Older versions look at the subject as well.
"""

from __future__ import annotations

import base64
import binascii
from email import message_from_bytes, policy
from email.utils import parseaddr
from typing import Any

SUBJECTS = {"...", "[...]"}
BEGIN, END = "-----BEGIN PGP MESSAGE-----\r\n", "-----END PGP MESSAGE-----"
PKESK, SKESK, SEIPD = 1, 3, 18


def refusal(mail: bytes, sender: str) -> str:
    """Why a chatmail relay refuses a mail from one of its users; ``""`` when it takes it."""
    message = message_from_bytes(mail, policy=policy.default)
    if parseaddr(message["From"])[1].lower() != sender.lower():
        return "From is not the sender of the envelope"
    if message["Subject"] not in SUBJECTS:
        return "the subject is not hidden"
    parts: Any = message.get_payload()
    if message.get_content_type() != "multipart/encrypted" or len(parts) != 2:
        return "not multipart/encrypted with two parts"
    if [part.get_content_type() for part in parts] != [
        "application/pgp-encrypted",
        "application/octet-stream",
    ]:
        return "the parts are of other types"
    if parts[0].get_payload().strip() != "Version: 1":
        return "not Version: 1"
    return armor_refusal(parts[1].get_payload())


def armor_refusal(text: str) -> str:
    while text.endswith("\r\n"):
        text = text.removesuffix("\r\n")
    if not text.startswith(BEGIN) or not text.endswith(END):
        return "the second part is no armor from its first to its last line"
    body = text.removeprefix(BEGIN).removesuffix(END)
    if not body.startswith("\r\n"):
        return "the armor has comments"
    content, equals, _ = body.rpartition("=")
    if not equals:
        return "the armor has no checksum"
    try:
        data = base64.b64decode(content.replace("\r\n", ""), validate=True)
    except binascii.Error:
        return "not base64: the last '=' began no checksum"
    return packet_refusal(data)


def packet_refusal(data: bytes) -> str:
    at = 0
    while at < len(data):
        tag, at = data[at], at + 1
        if tag & 0xC0 != 0xC0:
            return "a packet of the old format"
        while 224 <= data[at] < 255:
            at += 1 + (1 << (data[at] & 0x1F))
        if data[at] < 192:
            at += 1 + data[at]
        elif data[at] < 224:
            at += 2 + ((data[at] - 192) << 8) + data[at + 1] + 192
        else:
            at += 5 + int.from_bytes(data[at + 1 : at + 5], "big")
        if at == len(data):
            return "" if tag & 0x3F == SEIPD else "the last packet is not encrypted data"
        if tag & 0x3F not in {PKESK, SKESK}:
            return "a packet that is no session key before the encrypted data"
    return "cut off"


def session_key(size: int) -> bytes:
    """Bytes in the shape of a session key of version 3."""
    return b"\xc1" + bytes([size]) + b"\x03" + bytes(8) + b"\x12" + bytes(size - 10)


async def test_each_mail_that_goes_out_passes_the_filter(start, juliet, relay, kit):
    await start()
    for size in (300, 301, 302):  # with any padding
        for version in (1, 2):
            data = kit.openpgp(size)
            data = session_key(94) + session_key(94) + data[:6] + bytes([version]) + data[7:]
            juliet.send(kit.message(data, id_=f"m-{size}-{version}"))
            sender, _, mail = await relay.next()
            assert refusal(mail, sender) == ""


async def test_the_filter_of_this_test_refuses_what_chatmail_refuses(start, juliet, relay, kit):
    await start()
    juliet.send(kit.message(kit.openpgp(300)))
    sender, _, mail = await relay.next()
    bad = {
        "From": mail.replace(b"From: juliet", b"From: romeo"),
        "subject": mail.replace(b"Subject: [...]", b"Subject: A secret"),
        "two parts": mail.replace(b"--=_gre-gateway--", b"--=_gre-gateway\r\n\r\nx\r\n--=_gre-gateway--"),
        "not multipart/encrypted": mail.replace(b"multipart/encrypted", b"multipart/mixed"),
        "other types": mail.replace(b"application/octet-stream", b"text/plain"),
        "Version": mail.replace(b"Version: 1", b"Version: 2"),
        "no armor": mail.replace(END.encode(), END.encode() + b"\r\nfooter"),
        "comments": mail.replace(b"MESSAGE-----\r\n\r\n", b"MESSAGE-----\r\nComment: x\r\n\r\n", 1),
    }
    for name, changed in bad.items():
        assert changed != mail, name
        assert name in refusal(changed, sender), name
