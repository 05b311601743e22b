"""The backup of our secret keys on the server, under a backup code (XEP-0373, section 5)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from gre_core.errors import NoUsableKey, PeerError, PeerTimeout, PolicyChanged
from gre_core.model import Question
from gre_core.ports import BackupOffer
from gre_openpgp.backup import SECRET_KEY, new_code, normal_code, read_secretkey, secretkey_element
from gre_openpgp.encrypting import vault
from gre_openpgp.encrypting.announcing import holds_something
from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.encrypting.own_store import BACKUP
from gre_openpgp.encrypting.secretkeys import is_locked
from gre_openpgp.encrypting.transferable import merged, split_secret_keys
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.trust import allowed
from gre_openpgp.xep0373 import LIST_ITEM, read_announced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.ports import Ports
    from gre_openpgp.encrypting.engine import Engine
    from gre_openpgp.encrypting.keyring import KeyRing

DECLINED: Final = b"declined"


def _contents(keys: Iterable[OwnKey]) -> bytes:
    """Give a digest of what a backup of these keys holds, to tell whether one is complete."""
    names = sorted(name for key in keys for name in key.parsed.ids)
    return hashlib.sha256(" ".join(names).encode("ascii")).hexdigest().encode("ascii")


async def make_backup(ring: KeyRing, ports: Ports, code: str | None = None) -> str:
    """Put all our keys on the server; give the backup code. See :meth:`OwnKeys.backup`."""
    try:
        used = new_code() if code is None else normal_code(code)
    except ValueError as error:
        raise NoUsableKey(f"{error}. Nothing was stored") from None
    if await ring.load(ports) is None:
        raise NoUsableKey("There is no key of yours yet, so there is nothing to back up")
    known = await ports.store.get(BACKUP)
    if known in {None, DECLINED} and await holds_something(ring.jid, SECRET_KEY, ports.pubsub):
        await _ask_replace(ring.jid, ports)
    await ring.unlock(ring.keys, ports)
    keys = ring.keys
    message = ring.engine.lock(b"".join(key.secret for key in keys), used)
    await ports.pubsub.publish(
        SECRET_KEY, LIST_ITEM, secretkey_element(message), access_model="whitelist", max_items=1
    )
    await ports.store.put(BACKUP, _contents(keys))
    return used


async def _ask_replace(jid: str, ports: Ports) -> None:
    question = Question(
        "own-key-backup-replace",
        jid,
        f"{jid} holds a backup of secret keys that this device did not make. If you agree, it is replaced, and keys "
        f"that only it holds are gone. If you are not sure, restore it first (gre keys restore).",
    )
    if not await allowed(question, ports):
        raise PolicyChanged(question.text, question)


async def offer_backup(ring: KeyRing, own: OwnKey, ports: Ports) -> None:
    """Offer the user a backup unless there is a complete one or he declined.

    Raises:
        NoUsableKey: the user wanted it, and it could not be made.
        PolicyChanged: see :func:`make_backup`.
    """
    if ports.backup is None:
        return
    known = await ports.store.get(BACKUP)
    if known in {DECLINED, _contents(ring.keys)}:
        return
    code = new_code()
    wanted = await ports.backup(BackupOffer(ring.jid, own.fingerprint, code))
    if wanted is False:
        await ports.store.put(BACKUP, DECLINED)
    elif wanted is True:
        try:
            await make_backup(ring, ports, code)
        except (PeerError, PeerTimeout) as error:
            raise NoUsableKey(
                f"The backup of your key could not be stored: {error.text}. Your backup code is worth nothing. "
                f"Send the message again: you will get a new code, or go on without a backup",
                account=ring.jid,
            ) from error


async def restore_backup(ring: KeyRing, ports: Ports, code: str) -> tuple[OwnKey, ...]:
    """Take all keys from the backup; give them as they are now. See :meth:`OwnKeys.restore`."""
    try:
        used = normal_code(code)
    except ValueError as error:
        raise NoUsableKey(f"{error}. Look at the code again") from None
    await ring.load(ports)
    secrets = _read(ring.engine, await _fetch(ring.jid, ports), used)
    found = [await _with_ours(ring, OwnKey.read(ring.engine, secret), ports) for secret in secrets]
    announced = await _announced(ring.jid, ports)
    now = ports.now()
    best = min(found, key=lambda key: (bool(key.problem(now)), key.fingerprint not in announced))
    active = ring.active
    replace = active is None or bool(active.problem(now)) or active.fingerprint == best.fingerprint
    for key in found:
        await ring.keep(key, ports, active=replace and key is best)
    if len(ring.keys) == len(found):
        await ports.store.put(BACKUP, _contents(ring.keys))
    return tuple(found)


async def _with_ours(ring: KeyRing, key: OwnKey, ports: Ports) -> OwnKey:
    """Merge a restored key with what is here of it; a new one gets a passphrase."""
    same = next((old for old in ring.keys if old.fingerprint == key.fingerprint), None)
    if same is None:
        return await ring.protect(key, ports)
    await ring.unlock([same], ports)
    return same.changed(merged(same.secret, key.secret))


async def _announced(jid: str, ports: Ports) -> frozenset[str]:
    try:
        return frozenset(entry.fingerprint for entry in await read_announced(jid, ports.pubsub))
    except (PeerError, PeerTimeout, BadOpenPGP):
        return frozenset()


async def _fetch(jid: str, ports: Ports) -> bytes:
    try:
        items = await ports.pubsub.items(jid, SECRET_KEY, max_items=1)
    except PeerError as error:
        if error.condition != "item-not-found":
            raise
        items = ()
    if not items:
        raise NoUsableKey(
            f"{jid} holds no backup of a secret key. Make one on a device that has it (gre keys backup)"
        )
    try:
        return read_secretkey(items[-1].payload)
    except BadOpenPGP as error:
        raise NoUsableKey(
            f"The backup cannot be read: {error.text}. Make a new one on a device that has the key"
        ) from error


def _read(engine: Engine, message: bytes, code: str) -> tuple[bytes, ...]:
    data = vault.unlock(engine, message, code)
    if data is None:
        raise NoUsableKey("The backup was made with another backup code. Look at the code again")
    try:
        secrets = split_secret_keys(data)
        if any(is_locked(secret) for secret in secrets):
            raise NoUsableKey("it holds a key that is locked with a passphrase besides, against XEP-0373")
    except (BadOpenPGP, NoUsableKey) as error:
        raise NoUsableKey(
            f"The backup was unlocked, but {error.text[0].lower()}{error.text[1:]}. Make a new one on a device that "
            f"has the key"
        ) from None
    return secrets
