"""The services of the gateway over a component whose bytes go nowhere: what is fed in, and what comes out."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import pytest
from gre_gateway_email.config import load
from gre_gateway_email.mail.addresses import check_address
from gre_gateway_email.store import open_store
from gre_gateway_email.store.records import User
from gre_gateway_email.xmpp.services import Services
from gre_gateway_email.xmpp.subscriptions import StoredSubscriptions
from slixmpp import ComponentXMPP

from gre_core.api import encrypter, formatter
from gre_core.errors import Refused
from gre_core.gateway import GatewayEngine
from gre_core.slixmpp import attach_gateway

DOMAIN = "mail.localhost"
JULIET = "juliet@localhost"
COMPONENT = "jabber:component:accept"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
COMMANDS = "http://jabber.org/protocol/commands"
ROSTERX = "http://jabber.org/protocol/rosterx"
X = "{jabber:x:data}"

CONFIG = """
[xmpp]
domain = "mail.localhost"
secret = "secret"
[smtp]
[mail]
domains = ["example.org", "example.com"]
[registration]
servers = ["localhost"]
address = "choose"
reserved = ["boss"]
max_addresses = 3
[admin]
jids = ["admin@localhost"]
"""


class Desk:
    """A gateway with its services, as if a server stood on the other side."""

    def __init__(self, config, store):
        self.config, self.store = config, store
        self.own_keys, self.tests, self.replayed = set(), [], []
        self.sent = []
        self.programs, self.taken = {}, ""
        self._number = 0

        async def sender_id(jid):
            user = await store.users.get(jid)
            if user and user.blocked:
                raise Refused("You are blocked.", condition="forbidden", error_type="auth")
            return user.addresses[0] if user else None

        async def encrypted_only_for(jid):
            user = await store.users.get(jid)
            return user is not None and user.encrypted_only

        async def own_key_seen(user):
            return user.jid in self.own_keys

        async def send_test(user):
            self.tests.append(user.jid)
            return "The relay took it."

        self.component = ComponentXMPP(DOMAIN, "secret", "127.0.0.1", 1)
        self.gateway = attach_gateway(
            self.component,
            GatewayEngine(
                DOMAIN,
                [(formatter("mime"), encrypter("openpgp"))],
                sender_id=sender_id,
                check_legacy_id=check_address,
                encrypted_only=config.encrypted_only,
                encrypted_only_for=encrypted_only_for,
            ),
            on_encrypted=self._relay,
            on_plain=self._relay,
            identity=("gateway", "smtp", "Email"),
            subscriptions=StoredSubscriptions(store.contacts),
            reconnect=False,
        )
        self.relayed = []
        self.services = Services(
            self.gateway, config, store,
            own_key_seen=own_key_seen, send_test=send_test, replayed=lambda: self.replayed.append(1),
        )  # fmt: skip
        self.component.transport = self
        self.component.init_parser()
        self.component.data_received(
            f"<stream:stream xmlns='{COMPONENT}' xmlns:stream='http://etherx.jabber.org/streams' id='1'>".encode()
        )
        self.component.event("session_start")
        self.component.send = self._send

    async def _relay(self, message):
        self.relayed.append(message)

    def get_extra_info(self, _name, default=None):
        return default

    def write(self, _data):
        pass

    def get_write_buffer_size(self):
        return 0

    def close(self):
        raise AssertionError("the stream was closed")

    abort = close

    def pause_reading(self):
        pass

    resume_reading = pause_reading

    def feed(self, xml):
        self.component.data_received(xml.encode())

    async def until(self, condition):
        async with asyncio.timeout(20):
            while (found := condition()) is None or found is False:
                await asyncio.sleep(0.002)
        return found

    async def iq(self, payload, *, type_="get", by=f"{JULIET}/a", to=DOMAIN):
        """Ask, and give the answer; there is exactly one."""
        self._number += 1
        name = f"q{self._number}"
        self.feed(f"<iq type='{type_}' id='{name}' from={quoteattr(by)} to={quoteattr(to)}>{payload}</iq>")
        answer = await self.until(lambda: next((e for e in self.sent if e.get("id") == name), None))
        assert (answer.get("from"), answer.get("to")) == (to, by)
        assert [e.get("id") for e in self.sent].count(name) == 1
        return answer

    def presences(self, to):
        """What was sent to somebody: (from, type)."""
        return [
            (e.get("from"), e.get("type"))
            for e in self.sent
            if e.tag.endswith("}presence") and e.get("to") == to
        ]

    def messages(self, to):
        return [e for e in self.sent if e.tag.endswith("}message") and e.get("to") == to]

    # -- a user with programs ------------------------------------------------------------------------

    async def client(self, full, *features):
        """A client comes, and answers disco#info with these features."""
        self.programs[full] = features
        self.feed(f"<presence from='{full}' to='{DOMAIN}'/>")
        await self.until(lambda: (DOMAIN, None) in self.presences(full))

    def _program(self, iq):
        """What a user's program answers: its features; suggestions are taken by who announces them, or as told."""
        full, features = iq.get("to"), self.programs.get(iq.get("to"))
        query = iq[0]
        if features is None:
            answer = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        elif query.tag.startswith(f"{{{ROSTERX}}}"):
            answer = self.taken
        else:
            listed = "".join(f"<feature var='{each}'/>" for each in features)
            answer = f"<query xmlns='http://jabber.org/protocol/disco#info'>{listed}</query>"
        kind = "error" if answer.startswith("<error") else "result"
        self.feed(f"<iq type='{kind}' id='{iq.get('id')}' from='{full}' to='{DOMAIN}'>{answer}</iq>")

    def _send(self, stanza, **_):
        xml = getattr(stanza, "xml", stanza)
        self.sent.append(xml)
        if xml.tag.endswith("}iq") and xml.get("type") in {"get", "set"}:
            asyncio.get_running_loop().call_soon(self._program, xml)

    def suggestions(self, to):
        """What was suggested to a program by requests: (action, JID)."""
        return [
            (item.get("action"), item.get("jid"))
            for iq in self.sent
            if iq.tag.endswith("}iq") and (iq.get("to"), iq.get("type")) == (to, "set")
            for item in iq.iter(f"{{{ROSTERX}}}item")
        ]

    # -- forms ---------------------------------------------------------------------------------------

    async def register(self, *, by=f"{JULIET}/a", type_="submit", form_type="jabber:iq:register", **values):
        return await self.iq(
            f"<query xmlns='jabber:iq:register'>{form(values, type_, form_type)}</query>", type_="set", by=by
        )

    async def command(self, node, session=None, action=None, *, by=f"{JULIET}/a", x=None, **values):
        attributes = "".join(
            f" {name}={quoteattr(value)}"
            for name, value in (("sessionid", session), ("action", action))
            if value is not None
        )
        payload = x if x is not None else form(values) if values else ""
        return await self.iq(
            f"<command xmlns='{COMMANDS}' node={quoteattr(node)}{attributes}>{payload}</command>",
            type_="set",
            by=by,
        )

    async def run(self, node, *stages, by=f"{JULIET}/a"):
        """Run a command to its end; give the last <command/>."""
        answer = (await self.command(node, by=by))[0]
        for values in stages:
            assert answer.get("status") == "executing", ET.tostring(answer)
            answer = await self.command(node, answer.get("sessionid"), by=by, x=form(values))
            if answer.get("type") == "error":
                return answer
            answer = answer[0]
        return answer


