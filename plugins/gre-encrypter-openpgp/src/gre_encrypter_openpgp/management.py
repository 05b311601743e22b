"""Our own keys, for hosts and people: list, make, import, export, publish, back up, restore, rotate, extend, revoke.

::

    keys = OwnKeys("alice@xmpp.example", ports)
    for key in await keys.list():  # needs no passphrase
        print(key.fingerprint, *key.user_ids)
    code = await keys.backup()  # shown to the user, and kept nowhere

What needs the secret key asks ``ports.passphrase``, at most three times.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gre_core.ports import Ports

DEFAULT_LIFETIME: Final = timedelta(days=730)
"""How long a new key lives unless it is extended: two years."""


class RevocationReason(StrEnum):
    """Why a key is given up (RFC 9580, section 5.2.3.31)."""

    SUPERSEDED = "superseded"
    COMPROMISED = "compromised"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class OwnSubkey:
    """The primary key or a subkey of a key of ours.

    Arguments:
        fingerprint: in upper-case hex.
        id: the key id, in upper-case hex.
        created: when.
        expires: when it ends; None: when the whole key does.
        revoked: it was given up. Old mail still opens with it.
        signs: it signs messages.
        encrypts: others encrypt to it.
        primary: it is the primary key.
    """

    fingerprint: str
    id: str
    created: datetime
    expires: datetime | None
    revoked: bool
    signs: bool
    encrypts: bool
    primary: bool = False


@dataclass(frozen=True, slots=True)
class OwnKeyInfo:
    """What is known of a key of ours without its passphrase.

    Arguments:
        fingerprint: of the primary key, in upper-case hex.
        user_ids: those that are not revoked.
        created: when.
        expires: when it ends; None: never.
        active: it signs what we send.
        revoked: it was given up.
        locked: it is protected by a passphrase in the store.
        announced: when it was published as it is now (XEP-0082 date and time); ``""``: not yet, or in an older form.
        subkeys: the primary key first, then the subkeys.
        version: of the key: 4 or 6.
    """

    fingerprint: str
    user_ids: tuple[str, ...]
    created: datetime
    expires: datetime | None
    active: bool
    revoked: bool
    locked: bool
    announced: str
    subkeys: tuple[OwnSubkey, ...]
    version: int


class OwnKeys:
    """The keys of one account. Where a fingerprint is optional, the active key is meant.

    A fingerprint may be written in any case, with blanks, or as its last 16 digits.

    All methods raise :class:`~gre_core.errors.StoreError` when the store fails, and those that work on a key
    :class:`~gre_core.errors.NoUsableKey` when there is none, or it cannot be unlocked; the text says what to do.

    Arguments:
        account: our bare JID.
        ports: of the host.
    """

    def __init__(self, account: str, ports: Ports) -> None:
        self._jid = account
        self._ports = ports

    async def list(self) -> tuple[OwnKeyInfo, ...]:
        """List our keys, the active one first. Needs no passphrase."""
        raise NotImplementedError

    async def show(self, fingerprint: str | None = None) -> OwnKeyInfo:
        """Show one key. Needs no passphrase."""
        raise NotImplementedError

    async def make(
        self, address: str, *, expires_in: timedelta | None = DEFAULT_LIFETIME, force: bool = False
    ) -> OwnKeyInfo:
        """Make a key and let it sign. It is published by :meth:`publish`, or with the next message.

        Arguments:
            address: the mail address (or other identifier) that it bears.
            expires_in: how long it lives; None: forever.
            force: also when the account has a key already, here or elsewhere. Others then encrypt to both.
        """
        raise NotImplementedError

    async def import_key(self, data: bytes, passphrase: str | None = None) -> OwnKeyInfo:
        """Take an existing secret key, and let it sign. What is here already of the same key is kept beside it.

        Arguments:
            data: binary or armored, such as ``gpg --export-secret-keys`` writes it.
            passphrase: of a locked key. The host is then asked for the passphrase that protects it here.
        """
        raise NotImplementedError

    async def export(
        self, fingerprint: str | None = None, *, secret: bool = False, passphrase: str | None = None
    ) -> bytes:
        """Give a key, armored.

        Arguments:
            fingerprint: which.
            secret: with the secret part. Whoever gets it reads everything.
            passphrase: locks the secret part, as ``gpg --import`` reads it; None: not locked.
        """
        raise NotImplementedError

    async def activate(self, fingerprint: str) -> OwnKeyInfo:
        """Let another one of our keys sign from now on."""
        raise NotImplementedError

    async def publish(self) -> OwnKeyInfo:
        """Publish the active key now (XEP-0373, section 4), also when it was published already.

        Raises:
            PeerError, PeerTimeout, BadOpenPGP: it did not work.
        """
        raise NotImplementedError

    async def backup(self, code: str | None = None) -> str:
        """Put all our secret keys on the server, encrypted with a backup code (XEP-0373, section 5).

        Arguments:
            code: 24 characters, in any case, with or without dashes; None makes a new one (do that).

        Returns:
            The code, as ``XXXX-XXXX-XXXX-XXXX-XXXX-XXXX``. Show it to the user once: it is kept nowhere.

        Raises:
            PolicyChanged: a backup is there that this device did not make, and the user did not agree to replace it.
            PeerError, PeerTimeout: it did not work.
        """
        raise NotImplementedError

    async def restore(self, code: str) -> tuple[OwnKeyInfo, ...]:
        """Take all keys from the backup of the account. The one that is announced signs from now on.

        Arguments:
            code: the backup code, in any case, with or without dashes.

        Raises:
            NoUsableKey: no backup, another code, or nothing usable in it; the text says which.
            PeerError, PeerTimeout: the backup cannot be read.
        """
        raise NotImplementedError

    async def rotate(self, fingerprint: str | None = None) -> OwnKeyInfo:
        """Make a new encryption subkey, and give up the old ones, which still open old mail.

        Publish the key afterwards, and make a new backup: the old one does not hold the new subkey.
        """
        raise NotImplementedError

    async def extend(
        self, expires_in: timedelta | None = DEFAULT_LIFETIME, fingerprint: str | None = None
    ) -> OwnKeyInfo:
        """Let a key end later (or earlier): this long from now; None: never. Publish it afterwards."""
        raise NotImplementedError

    async def revoke(
        self, reason: RevocationReason, text: str = "", fingerprint: str | None = None
    ) -> OwnKeyInfo:
        """Give a key up for good, and publish that. Old mail still opens with it.

        Arguments:
            reason: why.
            text: for people; everybody can read it.
            fingerprint: which.

        Raises:
            PeerError, PeerTimeout: it is revoked here, but that could not be published; call :meth:`publish` later.
        """
        raise NotImplementedError

    async def change_passphrase(self, fingerprint: str | None = None) -> OwnKeyInfo:
        """Ask for the old passphrase and then for a new one; no new one leaves the key unprotected here."""
        raise NotImplementedError
