"""Subscriptions to presence (RFC 6121 section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.testing.loopback import jids
from gre_core.testing.loopback.accounts import RosterItem
from gre_core.testing.loopback.roster import push
from gre_core.testing.loopback.stanza import PRESENCE, addressed, error_reply, make

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from gre_core.testing.loopback.accounts import Account, Origin, Session
    from gre_core.testing.loopback.jids import Jid
    from gre_core.testing.loopback.router import Router


def _send(router: Router, sender: str, to: str, kind: str | None) -> None:
    router.deliver(router.server, make(PRESENCE, type=kind, from_=sender, to=to))


def _send_available(router: Router, account: Account, to: str, kind: str | None = None) -> int:
    sessions = account.available()
    for session in sessions:
        shown = make(PRESENCE, type=kind) if kind else session.presence
        if shown is not None:
            router.deliver(session, addressed(shown, to=to, from_=session.jid), outbound=True)
    return len(sessions)


# -- what a client sends -----------------------------------------------------------------------------


def outbound(router: Router, session: Session, stanza: Element, contact: str) -> bool:
    """Change the sender's roster and route the request; always True: nothing is left to be delivered."""
    routed = addressed(stanza, to=contact, from_=session.account.bare)
    step = _OUTBOUND.get(stanza.get("type", ""))
    if step is None:
        session.send(error_reply(routed, "modify", "bad-request", "Invalid presence type"))
    else:
        step(router, session, routed, contact)
    return True


def _ask(router: Router, session: Session, routed: Element, contact: str) -> None:
    item = session.account.roster.setdefault(contact, RosterItem())
    item.ask = item.ask or not item.to_them
    push(session.account, contact)
    router.deliver(session, routed)


def _stop_receiving(router: Router, session: Session, routed: Element, contact: str) -> None:
    item = session.account.roster.get(contact)
    if item is not None:
        item.ask = False
        item.set(to=False)
        push(session.account, contact)
    router.deliver(session, routed)


def _approve(router: Router, session: Session, routed: Element, contact: str) -> None:
    account = session.account
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


def _stop_sending(router: Router, session: Session, routed: Element, contact: str) -> None:
    account = session.account
    item = account.roster.get(contact)
    pending = account.pending_in.pop(contact, None) is not None
    subscribed = item is not None and item.from_them
    if item is not None and subscribed:
        item.set(from_=False)
        push(account, contact)
    if pending or subscribed:
        router.deliver(session, routed)
    if subscribed:
        _send_available(router, account, contact, "unavailable")


_OUTBOUND: Final[dict[str, Callable[[Router, Session, Element, str], None]]] = {
    "subscribe": _ask,
    "unsubscribe": _stop_receiving,
    "subscribed": _approve,
    "unsubscribed": _stop_sending,
}


# -- what comes for an account -----------------------------------------------------------------------


def inbound(router: Router, origin: Origin, stanza: Element, to: Jid) -> None:
    """Do the recipient's side of a subscription request, of its answer, or of a probe."""
    kind = stanza.get("type")
    contact = jids.bare(stanza.get("from", ""))
    account = router.account(to)
    if account is None:
        if kind == "subscribe":
            _send(router, to.bare, contact, "unavailable")
    elif kind == "probe":
        sender = stanza.get("from", "")
        if account.lets_see(contact) and not _send_available(router, account, sender):
            _send(router, account.bare, sender, "unavailable")
    elif kind == "subscribe":
        _asked(router, account, contact, addressed(stanza, to=account.bare, from_=contact))
    elif kind in {"unsubscribe", "subscribed", "unsubscribed"}:
        if _changed(account, contact, kind):
            notice = addressed(stanza, to=account.bare, from_=contact)
            for session in account.sessions.values():
                if session.interested:
                    session.send(notice)
            push(account, contact)
    else:
        origin.send(error_reply(stanza, "modify", "bad-request", "Invalid presence type"))


def _asked(router: Router, account: Account, contact: str, request: Element) -> None:
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


def _changed(account: Account, contact: str, kind: str) -> bool:
    """Write the contact's decision into the roster; False when it changes nothing."""
    item = account.roster.get(contact)
    if kind == "unsubscribe":
        pending = account.pending_in.pop(contact, None) is not None
        if item is None or not item.from_them:
            return pending
        item.set(from_=False)
        return True
    if item is None or not (item.ask or (kind == "unsubscribed" and item.to_them)):
        return False
    item.ask = False
    item.set(to=kind == "subscribed")
    return True


def to_server(router: Router, stanza: Element) -> None:
    """Answer presence to the server itself: it is always there."""
    sender = jids.bare(stanza.get("from", ""))
    kind = stanza.get("type")
    if kind == "subscribe":
        _send(router, router.domain, sender, "subscribed")
    if kind in {"subscribe", "probe"}:
        _send(router, router.domain, sender, None)
