"""Our own key pair: kept in the store, parsed once, never made twice.

Store keys::

    openpgp/own/active               fingerprint of the key that signs
    openpgp/own/keys/FINGERPRINT     binary secret key, as it was made or imported
    openpgp/own/passwords/FINGERPRINT    only for an imported key that is locked
    openpgp/own/announced/FINGERPRINT    when we published it (XEP-0373); empty: what is published is outdated
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pysequoia
from gre_openpgp.armor import PRIVATE_KEY, dearmor, is_armored
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import MAX_CERT, key_id
from gre_openpgp.user_ids import is_bound
from gre_openpgp.xep0373 import PublicKey
from pysequoia.packet import Packet, PacketPile, Tag

from gre_core.errors import NoUsableKey
from gre_encrypter_openpgp.certs import ParsedCert, parse_cert
from gre_encrypter_openpgp.sequoia import first_line, guard_panic

if TYPE_CHECKING:
    from gre_core.ports import Ports, Store

OWN: Final = "openpgp/own/"
ACTIVE: Final = OWN + "active"
KEYS: Final = OWN + "keys/"
PASSWORDS: Final = OWN + "passwords/"
ANNOUNCED: Final = OWN + "announced/"
OUTDATED: Final = b""


@dataclass(slots=True)
class OwnKey:
    """A key pair of ours, ready for use.

    Arguments:
        secret: the binary secret key.
        password: of a locked key.
        parsed: its public part.
    """

    secret: bytes = field(repr=False)
    password: str | None = field(repr=False)
    parsed: ParsedCert
    _signer: pysequoia.PySigner | None = field(default=None, repr=False)
    _decryptors: dict[str, pysequoia.PyDecryptor] | None = field(default=None, repr=False)

    @classmethod
    def read(cls, secret: bytes, password: str | None = None) -> OwnKey:
        """Parse a binary secret key.

        Raises:
            NoUsableKey: it is no secret key that Sequoia reads.
        """
        try:
            public = bytes(pysequoia.Tsk.from_bytes(secret).extract_certificate())
            return cls(secret, password, parse_cert(PublicKey.read(public)))
        except BaseException as error:  # noqa: BLE001 - a panic is no Exception
            if isinstance(error, BadOpenPGP):
                raise NoUsableKey(f"Your key cannot be used: {error.text}") from None
            guard_panic(error)
            raise NoUsableKey(f"Your key cannot be read: {first_line(error)}") from None

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the primary key, in upper-case hex."""
        return self.parsed.key.fingerprint

    def bears(self, sender_id: str) -> bool:
        """Tell whether a user id names this sender."""
        return is_bound(self.parsed.user_ids, sender_id)

    def signer(self, now: datetime) -> pysequoia.PySigner:
        """Give the signer.

        Raises:
            NoUsableKey: the key is revoked, expired, or cannot sign.
        """
        problem = self.parsed.problem
        if not problem and self.parsed.expires is not None and self.parsed.expires <= now:
            problem = f"it expired on {self.parsed.expires:%Y-%m-%d}"
        if problem:
            raise NoUsableKey(
                f"Your own key {self.fingerprint} cannot be used any more: {problem}. Import another one",
                fingerprint=self.fingerprint,
            )
        if self._signer is None:
            try:
                self._signer = pysequoia.Tsk.from_bytes(self.secret).signer(self.password)
            except BaseException as error:  # noqa: BLE001 - a panic is no Exception
                guard_panic(error)
                raise NoUsableKey(
                    f"Your own key {self.fingerprint} cannot sign: {first_line(error)}",
                    fingerprint=self.fingerprint,
                ) from None
        return self._signer

    def decryptors(self) -> dict[str, pysequoia.PyDecryptor]:
        """Give one decryptor for each subkey (pysequoia's have only one), by key id in upper-case hex."""
        if self._decryptors is None:
            self._decryptors = _decryptors(self.secret, self.password)
        return self._decryptors

    def renew(self) -> None:
        """Drop what a panic may have poisoned."""
        self._signer = None
        self._decryptors = None


