"""The carrier of MIME messages in OpenPGP: PGP/MIME mails (RFC 3156, section 4), by a fixed template.

No cryptography happens here. A body is checked to look like an encrypted OpenPGP message, so that no
plaintext and no garbage is ever mailed, and its base64 is cut into lines of armor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pybase64
from gre_openpgp.armor import armor, dearmor, is_armored
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.messages import check_message

from gre_core.api import Body, encrypter, formatter
from gre_core.errors import BadEncrypted
from gre_gateway_email.carrier import Carried, header_of
from gre_gateway_email.carriers import encrypted_part
from gre_gateway_email.mail import mime_scan

if TYPE_CHECKING:
    from gre_gateway_email.carrier import Envelope

FORMATTER: Final = formatter("mime")
ENCRYPTER: Final = encrypter("openpgp")

_OPENPGP: Final = "{urn:xmpp:openpgp:0}openpgp"
# "=_" is in no base64 and no armor, so no line of the body can be taken for this boundary.
_BOUNDARY: Final = "=_gre-gateway"
_TEMPLATE: Final = (
    "{header}"
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
        data = _message_of(body)
        return _TEMPLATE.format(
            header=header_of(envelope),
            # Always with a checksum: some relays take the last "=" for its beginning, and refuse what has only padding.
            # No reader may refuse it (RFC 9580, section 6.1).
            armor=armor(data).decode("ascii"),
        ).encode("utf-8")  # ASCII but for addresses (RFC 6532)

    def unwrap(self, mail: bytes, /) -> Carried | None:
        """Find the encrypted part of a mail, also of one that was mangled on its way (:mod:`encrypted_part`).

        Raises:
            BadEncrypted: PGP/MIME, but damaged or not encrypted.
            Unreadable: beyond the bounds.
        """
        try:
            found = encrypted_part.find(mime_scan.read(mail))
        except encrypted_part.NoParts:
            raise BadEncrypted(
                "The mail says that it is PGP/MIME, but its two parts are not there."
            ) from None
        if found is None:
            return None
        try:
            data = _binary(found.content)
        except BadEncrypted:
            if found.sure:
                raise
            return None
        return Carried(Body(pybase64.b64encode_as_string(data)), found.notes)


def carrier() -> PgpMime:
    """Make the carrier: what the entry point of the group ``gre_email.v1`` asks for."""
    return PgpMime()


def _message_of(body: Body) -> bytes:
    """Give the binary message, whatever the client wrapped it in."""
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
    check_message(data)
    return data


def _binary(content: bytes) -> bytes:
    """Give the binary message of an encrypted part, checked to be one."""
    try:
        # A binary part is against RFC 3156, but nothing is gained by refusing it.
        data = content if not is_armored(content) and content[:1] >= b"\x80" else dearmor(content)
    except BadOpenPGP as error:
        raise BadEncrypted(f"The encrypted part of the mail is damaged. {error.text}.") from error
    check_message(data)
    return data
