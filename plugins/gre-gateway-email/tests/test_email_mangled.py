"""Mails that were mangled on the way: the encrypted part is found, and what stood around it is said."""

from __future__ import annotations

import base64

import pytest
from gre_gateway_email.carriers.encrypted_part import MAX_FOOTER
from gre_gateway_email.carriers.pgp_mime import PgpMime
from gre_openpgp.armor import armor

from gre_core.errors import BadEncrypted

MESSAGE = b"\xd2\xff" + (70).to_bytes(4, "big") + b"\x01" + bytes(69)
ARMORED = armor(MESSAGE).decode().replace("\r\n", "\n")
OTHER = armor(MESSAGE[:-1] + b"x").decode().replace("\r\n", "\n")
PASSWORD = armor(b"\xc3\x04\x04\x09\x00\x02" + MESSAGE).decode().replace("\r\n", "\n")

ENCRYPTED = 'multipart/encrypted; protocol="application/pgp-encrypted"'
VERSION = "Content-Type: application/pgp-encrypted\n\nVersion: 1\n"
PART = f"Content-Type: application/octet-stream\n\n{ARMORED}"
EMPTY = "Content-Type: text/plain\n\n\n"
FOOTER = "Content-Type: text/plain\n\n_______\nmylist mailing list\nhttps://lists.example.org/mylist\n"
WORDS = "Content-Type: text/plain\n\nThe court is in the garden.\n"
KEY = 'Content-Type: application/pgp-keys; name="key.asc"\n\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n'
INLINE = f"Content-Type: text/plain; charset=utf-8\n\n{ARMORED}"


def multipart(kind: str, *parts: str, boundary: str = "b") -> str:
    lines = [f"Content-Type: {kind}; boundary={boundary}", ""]
    for part in parts:
        lines += [f"--{boundary}", part]
    return "\n".join([*lines, f"--{boundary}--", ""])


WHOLE = multipart(ENCRYPTED, VERSION, PART, boundary="inner")


def mixed(*parts: str) -> str:
    return multipart("multipart/mixed", *parts)


