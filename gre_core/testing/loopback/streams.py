"""One TCP connection: a client (RFC 6120) or a component (XEP-0114)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
from typing import TYPE_CHECKING, ClassVar, Final
from uuid import uuid4
from xml.sax.saxutils import quoteattr

from gre_core.testing.loopback import jids
from gre_core.testing.loopback.accounts import Account, Session
from gre_core.testing.loopback.stanza import CLIENT, IQ, STREAMS, add, error_reply, make, reply
from gre_core.testing.loopback.xmlstream import (
    StanzaReceived,
    StreamClosed,
    StreamFailed,
    StreamOpened,
    StreamParser,
    serialise,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from gre_core.testing.loopback.router import Router
    from gre_core.testing.loopback.xmlstream import Event
    from gre_core.testing.server import Tap

SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND: Final = "urn:ietf:params:xml:ns:xmpp-bind"
SESSION: Final = "urn:ietf:params:xml:ns:xmpp-session"
STREAM_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-streams"
COMPONENT: Final = "jabber:component:accept"

UNAUTHENTICATED_LIMIT: Final = 10_000
"""Bytes of one stanza before the login."""

BACKLOG_LIMIT: Final = 32 * 1024 * 1024
"""Bytes that wait for a peer that does not read; beyond it is cut off."""

LOGIN_TIMEOUT: Final = 60.0
LINGER: Final = 1.0


class Stream:
    """What clients and components share: header, parser, errors, the tap."""

    stream_ns: ClassVar[str]
    too_large: ClassVar[str]

    def __init__(
        self,
        router: Router,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        limit: int,
        tap: Tap | None,
    ) -> None:
        self.router = router
        self.name: str = ""
        self._reader = reader
        self._writer = writer
        self._limit = limit
        self._tap = tap
        self._closed = False
        self._opened = False
        self._id = uuid4().hex
        self._parser = self._new_parser(min(limit, UNAUTHENTICATED_LIMIT))

    def _new_parser(self, limit: int) -> StreamParser:
        return StreamParser(self.stream_ns, limit, self.too_large)

    async def run(self) -> None:
        """Serve the connection until it ends."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(LOGIN_TIMEOUT, self._login_expired)
        try:
            while data := await self._reader.read(65536):
                self._record_in(data)
                if not self._closed:  # afterwards it only waits for the peer to close as well
                    self._handle_bytes(data)
                    await self._writer.drain()
        except ConnectionError:
            pass
        finally:
            timer.cancel()
            self.cut()

    def _record_in(self, data: bytes) -> None:
        if self._tap is not None:
            self._tap("in", self.name, data)

    def _handle_bytes(self, data: bytes) -> None:
        parser = self._parser
        for event in parser.feed(data):
            self._handle(event)
            if self._closed or self._parser is not parser:
                return

    def _handle(self, event: Event) -> None:
        match event:
            case StreamOpened(attributes):
                self._id = uuid4().hex
                self.opened(attributes)
            case StanzaReceived(stanza):
                if stanza.tag == f"{{{STREAMS}}}error":
                    self.finish()
                else:
                    self.received(stanza)
            case StreamClosed():
                self.finish()
            case StreamFailed(condition, text):
                self.close(condition, text)

    def _login_expired(self) -> None:
        if not self.name:
            self.close("connection-timeout")

    # -- writing -----------------------------------------------------------------------------------

    def send(self, stanza: Element, /) -> bool:
        """Write a stanza; False when the stream is closed."""
        if self._closed:
            return False
        self._write(serialise(stanza, self.stream_ns))
        return True

    def _write(self, text: str) -> None:
        data = text.encode()
        if self._tap is not None:
            self._tap("out", self.name, data)
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > BACKLOG_LIMIT:
            self.cut()

    def _header(self, sender: str) -> None:
        self._opened = True
        version = " version='1.0'" if self.stream_ns == CLIENT else ""
        self._write(
            f"<?xml version='1.0'?><stream:stream xmlns:stream='{STREAMS}' xmlns='{self.stream_ns}'"
            f"{version} xml:lang='en' id='{self._id}' from={quoteattr(sender)}>"
        )

    def close(self, condition: str, text: str | None = None, /) -> None:
        """Send a stream error and close (RFC 6120 section 4.9)."""
        if self._closed:
            return
        error = make(f"{{{STREAMS}}}error")
        add(error, f"{{{STREAM_ERRORS}}}{condition}")
        if text is not None:
            add(error, f"{{{STREAM_ERRORS}}}text", text)
        if not self._opened:
            self._header(self.router.domain)
        self.send(error)
        self.finish()

    def finish(self) -> None:
        """Close the stream in good order."""
        if self._closed:
            return
        if self._opened:
            self._write("</stream:stream>")
        self._closed = True
        self.lost()
        # A socket that is closed with unread input is reset, and the peer may lose the stream error.
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write_eof()
        asyncio.get_running_loop().call_later(LINGER, self._writer.transport.abort)

    def cut(self) -> None:
        """Cut the connection without a word, as a failing network does."""
        self._closed = True
        self._writer.transport.abort()
        self.lost()

    # -- for the two kinds -------------------------------------------------------------------------

    def opened(self, attributes: Mapping[str, str]) -> None:
        """Answer the stream header."""
        raise NotImplementedError

    def received(self, stanza: Element) -> None:
        """Handle a first-level element."""
        raise NotImplementedError

    def lost(self) -> None:
        """Forget the session; called at least once."""
        raise NotImplementedError


