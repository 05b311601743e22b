"""Trap 13: hostile XML, byte by byte, without a server."""

from __future__ import annotations

import asyncio
import tracemalloc
from xml.etree.ElementTree import XMLPullParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slixmpp import ComponentXMPP

from gre_core.slixmpp import hardening, reconnect
from gre_core.slixmpp.hardening import MAX_DEPTH, MAX_ELEMENTS, Forbidden, GuardedParser, harden_stream

NS = "jabber:component:accept"
HEADER = f"<?xml version='1.0'?><stream:stream xmlns='{NS}' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
BOMB = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10 if n else 'x' * 1000}'>" for n in range(8))


def parse(*pieces, max_bytes=100_000):
    """Give the stanzas that come out, each as (element, oversized)."""
    parser, stanzas, depth = GuardedParser(max_bytes), [], 0
    for piece in pieces:
        parser.feed(piece)
        for event, element in parser.read_events():
            depth += 1 if event == "start" else -1
            if event == "end" and depth == 1:
                stanzas.append((element, parser.oversized))
    return stanzas


def stanzas_of(raw):
    """The same by the parser of the standard library."""
    plain = XMLPullParser(("end",))
    plain.feed(raw)
    return [element for _, element in plain.read_events() if element.tag == f"{{{NS}}}m"]


def shape(element):
    return element.tag, element.attrib, element.text, [(shape(child), child.tail) for child in element]


def bytewise(text):
    raw = text.encode()
    return [raw[at : at + 1] for at in range(len(raw))]


@pytest.mark.parametrize(
    ("xml", "condition"),
    [
        ("<!DOCTYPE x>", "restricted-xml"),
        (f"<!DOCTYPE x [{BOMB}]>", "restricted-xml"),
        ("<!DOCTYPE x SYSTEM 'file:///etc/passwd'>", "restricted-xml"),
        (HEADER + "<!DOCTYPE x>", "not-well-formed"),
        (HEADER + "<a><!ENTITY x 'y'></a>", "not-well-formed"),
        (HEADER + "<a><!-- comment --></a>", "restricted-xml"),
        (HEADER + "<a>\0</a>", "not-well-formed"),
        (HEADER + "<a>&undefined;</a>", "not-well-formed"),
        (HEADER + "<a><b></a>", "not-well-formed"),
        (HEADER + "<a b='1' b='2'/>", "not-well-formed"),
        (HEADER + "<a>&#0;</a>", "not-well-formed"),
        (HEADER + "<x:a/>", "not-well-formed"),
        (HEADER + "</stream:stream><a/>", "not-well-formed"),
        (HEADER + "<?xml version='1.0'?><a/>", "not-well-formed"),
    ],
)
@pytest.mark.parametrize("pieces", [lambda text: [text.encode()], bytewise], ids=["whole", "bytewise"])
def test_trap_13_restricted_xml_is_refused(xml, condition, pieces):
    with pytest.raises(Forbidden) as caught:
        parse(*pieces(xml))
    assert caught.value.condition == condition
    assert "passwd" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_trap_13_other_encodings_hide_nothing(encoding):
    with pytest.raises(Forbidden):
        parse("<!DOCTYPE x><a/>".encode(encoding))


@pytest.mark.parametrize("name", ["cp037", "utf-16", "iso-8859-1", "utf-7", "rot13"])
def test_trap_13_the_declared_encoding_counts_for_nothing(name):
    """In EBCDIC a document type would be invisible: what follows is read as UTF-8 all the same."""
    header = HEADER.replace("?>", f" encoding='{name}'?>", 1)
    [(stanza, _)] = parse(header + "<message>ä</message>")
    assert stanza.text == "ä"
    hidden = (
        f"<?xml version='1.0' encoding='{name}'?>".encode()
        + "<!DOCTYPE x [<!ENTITY a 'b'>]><a>&a;</a>".encode("cp037")
    )
    with pytest.raises(Forbidden):
        parse(hidden)


def test_trap_13_processing_instructions_and_cdata_are_text_or_nothing():
    """Some servers pass on CDATA as it came: what stands in it is text, whatever it looks like."""
    xml = HEADER + "<?php x?><message><![CDATA[<!DOCTYPE a><!-- -->&amp;]]></message>"
    for pieces in ([xml], bytewise(xml)):
        [(stanza, oversized)] = parse(*pieces)
        assert (stanza.text, len(stanza), oversized) == ("<!DOCTYPE a><!-- -->&amp;", 0, False)


@pytest.mark.parametrize("pieces", [lambda text: [text.encode()], bytewise], ids=["whole", "bytewise"])
def test_trap_13_bytes_are_counted_per_stanza(pieces):
    def stanza(size):
        return f"<message>{'x' * (size - 19)}</message>"

    assert len(parse(HEADER, *pieces(stanza(990) * 5 + " " * 5000 + stanza(990)), max_bytes=1000)) == 6
    with pytest.raises(Forbidden) as caught:
        parse(HEADER, *pieces(stanza(1020)), max_bytes=1000)
    assert caught.value.condition == "policy-violation"


