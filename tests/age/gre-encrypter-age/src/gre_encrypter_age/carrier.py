"""Carries MIME messages in age through the email gateway: a mail whose only part is the age file. It holds no crypto."""

from __future__ import annotations

import base64
from email.parser import BytesHeaderParser
from email.policy import default
from typing import TYPE_CHECKING, Final

from gre_core.api import Body, encrypter, formatter
from gre_core.errors import BadEncrypted
from gre_gateway_email.carrier import Carried, header_of

if TYPE_CHECKING:
    from gre_gateway_email.carrier import Envelope

MAGIC: Final = b"age-encryption.org/v1\n"
MEDIA_TYPE: Final = "application/x-age"
MAX_HEADER: Final = 256 * 1024
"""Longest header of a mail that is read, in bytes."""

_HEAD: Final = (
    "MIME-Version: 1.0\r\n"
    f'Content-Type: {MEDIA_TYPE}; name="message.age"\r\n'
    'Content-Disposition: attachment; filename="message.age"\r\n'
    "Content-Transfer-Encoding: base64\r\n"
    "\r\n"
)


class AgeMail:
    """The carrier of the pair of MIME formatter and age encrypter."""

    formatter = formatter("mime", 0)
    encrypter = encrypter("age", 0)

    def wrap(self, body: Body, envelope: Envelope, /) -> bytes:
        """Make the mail; raises BadEncrypted."""
        data = _checked(body.text.encode("ascii", "replace"))
        lines = base64.encodebytes(data).replace(b"\n", b"\r\n")
        return (header_of(envelope) + _HEAD).encode() + lines

    def unwrap(self, mail: bytes, /) -> Carried | None:
        """Take the age file out of a mail; None when it is another kind of mail; raises BadEncrypted."""
        end = mail.find(b"\r\n\r\n", 0, MAX_HEADER)
        if end < 0:
            return None
        header = BytesHeaderParser(policy=default).parsebytes(mail[: end + 4])
        if header.get_content_type() != MEDIA_TYPE:
            return None
        if str(header.get("Content-Transfer-Encoding", "")).strip().lower() != "base64":
            raise BadEncrypted("The age file in the mail is not in base64.")
        data = _checked(b"".join(mail[end:].split()))
        return Carried(Body(base64.b64encode(data).decode()))


def carrier() -> AgeMail:
    """Make the carrier: what the entry point of the group gre_email.v1 asks for."""
    return AgeMail()


def _checked(text: bytes) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise BadEncrypted("The age file is not base64.") from None
    if not data.startswith(MAGIC):
        raise BadEncrypted("It is no age file: nothing else is ever mailed.")
    return data
