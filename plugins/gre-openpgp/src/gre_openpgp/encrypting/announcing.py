"""Our own keys in our own nodes (XEP-0373, sections 4 and 7.3): publish them, and watch what is served there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.errors import NoUsableKey, PeerError, PeerTimeout, PolicyChanged
from gre_core.model import Notice, Question
from gre_openpgp.encrypting.own_store import ANNOUNCED, OUTDATED
from gre_openpgp.encrypting.transferable import packets
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.trust import allowed
from gre_openpgp.xep0373 import (
    PUBLIC_KEYS,
    SECRET_KEY,
    Announced,
    fetch_key,
    publish,
    read_announced,
    timestamp,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_core.ports import Ports, PubSub
    from gre_openpgp.encrypting.own import OwnKey

_HINTS: Final = (
    (
        PUBLIC_KEYS,
        "announces an OpenPGP key that is not on this device",
        "Bring it here: restore its backup (gre keys restore), or export it there and import it here (gre keys import)",
    ),
    (
        SECRET_KEY,
        "holds a backup of a secret key",
        "Restore it with its backup code (gre keys restore)",
    ),
)


async def refuse_second_key(jid: str, ports: Ports) -> None:
    """Stop unless it is certain that an account has no key yet, here or elsewhere.

    Raises:
        NoUsableKey: it has one, or nobody can tell.
    """
    for node, what, remedy in _HINTS:
        try:
            found = await holds_something(jid, node, ports.pubsub)
        except (PeerError, PeerTimeout) as error:
            raise NoUsableKey(
                f"Nobody can tell whether {jid} has an OpenPGP key already: {error.text}. No key is made, since a "
                f"second one would make messages unreadable on the other device. Try again later, or import your key",
                account=jid,
                node=node,
            ) from error
        if found:
            raise NoUsableKey(
                f"{jid} {what}. {remedy}. A second key is never made by itself", account=jid, node=node
            )


async def holds_something(jid: str, node: str, pubsub: PubSub) -> bool:
    """Tell whether a node has an item with content.

    Raises:
        PeerError, PeerTimeout: nobody can tell.
    """
    try:
        items = await pubsub.items(jid, node, max_items=1)
    except PeerError as error:
        if error.condition == "item-not-found":
            return False
        raise
    return any(
        item.payload is None or len(item.payload) > 0 or (item.payload.text or "").strip() for item in items
    )


async def announce(jid: str, own: OwnKey, ports: Ports) -> None:
    """Publish a key of ours unless it is, as it is now. Beside other keys only with the user's word.

    Raises:
        NoUsableKey: it could not be published.
        PolicyChanged: the user has to agree first.
        StoreError: the store failed.
    """
    published = await ports.store.get(ANNOUNCED + own.fingerprint)
    if published:
        return
    try:
        present = await read_announced(jid, ports.pubsub)
        names = [entry.fingerprint for entry in present]
        if own.fingerprint not in names or published == OUTDATED:
            if names and own.fingerprint not in names:
                await _ask_second(jid, own, names, ports)
            await publish_now(own, present, ports)
            return
    except (PeerError, PeerTimeout, BadOpenPGP) as error:
        raise NoUsableKey(
            f"Your key {own.fingerprint} is kept on this device, but could not be published, so that nobody could "
            f"verify or answer your messages: {error.text}. Try again; if it goes on, ask the operator of your server "
            f"for personal eventing (XEP-0163)",
            account=jid,
        ) from error
    await _note(own, ports)


async def publish_now(own: OwnKey, present: Sequence[Announced], ports: Ports) -> None:
    """Publish a key of ours, whatever was before.

    Raises:
        PeerError, PeerTimeout, StoreError: it did not work.
    """
    await publish(own.parsed.key, present, ports)
    await _note(own, ports)


async def _note(own: OwnKey, ports: Ports) -> None:
    await ports.store.put(ANNOUNCED + own.fingerprint, timestamp(ports.now()).encode("ascii"))


async def _ask_second(jid: str, own: OwnKey, names: list[str], ports: Ports) -> None:
    question = Question(
        "own-key-second",
        jid,
        f"{jid} announces {', '.join(names)} already. If you agree, {own.fingerprint} is announced as well, and others "
        f"encrypt to both.",
        ", ".join(names),
        own.fingerprint,
    )
    if not await allowed(question, ports):
        raise PolicyChanged(question.text, question)


async def check_ours(jid: str, keys: Sequence[OwnKey], ports: Ports) -> tuple[Announced, ...]:
    """Publish again what was changed here and not published yet; give our list.

    Raises:
        BadOpenPGP, PeerError, PeerTimeout, StoreError: the list cannot be read or written.
    """
    present = await read_announced(jid, ports.pubsub)
    for key in keys:
        listed = any(entry.fingerprint == key.fingerprint for entry in present)
        if listed and await ports.store.get(ANNOUNCED + key.fingerprint) == OUTDATED:
            await publish_now(key, present, ports)
            present = await read_announced(jid, ports.pubsub)
    return present


async def check_removed(
    jid: str, own: OwnKey, present: Sequence[Announced], ports: Ports
) -> tuple[Notice, ...]:
    """Announce our key again when somebody removed it (XEP-0373, section 7.3).

    Raises:
        PeerError, PeerTimeout, StoreError: it did not work.
    """
    if any(entry.fingerprint == own.fingerprint for entry in present):
        return ()
    if not await ports.store.get(ANNOUNCED + own.fingerprint):
        return ()  # not published yet: the first message does it
    await publish_now(own, present, ports)
    return (
        Notice(
            "own-key-reannounced",
            f"Somebody removed your key {own.fingerprint} from the list of {jid}; it was announced again. If that was "
            f"not one of your own programs, change your password",
            {"fingerprint": own.fingerprint},
        ),
    )


async def check_served(
    jid: str, own: OwnKey, present: Sequence[Announced], ports: Ports
) -> tuple[Notice, ...]:
    """Compare the key that our server serves with ours: whoever writes to us encrypts to that one.

    Raises:
        PeerError, PeerTimeout, StoreError: it cannot be read, or not be published again.
    """
    entry = next((entry for entry in present if entry.fingerprint == own.fingerprint), None)
    if entry is None:
        return ()
    try:
        served = await fetch_key(jid, entry, ports.pubsub)
    except (BadOpenPGP, PeerError) as error:
        if isinstance(error, PeerError) and error.condition != "item-not-found":
            raise
        await publish_now(own, present, ports)
        return (_republished(own, f"What your server served as your key was none ({error.text})"),)
    ours, theirs = packets(own.parsed.key.data), packets(served.data)
    if theirs - ours:
        return (
            Notice(
                "own-key-differs",
                f"Your server serves your key {own.fingerprint} in a form that this device does not know. If you "
                f"changed it on another device, make a backup there and restore it here (gre keys restore). If you did "
                f"not, somebody tampers with it: publish yours again (gre keys publish), and change your password",
                {"fingerprint": own.fingerprint},
            ),
        )
    if ours - theirs:
        await publish_now(own, present, ports)
        return (_republished(own, "Your server served an incomplete form of your key"),)
    return ()


def _republished(own: OwnKey, what: str) -> Notice:
    return Notice(
        "own-key-republished",
        f"{what}; {own.fingerprint} was published again. If that was not one of your own programs, change your "
        f"password",
        {"fingerprint": own.fingerprint},
    )
