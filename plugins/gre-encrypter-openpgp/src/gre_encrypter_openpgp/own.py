"""Our own key pairs: parsed once, locked while nobody gave the passphrase."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pysequoia
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import key_id
from gre_openpgp.user_ids import is_bound
from gre_openpgp.xep0373 import PublicKey
from pysequoia.packet import Packet, PacketPile, Tag

from gre_core.errors import NoUsableKey, OpenError
from gre_encrypter_openpgp import vault
from gre_encrypter_openpgp.certs import ParsedCert, parse_cert
from gre_encrypter_openpgp.secretkeys import public_part
from gre_encrypter_openpgp.sequoia import Secret, first_line, guard_panic

if TYPE_CHECKING:
    from datetime import datetime, timedelta

_KEY_ID: Final = 16
_MAX_SENDER_ID: Final = 254


class KeyLocked(NoUsableKey, OpenError):
    """A key of ours is needed, and nobody gave its passphrase. A message that came stays kept."""

    code = "key-locked"


@dataclass(slots=True)
class OwnKey:
    """A key pair of ours.

    Arguments:
        stored: what lies in the store: the binary secret key, or that encrypted with the passphrase.
        parsed: its public part.
    """

    stored: bytes = field(repr=False)
    parsed: ParsedCert
    _secret: bytes | None = field(default=None, repr=False)
    _passphrase: str | None = field(default=None, repr=False)
    _signer: pysequoia.PySigner | None = field(default=None, repr=False)
    _decryptors: dict[str, pysequoia.PyDecryptor] | None = field(default=None, repr=False)
    _numbers: Secret | None = field(default=None, repr=False)

    @classmethod
    def read(cls, secret: bytes, passphrase: str | None = None) -> OwnKey:
        """Parse a binary secret key that no other program has locked.

        Arguments:
            secret: the key.
            passphrase: protects it in the store; None or empty: nothing does.

        Raises:
            NoUsableKey: it is no secret key that Sequoia reads.
        """
        parsed = _parsed_secret(secret)
        stored = vault.lock(secret, passphrase) if passphrase else secret
        return cls(stored, parsed, secret, passphrase or None)

    @classmethod
    def from_store(cls, stored: bytes, public: bytes | None) -> OwnKey:
        """Take what lies in the store; a protected key is locked at first.

        Raises:
            NoUsableKey: it is damaged.
        """
        if not vault.is_locked(stored):
            return cls.read(stored)
        if public is None:
            raise NoUsableKey("The public part of your key is missing in the store. Restore it from a backup")
        return cls(stored, _parsed(public))

    def changed(self, secret: bytes) -> OwnKey:
        """Give this key in a new form, protected by the same passphrase.

        Raises:
            NoUsableKey: Sequoia cannot read it, or it is another key.
        """
        new = OwnKey.read(secret, self._passphrase)
        if new.fingerprint != self.fingerprint:
            raise NoUsableKey(f"Your key {self.fingerprint} could not be changed. Nothing was")
        return new

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the primary key, in upper-case hex."""
        return self.parsed.key.fingerprint

    @property
    def key_ids(self) -> frozenset[str]:
        """The key ids of the primary key and all subkeys, in upper-case hex."""
        return frozenset(name.upper() for name in self.parsed.ids if len(name) == _KEY_ID)

    @property
    def lifetime(self) -> timedelta | None:
        """How long it lives from its making on; None: for ever."""
        created, expires = self.created, self.parsed.cert.expiration
        return None if expires is None else expires - created

    @property
    def created(self) -> datetime:
        """When it was made."""
        made: datetime | None = next(iter(PacketPile.from_bytes(self.parsed.key.data))).key_created
        assert made is not None
        return made

    def bears(self, sender_id: str) -> bool:
        """Tell whether a user id names this sender."""
        return is_bound(self.parsed.user_ids, sender_id)

    # -- the lock ----------------------------------------------------------------------------------

    @property
    def protected(self) -> bool:
        """Whether a passphrase protects it in the store."""
        return vault.is_locked(self.stored)

    @property
    def locked(self) -> bool:
        """Whether its passphrase is needed now."""
        return self._secret is None

    @property
    def secret(self) -> bytes:
        """The binary secret key.

        Raises:
            KeyLocked: nobody unlocked it.
        """
        if self._secret is None:
            raise KeyLocked(
                f"Your key {self.fingerprint} is locked. Unlock it with its passphrase, and try again",
                fingerprint=self.fingerprint,
            )
        return self._secret

    def unlock(self, passphrase: str) -> bool:
        """Unlock it; tell whether that was its passphrase. Takes some 50 ms.

        Raises:
            NoUsableKey: it is damaged.
        """
        secret = vault.unlock(self.stored, passphrase)
        if secret is None:
            return False
        if _parsed_secret(secret).key.fingerprint != self.fingerprint:
            raise NoUsableKey(
                f"The store holds another key than {self.fingerprint}. Restore it from a backup"
            )
        self._secret, self._passphrase = secret, passphrase
        return True

    def lock(self) -> None:
        """Forget the secret part and the passphrase, if it is protected."""
        if self.protected:
            self._secret = self._passphrase = None
            self.renew()

    # -- use ---------------------------------------------------------------------------------------

    def problem(self, now: datetime) -> str:
        """Say why it signs nothing now, or ``""``."""
        if self.parsed.problem or self.parsed.expires is None or self.parsed.expires > now:
            return self.parsed.problem
        return f"it expired on {self.parsed.expires:%Y-%m-%d}"

    def signer(self, now: datetime) -> pysequoia.PySigner:
        """Give the signer.

        Raises:
            NoUsableKey: the key is revoked, expired, or cannot sign.
            KeyLocked: nobody unlocked it.
        """
        problem = self.problem(now)
        if problem:
            remedy = "Extend it (gre keys extend)" if "expired" in problem else "Make or import another one"
            raise NoUsableKey(
                f"Your own key {self.fingerprint} cannot be used any more: {problem}. {remedy}",
                fingerprint=self.fingerprint,
            )
        if self._signer is None:
            secret = self.secret
            try:
                self._signer = pysequoia.Tsk.from_bytes(secret).signer()
            except BaseException as error:  # noqa: BLE001 - a panic is no Exception
                guard_panic(error)
                raise NoUsableKey(
                    f"Your own key {self.fingerprint} cannot sign: {first_line(error)}",
                    fingerprint=self.fingerprint,
                ) from None
        return self._signer

    def decryptors(self) -> dict[str, pysequoia.PyDecryptor]:
        """Give one decryptor for each subkey (pysequoia's have only one), by key id in upper-case hex.

        Raises:
            KeyLocked: nobody unlocked it.
        """
        if self._decryptors is None:
            self._decryptors = _decryptors(self.secret)
        return self._decryptors

    @property
    def numbers(self) -> Secret:
        """The secret key for our own reading of messages, parsed at the first use.

        Raises:
            KeyLocked: nobody unlocked it.
        """
        if self._numbers is None:
            self._numbers = Secret(self.secret)
        return self._numbers

    def renew(self) -> None:
        """Drop what a panic may have poisoned."""
        self._signer = None
        self._decryptors = None
        self._numbers = None


