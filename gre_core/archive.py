"""The message archive of our own account (XEP-0313): queries, pages (XEP-0059), results, and ids (XEP-0359)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core import wire
from gre_core.delay import delayed
from gre_core.incoming import CARBONS, FORWARD
from gre_core.jid_escape import canonical

if TYPE_CHECKING:
    from datetime import datetime

MAM: Final = "urn:xmpp:mam:2"
RSM: Final = "http://jabber.org/protocol/rsm"

STANZA_ID: Final = wire.ORIGIN
"""The feature of servers that remove ids that others made up (XEP-0359, section 4)."""

_STANZA_ID_TAG: Final = f"{{{wire.ORIGIN}}}stanza-id"
_FIN: Final = f"{{{MAM}}}fin"
_RESULT: Final = f"{{{MAM}}}result"
_SET: Final = f"{{{RSM}}}set"


@dataclass(frozen=True, slots=True)
class Archived:
    """One message of the archive.

    Arguments:
        id: its id in the archive.
        stamp: when it was stored, with a time zone; None when the archive does not say.
        stanza: the message itself.
    """

    id: str
    stamp: datetime | None
    stanza: Element = field(repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """From where the archive is read: after a message, else from a time on.

    Arguments:
        after: the id of the last message that is known.
        start: used without ``after``.
    """

    after: str | None = None
    start: datetime | None = None


def build_query(query_id: str, place: Place, size: int) -> Element:
    """Make a query for one page, oldest first (XEP-0313, section 4; XEP-0059).

    Arguments:
        query_id: by which its results are recognised; nobody else may guess it.
        place: from where.
        size: how many messages at most.
    """
    query = Element(f"{{{MAM}}}query", {"queryid": query_id})
    x = SubElement(query, f"{{{wire.FORM}}}x", {"type": "submit"})
    _field(x, "FORM_TYPE", MAM, hidden=True)
    if place.after is None and place.start is not None:
        _field(x, "start", f"{place.start:%Y-%m-%dT%H:%M:%SZ}")
    page = SubElement(query, _SET)
    SubElement(page, f"{{{RSM}}}max").text = str(size)
    if place.after is not None:
        SubElement(page, f"{{{RSM}}}after").text = place.after
    return query


def _field(x: Element, var: str, value: str, *, hidden: bool = False) -> None:
    element = SubElement(x, f"{{{wire.FORM}}}field", {"var": var} | ({"type": "hidden"} if hidden else {}))
    SubElement(element, f"{{{wire.FORM}}}value").text = value


def read_result(message: Element, account: str, query_id: str) -> Archived | None:
    """Read a message that brings one result of a query.

    Arguments:
        message: a ``<message/>``.
        account: our bare JID.
        query_id: that of the query.

    Result:
        None when it is none of ours: only our own account answers, and only what was asked (XEP-0313, section 4.2).
    """
    result = message.find(_RESULT)
    sender = message.get("from", account)
    if result is None or "/" in sender or canonical(sender) != account or result.get("queryid") != query_id:
        return None
    forwarded = result.find(f"{{{FORWARD}}}forwarded")
    inner = None if forwarded is None else forwarded.find(wire.MESSAGE_TAG)
    archive_id = result.get("id", "")
    if forwarded is None or inner is None or not _is_id(archive_id):
        return None
    return Archived(archive_id, delayed(forwarded, account, trusted=True), inner)


def is_last_page(fin: Element | None) -> bool:
    """Tell whether the answer to a query says that nothing follows (XEP-0313, section 4.3)."""
    return fin is None or fin.tag != _FIN or fin.get("complete") in {"true", "1"}


def archive_id(message: Element, account: str) -> str | None:
    """Give the id that our account's archive gave to a message that came live, or as a carbon (XEP-0359).

    Trust it only when the account announces ``urn:xmpp:sid:0``: then the server removes those that others made up.
    """
    inner = next(
        (
            found
            for name in ("received", "sent")
            if (found := message.find(f"{{{CARBONS}}}{name}/{{{FORWARD}}}forwarded/{wire.MESSAGE_TAG}"))
            is not None
        ),
        message,
    )
    for element in inner.findall(_STANZA_ID_TAG):
        candidate = element.get("id", "")
        if canonical(element.get("by", "")) == account and _is_id(candidate):
            return candidate
    return None


def _is_id(text: str) -> bool:
    return 0 < len(text) <= wire.MAX_ID and text.isprintable()
