"""Where a gateway says that it has a contact's key from: ``<source/>`` within the metadata of a key list.

.. code-block:: xml

    <pubkey-metadata v4-fingerprint='...' date='...'>
      <source xmlns='urn:xmpp:gre:key-source:0' name='autocrypt' authenticated='false' seen='2026-11-20T09:00:00Z'/>
    </pubkey-metadata>

XEP-0373 has no place for it; who does not know the element leaves it out. It is the word of the gateway and proves
nothing: it may make a key look worse to a person, never better.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE: Final = "urn:xmpp:gre:key-source:0"

DIRECTORY: Final = "directory"
"""The operator's folder."""
WKD: Final = "wkd"
"""The mail domain of the contact, asked by the gateway."""
AUTOCRYPT: Final = "autocrypt"
"""A mail to the user who asks."""

_TAG: Final = f"{{{NAMESPACE}}}source"
_NAME: Final = re.compile(r"[a-z0-9-]{1,32}")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9:.]{1,16}Z)?")
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a gateway says about the origin of a key.

    Arguments:
        name: ``directory``, ``wkd``, ``autocrypt``, or another one of ``a-z``, ``0-9`` and ``-``.
        authenticated: whether the mail's sender was (DKIM, aligned); None where that means nothing.
        seen: when it was seen last there (XEP-0082), or ``""``.
    """

    name: str
    authenticated: bool | None = None
    seen: str = ""

    def describe(self) -> str:
        """Say it to a person, always as the gateway's word."""
        if self.name == DIRECTORY:
            return "the gateway says that its operator keeps this key in a directory"
        if self.name == WKD:
            return "the gateway says that it found this key at the contact's mail domain (Web Key Directory)"
        if self.name != AUTOCRYPT:
            return f"the gateway says that it has this key from: {self.name}"
        seen = f", last on {self.seen[:10]}," if self.seen else ""
        sender = (
            "and that the mail domain signed it (DKIM)"
            if self.authenticated
            else "and that nobody vouched for its sender: anybody can have sent it"
        )
        return f"the gateway says that this key came with a mail to you (Autocrypt){seen} {sender}"


def origin_element(origin: Origin) -> Element:
    """Make ``<source/>``."""
    made = Element(_TAG, {"name": origin.name})
    if origin.authenticated is not None:
        made.set("authenticated", "true" if origin.authenticated else "false")
    if origin.seen:
        made.set("seen", origin.seen)
    return made


def read_origin(metadata: Element) -> Origin | None:
    """Read the ``<source/>`` of a ``<pubkey-metadata/>``; None when there is none, or one that is not well-formed."""
    found = metadata.find(_TAG)
    return None if found is None else from_fields(found.attrib)


def from_fields(fields: Mapping[str, object]) -> Origin | None:
    """Read it from attributes, or from what :func:`to_fields` gave."""
    name, seen = str(fields.get("name", "")), str(fields.get("seen", ""))
    if _NAME.fullmatch(name) is None:
        return None
    authenticated = _BOOLEANS.get(str(fields.get("authenticated", "")).lower())
    if authenticated is None and name == AUTOCRYPT:
        authenticated = False  # what is not said is never taken for the better
    return Origin(name, authenticated, seen if _MOMENT.fullmatch(seen) else "")


def to_fields(origin: Origin) -> dict[str, str]:
    """Write it for a store."""
    return dict(origin_element(origin).attrib)