def form(values, type_="submit", form_type=None):
    fields = {} if form_type is None else {"FORM_TYPE": form_type}
    fields |= values
    xml = "".join(
        f"<field var={quoteattr(var)}>"
        + "".join(f"<value>{escape(each)}</value>" for each in ([value] if isinstance(value, str) else value))
        + "</field>"
        for var, value in fields.items()
    )
    return f"<x xmlns='jabber:x:data' type='{type_}'>{xml}</x>"


def error(answer):
    """Type, conditions and text of a stanza error."""
    assert answer.get("type") == "error", ET.tostring(answer)
    found = next(e for e in answer if e.tag.endswith("}error"))
    names = [e.tag.rpartition("}")[2] for e in found if not e.tag.endswith("}text")]
    assert found.findtext(f"{{{STANZAS}}}text"), "each error has a text"
    return (found.get("type"), *names)


def fields(element):
    """The fields of the one form in an element: type, values and options by name."""
    (x,) = element.iter(f"{X}x")
    return {
        e.get("var", ""): SimpleNamespace(
            type=e.get("type"),
            values=[v.text or "" for v in e.findall(f"{X}value")],
            options=[v.text for v in e.findall(f"{X}option/{X}value")],
            required=e.find(f"{X}required") is not None,
        )
        for e in x.findall(f"{X}field")
    }


@pytest.fixture
async def make_desk(tmp_path):
    """``await make_desk("old", "new", ...)``: services with a changed configuration."""
    made = []

    async def make(*changes, store=None):
        text = CONFIG
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / f"gateway{len(made)}.toml"
        path.write_text(text)
        desk = Desk(load(path), store or await open_store(f"sqlite:///{tmp_path}/gateway{len(made)}.db"))
        made.append(desk)
        return desk

    yield make
    for desk in made:
        desk.services.relations._stop_greeting()
        await asyncio.sleep(0.01)  # for presence that is under way
        await desk.store.close()


@pytest.fixture
async def desk(make_desk):
    return await make_desk()


@pytest.fixture
def kit():
    def text(element):
        return re.sub(r"\s+", " ", "".join(element.itertext())).strip()

    return SimpleNamespace(
        DOMAIN=DOMAIN, JULIET=JULIET, COMMANDS=COMMANDS, ROSTERX=ROSTERX, X=X, User=User,
        form=form, error=error, fields=fields, text=text,
    )  # fmt: skip