class ClientStream(Stream):
    """A client: SASL PLAIN, resource binding, stanzas."""

    stream_ns = CLIENT
    too_large = "policy-violation"
    _account: Account | None = None
    _session: Session | None = None

    def opened(self, attributes: Mapping[str, str]) -> None:
        """Answer the stream header with the features that come next."""
        if attributes.get("to", "").lower() != self.router.domain:
            self.close("host-unknown", f"This server does not serve {attributes.get('to')}")
            return
        self._header(self.router.domain)
        features = make(f"{{{STREAMS}}}features")
        if self._account is None:
            add(add(features, f"{{{SASL}}}mechanisms"), "mechanism", "PLAIN")
        else:
            add(add(features, f"{{{BIND}}}bind"), "required")
            add(add(features, f"{{{SESSION}}}session"), "optional")
            add(features, "{urn:xmpp:features:pre-approval}sub")
        self.send(features)

    def received(self, stanza: Element) -> None:
        """Handle login, binding, and then stanzas."""
        if self._session is not None:
            if stanza.tag == IQ and len(stanza) == 1 and stanza[0].tag == f"{{{SESSION}}}session":
                stanza.set("from", self._session.jid)
                self.send(reply(stanza))
            else:
                self.router.from_client(self._session, stanza)
        elif self._account is not None:
            self._bind(self._account, stanza)
        elif stanza.tag == f"{{{SASL}}}auth":
            self._authenticate(stanza)
        else:
            self.close("not-authorized")

    def _authenticate(self, stanza: Element) -> None:
        if stanza.get("mechanism") != "PLAIN":
            self._refuse_login("invalid-mechanism")
            return
        try:
            _, user, password = base64.b64decode(stanza.text or "", validate=True).decode().split("\0")
        except (binascii.Error, ValueError):
            self._refuse_login("malformed-request")
            return
        jid = jids.parse(f"{user}@{self.router.domain}")
        account = self.router.account(jid)
        if account is None or not hmac.compare_digest(account.password.encode(), password.encode()):
            self._refuse_login("not-authorized", "User name and password do not fit together.")
            return
        self._account = account
        self.name = account.bare
        self.send(make(f"{{{SASL}}}success"))
        self._parser = self._new_parser(self._limit)

    def _refuse_login(self, condition: str, text: str | None = None) -> None:
        failure = make(f"{{{SASL}}}failure")
        add(failure, condition)
        if text is not None:
            add(failure, "text", text)
        self.send(failure)

    def _bind(self, account: Account, stanza: Element) -> None:
        bind = stanza.find(f"{{{BIND}}}bind") if stanza.tag == IQ and stanza.get("type") == "set" else None
        if bind is None:
            self.close("not-authorized", "Bind a resource first.")
            return
        resource = bind.findtext(f"{{{BIND}}}resource") or uuid4().hex[:12]
        jid = jids.parse(f"{account.bare}/{resource}")
        if jid is None:
            self.send(error_reply(stanza, "modify", "bad-request", "The resource cannot be used."))
            return
        self._session = Session(account, jid.resource, self.send, self.close)
        self.router.bind(self._session)
        self.name = self._session.jid
        answer = reply(stanza)
        add(add(answer, f"{{{BIND}}}bind"), "jid", self._session.jid)
        self.send(answer)

    def lost(self) -> None:
        """End the session: others see it leave."""
        session, self._session = self._session, None
        if session is not None:
            self.router.unbind(session)


class ComponentStream(Stream):
    """An external component."""

    stream_ns = COMPONENT
    too_large = "not-well-formed"  # as Prosody does: one big stanza takes the component down
    account = None
    domain: str = ""

    def __init__(
        self,
        router: Router,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        limit: int,
        tap: Tap | None,
        secrets: Mapping[str, str],
    ) -> None:
        super().__init__(router, reader, writer, limit=limit, tap=tap)
        self._secrets = secrets

    def opened(self, attributes: Mapping[str, str]) -> None:
        """Answer the stream header; the identifier goes into the handshake."""
        domain = attributes.get("to", "")
        if domain not in self._secrets:
            self.close("host-unknown", f"{domain} does not match any configured external components")
            return
        self.domain = domain
        self._header(domain)

    def received(self, stanza: Element) -> None:
        """Check the handshake, then take stanzas."""
        if self.name:
            self.router.from_component(self.domain, self, stanza)
            return
        expected = hashlib.sha1((self._id + self._secrets[self.domain]).encode()).hexdigest()
        given = (stanza.text or "").strip().lower()
        if stanza.tag != f"{{{CLIENT}}}handshake" or not hmac.compare_digest(
            expected.encode(), given.encode()
        ):
            self.close("not-authorized", "Given token does not match calculated token")
        elif self.router.components[self.domain] is not None:
            self.close("conflict", "Component already connected")
        else:
            self.name = self.domain
            self.router.components[self.domain] = self
            self._parser.limit = self._limit
            self.send(make(f"{{{CLIENT}}}handshake"))

    def lost(self) -> None:
        """Mark the component as away."""
        if self.name and self.router.components.get(self.domain) is self:
            self.router.components[self.domain] = None
