"""Our own key pairs in the store.

Store keys::

    openpgp/own/active                   fingerprint of the key that signs
    openpgp/own/keys/FINGERPRINT         binary secret key; encrypted with the passphrase when there is one
    openpgp/own/public/FINGERPRINT       binary public key, which can be read without the passphrase
    openpgp/own/announced/FINGERPRINT    when we published it (XEP-0373); empty: what is published is outdated
    openpgp/own/backup                   what the user said about a backup, or what the last one holds
    openpgp/own/changed                  another value after each change, for other processes
"""

from __future__ import annotations

import secrets as random
from typing import TYPE_CHECKING, Final

from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.encrypting.secretkeys import without_lock

if TYPE_CHECKING:
    from gre_core.ports import Store
    from gre_openpgp.encrypting.engine import Engine

OWN: Final = "openpgp/own/"
ACTIVE: Final = OWN + "active"
KEYS: Final = OWN + "keys/"
PUBLIC: Final = OWN + "public/"
ANNOUNCED: Final = OWN + "announced/"
BACKUP: Final = OWN + "backup"
CHANGED: Final = OWN + "changed"
OUTDATED: Final = b""
_PASSWORDS: Final = OWN + "passwords/"  # version 0.1 kept the passphrase of an imported key there


async def load_own(engine: Engine, store: Store) -> tuple[OwnKey, ...]:
    """Load our keys, the one that signs first; nothing when there is none.

    Raises:
        NoUsableKey: a stored key is damaged.
        StoreError: the store cannot be read.
    """
    active = (await store.get(ACTIVE) or b"").decode("ascii", "replace")
    names = sorted(await store.keys(KEYS), key=lambda name: name != KEYS + active)
    loaded: list[OwnKey] = []
    for name in names:
        stored = await store.get(name)
        if stored is None:
            continue
        fingerprint = name.removeprefix(KEYS)
        password = await store.get(_PASSWORDS + fingerprint)
        if password is not None:
            loaded.append(await _without_password_beside(engine, stored, password.decode(), store))
        else:
            loaded.append(OwnKey.from_store(engine, stored, await store.get(PUBLIC + fingerprint)))
    return tuple(loaded)


async def _without_password_beside(engine: Engine, stored: bytes, password: str, store: Store) -> OwnKey:
    """Take over a key of version 0.1: locked by another program, with its password in the store.

    It becomes what it always was, unprotected; the user may give it a passphrase.
    """
    key = OwnKey.read(engine, without_lock(stored, password))
    await store.put(KEYS + key.fingerprint, key.stored)
    await store.delete(_PASSWORDS + key.fingerprint)
    return key


async def save_own(key: OwnKey, store: Store, *, active: bool = True) -> None:
    """Keep a key, and make it the one that signs if wanted; raises :class:`StoreError`."""
    await store.put(PUBLIC + key.fingerprint, key.parsed.key.data)
    await store.put(KEYS + key.fingerprint, key.stored)
    if active:
        await store.put(ACTIVE, key.fingerprint.encode("ascii"))
    await store.put(CHANGED, random.token_bytes(8))


async def forget_own(key: OwnKey, store: Store) -> None:
    """Remove a key that was never used; raises :class:`StoreError`."""
    await store.delete(KEYS + key.fingerprint)
    await store.delete(PUBLIC + key.fingerprint)
    await store.put(CHANGED, random.token_bytes(8))
