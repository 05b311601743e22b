"""Presence and subscriptions (RFC 6121 sections 3 and 4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gre_core.testing.loopback import jids, messages
from gre_core.testing.loopback.accounts import RosterItem, Session
from gre_core.testing.loopback.roster import push
from gre_core.testing.loopback.stanza import (
    CLIENT,
    PRESENCE,
    add,
    addressed,
    copy_top,
    error_reply,
    make,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core.testing.loopback.accounts import Account, Origin
    from gre_core.testing.loopback.jids import Jid
    from gre_core.testing.loopback.router import Router

_PLAIN: Final = {None, "unavailable", "error"}
_LOWEST, _HIGHEST = -128, 127


def outbound(router: Router, session: Session, stanza: Element, to: Jid | None) -> bool:
    """Do the sender's side of presence with a recipient; tell whether nothing is left to be delivered."""
    if to is None:
        return False
    kind = stanza.get("type")
    if kind not in _PLAIN:
        return kind != "probe" and _subscription_out(router, session, stanza, to.bare)
    if not session.account.lets_see(to.bare):
        if kind is None:
            session.directed.add(str(to))
        else:
            session.directed.discard(str(to))
    return False


def deliver(router: Router, origin: Origin, stanza: Element, to: Jid | None) -> None:
    """Deliver presence to a local address; without one it is the sender's own state."""
    kind = stanza.get("type")
    if to is None:
        if isinstance(origin, Session) and kind in {None, "unavailable"}:
            _broadcast(router, origin, stanza)
        elif kind != "error":
            origin.send(error_reply(stanza, "modify", "bad-request", "Invalid presence type"))
        return
    if not to.node:
        _to_server(router, stanza, kind)
        return
    account = router.account(to)
    if kind not in _PLAIN:
        if account is not None:
            _subscription_in(router, origin, stanza, account)
        elif kind == "subscribe":
            _send(router, to.bare, jids.bare(stanza.get("from", "")), "unavailable")
        return
    if account is None:
        return
    if to.resource:
        session = account.sessions.get(to.resource)
        if session is not None:
            session.send(stanza)
        return
    for session in account.available():
        session.send(stanza)


# -- a client's own presence -----------------------------------------------------------------------


def _broadcast(router: Router, session: Session, stanza: Element) -> None:
    account = session.account
    priority = _priority(stanza)
    session.send(stanza)
    others = [other for other in account.available() if other is not session]
    for other in others:
        router.deliver(session, addressed(stanza, to=other.jid), outbound=True)
    for contact, item in list(account.roster.items()):
        if item.from_them:
            router.deliver(session, addressed(stanza, to=contact), outbound=True)
    if stanza.get("type") == "unavailable":
        session.presence = session.priority = None
        directed, session.directed = session.directed, set()
        for address in directed:
            router.deliver(session, addressed(stanza, to=address), outbound=True)
        return
    if session.presence is None:
        _first_presence(router, session, others, priority)
    session.presence = copy_top(stanza)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    add(session.presence, "{urn:xmpp:delay}delay", from_=router.domain, stamp=stamp)
    session.priority = priority


def _first_presence(router: Router, session: Session, others: list[Session], priority: int) -> None:
    account = session.account
    for contact, item in list(account.roster.items()):
        if item.to_them:
            router.deliver(
                session, make(PRESENCE, type="probe", from_=session.jid, to=contact), outbound=True
            )
    for other in others:
        if other.presence is not None:
            router.deliver(other, addressed(other.presence, to=session.jid), outbound=True)
    for request in account.pending_in.values():
        session.send(request)
    for contact, item in list(account.roster.items()):
        if item.ask:
            router.deliver(
                session, make(PRESENCE, type="subscribe", from_=account.bare, to=contact), outbound=True
            )
    if priority >= 0:
        messages.send_offline(session)


def _priority(stanza: Element) -> int:
    text = stanza.findtext(f"{{{CLIENT}}}priority") or ""
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text, re.ASCII):
        return 0
    return max(_LOWEST, min(_HIGHEST, int(text)))


# -- subscriptions ---------------------------------------------------------------------------------


def _send(router: Router, sender: str, to: str, kind: str | None) -> None:
    router.deliver(router.server, make(PRESENCE, type=kind, from_=sender, to=to))


