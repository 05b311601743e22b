"""Our own secret keys in Sequoia's hands: what signs with them, and what decrypts."""

from __future__ import annotations

import pysequoia
from gre_openpgp.encrypting.engine import first_line
from gre_openpgp.packets import key_id
from pysequoia.packet import Packet, PacketPile, Tag

from gre_core.errors import NoUsableKey
from gre_encrypter_openpgp.sequoia import guard_panic


def check_secret(secret: bytes) -> None:
    """Make sure that Sequoia reads a binary secret key; raises :class:`NoUsableKey`."""
    try:
        pysequoia.Tsk.from_bytes(secret)
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        guard_panic(error)
        raise NoUsableKey(f"Your key cannot be read: {first_line(error)}") from None


def signer(secret: bytes) -> pysequoia.PySigner:
    """Give the signer of a key; raises :class:`NoUsableKey` when it cannot sign."""
    try:
        key = pysequoia.Tsk.from_bytes(secret)
        return key.signer()
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        guard_panic(error)
        raise NoUsableKey(f"Your own key cannot sign: {first_line(error)}") from None


def decryptors(secret: bytes) -> dict[str, pysequoia.PyDecryptor]:
    """Give one decryptor for each subkey (pysequoia's have only one), by key id in upper-case hex."""
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
    from gre_openpgp.encrypting.keymaking import revive_subkeys  # noqa: PLC0415 - loads PGPy

    found: dict[str, pysequoia.PyDecryptor] = {}
    try:
        for fingerprint, data in revive_subkeys(secret).items():
            if fingerprint in wanted:
                found[key_id(fingerprint)] = pysequoia.Tsk.from_bytes(data).decryptor()
    except (NoUsableKey, RuntimeError):
        pass  # then old mail is "not for us", as it would be without this attempt
    return found
