"""Public keys in pubsub nodes (XEP-0373, section 4): elements, and reading and writing the nodes.

Two deviations, since these are keys of mail users: their user ids hold a mail address, unless
they are made for ``xmpp:`` and a JID; and keys of version 6 are not announced, since the only attribute is
``v4-fingerprint``.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core.errors import PeerError, PeerTimeout
from gre_core.ports import Item, Ports, PubSub
from gre_openpgp.armor import PUBLIC_KEY, dearmor, is_armored
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.key_origin import Origin, origin_element, read_origin
from gre_openpgp.packets import MAX_CERT, read_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OPENPGP: Final = "urn:xmpp:openpgp:0"
PUBLIC_KEYS: Final = "urn:xmpp:openpgp:0:public-keys"
"""The node with the list of keys (XEP-0373, section 4.2)."""
SECRET_KEY: Final = "urn:xmpp:openpgp:0:secret-key"  # noqa: S105 - the name of a node
"""The node with the encrypted backup of the secret key (XEP-0373, section 5)."""
LIST_ITEM: Final = "current"
"""Item id in the node of the list, which has one item (XEP-0060, section 12.20)."""

MAX_KEYS: Final = 16
"""How many keys of one entity are read. A longer list is refused, not cut: the good one might be cut."""

_FINGERPRINT: Final = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")
_V4_DIGITS: Final = 40
_MAX_DATE: Final = 64
_WHITE: Final = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Announced:
    """An entry of a key list.

    Arguments:
        fingerprint: in upper-case hex, 40 digits (64 for version 6).
        date: when the key was published, as the publisher wrote it; only ever compared with itself.
        origin: where a gateway says that it has the key from.
    """

    fingerprint: str
    date: str = ""
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A binary public key (certificate) whose fingerprint has been compared with its content.

    Arguments:
        fingerprint: of the primary key, in upper-case hex.
        data: the transferable public key (RFC 9580, section 10.1).
        date: when it was published, as the publisher wrote it.
        origin: where a gateway says that it has the key from.
    """

    fingerprint: str
    data: bytes = field(repr=False)
    date: str = ""
    origin: Origin | None = field(default=None, compare=False)

    @classmethod
    def read(cls, data: bytes, date: str = "") -> PublicKey:
        """Make it from a binary key; raises :class:`BadOpenPGP`."""
        return cls(read_certificate(data).fingerprint, data, date)


def normal_fingerprint(text: str | None) -> str | None:
    """Give a fingerprint in upper-case hex without blanks, or None when it is none."""
    if not text or len(text) > 128:  # noqa: PLR2004
        return None
    plain = "".join(text.split()).upper()
    return plain if _FINGERPRINT.fullmatch(plain) else None


def data_node(fingerprint: str) -> str:
    """Name the node that holds a key (XEP-0373, section 4.1)."""
    return f"{PUBLIC_KEYS}:{fingerprint}"


