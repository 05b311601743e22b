"""The carrier of MIME messages in OpenPGP: PGP/MIME mails (RFC 3156, section 4), by a fixed template.

No cryptography happens here. A body is checked to look like an encrypted OpenPGP message, so that no
plaintext and no garbage is ever mailed, and its base64 is cut into lines of armor.
"""

from __future__ import annotations

from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

import pybase64
from gre_openpgp.armor import armor, dearmor, is_armored
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.messages import check_message

from gre_core.api import Body, encrypter, formatter
from gre_core.errors import BadEncrypted
from gre_gateway_email import mime_scan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_gateway_email.carrier import Envelope

FORMATTER: Final = formatter("mime")
ENCRYPTER: Final = encrypter("openpgp")

SUBJECT: Final = "[...]"
"""What stands in the place of the subject, which is inside the encryption (RFC 9788, section 3.2.1)."""

MAX_PARTS: Final = 20

_VERSION_AND_MESSAGE: Final = 2
_OPENPGP: Final = "{urn:xmpp:openpgp:0}openpgp"
# "=_" is in no base64 and no armor, so no line of the body can be taken for this boundary.
_BOUNDARY: Final = "=_gre-gateway"
_TEMPLATE: Final = (
    "Date: {date}\r\n"
    "From: {sender}\r\n"
    "To: {recipients}\r\n"
    "Message-ID: <{message_id}>\r\n"
    f"Subject: {SUBJECT}\r\n"
    "{autocrypt}"
    "MIME-Version: 1.0\r\n"
    'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n'
    f' boundary="{_BOUNDARY}"\r\n'
    "\r\n"
    f"--{_BOUNDARY}\r\n"
    "Content-Type: application/pgp-encrypted\r\n"
    "Content-Description: PGP/MIME version identification\r\n"
    "\r\n"
    "Version: 1\r\n"
    "\r\n"
    f"--{_BOUNDARY}\r\n"
    'Content-Type: application/octet-stream; name="encrypted.asc"\r\n'
    "Content-Description: OpenPGP encrypted message\r\n"
    'Content-Disposition: inline; filename="encrypted.asc"\r\n'
    "\r\n"
    "{armor}"
    "\r\n"
    f"--{_BOUNDARY}--\r\n"
)


class PgpMime:
    """Carries the pair of MIME formatter and OpenPGP encrypter."""

    formatter = FORMATTER
    encrypter = ENCRYPTER

    def wrap(self, body: Body, envelope: Envelope, /) -> bytes:
        """Make the mail.

        Raises:
            BadEncrypted: not base64, or not an encrypted OpenPGP message.
        """
        data, version = _message_of(body)
        return _TEMPLATE.format(
            date=format_datetime(envelope.date),
            sender=envelope.sender,
            recipients=_addresses(envelope.recipients),
            message_id=envelope.message_id,
            autocrypt=f"Autocrypt: {envelope.autocrypt}\r\n" if envelope.autocrypt else "",
            armor=armor(data, checksum=version == 1).decode("ascii"),
        ).encode("ascii")

    def unwrap(self, mail: bytes, /) -> Body | None:
        """Find the encrypted part of a mail whose root is ``multipart/encrypted``.

        A mail that Exchange rewrote to ``multipart/mixed`` with the same parts is taken as well. Encryption
        of only a part of a mail is not: what stands around it would be lost without a word.

        Raises:
            BadEncrypted: PGP/MIME, but damaged or not encrypted.
            Unreadable: beyond the bounds.
        """
        part = _encrypted_part(mime_scan.read(mail))
        if part is None:
            return None
        content = part.content()
        try:
            # A binary part is against RFC 3156, but nothing is gained by refusing it.
            data = content if not is_armored(content) and content[:1] >= b"\x80" else dearmor(content)
        except BadOpenPGP as error:
            raise BadEncrypted(f"The encrypted part of the mail is damaged. {error.text}.") from error
        check_message(data)
        return Body(pybase64.b64encode_as_string(data))


def carrier() -> PgpMime:
    """Make the carrier: what the entry point of the group ``gre_email.v1`` asks for."""
    return PgpMime()


def _message_of(body: Body) -> tuple[bytes, int]:
    """Give the binary message and the version of its container, whatever the client wrapped it in."""
    text = body.text
    if body.children:
        found = [child for child in body.children if child.tag == _OPENPGP]
        if len(body.children) != 1 or not found or text.strip():
            raise BadEncrypted(
                "The <encrypted/> element has to hold base64 text of an OpenPGP message, nothing else."
            )
        text = found[0].text or ""
    try:
        raw = text.encode("ascii")
        data = dearmor(raw) if is_armored(raw) else pybase64.b64decode(b"".join(raw.split()), validate=True)
    except ValueError as error:
        raise BadEncrypted("The content of <encrypted/> is not base64 (RFC 4648, section 4).") from error
    except BadOpenPGP as error:
        raise BadEncrypted(f"The content of <encrypted/> is a damaged armor. {error.text}.") from error
    return data, check_message(data).version


def _addresses(recipients: Sequence[str]) -> str:
    return ",\r\n ".join(recipients)


def _encrypted_part(mail: mime_scan.Entity) -> mime_scan.Entity | None:
    for value in mail.values("content-type"):
        kind, parameters = mime_scan.structured(value)
        boundary = mime_scan.boundary_of(parameters)
        if kind == "multipart/encrypted" and _is_openpgp(parameters):
            parts = mail.parts(boundary, MAX_PARTS) if boundary else []
            if len(parts) < _VERSION_AND_MESSAGE:
                raise BadEncrypted("The mail says that it is PGP/MIME, but its two parts are not there.")
            return parts[1]
        if kind == "multipart/mixed" and boundary:
            return _rewritten_by_exchange(mail, boundary)
    return None


def _rewritten_by_exchange(mail: mime_scan.Entity, boundary: str) -> mime_scan.Entity | None:
    try:
        parts = mail.parts(boundary, 1 + _VERSION_AND_MESSAGE)
    except mime_scan.Unreadable:
        return None  # more parts: an ordinary mail
    if len(parts) != 1 + _VERSION_AND_MESSAGE or parts[0].content().strip():
        return None
    kinds = [mime_scan.structured(part.first("content-type"))[0] for part in parts]
    return parts[2] if kinds[1:] == ["application/pgp-encrypted", "application/octet-stream"] else None


def _is_openpgp(parameters: dict[str, str]) -> bool:
    return (
        parameters.get("protocol", "application/pgp-encrypted").strip().lower() == "application/pgp-encrypted"
    )
