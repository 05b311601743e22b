"""What a plain message of a user says: its words, and links to files, as chat programs write them.

A link to a file stands in ``<x xmlns='jabber:x:oob'/>`` (XEP-0066), mostly with the same link as the body, or in
``<file-sharing xmlns='urn:xmpp:sfs:0'/>`` (XEP-0447).
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gre_core.errors import Refused

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_LINKS: Final = 100
"""Links that are looked at in one message."""

_OOB: Final = "{jabber:x:oob}"
_SHARING: Final = "{urn:xmpp:sfs:0}"
_METADATA: Final = "{urn:xmpp:file:metadata:0}"
_URL_DATA: Final = "{http://jabber.org/protocol/url-data}url-data"
_ENCRYPTED_FILE: Final = "{urn:xmpp:esfs:0}encrypted"
_SECRET_SCHEMES: Final = ("aesgcm:",)


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a file.

    Arguments:
        url: as it was written.
        name: of the file, or ``""``.
        media_type: of the file, or ``""``.
    """

    url: str = field(repr=False)
    name: str = field(default="", repr=False)
    media_type: str = ""

    @property
    def address(self) -> str:
        """The URL in ASCII: what has to be percent-encoded is (RFC 3986)."""
        return quote(self.url, safe=string.punctuation)


def links_of(stanza: Element, text: str) -> tuple[Link, ...]:
    """Find the links to files, each once.

    Raises:
        Refused: a file is encrypted for XMPP programs only (XEP-0454, XEP-0448).
    """
    if text.strip().lower().startswith(_SECRET_SCHEMES):
        raise _secret()
    found: dict[str, Link] = {}
    for share in stanza.findall(f"{_SHARING}file-sharing"):
        _add(found, _shared(share))
    for oob in stanza.findall(f"{_OOB}x"):
        _add(found, Link((oob.findtext(f"{_OOB}url") or "").strip()))
    return tuple(found.values())


def without_links(text: str, links: tuple[Link, ...]) -> str:
    """Leave out lines that are nothing but one of the links."""
    urls = {link.url for link in links}
    lines = [line for line in text.split("\n") if line.strip() not in urls]
    return "\n".join(lines).strip("\n") if links else text


def with_links(text: str, links: tuple[Link, ...]) -> str:
    """Put in the links that the text does not have."""
    missing = [link.url for link in links if link.url not in text]
    return "\n".join([*([text] if text else []), *missing])


def _shared(share: Element) -> Link:
    sources = share.find(f"{_SHARING}sources")
    targets = [] if sources is None else [each.get("target", "") for each in sources.findall(_URL_DATA)]
    if not targets and sources is not None and sources.find(_ENCRYPTED_FILE) is not None:
        raise _secret()
    file = share.find(f"{_METADATA}file")
    name, kind = (
        ("" if file is None else (file.findtext(f"{_METADATA}{what}") or "").strip())
        for what in ("name", "media-type")
    )
    return Link(targets[0].strip() if targets else "", name, kind)


def _add(found: dict[str, Link], link: Link) -> None:
    if link.url.lower().startswith(_SECRET_SCHEMES):
        raise _secret()
    if link.url and len(found) < MAX_LINKS:
        found.setdefault(link.url, link)


def _secret() -> Refused:
    return Refused(
        "The file is encrypted with OMEMO, and a mail user could not open it. Turn OMEMO off for this contact.",
        condition="not-acceptable",
    )
