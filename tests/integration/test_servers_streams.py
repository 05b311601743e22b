"""Streams that break the rules, byte by byte, on both servers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re

import pytest

HEADER = (
    "<?xml version='1.0'?><stream:stream to='{to}' xmlns='{ns}' version='1.0' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)


class Raw:
    """A stream by hand: what is written is sent as it stands."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def client(cls, server, user="juliet"):
        raw = cls(*await asyncio.open_connection(server.host, server.c2s_port))
        header = HEADER.format(to=server.domain, ns="jabber:client")
        raw.write(header)
        await raw.until(b"</stream:features>")
        secret = base64.b64encode(f"\0{user}\0{server.accounts[user]}".encode()).decode()
        raw.write(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
        await raw.until(b"<success")
        raw.write(header)
        await raw.until(b"</stream:features>")
        raw.write("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        await raw.until(b"</iq>")
        return raw

    @classmethod
    async def component(cls, server, domain="mail.localhost"):
        raw = cls(*await asyncio.open_connection(server.host, server.component_port))
        raw.write(HEADER.format(to=domain, ns="jabber:component:accept"))
        opened = await raw.until(b">", after=b"<stream:stream")
        (identifier,) = re.findall(r"""\bid=['"]([^'"]+)""", opened.decode())
        token = hashlib.sha1((identifier + server.components[domain]).encode()).hexdigest()
        raw.write(f"<handshake>{token}</handshake>")
        await raw.until(b"<handshake")
        return raw

    def write(self, data):
        self.writer.write(data if isinstance(data, bytes) else data.encode())

    async def until(self, end, after=b""):
        data = b""
        async with asyncio.timeout(30):
            while end not in data[data.find(after) :] or after not in data:
                more = await self.reader.read(65536)
                assert more, f"closed after {data!r}"
                data += more
        return data

    async def rest(self):
        """Everything until the server closes; a reset connection counts as closed."""
        data = b""
        async with asyncio.timeout(30):
            try:
                while more := await self.reader.read(65536):
                    data += more
            except ConnectionError:
                pass
        self.writer.close()
        return data


def condition(data):
    found = re.search(rb"<stream:error[^>]*>\s*<([a-z-]+)", data)
    return found[1].decode() if found else None


PING = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"


async def test_a_stream_by_hand_works(server):
    client = await Raw.client(server)
    client.write(PING)
    assert b"result" in await client.until(b"id=")
    component = await Raw.component(server)
    component.write(PING.replace("<iq", "<iq from='mail.localhost'"))
    assert b"result" in await component.until(b"id=")


async def test_a_stanza_in_single_bytes_is_understood(server):
    client = await Raw.client(server)
    for byte in PING.encode():
        client.write(bytes([byte]))
        await client.writer.drain()
    assert b"result" in await client.until(b"id=")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("<!DOCTYPE x [<!ENTITY a 'b'>]><message/>", id="DTD"),
        pytest.param("<message to='juliet@localhost'><body>&a;</body></message>", id="entity"),
        pytest.param("<!-- comment -->", id="comment"),
        pytest.param("<message><!-- comment --></message>", id="comment within"),
        pytest.param("<?pi x?>", id="processing instruction"),
        pytest.param("<message></iq>", id="wrong end tag"),
        pytest.param("<message a='1' a='2'/>", id="doubled attribute"),
        pytest.param(b"<message>\xff</message>", id="not UTF-8"),
        pytest.param("<message>\x01</message>", id="control character"),
        pytest.param("<p:message/>", id="unbound prefix"),
    ],
)
@pytest.mark.parametrize("kind", ["client", "component"])
async def test_restricted_or_broken_xml_closes_the_stream(server, kind, data):
    raw = await getattr(Raw, kind)(server)
    raw.write(data)
    closed = await raw.rest()
    assert condition(closed) == "not-well-formed"
    assert closed.endswith(b"</stream:stream>")


async def test_a_dtd_before_the_stream_is_refused(server):
    raw = Raw(*await asyncio.open_connection(server.host, server.c2s_port))
    raw.write("<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]>")
    assert condition(await raw.rest()) == "not-well-formed"


async def test_something_else_than_a_stream_is_refused(server):
    raw = Raw(*await asyncio.open_connection(server.host, server.c2s_port))
    raw.write("<html xmlns='http://www.w3.org/1999/xhtml'>")
    assert condition(await raw.rest()) == "invalid-namespace"


async def test_an_unknown_host_is_refused(server):
    raw = Raw(*await asyncio.open_connection(server.host, server.c2s_port))
    raw.write(HEADER.format(to="elsewhere.example", ns="jabber:client"))
    assert condition(await raw.rest()) == "host-unknown"