def timestamp(moment: datetime) -> str:
    """Write a DateTime (XEP-0082)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- elements --------------------------------------------------------------------------------------


def pubkey_element(data: bytes) -> Element:
    """Make ``<pubkey/>`` from a binary key."""
    top = Element(f"{{{OPENPGP}}}pubkey")
    SubElement(top, f"{{{OPENPGP}}}data").text = binascii.b2a_base64(data, newline=False).decode("ascii")
    return top


def read_pubkey(element: Element | None, *, max_size: int = MAX_CERT) -> bytes:
    """Give the binary key of a ``<pubkey/>``, not yet looked into.

    An armored one is taken as well: clients exist that publish what is in a file.

    Raises:
        BadOpenPGP: another element, no base64, or more than ``max_size`` bytes.
    """
    data = (
        element.find(f"{{{OPENPGP}}}data")
        if element is not None and element.tag == f"{{{OPENPGP}}}pubkey"
        else None
    )
    text = (data.text or "") if data is not None else ""
    if len(text) > max_size * 2:
        raise BadOpenPGP(
            f"The published key is larger than the {max_size} bytes that are read", limit=max_size
        )
    try:
        content = binascii.a2b_base64(text.encode("ascii").translate(None, _WHITE), strict_mode=True)
    except ValueError:
        raise BadOpenPGP("The published key is not base64") from None
    if not content:
        raise BadOpenPGP("The published key is empty")
    return dearmor(content, PUBLIC_KEY) if is_armored(content) else content


def list_element(keys: Iterable[Announced]) -> Element:
    """Make ``<public-keys-list/>``."""
    top = Element(f"{{{OPENPGP}}}public-keys-list")
    for key in keys:
        entry = SubElement(top, f"{{{OPENPGP}}}pubkey-metadata")
        entry.set("v4-fingerprint", key.fingerprint)
        entry.set("date", key.date)
        if key.origin is not None:
            entry.append(origin_element(key.origin))
    return top


def read_list(element: Element | None) -> tuple[Announced, ...]:
    """Read ``<public-keys-list/>``. Entries without a usable fingerprint are skipped, a strange date is kept.

    Raises:
        BadOpenPGP: another element, or more than :data:`MAX_KEYS` keys.
    """
    if element is None or element.tag != f"{{{OPENPGP}}}public-keys-list":
        raise BadOpenPGP("The key list is not a <public-keys-list/>")
    found: dict[str, Announced] = {}
    for entry in element.iterfind(f"{{{OPENPGP}}}pubkey-metadata"):
        fingerprint = normal_fingerprint(entry.get("v4-fingerprint"))
        if fingerprint is not None:
            date = (entry.get("date") or "")[:_MAX_DATE]
            found.setdefault(fingerprint, Announced(fingerprint, date, read_origin(entry)))
        if len(found) > MAX_KEYS:
            raise BadOpenPGP(f"The key list has more than {MAX_KEYS} keys", limit=MAX_KEYS)
    return tuple(found.values())


def metadata_items(keys: Sequence[PublicKey]) -> tuple[Item, ...]:
    """Give the items of the list node for these keys, for who serves it. None for no key."""
    entries = [
        Announced(key.fingerprint, key.date, key.origin) for key in keys if len(key.fingerprint) == _V4_DIGITS
    ]
    return (Item(LIST_ITEM, list_element(entries)),) if entries else ()


def key_item(keys: Sequence[PublicKey], fingerprint: str) -> Item | None:
    """Give the item of the data node of one key, for who serves it; None when it is not among the keys."""
    wanted = normal_fingerprint(fingerprint)
    for key in keys:
        if key.fingerprint == wanted:
            return Item(key.date or LIST_ITEM, pubkey_element(key.data))
    return None


# -- nodes -----------------------------------------------------------------------------------------


async def read_announced(jid: str, pubsub: PubSub) -> tuple[Announced, ...]:
    """Read the key list of a bare JID. No node and no item both mean no keys.

    Raises:
        BadOpenPGP: the list is malformed or too long.
        PeerError: refused for another reason than ``item-not-found``.
        PeerTimeout: no answer.
    """
    return (await _read_announced(jid, pubsub))[0]


async def _read_announced(jid: str, pubsub: PubSub) -> tuple[tuple[Announced, ...], str]:
    """Read the key list, and what is said when there is none."""
    try:
        items = await pubsub.items(jid, PUBLIC_KEYS, max_items=1)
    except PeerError as error:
        if error.condition == "item-not-found":
            return (), error.peer_text
        raise
    return (read_list(items[-1].payload) if items else ()), ""


async def fetch_key(jid: str, announced: Announced, pubsub: PubSub) -> PublicKey:
    """Fetch one announced key, and check that it is the one that was announced.

    Raises:
        BadOpenPGP: malformed, too large, not there, or with another fingerprint.
        PeerError: refused.
        PeerTimeout: no answer.
    """
    items = await pubsub.items(jid, data_node(announced.fingerprint), max_items=1)
    if not items:
        raise BadOpenPGP(f"{jid} announces the key {announced.fingerprint}, but does not serve it")
    key = replace(PublicKey.read(read_pubkey(items[-1].payload), announced.date), origin=announced.origin)
    if key.fingerprint != announced.fingerprint:
        raise BadOpenPGP(
            f"{jid} announces the key {announced.fingerprint}, but serves {key.fingerprint}. Do not use "
            f"either",
            announced=announced.fingerprint,
            served=key.fingerprint,
        )
    return key


@dataclass(frozen=True, slots=True)
class Fetched:
    """The keys of an entity that could be fetched, in the order of its list, and why others could not.

    Arguments:
        keys: each with the announced fingerprint.
        problems: texts for people, by fingerprint.
        why_none: what the server of the list says when it has none: at most 1,000 characters, or ``""``.
    """

    keys: tuple[PublicKey, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)
    why_none: str = ""


async def fetch_keys(jid: str, pubsub: PubSub, known: Mapping[str, PublicKey] | None = None) -> Fetched:
    """Fetch all announced keys of a bare JID.

    Arguments:
        jid: whose.
        pubsub: the port.
        known: keys that we have, by fingerprint; one is not fetched again while its date stays the same.

    Raises:
        BadOpenPGP: the list is malformed or too long.
        PeerError, PeerTimeout: the list cannot be read, or no answer came for a key.
    """
    have = known or {}
    keys: list[PublicKey] = []
    problems: dict[str, str] = {}
    entries, why_none = await _read_announced(jid, pubsub)
    for entry in entries:
        old = have.get(entry.fingerprint)
        try:
            same = old is not None and old.date == entry.date != ""
            known_now = replace(old, origin=entry.origin) if old is not None and same else None
            keys.append(known_now or await fetch_key(jid, entry, pubsub))
        except PeerTimeout:
            raise
        except (BadOpenPGP, PeerError) as error:
            problems[entry.fingerprint] = error.text
    return Fetched(tuple(keys), problems, why_none)


async def announce(account: str, key: PublicKey, ports: Ports) -> bool:
    """Publish our key if our list lacks it: first the key, then the list, both open to everyone.

    What else the list holds stays (the keys of other devices and programs).

    Arguments:
        account: our bare JID.
        key: ours.
        ports: of the host.

    Returns:
        Whether something was published.

    Raises:
        BadOpenPGP, PeerError, PeerTimeout: our list cannot be read or written.
    """
    present = await read_announced(account, ports.pubsub)
    if any(entry.fingerprint == key.fingerprint for entry in present):
        return False
    await publish(key, present, ports)
    return True


async def publish(key: PublicKey, present: Sequence[Announced], ports: Ports) -> None:
    """Publish our key and the list with it, even when it is there already.

    Arguments:
        key: ours.
        present: our list as it is now.
        ports: of the host.

    Raises:
        PeerError, PeerTimeout: it did not work.
    """
    date = timestamp(ports.now())
    others = [entry for entry in present if entry.fingerprint != key.fingerprint]
    await ports.pubsub.publish(
        data_node(key.fingerprint), date, pubkey_element(key.data), access_model="open", max_items=1
    )
    entries = [*others, Announced(key.fingerprint, date)]
    await ports.pubsub.publish(
        PUBLIC_KEYS, LIST_ITEM, list_element(entries), access_model="open", max_items=1
    )