MANGLED = {
    # as it should be
    "PGP/MIME": (WHOLE, ()),
    # rebuilt
    "Exchange": (mixed(EMPTY, VERSION, PART), ("mixed-up",)),
    "Exchange with an empty HTML": (
        mixed("Content-Type: text/html\n\n<html><body>&nbsp;<br></body></html>", VERSION, PART),
        ("mixed-up",),
    ),
    "Exchange without a text": (mixed(VERSION, PART), ("mixed-up",)),
    "Proton": (
        mixed(
            "Content-Type: text/plain\n\nEmpty Message",
            "Content-Type: application/pgp-encrypted; name=attachment.pgp\n"
            "Content-Transfer-Encoding: base64\n\nVmVyc2lvbjogMQ0KDQo=\n",
            "Content-Type: application/octet-stream; name=encrypted.asc\nContent-Transfer-Encoding: base64\n\n"
            + base64.encodebytes(ARMORED.encode()).decode(),
        ),
        ("mixed-up",),
    ),
    "Google": (mixed("Content-Type: text/plain\nContent-Disposition: inline\n\n\n-- \n\n\n", WHOLE), ("mixed-up",)),
    "wrapped twice": (multipart("multipart/mixed", mixed(WHOLE), boundary="outer"), ("mixed-up",)),
    "signed by a mail server": (
        multipart("multipart/signed", WHOLE, "Content-Type: application/pgp-signature\n\nx\n", boundary="outer"),
        ("mixed-up",),
    ),
    # footers
    "mailing list": (mixed(WHOLE, FOOTER), ("list-footer",)),
    "mailing list with a footer in HTML": (
        mixed(WHOLE, "Content-Type: text/html\n\n<p>Unsubscribe here</p>"), ("list-footer",),
    ),
    "Google with a footer": (mixed("Content-Type: text/plain\n\n-- \nThis mail is ours\n", WHOLE), ("list-footer",)),
    "a footer within the encrypted mail": (multipart(ENCRYPTED, VERSION, PART, FOOTER), ("list-footer",)),
    "Exchange with a disclaimer": (mixed(EMPTY, VERSION, PART, WORDS), ("list-footer",)),
    "inline with a footer": (INLINE + "\n-- \nmylist mailing list\n", ("inline", "list-footer")),
    # more than a footer
    "words before": (mixed(WORDS, WHOLE), ("partial",)),
    "words before, mixed up": (mixed(WORDS, VERSION, PART), ("partial",)),
    "a file beside it": (mixed(WHOLE, "Content-Type: image/png\n\nx"), ("partial",)),
    "a long text behind": (mixed(WHOLE, WORDS + "word " * (MAX_FOOTER // 4)), ("partial",)),
    "two encrypted parts": (mixed(WHOLE, WHOLE.replace("inner", "other")), ("partial",)),
    "three parts in the encrypted mail": (multipart(ENCRYPTED, VERSION, PART, PART), ("partial",)),
    "a forwarded mail beside it": (mixed(WHOLE, f"Content-Type: message/rfc822\n\n{WORDS}"), ("partial",)),
    # inline
    "inline": (INLINE, ("inline",)),
    "inline without a Content-Type": (f"Subject: x\n\n{ARMORED}", ("inline",)),
    "inline in base64": (
        "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(ARMORED.encode()).decode(),
        ("inline",),
    ),
    "inline as quoted-printable": (
        f"Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n{ARMORED.replace('=', '=3D')}",
        ("inline",),
    ),
    "inline with a copy in HTML": (
        multipart("multipart/alternative", INLINE, f"Content-Type: text/html\n\n<pre>{ARMORED}</pre>"), ("inline",),
    ),
    "inline, another HTML": (
        multipart("multipart/alternative", INLINE, "Content-Type: text/html\n\n<p>Meet me in the garden</p>"),
        ("inline", "list-footer"),
    ),
    "application/pgp": (f"Content-Type: application/pgp; x-action=encrypt\n\n{ARMORED}", ("inline",)),
    "inline, words before": (f"Content-Type: text/plain\n\nSee here:\n{ARMORED}", ("inline", "partial")),
    "inline, a key attached": (mixed(INLINE, KEY), ("inline", "partial")),
    "inline, an encrypted file": (
        mixed(INLINE, f"Content-Type: application/octet-stream; name=x.pgp\n\n{OTHER}"), ("inline", "partial"),
    ),
    "inline, two messages": (f"{INLINE}\n{OTHER}", ("inline", "partial")),
    # attached
    "attached": (
        mixed(EMPTY, f'Content-Type: application/octet-stream; name="message.asc"\n\n{ARMORED}'), ("attached",),
    ),
    "attached as text": (
        mixed(EMPTY, f'Content-Type: text/plain; name="encrypted.asc"\n\n{ARMORED}'), ("attached",),
    ),
    "attached, alone": (f'Content-Type: application/octet-stream; name="msg.pgp"\n\n{ARMORED}', ("attached",)),
    "attached, two of them": (
        mixed(PART, f"Content-Type: application/octet-stream\n\n{OTHER}"), ("attached", "partial"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", MANGLED)
def test_the_encrypted_part_is_found_and_labelled(kit, name, newline):
    mail, notes = MANGLED[name]
    carried = PgpMime().unwrap(f"From: bob@example.net\n{mail}".replace("\n", newline).encode())
    assert carried is not None
    assert carried.body == kit.body_of(MESSAGE), "the first one travels"
    assert carried.notes == notes


ORDINARY = {
    "an encrypted file with a text": mixed(
        WORDS, f'Content-Type: application/octet-stream; name="message.asc"\n\n{ARMORED}'
    ),
    "a file that is no message": mixed(
        EMPTY, f'Content-Type: application/octet-stream; name="report.pdf.gpg"\n\n{ARMORED}'
    ),
    "a quoted armor": "Content-Type: text/plain\n\n> " + ARMORED.replace("\n", "\n> "),
    "half an armor": f"Content-Type: text/plain\n\n{ARMORED.partition('-----END')[0]}",
    "words about armor": "Content-Type: text/plain\n\nIt begins with -----BEGIN PGP MESSAGE----- as you know",
    "encrypted with a password, inline": f"Content-Type: text/plain\n\n{PASSWORD}",
    "not encrypted, inline": "Content-Type: text/plain\n\n" + armor(b"\xcb\x05b\0\0\0\0").decode(),
    "an armored key": mixed(EMPTY, KEY),
    "within a forwarded mail": mixed(EMPTY, f"Content-Type: message/rfc822\n\n{WHOLE}"),
    "within a report": multipart("multipart/report", WORDS, WHOLE),
    "words, and a damaged part": mixed(WORDS, WHOLE.replace("0v8AAA", "######")),
    "too deep": multipart(
        "multipart/mixed",
        multipart("multipart/mixed", multipart("multipart/mixed", WHOLE, boundary="c"), boundary="d"),
        boundary="e",
    ),
    "many parts": mixed(*[WORDS] * 30, WHOLE),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_mails_stay_ordinary(name):
    assert PgpMime().unwrap(ORDINARY[name].encode()) is None


@pytest.mark.parametrize("mail", [mixed(EMPTY, VERSION, PART), mixed(WHOLE), WHOLE])
def test_an_encrypted_mail_that_is_damaged_is_refused_not_shown_as_an_empty_one(mail):
    with pytest.raises(BadEncrypted):
        PgpMime().unwrap(mail.replace("0v8AAA", "######").encode())


# -- real mails --------------------------------------------------------------------------------------

REAL = {
    "alice_to_bob_no_intended_recipient_fingerprint.eml": (),
    "encrypted-group-without-id.eml": (),
    "encrypted-signed.eml": (),
    "encrypted_with_received_headers.eml": (),
    "google-workspace-mixed-up.eml": ("mixed-up",),
    "group-introduction-no-gossip.eml": (),
    "hp_legacy_display.eml": (),
    "messed_up_message_id.eml": (),
    "mixed-up-long.eml": ("mixed-up",),
    "rfc1847_encapsulation.eml": (),
    "text_from_alice_encrypted.eml": (),
    "thunderbird_encrypted_signed.eml": (),
    "thunderbird_encrypted_signed_with_pubkey.eml": (),
    "thunderbird_encrypted_unsigned.eml": (),
    "thunderbird_encrypted_unsigned_with_unencrypted_subject.eml": (),
    "thunderbird_with_autocrypt.eml": (),
    "thunderbird_with_multiple_autocrypts.eml": (),
    "verification-gossip-also-sent-to-from.eml": (),
}
DAMAGED = {
    "protonmail-mixed-up.eml": "no line",
    "protonmail-repaired.eml": "no line",
    "text_symmetrically_encrypted.eml": "password",
}
"""Of the first two the payload was cut out by who gave them."""


def test_every_mail_of_a_real_program_has_the_expected_outcome(corpora):
    relayed, refused = {}, {}
    for path in sorted((corpora / "deltachat-core" / "test-data" / "message").iterdir()):
        try:
            carried = PgpMime().unwrap(path.read_bytes())
        except BadEncrypted as error:
            refused[path.name] = error.text
        else:
            if carried is not None:
                relayed[path.name] = carried.notes
    assert relayed == REAL
    assert refused.keys() == DAMAGED.keys()
    assert all(DAMAGED[name] in text for name, text in refused.items()), refused
