"""Presence (RFC 6121 section 4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gre_core.testing.loopback import messages, subscriptions
from gre_core.testing.loopback.accounts import Session
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

    from gre_core.testing.loopback.accounts import Origin
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
        return kind != "probe" and subscriptions.outbound(router, session, stanza, to.bare)
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
    elif not to.node:
        subscriptions.to_server(router, stanza)
    elif kind not in _PLAIN:
        subscriptions.inbound(router, origin, stanza, to)
    else:
        _to_account(router, stanza, to)


def _to_account(router: Router, stanza: Element, to: Jid) -> None:
    account = router.account(to)
    if account is None:
        return
    if not to.resource:
        for session in account.available():
            session.send(stanza)
    elif to.resource in account.sessions:
        account.sessions[to.resource].send(stanza)


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
