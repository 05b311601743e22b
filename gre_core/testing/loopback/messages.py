"""Messages: bare and full JIDs (RFC 6121 section 8.5), carbons (XEP-0280), offline storage (XEP-0160)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gre_core.testing.loopback.stanza import CLIENT, MESSAGE, add, addressed, copy_top, error_reply, make

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core.testing.loopback.accounts import Account, Origin, Session
    from gre_core.testing.loopback.jids import Jid
    from gre_core.testing.loopback.router import Router

CARBONS: Final = "urn:xmpp:carbons:2"
_PRIVATE: Final = f"{{{CARBONS}}}private"
_FORWARDED: Final = "{urn:xmpp:forward:0}forwarded"
_NO_COPY: Final = "{urn:xmpp:hints}no-copy"
_DELAY: Final = "{urn:xmpp:delay}delay"
_MUC_USER: Final = "{http://jabber.org/protocol/muc#user}x"
_JINGLE_MESSAGE: Final = ("{urn:xmpp:jingle-message:0}", "{urn:xmpp:jingle-message:1}")

OFFLINE_LIMIT: Final = 1000
"""Messages kept for one account."""


def deliver(router: Router, origin: Origin, stanza: Element, to: Jid | None) -> None:
    """Deliver a message to a local address; without one it is for the sender's own account."""
    account = router.account(to) if to is not None else origin.account
    if account is None:
        if stanza.get("type") != "headline" or (to is not None and not to.node):
            _refuse(origin, stanza)
        return
    _received_carbons(account, stanza, to)
    session = account.sessions.get(to.resource) if to is not None and to.resource else None
    if session is None or not session.send(stanza):
        _deliver_to_account(router, origin, stanza, account)


def _deliver_to_account(router: Router, origin: Origin, stanza: Element, account: Account) -> None:
    kind = stanza.get("type")
    if kind == "headline":
        if stanza.get("to") == account.bare:
            for session in account.available():
                if (session.priority or 0) >= 0:
                    session.send(stanza)
    elif kind in {"groupchat", "error"}:
        _refuse(origin, stanza)
    else:
        sent = [session.send(stanza) for session in account.top()]
        if not any(sent) and not _keep(router, stanza, account):
            _refuse(origin, stanza)


def _keep(router: Router, stanza: Element, account: Account) -> bool:
    if len(account.offline) >= OFFLINE_LIMIT:
        return False
    kept = copy_top(stanza)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    add(kept, _DELAY, from_=router.domain, stamp=stamp)
    account.offline.append(kept)
    return True


def send_offline(session: Session) -> None:
    """Hand the kept messages to the first session that can take them."""
    kept, session.account.offline = session.account.offline, []
    for stanza in kept:
        session.send(stanza)


def _refuse(origin: Origin, stanza: Element) -> None:
    if stanza.get("type") != "error":
        origin.send(error_reply(stanza, "cancel", "service-unavailable"))


# -- carbons ---------------------------------------------------------------------------------------


def send_carbons(account: Account, stanza: Element, *, sent_by: Session) -> Element:
    """Copy a message that a client sends to the account's other resources; return what is to be delivered."""
    if not _eligible(stanza):
        return stanza
    others = [session for session in account.sessions.values() if session.carbons and session is not sent_by]
    for session in others:
        session.send(_carbon(account, session, "sent", stanza))
    if others and stanza.get("to") is None:
        return addressed(stanza, to=account.bare)
    return stanza


def _received_carbons(account: Account, stanza: Element, to: Jid | None) -> None:
    if stanza.get("to") is None or not account.sessions:
        return
    if not _eligible(stanza):
        private = stanza.find(_PRIVATE)
        if private is not None:
            stanza.remove(private)
        return
    target = account.sessions.get(to.resource) if to is not None and to.resource else None
    top = account.top()
    for session in account.sessions.values():
        if not session.carbons or session is target:
            continue
        # Routing brings it to the top resources anyway. Prosody also leaves out silent ones when none is top.
        if target is None and session.priority == (top[0].priority if top else None):
            continue
        session.send(_carbon(account, session, "received", stanza))


def _eligible(stanza: Element) -> bool:
    if stanza.find(_PRIVATE) is not None or stanza.find(_NO_COPY) is not None:
        return False
    kind = stanza.get("type", "normal")
    if stanza.get("to") is not None and stanza.find(_MUC_USER) is not None:
        return False
    if kind == "chat" or (kind == "normal" and stanza.find(f"{{{CLIENT}}}body") is not None):
        return True
    if kind == "error" and "/" not in stanza.get("from", ""):
        return True
    return any(child.tag.startswith(_JINGLE_MESSAGE) for child in stanza)


def _carbon(account: Account, session: Session, direction: str, stanza: Element) -> Element:
    carbon = make(MESSAGE, from_=account.bare, to=session.jid, type=stanza.get("type", "normal"))
    add(add(carbon, f"{{{CARBONS}}}{direction}"), _FORWARDED).append(stanza)
    return carbon
