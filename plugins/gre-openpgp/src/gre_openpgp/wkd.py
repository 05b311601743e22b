"""Looking keys up at the domain of a mail address: the Web Key Directory (draft-koch-openpgp-webkey-service).

>>> locate("Joe.Doe@Example.ORG").advanced
'https://openpgpkey.example.org/.well-known/openpgpkey/example.org/hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe'
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from gre_core.errors import NoSuchHost, PeerTimeout, Refused
from gre_openpgp.armor import PUBLIC_KEY as PUBLIC_ARMOR
from gre_openpgp.armor import dearmor, is_armored
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import PUBLIC_KEY as PRIMARY
from gre_openpgp.packets import PUBLIC_SUBKEY, SIGNATURE, USER_ID, split_certificates, walk
from gre_openpgp.user_ids import address_of
from gre_openpgp.xep0373 import MAX_KEYS, PublicKey

if TYPE_CHECKING:
    from gre_core.ports import Web, WebAnswer

MAX_ANSWER: Final = 512 * 1024
"""Largest answer that is read, in bytes."""

_ALPHABET: Final = "ybndrfg8ejkmcpqxot1uwisza345h769"
_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])")
_MAX_HOST: Final = 253 - len("openpgpkey.")
_OK: Final = 200
_CLIENT_ERRORS: Final = range(400, 500)


class WkdOutcome(StrEnum):
    """How a look-up ended."""

    KEYS = "keys"
    NOTHING = "nothing"
    """The domain answered that it has no key for the address."""
    NO_DIRECTORY = "no-directory"
    """The domain has no host to ask."""
    OFFLINE = "offline"
    """Nobody answered. That is no error, and no word about the keys."""
    REFUSED = "refused"
    """What answered is not accepted: it says nothing about the keys either."""


@dataclass(frozen=True, slots=True)
class WkdAnswer:
    """What the domain of an address says.

    Arguments:
        outcome: how the look-up ended.
        keys: with no other user ids than those of the address.
        detail: for people.
    """

    outcome: WkdOutcome
    keys: tuple[PublicKey, ...] = ()
    detail: str = ""


class Location(NamedTuple):
    """Where the keys of an address are."""

    advanced: str
    direct: str


def locate(address: str) -> Location | None:
    """Give the two addresses to ask; None for what is no mail address of the Internet.

    Arguments:
        address: ``local@domain``. Domains with other letters are converted (IDNA).
    """
    if address_of(address) != address.lower():
        return None
    local, _, name = address.rpartition("@")
    try:
        domain = name.lower().encode("idna").decode("ascii")
    except UnicodeError:
        return None
    if len(domain) > _MAX_HOST or _HOST.fullmatch(domain) is None:
        return None
    lowered = "".join(sign.lower() if sign.isascii() else sign for sign in local)
    digest = hashlib.sha1(lowered.encode(), usedforsecurity=False).digest()
    rest = f"hu/{zbase32(digest)}?l={quote(local, safe='')}"
    return Location(
        f"https://openpgpkey.{domain}/.well-known/openpgpkey/{domain}/{rest}",
        f"https://{domain}/.well-known/openpgpkey/{rest}",
    )


def zbase32(data: bytes) -> str:
    """Write bytes in the alphabet of RFC 6189, section 5.1.6. The length must be a multiple of 5 bytes.

    >>> zbase32(b"hello")
    'pb1sa5dx'
    """
    number = int.from_bytes(data, "big")
    signs = len(data) * 8 // 5
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(signs)))


async def look_up(address: str, web: Web) -> WkdAnswer:
    """Ask the domain of an address for its keys. Raises nothing: being offline is no error.

    Arguments:
        address: of the contact.
        web: guards against foreign addresses and endless answers.
    """
    location = locate(address)
    if location is None:
        return WkdAnswer(WkdOutcome.NO_DIRECTORY, detail=f"{address} is no mail address")
    try:
        try:
            answer = await web.get(location.advanced, max_size=MAX_ANSWER)
        except NoSuchHost:
            # Only then: a domain that has the host runs the directory there, and nowhere else.
            answer = await web.get(location.direct, max_size=MAX_ANSWER)
        return _judge(answer, address)
    except NoSuchHost as error:
        return WkdAnswer(WkdOutcome.NO_DIRECTORY, detail=error.text)
    except PeerTimeout as error:
        return WkdAnswer(WkdOutcome.OFFLINE, detail=error.text)
    except (Refused, BadOpenPGP) as error:
        return WkdAnswer(WkdOutcome.REFUSED, detail=error.text)


def _judge(answer: WebAnswer, address: str) -> WkdAnswer:
    if answer.status in _CLIENT_ERRORS:
        return WkdAnswer(WkdOutcome.NOTHING, detail=f"The directory has no key for {address}")
    if answer.status != _OK:
        return WkdAnswer(WkdOutcome.REFUSED, detail=f"The directory answered with status {answer.status}")
    keys = read_keys(answer.body, address)
    if not keys:
        return WkdAnswer(WkdOutcome.REFUSED, detail=f"The directory's keys do not bear the name {address}")
    return WkdAnswer(WkdOutcome.KEYS, keys)


def read_keys(data: bytes, address: str) -> tuple[PublicKey, ...]:
    """Read an answer: keys that bear the address, without their other user ids.

    A directory may speak for its own addresses only; what else a key says about its owner is left out.

    Raises:
        BadOpenPGP: no public keys, or too many.
    """
    raw = dearmor(data, PUBLIC_ARMOR) if is_armored(data) else data
    found: dict[str, PublicKey] = {}
    for certificate in split_certificates(raw, max_certificates=MAX_KEYS):
        kept = only_user_ids_of(address, certificate)
        if kept is not None:
            key = PublicKey.read(kept)
            found.setdefault(key.fingerprint, key)
    return tuple(found.values())


def only_user_ids_of(address: str, certificate: bytes) -> bytes | None:
    """Leave out all user ids but those of an address; None when none is left.

    Raises:
        BadOpenPGP: damaged.
    """
    wanted = address.strip().lower()
    kept = bytearray()
    keep, named = False, False
    for packet in walk(certificate):
        if packet.tag in {PRIMARY, PUBLIC_SUBKEY}:
            keep = True
        elif packet.tag == USER_ID:
            keep = address_of(certificate[packet.body : packet.end].decode("utf-8", "replace")) == wanted
            named = named or keep
        elif packet.tag != SIGNATURE:
            keep = False
        if keep:
            kept += certificate[packet.start : packet.end]
    return bytes(kept) if named else None