@pytest.mark.parametrize("data", ["<foo/>", "<message xmlns='urn:other'/>"])
async def test_unknown_elements_close_the_stream(server, data):
    client = await Raw.client(server)
    client.write(data)
    assert condition(await client.rest()) == "unsupported-stanza-type"


@pytest.mark.parametrize("sender", ["juliet@localhost", "localhost", "someone@away.localhost"])
async def test_a_component_cannot_speak_for_others(server, sender):
    component = await Raw.component(server)
    component.write(f"<message from='{sender}' to='romeo@localhost'><body>x</body></message>")
    assert condition(await component.rest()) == "invalid-from"


async def test_a_client_cannot_speak_for_others(server):
    client = await Raw.client(server)
    client.write(
        "<message from='romeo@localhost' to='juliet@localhost' type='chat'><body>x</body></message>"
        "<presence/>"
    )
    got = await client.until(b"</message>")
    (sender,) = re.findall(rb"<message[^>]* from=['\"]([^'\"]+)", got)
    assert sender.startswith(b"juliet@localhost/")


@pytest.mark.parametrize(("size", "closed"), [(250_000, False), (270_000, True)])
async def test_a_client_stanza_beyond_256_kib_closes_the_stream(server, size, closed):
    client = await Raw.client(server)
    client.write(f"<iq type='get' id='p' to='localhost'><x xmlns='u'>{'x' * size}</x></iq>")
    if closed:
        assert condition(await client.rest()) in {"policy-violation", None}
    else:
        assert b"service-unavailable" in await client.until(b"</iq>")


async def test_a_stanza_that_never_ends_closes_the_stream(server):
    client = await Raw.client(server)
    client.write("<message to='juliet@localhost'><body>")
    closed = asyncio.create_task(client.rest())
    written = 0
    while not closed.done() and written < 4_000_000:
        client.write("x" * 8192)
        written += 8192
        await asyncio.sleep(0.002)
    assert condition(await closed) in {"policy-violation", None}
    assert written < 4_000_000


async def test_nobody_logs_in_with_a_large_stanza(server):
    raw = Raw(*await asyncio.open_connection(server.host, server.c2s_port))
    raw.write(HEADER.format(to=server.domain, ns="jabber:client"))
    await raw.until(b"</stream:features>")
    raw.write(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{'A' * 20_000}</auth>")
    assert condition(await raw.rest()) in {"policy-violation", None}


async def test_limits_can_be_set(server_class):
    options = {"c2s_limit": 20_000, "component_limit": 30_000}
    async with server_class(
        accounts={"juliet": "s"}, components={"mail.localhost": "t"}, **options
    ) as server:
        client = await Raw.client(server)
        client.write(f"<message><body>{'x' * 30_000}</body></message>")
        assert condition(await client.rest()) in {"policy-violation", None}
        component = await Raw.component(server)
        component.write(f"<message to='juliet@localhost'><body>{'x' * 40_000}</body></message>")
        assert condition(await component.rest()) in {"not-well-formed", None}


async def test_a_deep_stanza_is_passed_on(server):
    # The server does not protect those who receive it: they have to bound the depth themselves.
    client = await Raw.client(server)
    client.write("<presence/>")
    deep = "<a>" * 10_000 + "</a>" * 10_000
    client.write(f"<message to='juliet@localhost' type='chat'>{deep}</message>")
    assert (await client.until(b"</message>")).count(b"</a>") + 1 >= 10_000


@pytest.mark.parametrize(
    ("iq", "error"),
    [
        ("<iq type='odd' id='i'><x xmlns='u'/></iq>", b"bad-request"),
        ("<iq type='get'><x xmlns='u'/></iq>", b"bad-request"),
        ("<iq type='get' id='i'/>", b"bad-request"),
        ("<iq type='get' id='i'><x xmlns='u'/><x xmlns='u'/></iq>", b"bad-request"),
        ("<iq type='set' id='i'><x xmlns='u'/></iq>", b"service-unavailable"),
        ("<iq type='get' id='i' to='localhost'><x xmlns='u'/></iq>", b"service-unavailable"),
        ("<iq type='get' id='i' to='romeo@localhost'><x xmlns='u'/></iq>", b"service-unavailable"),
    ],
)
async def test_every_request_is_answered(server, iq, error):
    client = await Raw.client(server)
    client.write(iq)
    assert error in await client.until(b"</iq>")


@pytest.mark.parametrize("to", ["localhost", "juliet@localhost", "nobody@localhost"])
async def test_an_empty_request_of_a_component_does_no_harm(server, to):
    component = await Raw.component(server)
    component.write(f"<iq type='get' id='e' from='mail.localhost' to='{to}'/>")
    component.write(PING.replace("<iq", "<iq from='mail.localhost'"))
    assert b"result" in await component.until(b"result")