def test_trap_13_an_endless_stanza_is_refused_before_it_ends():
    with pytest.raises(Forbidden):
        parse(HEADER, "<message>", *["x" * 100] * 20, max_bytes=1000)


def test_what_came_whole_before_the_forbidden_is_given():
    parser = GuardedParser()
    parser.feed(HEADER + "<m>1</m><m>2</m><broken></m><m>3</m>")
    found = []
    with pytest.raises(Forbidden):
        found.extend(element.text for event, element in parser.read_events() if event == "end")
    assert found == ["1", "2"]
    parser.feed("<m>4</m>")
    with pytest.raises(Forbidden):
        next(parser.read_events())


def test_trap_13_a_busy_stream_whose_reads_end_within_stanzas_is_not_counted_as_one_stanza():
    stream = "<message><body>hello</body></message>" * 1000
    pieces = [stream[at : at + 100] for at in range(0, len(stream), 100)]
    assert len(parse(HEADER, *pieces, max_bytes=1000)) == 1000


@pytest.mark.parametrize(
    "content",
    [
        "<a>" * 100_000 + "</a>" * 100_000,
        "<a/>" * 200_000,
        f"<b>{'<a/>' * 200_000}</b>",
        "<a><b/><b/></a>" * 60_000,
    ],
    ids=["deep", "wide", "wide below", "mixed"],
)
def test_trap_13_too_many_elements_take_no_memory_and_the_stream_goes_on(content):
    pieces = [content[at : at + 4096] for at in range(0, len(content), 4096)]
    parser_free = "<message id='2'><ok/></message>"
    tracemalloc.start()
    stanzas = parse(HEADER, "<message id='1'>", *pieces, "</message>", parser_free, max_bytes=2_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(stanza.get("id"), len(stanza), oversized) for stanza, oversized in stanzas] == [
        ("1", 0, True),
        ("2", 1, False),
    ]
    assert peak < 20_000_000


def test_trap_13_the_limits_are_exact():
    deep = "<a>" * (MAX_DEPTH - 1) + "</a>" * (MAX_DEPTH - 1)
    wide = "<a/>" * (MAX_ELEMENTS - 1)
    for content, more in ((deep, f"<a>{deep}</a>"), (wide, wide + "<a/>")):
        [(_, fine), (_, oversized)] = parse(HEADER, f"<m>{content}</m><m>{more}</m>", max_bytes=10**6)
        assert (fine, oversized) == (False, True)


PARTS = [
    "<a>t</a>",
    "<a x='&lt;' b:y='1' xml:lang='de'/>",
    " ",
    "<![CDATA[<!]]>",
    "&amp;",
    "ä",
    "]]&gt;",
    "<c xmlns=''>t<d/>u</c>",
]


@settings(max_examples=100)
@given(st.lists(st.sampled_from(PARTS)), st.data())
def test_a_stream_cut_anywhere_gives_what_the_standard_library_gives(parts, data):
    raw = f"{HEADER}<m xmlns:b='urn:b' id='1'>{''.join(parts)}</m><m/>".encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert [shape(stanza) for stanza, _ in parse(*pieces)] == [shape(stanza) for stanza in stanzas_of(raw)]


def test_each_stanza_comes_with_its_last_byte():
    """Newer versions of expat keep back half of a tag, and with it a whole stanza, until more arrives."""
    parser = GuardedParser()
    parser.feed(HEADER)
    list(parser.read_events())
    raw = b"<message to='juliet@example.org'><body>hello</body></message>"
    for at in range(len(raw)):
        parser.feed(raw[at : at + 1])
        ended = [element.tag for event, element in parser.read_events() if event == "end"]
        assert (f"{{{NS}}}message" in ended) == (at == len(raw) - 1)


# -- the stream --------------------------------------------------------------------------------------


class Transport:
    def __init__(self):
        self.written, self.aborted = b"", False

    def get_extra_info(self, _name, default=None):
        return default

    def write(self, data):
        self.written += data

    def close(self):
        pass

    def abort(self):
        self.aborted = True


@pytest.fixture
async def xmpp():
    component = ComponentXMPP("mail.localhost", "secret", "127.0.0.1", 1)
    harden_stream(component, max_incoming=50_000)
    component.transport = Transport()
    component._always_send_everything = True
    component.init_parser()
    component.data_received(HEADER.encode())
    return component


@pytest.fixture
def sent(xmpp):
    stanzas = []
    xmpp.send = lambda stanza, **_: stanzas.append(stanza.xml)
    return stanzas