def _decryptors(secret: bytes, password: str | None) -> dict[str, pysequoia.PyDecryptor]:
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
            found[key_id(fingerprint)] = pysequoia.Tsk.from_packets(packets).decryptor(password)
        except RuntimeError:
            if any(_encrypts(packet) for packet in group[1:]):
                ended.append(fingerprint)
    if ended:
        found.update(_revive(secret, password, ended))
    return found


def _encrypts(signature: Packet) -> bool:
    flags = signature.key_flags
    return flags is not None and (flags.transport_encryption or flags.storage_encryption)


def _revive(secret: bytes, password: str | None, wanted: list[str]) -> dict[str, pysequoia.PyDecryptor]:
    """Give decryptors for expired and revoked subkeys, for old mail."""
    from gre_encrypter_openpgp.keymaking import revive_subkeys  # noqa: PLC0415 - loads PGPy

    found: dict[str, pysequoia.PyDecryptor] = {}
    try:
        for fingerprint, data in revive_subkeys(secret).items():
            if fingerprint in wanted:
                found[key_id(fingerprint)] = pysequoia.Tsk.from_bytes(data).decryptor(password)
    except (NoUsableKey, RuntimeError):
        pass  # then old mail is "not for us", as it would be without this attempt
    return found


# -- the store -------------------------------------------------------------------------------------


async def load_own(store: Store) -> tuple[OwnKey, ...]:
    """Load our keys, the one that signs first; nothing when there is none.

    Raises:
        NoUsableKey: a stored key is damaged.
        StoreError: the store cannot be read.
    """
    active = (await store.get(ACTIVE) or b"").decode("ascii", "replace")
    names = sorted(await store.keys(KEYS), key=lambda name: name != KEYS + active)
    loaded: list[OwnKey] = []
    for name in names:
        secret = await store.get(name)
        if secret is not None:
            password = await store.get(PASSWORDS + name.removeprefix(KEYS))
            loaded.append(OwnKey.read(secret, None if password is None else password.decode()))
    return tuple(loaded)


async def save_own(key: OwnKey, store: Store) -> None:
    """Keep a key and make it the one that signs; raises :class:`StoreError`."""
    if key.password is not None:
        await store.put(PASSWORDS + key.fingerprint, key.password.encode())
    await store.put(KEYS + key.fingerprint, key.secret)
    await store.put(ACTIVE, key.fingerprint.encode("ascii"))


async def import_own_key(ports: Ports, data: bytes, password: str | None = None) -> str:
    """Take an existing secret key as ours; it signs from now on, and is published with the next message.

    Arguments:
        ports: of the account.
        data: the secret key, binary or armored, for example of ``gpg --export-secret-keys``. It is kept as
            it is.
        password: of a locked key. It is kept beside the key, which is as safe as the store is.

    Returns:
        The fingerprint.

    Raises:
        NoUsableKey: no secret key, a wrong password, or a key that cannot sign or decrypt.
        StoreError: it could not be kept.
    """
    if len(data) > MAX_CERT * 2:
        raise NoUsableKey(f"The secret key has {len(data)} bytes; at most {MAX_CERT * 2} are read")
    try:
        secret = dearmor(data, PRIVATE_KEY) if is_armored(data) else bytes(data)
    except BadOpenPGP as error:
        raise NoUsableKey(f"This is no secret key: {error.text}") from None
    key = OwnKey.read(secret, password)
    key.signer(datetime.now(UTC))
    if not key.decryptors():
        raise NoUsableKey("The key holds no secret subkey that decrypts, or the password is wrong")
    await save_own(key, ports.store)
    return key.fingerprint


async def export_own_key(ports: Ports) -> bytes:
    """Give our binary secret key, as it was made or imported (a locked one stays locked).

    Raises:
        NoUsableKey: there is none.
        StoreError: the store cannot be read.
    """
    keys = await load_own(ports.store)
    if not keys:
        raise NoUsableKey("There is no key of yours yet. One is made when you send the first message")
    return keys[0].secret
