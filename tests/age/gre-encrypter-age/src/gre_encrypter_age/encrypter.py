"""Encrypts with age. age does not sign: every message opens as unsigned, and the host shows it so."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pyrage
from gre_core.api import Body, Opened, Signature, Verdict
from gre_core.errors import BadEncrypted, DecryptFailed, EncryptFailed, NotForUs

from gre_encrypter_age.keys import contact_keys, own_key, publish

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.api import Notice, OpenJob, SealJob
    from gre_core.ports import Ports

MAGIC: Final = b"age-encryption.org/v1\n"

_MAX_HEADER: Final = 64 * 1024
"""Bytes in which the header of a file has to end: each of its lines costs a curve operation."""


@dataclass(frozen=True, slots=True)
class OpenKeys:
    """Our key."""

    own: pyrage.x25519.Identity = field(repr=False)


class AgeEncrypter:
    """The encrypter. It keeps nothing: what belongs to a message is in its keys."""

    async def prepare(self, account: str, ports: Ports, /) -> Iterable[Notice]:
        """Publish our recipient when a session starts."""
        await publish(await own_key(ports), account, ports)
        return ()

    async def seal_keys(self, job: SealJob, ports: Ports, /) -> tuple[str, ...]:
        """Find the recipients of all, and our own.

        Raises:
            NoUsableKey: somebody has none.
            PolicyChanged: somebody's changed, and the user did not agree.
        """
        found = {str((await own_key(ports)).to_public())}
        for recipient in job.recipients:
            found.update(await contact_keys(recipient.jid, job, ports))
        return tuple(sorted(found))

    async def encrypt(self, payload: bytes, keys: tuple[str, ...], _ports: Ports, /) -> Body:
        """Encrypt.

        Raises:
            EncryptFailed: a recipient is no valid key.
        """
        try:
            recipients = [pyrage.x25519.Recipient.from_str(each) for each in keys]
            sealed = pyrage.encrypt(payload, recipients)
        except (pyrage.RecipientError, pyrage.EncryptError, ValueError):
            raise EncryptFailed("A key of a recipient is not valid. Ask them for another.") from None
        return Body(base64.b64encode(sealed).decode())

    async def open_keys(self, body: Body, _job: OpenJob, ports: Ports, /) -> OpenKeys:
        """Give our key.

        Raises:
            BadEncrypted: the body is no age file.
        """
        _file_of(body)
        return OpenKeys(await own_key(ports))

    async def decrypt(self, body: Body, keys: OpenKeys, _ports: Ports, /) -> Opened:
        """Decrypt.

        Raises:
            BadEncrypted: the body is no age file.
            NotForUs: it is for others.
            DecryptFailed: it is damaged.
        """
        try:
            payload = pyrage.decrypt(_file_of(body), [keys.own])
        except pyrage.DecryptError as error:
            if "No matching keys" in str(error):
                raise NotForUs("The message is not encrypted to our age key.") from None
            raise DecryptFailed("The message is damaged, or somebody changed it.") from None
        return Opened(payload, Verdict(Signature.UNSIGNED, detail="age does not sign"))


def _file_of(body: Body) -> bytes:
    try:
        data = base64.b64decode(body.text, validate=True)
    except ValueError:
        raise BadEncrypted("The content of <encrypted/> is not base64.") from None
    if not data.startswith(MAGIC) or b"\n---" not in data[:_MAX_HEADER]:
        raise BadEncrypted("The content of <encrypted/> is no age file.")
    return data