def _parsed_secret(secret: bytes) -> ParsedCert:
    try:
        pysequoia.Tsk.from_bytes(secret)
        return _parsed(public_part(secret))
    except NoUsableKey:
        raise
    except BadOpenPGP as error:
        raise NoUsableKey(f"Your key cannot be used: {error.text}") from None
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        guard_panic(error)
        raise NoUsableKey(f"Your key cannot be read: {first_line(error)}") from None


def _parsed(public: bytes) -> ParsedCert:
    try:
        return parse_cert(PublicKey.read(public))
    except BadOpenPGP as error:
        raise NoUsableKey(f"Your key cannot be used: {error.text}") from None


def _decryptors(secret: bytes) -> dict[str, pysequoia.PyDecryptor]:
    groups: list[list[Packet]] = []
    for packet in PacketPile.from_bytes(secret):
        if packet.tag == Tag.Signature and groups:
            groups[-1].append(packet)
        else:
            groups.append([packet])
    base = [packet for group in groups if group[0].tag != Tag.SecretSubkey for packet in group]
    found: dict[str, pysequoia.PyDecryptor] = {}
    ended: list[str] = []
    for group in groups:
        name = group[0].fingerprint
        if name is None:
            continue
        fingerprint = name.upper()
        packets = base if group[0].tag == Tag.SecretKey else base + group
        try:
            found[key_id(fingerprint)] = pysequoia.Tsk.from_packets(packets).decryptor()
        except RuntimeError:
            if any(_encrypts(packet) for packet in group[1:]):
                ended.append(fingerprint)
    if ended:
        found.update(_revive(secret, ended))
    return found


def _encrypts(signature: Packet) -> bool:
    flags = signature.key_flags
    return flags is not None and (flags.transport_encryption or flags.storage_encryption)


def _revive(secret: bytes, wanted: list[str]) -> dict[str, pysequoia.PyDecryptor]:
    """Give decryptors for expired and revoked subkeys, for old mail."""
    from gre_encrypter_openpgp.keymaking import revive_subkeys  # noqa: PLC0415 - loads PGPy

    found: dict[str, pysequoia.PyDecryptor] = {}
    try:
        for fingerprint, data in revive_subkeys(secret).items():
            if fingerprint in wanted:
                found[key_id(fingerprint)] = pysequoia.Tsk.from_bytes(data).decryptor()
    except (NoUsableKey, RuntimeError):
        pass  # then old mail is "not for us", as it would be without this attempt
    return found


def user_id_for(sender_id: str) -> str:
    """Give the user id for a sender: the address in angle brackets, as mail programs write it.

    Raises:
        NoUsableKey: it is no address.
    """
    plain = sender_id.strip()
    if not 0 < len(plain) <= _MAX_SENDER_ID or not plain.isprintable() or set(plain) & set("<>"):
        raise NoUsableKey(f"No key can be made for the name {sender_id[:80]!r}: it is no address")
    return f"<{plain}>"