def _send_available(router: Router, account: Account, to: str, kind: str | None = None) -> int:
    sessions = account.available()
    for session in sessions:
        shown = make(PRESENCE, type=kind) if kind else session.presence
        if shown is not None:
            router.deliver(session, addressed(shown, to=to, from_=session.jid), outbound=True)
    return len(sessions)


def _subscription_out(router: Router, session: Session, stanza: Element, contact: str) -> bool:
    account = session.account
    kind = stanza.get("type")
    routed = addressed(stanza, to=contact, from_=account.bare)
    item = account.roster.get(contact)
    if kind == "subscribe":
        item = account.roster.setdefault(contact, RosterItem())
        item.ask = item.ask or not item.to_them
        push(account, contact)
        router.deliver(session, routed)
    elif kind == "unsubscribe":
        if item is not None:
            item.ask = False
            item.set(to=False)
            push(account, contact)
        router.deliver(session, routed)
    elif kind == "subscribed":
        item = account.roster.setdefault(contact, RosterItem())
        if account.pending_in.pop(contact, None) is not None:
            item.set(from_=True)
            push(account, contact)
        elif not item.from_them:
            item.approved = True
            push(account, contact)
        if item.from_them:
            router.deliver(session, routed)
            _send_available(router, account, contact)
        if item.to_them:
            _send(router, account.bare, contact, "probe")
    elif kind == "unsubscribed":
        pending = account.pending_in.pop(contact, None) is not None
        subscribed = item is not None and item.from_them
        if item is not None and subscribed:
            item.set(from_=False)
            push(account, contact)
        if pending or subscribed:
            router.deliver(session, routed)
        if subscribed:
            _send_available(router, account, contact, "unavailable")
    else:
        session.send(error_reply(routed, "modify", "bad-request", "Invalid presence type"))
    return True


def _subscription_in(router: Router, origin: Origin, stanza: Element, account: Account) -> None:
    sender = stanza.get("from", "")
    contact = jids.bare(sender)
    kind = stanza.get("type")
    request = addressed(stanza, to=account.bare, from_=contact)
    item = account.roster.get(contact)
    if kind == "probe":
        if account.lets_see(contact) and not _send_available(router, account, sender):
            _send(router, account.bare, sender, "unavailable")
    elif kind == "subscribe":
        _subscribe_in(router, account, contact, request)
    elif kind == "unsubscribe":
        pending = account.pending_in.pop(contact, None) is not None
        if pending or (item is not None and item.from_them):
            if item is not None:
                item.set(from_=False)
            _to_interested(account, request)
            push(account, contact)
    elif kind == "subscribed":
        if item is not None and item.ask:
            item.ask = False
            item.set(to=True)
            _to_interested(account, request)
            push(account, contact)
    elif kind == "unsubscribed":
        if item is not None and (item.ask or item.to_them):
            item.ask = False
            item.set(to=False)
            _to_interested(account, request)
            push(account, contact)
    else:
        origin.send(error_reply(stanza, "modify", "bad-request", "Invalid presence type"))


def _subscribe_in(router: Router, account: Account, contact: str, request: Element) -> None:
    item = account.roster.get(contact)
    if account.lets_see(contact):
        _send(router, account.bare, contact, "subscribed")
        if not _send_available(router, account, contact):
            _send(router, account.bare, contact, "unavailable")
        return
    if item is not None and item.approved:
        item.set(from_=True)
        push(account, contact)
        _send(router, account.bare, contact, "subscribed")
        _send_available(router, account, contact)
        return
    known = contact in account.pending_in
    account.pending_in[contact] = request
    _send(router, account.bare, contact, "unavailable")
    if not known:
        for session in account.available():
            session.send(request)


def _to_interested(account: Account, stanza: Element) -> None:
    for session in account.sessions.values():
        if session.interested:
            session.send(stanza)


def _to_server(router: Router, stanza: Element, kind: str | None) -> None:
    sender = jids.bare(stanza.get("from", ""))
    if kind == "subscribe":
        _send(router, router.domain, sender, "subscribed")
    if kind in {"subscribe", "probe"}:
        _send(router, router.domain, sender, None)
