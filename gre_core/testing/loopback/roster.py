"""The roster (RFC 6121 section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from gre_core.testing.loopback import jids
from gre_core.testing.loopback.accounts import RosterItem
from gre_core.testing.loopback.stanza import IQ, PRESENCE, add, error_reply, make, reply

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core.testing.loopback.accounts import Account, Session
    from gre_core.testing.loopback.router import Router

ROSTER: Final = "jabber:iq:roster"
_QUERY: Final = f"{{{ROSTER}}}query"
_ITEM: Final = f"{{{ROSTER}}}item"
_GROUP: Final = f"{{{ROSTER}}}group"


def answer(router: Router, session: Session, stanza: Element) -> None:
    """Answer a roster request of a client about its own account."""
    if stanza.get("type") == "get":
        result = reply(stanza)
        query = add(result, _QUERY)
        for jid, item in session.account.roster.items():
            _add_item(query, jid, item)
        session.interested = True
        session.send(result)
        return
    problem = _change(router, session, stanza)
    if problem is not None:
        session.send(error_reply(stanza, *problem))


def _change(router: Router, session: Session, stanza: Element) -> tuple[str, str] | None:
    items = list(stanza[0])
    if len(items) != 1 or items[0].tag != _ITEM:
        return "modify", "bad-request"
    wanted = items[0]
    jid = jids.parse(wanted.get("jid", ""))
    if jid is None or jid.resource:
        return "modify", "bad-request"
    account = session.account
    if jid.bare == account.bare:
        return "cancel", "not-allowed"
    if wanted.get("subscription") == "remove":
        if jid.bare not in account.roster:
            return "modify", "item-not-found"
        _remove(router, session, jid.bare)
    else:
        item = account.roster.setdefault(jid.bare, RosterItem())
        item.name = wanted.get("name") or None
        item.groups = tuple(group.text for group in wanted.iterfind(_GROUP) if group.text)
    session.send(reply(stanza))
    push(account, jid.bare)
    return None


def _remove(router: Router, session: Session, contact: str) -> None:
    account = session.account
    item = account.roster.pop(contact)
    if account.pending_in.pop(contact, None) is not None or item.from_them:
        router.deliver(session, make(PRESENCE, type="unsubscribed", from_=account.bare, to=contact))
    if item.to_them or item.ask:
        for other in account.available():
            router.deliver(session, make(PRESENCE, type="unavailable", from_=other.jid, to=contact))
        router.deliver(session, make(PRESENCE, type="unsubscribe", from_=account.bare, to=contact))


def push(account: Account, contact: str) -> None:
    """Tell every interested resource how a contact looks now."""
    item = account.roster.get(contact)
    for session in account.sessions.values():
        if session.interested:
            stanza = make(IQ, type="set", id=uuid4().hex)
            query = add(stanza, _QUERY)
            if item is None:
                add(query, _ITEM, jid=contact, subscription="remove")
            else:
                _add_item(query, contact, item)
            session.send(stanza)


def _add_item(query: Element, jid: str, item: RosterItem) -> None:
    element = add(
        query,
        _ITEM,
        jid=jid,
        subscription=item.subscription,
        ask="subscribe" if item.ask else None,
        name=item.name,
    )
    for group in item.groups:
        add(element, _GROUP, group)
