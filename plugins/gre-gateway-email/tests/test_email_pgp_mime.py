"""The PGP/MIME carrier: a mail by template, byte for byte, and hostile mails taken apart."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
from datetime import UTC, datetime
from email import message_from_bytes, policy
from xml.etree.ElementTree import Element

import pytest
from gre_gateway_email.carrier import Carried, Envelope
from gre_gateway_email.carriers.pgp_mime import PgpMime
from gre_gateway_email.mail.mime_scan import Unreadable
from gre_openpgp.armor import armor

from gre_core.api import Body
from gre_core.errors import BadEncrypted
from gre_core.testing import require

WHEN = datetime(2026, 11, 5, 9, 8, 7, tzinfo=UTC)
ENVELOPE = Envelope("juliet@example.org", ("bob@example.net",), "id-1@example.org", WHEN)

PINNED = b"""\
Date: Thu, 05 Nov 2026 09:08:07 +0000\r
From: juliet@example.org\r
To: bob@example.net\r
Message-ID: <id-1@example.org>\r
Subject: [...]\r
MIME-Version: 1.0\r
Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r
 boundary="=_gre-gateway"\r
\r
--=_gre-gateway\r
Content-Type: application/pgp-encrypted\r
Content-Description: PGP/MIME version identification\r
\r
Version: 1\r
\r
--=_gre-gateway\r
Content-Type: application/octet-stream; name="encrypted.asc"\r
Content-Description: OpenPGP encrypted message\r
Content-Disposition: inline; filename="encrypted.asc"\r
\r
-----BEGIN PGP MESSAGE-----\r
\r
0v8AAABGAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r
AAAAAAAAAAAAAAAAAAAAAAAAAA==\r
=F23L\r
-----END PGP MESSAGE-----\r
\r
--=_gre-gateway--\r
"""
MESSAGE = b"\xd2\xff" + (70).to_bytes(4, "big") + b"\x01" + bytes(69)


def mail_with(content_type: str, *parts: str, newline: str = "\r\n") -> bytes:
    """A mail with a boundary ``b`` and these parts."""
    lines = ["From: bob@example.net", f"Content-Type: {content_type}", "", "preamble"]
    for part in parts:
        lines += ["--b", part]
    return newline.join([*lines, "--b--", ""]).replace("\r\n", "\n").replace("\n", newline).encode()


VERSION = "Content-Type: application/pgp-encrypted\n\nVersion: 1\n"
ARMORED = armor(MESSAGE, checksum=False).decode().replace("\r\n", "\n")
PART = f"Content-Type: application/octet-stream\n\n{ARMORED}"
PLAIN_TYPE = 'multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b'


# -- out ---------------------------------------------------------------------------------------------


def test_the_mail_is_pinned_byte_for_byte(kit):
    assert PgpMime().wrap(kit.body_of(MESSAGE), ENVELOPE) == PINNED


def test_the_mail_is_what_rfc_3156_demands(kit):
    envelope = Envelope("juliet@example.org", ("bob@example.net", "eve@example.net"), "x@example.org", WHEN)
    data = kit.openpgp_message(5000)
    mail = PgpMime().wrap(kit.body_of(data), envelope)
    parsed = message_from_bytes(mail, policy=policy.default)
    assert not parsed.defects
    assert parsed.get_content_type() == "multipart/encrypted"
    assert parsed.get_param("protocol") == "application/pgp-encrypted"
    version, encrypted = parsed.iter_parts()
    assert version.get_content_type() == "application/pgp-encrypted"
    assert version.get_payload().strip() == "Version: 1"
    assert encrypted.get_content_type() == "application/octet-stream"
    assert [str(a.addr_spec) for a in parsed["To"].addresses] == ["bob@example.net", "eve@example.net"]
    assert max(map(len, mail.split(b"\r\n"))) <= 78
    assert mail.count(b"\n") == mail.count(b"\r\n") == mail.count(b"\r")
    assert mail.isascii()


def test_one_autocrypt_header_when_there_is_a_key(kit):
    header = "addr=juliet@example.org; prefer-encrypt=mutual; keydata=\r\n AAAA\r\n BBBB"
    envelope = Envelope("juliet@example.org", ("bob@example.net",), "x@example.org", WHEN, header)
    parsed = message_from_bytes(PgpMime().wrap(kit.body_of(MESSAGE), envelope))
    assert parsed.get_all("Autocrypt") == [header.replace("\r\n", "\n").replace("\n", "\r\n")]
    assert message_from_bytes(PINNED).get_all("Autocrypt") is None


def test_nothing_of_the_gateway_leaks(kit):
    names = [line.split(b":")[0] for line in PINNED.split(b"\r\n\r\n")[0].split(b"\r\n") if b":" in line]
    assert names == [b"Date", b"From", b"To", b"Message-ID", b"Subject", b"MIME-Version", b"Content-Type"]


@pytest.mark.parametrize("shape", ["white space", "armor", "openpgp element"])
def test_other_ways_to_write_the_body_give_the_same_mail(kit, shape):
    text = base64.b64encode(MESSAGE).decode()
    element = Element("{urn:xmpp:openpgp:0}openpgp")
    element.text = text
    body = {
        "white space": Body(
            "\n  " + "\n\t".join(text[at : at + 20] for at in range(0, len(text), 20)) + "\r\n "
        ),
        "armor": Body(armor(MESSAGE).decode()),
        "openpgp element": Body("\n ", (element,)),
    }[shape]
    assert PgpMime().wrap(body, ENVELOPE) == PINNED


def child(tag: str, text: str) -> Element:
    element = Element(tag)
    element.text = text
    return element


GARBAGE = {
    "not base64": (Body("this is a secret!"), "not base64"),
    "not ASCII": (Body("gehe\N{LATIN SMALL LETTER I WITH DIAERESIS}m"), "not base64"),
    "bad padding": (Body("0v8AAABGA"), "not base64"),
    "data behind the padding": (Body(base64.b64encode(MESSAGE).decode() + "AAAA"), "not base64"),
    "plain text in base64": (Body(base64.b64encode(b"hello, plain text").decode()), "not an OpenPGP message"),
    "literal data": (Body(base64.b64encode(b"\xcb\x05b\0\0\0\0").decode()), "not encrypted"),
    "a public key": (Body(base64.b64encode(b"\xc6\x03abc").decode()), "type 6"),
    "cut off": (Body(base64.b64encode(MESSAGE[:-1]).decode()), "cut off"),
    "something behind": (Body(base64.b64encode(MESSAGE + b"\xd2").decode()), "behind"),
    "nothing": (Body("   "), "not an OpenPGP message"),
    "damaged armor": (Body("-----BEGIN PGP MESSAGE-----\n\n*****\n-----END PGP MESSAGE-----"), "damaged"),
    "another element": (Body("", (child("{urn:x}y", "0v8="),)), "nothing else"),
    "text beside the element": (
        Body("0v8=", (child("{urn:xmpp:openpgp:0}openpgp", "0v8="),)),
        "nothing else",
    ),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_and_plaintext_are_never_mailed(name):
    body, expected = GARBAGE[name]
    with pytest.raises(BadEncrypted, match=expected) as error:
        PgpMime().wrap(body, ENVELOPE)
    assert error.value.condition == "bad-request"
    assert "secret" not in error.value.text


@pytest.mark.parametrize("size", [300, 301, 302])
def test_gnupg_reads_the_armor_with_any_padding(tmp_path, kit, size):
    require(shutil.which("gpg"), "GnuPG (apt-get install gpg)")
    mail = PgpMime().wrap(kit.body_of(kit.openpgp_message(size)), ENVELOPE)
    listed = subprocess.run(
        ["gpg", "--homedir", str(tmp_path), "--batch", "--list-packets"],
        input=mail.partition(b'encrypted.asc"\r\n\r\n')[2], capture_output=True, check=False,
    )  # fmt: skip
    assert b"encrypted data packet" in listed.stdout
    assert b"CRC" not in listed.stderr
    assert b"invalid" not in listed.stderr


# -- in ----------------------------------------------------------------------------------------------


def test_what_was_wrapped_is_unwrapped(kit):
    for size in (41, 1000, 100_000):
        body = kit.body_of(kit.openpgp_message(size))
        assert PgpMime().unwrap(PgpMime().wrap(body, ENVELOPE)) == Carried(body)


VARIANTS = {
    "LF line ends": mail_with(PLAIN_TYPE, VERSION, PART, newline="\n"),
    "CRLF line ends": mail_with(PLAIN_TYPE, VERSION, PART),
    "parameters in another order": mail_with(
        'multipart/encrypted; boundary="b"; protocol="application/pgp-encrypted"', VERSION, PART
    ),
    "folded": mail_with(
        'multipart/encrypted;\n\tboundary="b";\n protocol="application/pgp-encrypted"', VERSION, PART
    ),
    "capitals": mail_with(
        'Multipart/Encrypted; BOUNDARY=b; Protocol="Application/PGP-Encrypted"', VERSION, PART
    ),
    "no protocol": mail_with("multipart/encrypted; boundary=b", VERSION, PART),
    "continued boundary (RFC 2231)": mail_with(
        'multipart/encrypted; boundary*0="b"; boundary*1=""', VERSION, PART
    ),
    "a comment": mail_with("multipart/encrypted (MIME) ; boundary=b", VERSION, PART),
    "no closing delimiter": mail_with(PLAIN_TYPE, VERSION, PART).replace(b"--b--", b""),
    "spaces behind the delimiters": mail_with(PLAIN_TYPE, VERSION, PART).replace(b"--b\r\n", b"--b \t\r\n"),
    "an empty part header": mail_with(PLAIN_TYPE, VERSION, f"\n{ARMORED}"),
    "armor with checksum": mail_with(PLAIN_TYPE, VERSION, PART.replace("\n-----END", "\n=twTO\n-----END")),
    "armor with headers": mail_with(
        PLAIN_TYPE, VERSION, PART.replace("MESSAGE-----\n", "MESSAGE-----\nVersion: x\n", 1)
    ),
    "base64 transfer encoding": mail_with(
        PLAIN_TYPE,
        VERSION,
        "Content-Type: application/octet-stream\nContent-Transfer-Encoding: Base64\n\n"
        + base64.encodebytes(ARMORED.encode()).decode(),
    ),
    "quoted-printable": mail_with(
        PLAIN_TYPE,
        VERSION,
        "Content-Transfer-Encoding: quoted-printable\n\n" + ARMORED.replace("=", "=3D"),
    ),
    "binary content": mail_with(PLAIN_TYPE, VERSION, "\n@@@").replace(b"@@@", MESSAGE),
    "rewritten by Exchange": mail_with(
        "multipart/mixed; boundary=b",
        "Content-Type: text/plain\n\n\n",
        VERSION,
        f"Content-Type: application/octet-stream\n\n{ARMORED}",
    ),
    "a second Content-Type": mail_with("multipart/encrypted; boundary=b", VERSION, PART).replace(
        b"Content-Type: multipart", b"Content-Type: text/html\r\nContent-Type: multipart", 1
    ),
    "an mbox line above": b"From - Thu, 02 Nov 2023 05:25:44 GMT\r\n" + mail_with(PLAIN_TYPE, VERSION, PART),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_pgp_mime_are_unwrapped(kit, variant):
    assert PgpMime().unwrap(VARIANTS[variant]).body == kit.body_of(MESSAGE)


OTHERS = {
    "plain text": b"From: x\r\n\r\nhello",
    "empty": b"",
    "only a header": b"Subject: x",
    "signed": mail_with("multipart/signed; boundary=b", "\nx", "\ny"),
    "another protocol": mail_with('multipart/encrypted; protocol="application/x"; boundary=b', VERSION, PART),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_mails_are_left_to_others(name):
    assert PgpMime().unwrap(OTHERS[name]) is None


DAMAGED = {
    "one part": (mail_with(PLAIN_TYPE, VERSION), "two parts are not there"),
    "no boundary": (mail_with("multipart/encrypted", VERSION, PART), "two parts are not there"),
    "no armor": (mail_with(PLAIN_TYPE, VERSION, "\nhello"), "no line"),
    "cut off": (mail_with(PLAIN_TYPE, VERSION, PART.partition("-----END")[0]), "cut off"),
    "not encrypted": (
        mail_with(PLAIN_TYPE, VERSION, "\n" + armor(b"\xcb\x05b\0\0\0\0").decode()),
        "not encrypted",
    ),
    "undecodable base64": (
        mail_with(PLAIN_TYPE, VERSION, "Content-Transfer-Encoding: base64\n\nA"),
        "no line",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_mails_are_refused_with_a_reason(name):
    mail, expected = DAMAGED[name]
    with pytest.raises(BadEncrypted, match=expected):
        PgpMime().unwrap(mail)


def nested(depth: int) -> bytes:
    lines = []
    for level in range(depth):
        lines += [f"Content-Type: multipart/mixed; boundary=b{level}", "", f"--b{level}"]
    return "\r\n".join([*lines, "Content-Type: text/plain", "", "x", ""]).encode()


HOSTILE = {
    "3,000 nested parts": nested(3000),
    "200 KB of header": b"Subject: " + b"x" * 200_000 + b"\r\n\r\nx",
    "200 KB in one Content-Type": b"Content-Type: multipart/encrypted" + b'; a="b"' * 30_000 + b"\r\n\r\nx",
    "unclosed quotes": b"Content-Type: multipart/encrypted" + b';a="' * 2000 + b"\r\n\r\n" + b"x" * 1000,
    "20,000 fields": b"A: b\r\n" * 20_000 + b"\r\nx",
    "100,000 delimiters": b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n" + b"--b\r\n" * 100_000,
    "delimiters that are none": b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n"
    + b"--bb--b--b" * 100_000,
    "1 MB without a line": b"x" * 1_000_000,
    "armor without end": mail_with(
        PLAIN_TYPE, VERSION, "\n-----BEGIN PGP MESSAGE-----\n" + "A: b\n" * 200_000
    ),
    "half an armor, often": mail_with(PLAIN_TYPE, VERSION, "\n" + "-----BEGIN PGP MESSAGE" * 50_000),
    "all bytes": bytes(range(256)) * 400,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mails_end_soon_and_without_surprise(name):
    started = time.process_time()
    try:
        found = PgpMime().unwrap(HOSTILE[name])
    except (BadEncrypted, Unreadable):
        found = None
    assert found is None
    assert time.process_time() - started < 10


# -- real mails --------------------------------------------------------------------------------------


def test_no_mail_of_the_corpora_brings_the_scanner_down(corpora):
    count = 0
    for path in corpora.rglob("*"):
        if path.is_file():
            count += 1
            try:
                PgpMime().unwrap(path.read_bytes())
            except (BadEncrypted, Unreadable):
                pass
    assert count > 1000
