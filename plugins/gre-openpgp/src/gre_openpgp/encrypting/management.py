"""Our own keys, for hosts and people: list, make, import, export, publish, back up, restore, rotate, extend, revoke.

::

    keys = OwnKeys(engine, "alice@xmpp.example", ports)
    for key in await keys.list():  # needs no passphrase
        print(key.fingerprint, *key.user_ids)
    code = await keys.backup()  # shown to the user, and kept nowhere

What needs the secret key asks ``ports.passphrase``, at most three times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.errors import NoUsableKey
from gre_openpgp.armor import PRIVATE_KEY, PUBLIC_KEY, armor, dearmor, is_armored
from gre_openpgp.encrypting.announcing import publish_now, refuse_second_key
from gre_openpgp.encrypting.backups import make_backup, restore_backup
from gre_openpgp.encrypting.keyinfo import OwnKeyInfo, OwnSubkey, RevocationReason, describe
from gre_openpgp.encrypting.keymaking import DEFAULT_LIFETIME
from gre_openpgp.encrypting.keyring import KeyRing
from gre_openpgp.encrypting.own import OwnKey, user_id_for
from gre_openpgp.encrypting.own_store import ANNOUNCED
from gre_openpgp.encrypting.secretkeys import is_locked, without_lock
from gre_openpgp.encrypting.transferable import MAX_SECRET, merged
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.user_ids import XMPP, address_of
from gre_openpgp.xep0373 import read_announced

if TYPE_CHECKING:
    from datetime import timedelta

    from gre_core.ports import Ports
    from gre_openpgp.encrypting.engine import Engine

__all__ = ["DEFAULT_LIFETIME", "OwnKeyInfo", "OwnKeys", "OwnSubkey", "RevocationReason"]

_SHORTEST: Final = 16


class OwnKeys:
    """The keys of one account. Where a fingerprint is optional, the active key is meant.

    A fingerprint may be written in any case, with blanks, or as its last 16 digits.

    All methods raise :class:`~gre_core.errors.StoreError` when the store fails, and those that work on a key
    :class:`~gre_core.errors.NoUsableKey` when there is none, or it cannot be unlocked; the text says what to do.

    Arguments:
        engine: the OpenPGP library.
        account: our bare JID.
        ports: of the host.
        ring: the keys of a running session (``OpenPGPEncrypter.own_keys``); read from the store otherwise. A session
            in another process sees a change within five seconds.
    """

    def __init__(self, engine: Engine, account: str, ports: Ports, ring: KeyRing | None = None) -> None:
        self._engine = engine
        self._jid = account
        self._ports = ports
        self._ring = ring or KeyRing(engine, account)

    async def list(self) -> tuple[OwnKeyInfo, ...]:
        """List our keys, the active one first. Needs no passphrase."""
        await self._ring.load(self._ports)
        return tuple([await self._info(key) for key in self._ring.keys])

    async def show(self, fingerprint: str | None = None) -> OwnKeyInfo:
        """Show one key. Needs no passphrase."""
        return await self._info(await self._key(fingerprint))

    async def make(
        self, address: str, *, expires_in: timedelta | None = DEFAULT_LIFETIME, force: bool = False
    ) -> OwnKeyInfo:
        """Make a key and let it sign. It is published by :meth:`publish`, or with the next message.

        Arguments:
            address: the mail address (or other identifier) that it bears; ``xmpp:`` and a bare JID for what other
                XMPP programs encrypt to (XEP-0373, section 8.5).
            expires_in: how long it lives; None: forever.
            force: also when the account has a key already, here or elsewhere. Others then encrypt to both.
        """
        user_id = user_id_for(address)
        is_mail = "@" in address and not user_id.startswith(XMPP)
        if " " in user_id or (is_mail and address_of(user_id) is None):
            raise NoUsableKey(f"No key can be made for the name {address[:80]!r}: it is no address")
        own = await self._ring.load(self._ports)
        if not force:
            await self._refuse_second(own)
        from gre_openpgp.encrypting.keymaking import make_key  # noqa: PLC0415 - loads PGPy

        made = OwnKey.read(self._engine, make_key(user_id, self._ports.now(), lifetime=expires_in))
        if own is None:
            return await self._info(await self._ring.first(made, self._ports))
        return await self._keep(await self._ring.protect(made, self._ports), active=True)

    async def import_key(self, data: bytes, passphrase: str | None = None) -> OwnKeyInfo:
        """Take an existing secret key, and let it sign. What is here already of the same key is kept beside it.

        Arguments:
            data: binary or armored, such as ``gpg --export-secret-keys`` writes it.
            passphrase: of a locked key. The host is then asked for the passphrase that protects it here.
        """
        if len(data) > MAX_SECRET * 2:
            raise NoUsableKey(f"The secret key has {len(data)} bytes; at most {MAX_SECRET} are read")
        try:
            secret = dearmor(data, PRIVATE_KEY) if is_armored(data) else bytes(data)
            if is_locked(secret):
                secret = without_lock(secret, _needed(passphrase))
        except BadOpenPGP as error:
            raise NoUsableKey(f"This is no secret key: {error.text}") from None
        key = OwnKey.read(self._engine, secret)
        key.signer(self._ports.now())
        if not key.decryptors():
            raise NoUsableKey("The key holds no secret subkey that decrypts")
        await self._ring.load(self._ports)
        same = next((old for old in self._ring.keys if old.fingerprint == key.fingerprint), None)
        if same is None:
            return await self._keep(await self._ring.protect(key, self._ports), active=True)
        await self._ring.unlock((same,), self._ports)
        return await self._keep(same.changed(merged(same.secret, secret)), active=True)

    async def export(
        self, fingerprint: str | None = None, *, secret: bool = False, passphrase: str | None = None
    ) -> bytes:
        """Give a key, armored.

        Arguments:
            fingerprint: which.
            secret: with the secret part. Whoever gets it reads everything.
            passphrase: locks the secret part, as ``gpg --import`` reads it; None: not locked.
        """
        key = await self._key(fingerprint)
        if not secret:
            return armor(key.parsed.key.data, PUBLIC_KEY)
        await self._ring.unlock((key,), self._ports)
        data = key.secret
        if passphrase:
            from gre_openpgp.encrypting.keymaking import locked  # noqa: PLC0415 - loads PGPy

            data = locked(data, passphrase)
        return armor(data, PRIVATE_KEY)

    async def activate(self, fingerprint: str) -> OwnKeyInfo:
        """Let another one of our keys sign from now on."""
        return await self._keep(await self._key(fingerprint), active=True)

    async def publish(self, fingerprint: str | None = None) -> OwnKeyInfo:
        """Publish a key now (XEP-0373, section 4), also when it was published already.

        Raises:
            PeerError, PeerTimeout, BadOpenPGP: it did not work.
        """
        key = await self._key(fingerprint)
        await publish_now(key, await read_announced(self._jid, self._ports.pubsub), self._ports)
        return await self._info(key)

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
        return await make_backup(self._ring, self._ports, code)

    async def restore(self, code: str) -> tuple[OwnKeyInfo, ...]:
        """Take all keys from the backup of the account. One that is announced signs, unless a usable key is here.

        Arguments:
            code: the backup code, in any case, with or without dashes.

        Raises:
            NoUsableKey: no backup, another code, or nothing usable in it; the text says which.
            PeerError, PeerTimeout: the backup cannot be read.
        """
        found = {key.fingerprint for key in await restore_backup(self._ring, self._ports, code)}
        return tuple(info for info in await self.list() if info.fingerprint in found)

    async def rotate(self, fingerprint: str | None = None) -> OwnKeyInfo:
        """Make a new encryption subkey, and give up the old ones, which still open old mail.

        Publish the key afterwards, and make a new backup: the old one does not hold the new subkey.
        """
        from gre_openpgp.encrypting.keymaking import rotate  # noqa: PLC0415 - loads PGPy

        key = await self._unlocked(fingerprint)
        return await self._keep(key.changed(rotate(key.secret, self._ports.now())))

    async def extend(
        self, expires_in: timedelta | None = DEFAULT_LIFETIME, fingerprint: str | None = None
    ) -> OwnKeyInfo:
        """Let a key end later (or earlier): this long from now; None: never. Publish it afterwards."""
        from gre_openpgp.encrypting.keymaking import extend  # noqa: PLC0415 - loads PGPy

        key = await self._unlocked(fingerprint)
        now = self._ports.now()
        return await self._keep(
            key.changed(extend(key.secret, None if expires_in is None else now + expires_in, now))
        )

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
        from gre_openpgp.encrypting.keymaking import revoke  # noqa: PLC0415 - loads PGPy

        key = await self._unlocked(fingerprint)
        revoked = key.changed(revoke(key.secret, RevocationReason(reason).value, text, self._ports.now()))
        await self._keep(revoked)
        present = await read_announced(self._jid, self._ports.pubsub)
        if any(entry.fingerprint == key.fingerprint for entry in present):
            await publish_now(revoked, present, self._ports)
        return await self._info(revoked)

    async def change_passphrase(self, fingerprint: str | None = None) -> OwnKeyInfo:
        """Ask for the old passphrase and then for a new one; no new one leaves the key unprotected here."""
        key = await self._unlocked(fingerprint)
        return await self._keep(await self._ring.protect(OwnKey.read(self._engine, key.secret), self._ports))

    async def _refuse_second(self, own: OwnKey | None) -> None:
        if own is None:
            await refuse_second_key(self._jid, self._ports)
            return
        if not own.parsed.revoked:
            raise NoUsableKey(
                f"You have the key {own.fingerprint} already, and contacts would encrypt to both. To renew it: gre "
                f"keys rotate, or gre keys extend. To give it up first: gre keys revoke"
            )
        ours = {key.fingerprint for key in self._ring.keys}
        for entry in await read_announced(self._jid, self._ports.pubsub):
            if entry.fingerprint not in ours:
                raise NoUsableKey(
                    f"{self._jid} announces the key {entry.fingerprint}, which is not on this device. Bring it here: "
                    f"restore its backup (gre keys restore), or import it (gre keys import)"
                )

    # -- shared ------------------------------------------------------------------------------------

    async def _key(self, fingerprint: str | None) -> OwnKey:
        own = await self._ring.load(self._ports)
        if own is None:
            raise NoUsableKey(
                "There is no key of yours yet. One is made when you send the first message, or by gre keys make"
            )
        if fingerprint is None:
            return own
        wanted = "".join(fingerprint.split()).upper()
        found = [key for key in self._ring.keys if key.fingerprint.endswith(wanted)]
        if len(wanted) < _SHORTEST or len(found) != 1:
            raise NoUsableKey(
                f"No key of yours has the fingerprint {fingerprint[:80]}. gre keys list shows them"
            )
        return found[0]

    async def _unlocked(self, fingerprint: str | None) -> OwnKey:
        key = await self._key(fingerprint)
        await self._ring.unlock((key,), self._ports)
        return key

    async def _keep(self, key: OwnKey, *, active: bool = False) -> OwnKeyInfo:
        await self._ring.keep(key, self._ports, active=active)
        return await self._info(key)

    async def _info(self, key: OwnKey) -> OwnKeyInfo:
        announced = await self._ports.store.get(ANNOUNCED + key.fingerprint) or b""
        active = self._ring.active is not None and self._ring.active.fingerprint == key.fingerprint
        return describe(key, active=active, announced=announced.decode("ascii", "replace"))


def _needed(passphrase: str | None) -> str:
    if not passphrase:
        raise NoUsableKey("The key is locked with a passphrase. Give the passphrase with it")
    return passphrase