async def test_a_forbidden_stream_is_closed_with_a_stream_error_and_without_a_trace_of_the_content(
    xmpp, caplog
):
    caplog.set_level("DEBUG", "gre_core")
    xmpp.data_received(b"<message><body>secret</body></wrong>")
    assert xmpp.transport.aborted
    assert b"<stream:error><not-well-formed " in xmpp.transport.written
    assert "refused" in xmpp.disconnect_reason
    assert "secret" not in caplog.text
    assert b"secret" not in xmpp.transport.written


async def test_deep_stanzas_are_answered_and_never_reach_a_handler(xmpp, sent):
    seen = []
    xmpp.add_event_handler("message", seen.append)
    deep = "<a>" * 100 + "</a>" * 100
    for stanza in (
        f"<message from='a@b' to='c@d' id='1'><body>x</body>{deep}</message>",
        f"<iq type='get' from='a@b' to='c@d' id='2'>{deep}</iq>",
        f"<iq type='result' from='a@b' to='c@d' id='3'>{deep}</iq>",
        f"<message type='error' from='a@b' to='c@d' id='4'>{deep}</message>",
        f"<presence from='a@b' to='c@d' id='5'>{deep}</presence>",
    ):
        xmpp.data_received(stanza.encode())
    assert [(xml.get("id"), xml.get("type"), xml.get("to")) for xml in sent] == [
        ("1", "error", "a@b"),
        ("2", "error", "a@b"),
    ]
    assert all("elements" in "".join(xml.itertext()) for xml in sent)
    assert not seen
    assert not xmpp.transport.aborted


async def test_a_filter_or_matcher_that_raises_is_answered_and_the_stream_goes_on(xmpp, sent):
    xmpp.add_filter("in", lambda stanza: stanza if stanza.xml.get("id") == "2" else {}["missing"])
    for name, kind, number in (
        ("iq", "get", 1),
        ("iq", "result", 3),
        ("message", "chat", 4),
        ("message", "error", 5),
    ):
        xmpp.data_received(
            f"<{name} type='{kind}' from='a@b' to='c@d' id='{number}'><x xmlns='u'/></{name}>".encode()
        )
    xmpp.data_received(b"<iq type='get' from='a@b' to='c@d' id='2'><x xmlns='u'/></iq>")
    assert [(xml.get("id"), xml.get("type")) for xml in sent] == [
        ("1", "error"),
        ("4", "error"),
        ("2", "error"),
    ]
    assert not xmpp.transport.aborted


async def test_an_address_that_slixmpp_cannot_read_is_answered(xmpp, sent):
    too_long = "a" * 2000 + "@b"
    xmpp.data_received(f"<iq type='get' from='x@y' to='{too_long}' id='1'><x xmlns='u'/></iq>".encode())
    xmpp.data_received(f"<message from='x@y' to='{too_long}' id='2'><body>x</body></message>".encode())
    xmpp.data_received(b"<iq type='get' from='a@b' to='c@d' id='3'><x xmlns='u'/></iq>")
    assert "1" in [xml.get("id") for xml in sent]
    assert [xml.get("id") for xml in sent].count("3") == 1


def test_trap_13_levels_without_end_close_the_stream():
    with pytest.raises(Forbidden) as caught:
        parse(HEADER, *["<a>" * 10_000] * 30, max_bytes=10**7)
    assert caught.value.condition == "policy-violation"


def test_the_default_limits_are_those_that_are_documented():
    assert (hardening.MAX_INCOMING, MAX_DEPTH, MAX_ELEMENTS) == (16 * 1024 * 1024, 64, 20_000)


@pytest.mark.parametrize(
    "evil",
    [
        f"<?xml version='1.0'?><!DOCTYPE x [{BOMB}]>{HEADER.partition('?>')[2]}<message><body>&e7;</body></message>",
        f"{HEADER}<message><body>{'x' * 60_000}</body></message>",
        f"{HEADER}<message><body>\x00</body></message>",
        f"<?xml version='1.0'?><!DOCTYPE x [{BOMB}]>".encode("utf-16"),
    ],
    ids=["bomb", "endless", "NUL", "UTF-16"],
)
async def test_trap_13_a_hostile_server_is_left_and_tried_again_later(evil, monkeypatch):
    monkeypatch.setattr(reconnect, "FIRST", 0.05)
    connections, reasons = [], []

    async def serve(reader, writer):
        connections.append(writer)
        await reader.readuntil(b">")
        writer.write(evil if isinstance(evil, bytes) else evil.encode())

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        component = ComponentXMPP("mail.localhost", "secret", *server.sockets[0].getsockname())
        harden_stream(component, max_incoming=50_000)
        reconnect.Reconnector(component)
        component.add_event_handler("disconnected", reasons.append)
        component.add_event_handler("message", pytest.fail)
        component.connect()
        async with asyncio.timeout(8):
            while len(connections) < 3:
                await asyncio.sleep(0.01)
        await component.disconnect(wait=0)
        for writer in connections:
            writer.transport.abort()
    assert all(str(reason).startswith("refused: ") for reason in reasons[:2])
