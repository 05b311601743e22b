"""What is sent: stanzas and mails that carry a marker, by which they are found again, and a body that can be compared."""

from __future__ import annotations

import base64
import random
import re
from email import message_from_bytes
from zlib import crc32

GATEWAY = "mail.localhost"
MAIL_DOMAIN = "example.org"
PEER_DOMAIN = "example.net"
PEER = f"bob@{PEER_DOMAIN}"
PEER_JID = f"bob\\40{PEER_DOMAIN}@{GATEWAY}"
PAIR = "formatter='urn:xmpp:gre:formatter:mime:0' encrypter='urn:xmpp:gre:encrypter:openpgp:0'"

_MARKER = re.compile(rb"~([a-z]+-[a-z0-9]+-\d+)~")


def sealed(marker: str, size: int) -> bytes:
    """Give bytes in the shape of an encrypted OpenPGP message, which begin with the marker."""
    content = f"~{marker}~".encode() + random.Random(marker).randbytes(size)
    return b"\xd2\xff" + (len(content) + 1).to_bytes(4, "big") + b"\x01" + content


def checksum(marker: str, size: int) -> int:
    """Give the checksum that :func:`read` finds in what :func:`sealed` made."""
    return crc32(sealed(marker, size))


def read(data: bytes) -> tuple[str, int]:
    """Give marker and checksum of bytes from :func:`sealed`, or of a text (then without a checksum: 0)."""
    found = _MARKER.search(data)
    if found is None:
        raise ValueError(data[:200])
    return found[1].decode(), crc32(data) if data.startswith(b"\xd2") else 0


def stanza(marker: str, size: int, *, plain: bool) -> str:
    """Write the message of a client: the marker is its id and its origin-id."""
    if plain:
        content = f"<body>~{marker}~ {'word ' * (size // 5)}</body>"
    else:
        body = base64.b64encode(sealed(marker, size)).decode()
        content = f"<encrypted xmlns='urn:xmpp:gre:0' {PAIR}>{body}</encrypted>"
    return (
        f"<message to='{PEER_JID}' id='{marker}' type='chat'>{content}"
        f"<request xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' id='{marker}'/></message>"
    )


def mail(marker: str, size: int, to: str, *, plain: bool) -> bytes:
    """Write a mail as any mail program does: text, or PGP/MIME."""
    head = (
        f"From: Bob <{PEER}>\r\nTo: {to}\r\nSubject: ...\r\nMessage-ID: <{marker}@{PEER_DOMAIN}>\r\n"
        "Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    )
    if plain:
        words = "word word word word word word\r\n" * (size // 31)
        return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n~{marker}~\r\n{words}".encode()
    armor = base64.encodebytes(sealed(marker, size)).decode().replace("\n", "\r\n")
    return (
        f'{head}Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="sep"\r\n\r\n'
        "--sep\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n"
        "--sep\r\nContent-Type: application/octet-stream\r\n\r\n"
        f"-----BEGIN PGP MESSAGE-----\r\n\r\n{armor}-----END PGP MESSAGE-----\r\n\r\n--sep--\r\n"
    ).encode()


def read_mail(content: bytes) -> tuple[str, int, str]:
    """Give marker, checksum and Message-ID of a mail that came out."""
    message_id = re.search(rb"^Message-ID:\s*<([^>]*)>", content, re.MULTILINE | re.IGNORECASE)
    armor = content.partition(b"-----BEGIN PGP MESSAGE-----")[2].partition(b"-----END PGP MESSAGE-----")[0]
    if armor:
        content = base64.b64decode(armor.strip().partition(b"\n=")[0])
    elif b"\nContent-Type: text/plain" in content:
        content = message_from_bytes(content).get_payload(decode=True)  # type: ignore[assignment]
    marker, check = read(content)
    return marker, check, message_id[1].decode() if message_id else ""
