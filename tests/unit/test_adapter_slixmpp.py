"""What is mended in slixmpp's modules: traps 1, 2, 3 and 12 of the design notes, without a server."""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
import time
from importlib import import_module
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slixmpp import ClientXMPP, ComponentXMPP
from slixmpp.stanza import Iq, Message

import gre_core.slixmpp
from gre_core.model import Body
from gre_core.slixmpp import traps
from gre_core.slixmpp.traps import (
    COMPONENT,
    _slow_escape,
    escape,
    hide_fallback,
    mend_sending,
    mend_slixmpp,
    plugin,
)
from gre_core.testing.fakes import toy_encrypter, toy_formatter
from gre_core.testing.slix import _ssl_context
from gre_core.wire import CLIENT, Encrypted, build_message

tostring_module = import_module("slixmpp.xmlstream.tostring")


@pytest.fixture(autouse=True)
def mended():
    mend_slixmpp()


@pytest.fixture
async def component():
    return ComponentXMPP("mail.localhost", "secret", "127.0.0.1", 1)


@pytest.fixture
async def client():
    return ClientXMPP("juliet@localhost/a", "secret", ssl_context=_ssl_context())


# -- trap 1 and 2: errors ----------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", [CLIENT, COMPONENT])
def test_trap_01_policy_violation_is_read(namespace):
    xml = fromstring(
        f"<message xmlns='{namespace}' type='error'><error type='modify'>"
        "<policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>why</text></error></message>"
    )
    message = Message(xml=xml)
    assert (message["error"]["condition"], message["error"]["text"]) == ("policy-violation", "why")


async def test_trap_02_errors_stand_in_the_namespace_of_their_stanza(component, client):
    """Both kinds in one process, in either order."""
    for xmpp, namespace in ((component, COMPONENT), (client, CLIENT), (component, COMPONENT)):
        answer = Iq(xmpp, xml=Element(f"{{{namespace}}}iq", {"type": "get", "id": "1"})).reply()
        answer["error"]["condition"] = "policy-violation"
        assert [child.tag for child in answer.xml] == [f"{{{namespace}}}error"]
        assert answer["error"]["condition"] == "policy-violation"
        again = Iq(xmpp, xml=fromstring(str(answer).replace("<iq ", f"<iq xmlns='{namespace}' ")))
        assert again["error"]["condition"] == "policy-violation"


# -- trap 3: escaping --------------------------------------------------------------------------------


@given(st.text() | st.text(alphabet="&<>'\"a;"))
def test_trap_03_escape_equals_the_original(text):
    assert escape(text) == _slow_escape(text, False)
    assert escape(text, True) == _slow_escape(text, True)
    assert escape(text, use_cdata=False) == escape(text)


def test_trap_03_escape_is_used_where_stanzas_are_written():
    assert _slow_escape is not escape
    assert _slow_escape.__module__ == "slixmpp.xmlstream.tostring"
    assert tostring_module.tostring.__globals__["escape"] is escape
    stream_module = import_module("slixmpp.xmlstream.xmlstream")
    assert stream_module.tostring is tostring_module.tostring
    text = "a & b < 'c' \"" * 20_000
    element = Element("x")
    element.text = text
    assert fromstring(stream_module.tostring(element)).text == text
    fast, slow = (min(seconds(work, text) for _ in range(5)) for work in (escape, _slow_escape))
    assert fast * 2 < slow


def seconds(work, text):
    start = time.process_time()
    work(text, False)
    return time.process_time() - start


def test_mending_twice_changes_nothing():
    before = (Message.exception, Message.plugin_attrib_map["error"].setup, tostring_module.escape)
    mend_slixmpp()
    assert (Message.exception, Message.plugin_attrib_map["error"].setup, tostring_module.escape) == before


# -- trap 12: the plugins of slixmpp -----------------------------------------------------------------


async def test_a_stanza_that_the_stream_did_not_survive_is_dropped_in_silence(client, caplog):
    mend_sending(client)
    client.waiting_queue.put_nowait(("<presence/>", False))
    client.waiting_queue.put_nowait(("<presence/>", False))
    with caplog.at_level(logging.WARNING):
        queue = asyncio.ensure_future(client.run_filters())
        await asyncio.wait_for(client.waiting_queue.join(), 5)
        queue.cancel()
    assert not caplog.records


class Pipe(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data):
        self.written.append(data)


async def run_queue(client, *stanzas):
    for stanza in stanzas:
        client.waiting_queue.put_nowait((stanza, False))
    queue = asyncio.ensure_future(client.run_filters())
    await asyncio.wait_for(client.waiting_queue.join(), 5)
    queue.cancel()


async def test_stanzas_that_are_sent_at_the_same_time_are_written_together_and_in_order(client):
    mend_sending(client)
    client.transport = pipe = Pipe()
    await run_queue(client, "<a/>", "<b/>", "<c>\u00e9</c>")
    assert pipe.written == ["<a/><b/><c>\u00e9</c>".encode()]
    await run_queue(client, "<d/>")
    client.send_raw("</stream:stream>")
    assert pipe.written[1:] == [b"<d/>", b"</stream:stream>"]


async def test_a_stanza_does_not_wait_for_one_that_never_comes(client):
    mend_sending(client)
    client.transport = pipe = Pipe()
    client.waiting_queue.put_nowait(("<held/>", False))
    client.send_raw("<a/>")
    assert pipe.written == []
    await asyncio.sleep(0)
    assert pipe.written == [b"<a/>"]


async def test_a_lot_is_written_in_parts(client):
    mend_sending(client)
    client.transport = pipe = Pipe()
    await run_queue(client, *["<a>" + "x" * 10_000 + "</a>"] * 20)
    assert b"".join(pipe.written) == (b"<a>" + b"x" * 10_000 + b"</a>") * 20
    assert max(map(len, pipe.written)) < 80_000


async def test_what_waits_for_an_old_connection_is_not_written_to_the_next_one(client):
    mend_sending(client)
    client.transport = Pipe()
    client.waiting_queue.put_nowait(("<held/>", False))
    client.send_raw("<old/>")
    client.transport = pipe = Pipe()
    client.send_raw("<stream:stream>")
    client.waiting_queue.get_nowait()
    client.send_raw("<new/>")
    await asyncio.sleep(0)
    assert pipe.written == [b"<stream:stream><new/>"]


async def test_trap_12_plugins_are_registered_once(client):
    first = plugin(client, "xep_0199")
    assert plugin(client, "xep_0199") is first
    assert first.name == "xep_0199"


def test_trap_12_the_plugins_are_reached_in_one_place():
    folder = Path(inspect.getfile(gre_core.slixmpp)).parent
    places = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "plugin":
                places.add(path.name)
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                assert not str(node.slice.value).startswith("xep_"), path
    assert places == {"traps.py"}


# -- trap 14: loops ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "answered"), [("error", False), ("result", False), ("get", True)])
async def test_trap_14_slixmpp_answers_no_error_with_an_error(component, kind, answered):
    sent = []
    component.send = lambda stanza, **_: sent.append(stanza)
    iq = Iq(component, xml=fromstring(f"<iq xmlns='{COMPONENT}' type='{kind}' id='1' from='a@b' to='c@d'/>"))
    iq.exception(ZeroDivisionError())
    assert len(sent) == answered


# -- the fallback body -------------------------------------------------------------------------------


def encrypted(**options):
    pair = toy_formatter().namespace, toy_encrypter().namespace
    return build_message("juliet@localhost", "m1", Encrypted(*pair, Body("AAAA")), fallback=True, **options)


def test_the_fallback_is_hidden_also_inside_a_carbon():
    message = encrypted()
    carbon = Element(f"{{{CLIENT}}}message")
    SubElement(SubElement(carbon, "{urn:xmpp:carbons:2}sent"), "{urn:xmpp:forward:0}forwarded").append(
        encrypted()
    )
    for xml in (message, carbon):
        assert xml.find(f".//{{{CLIENT}}}body") is not None
        hide_fallback(Message(xml=xml))
        assert xml.find(f".//{{{CLIENT}}}body") is None
        assert xml.find(".//{urn:xmpp:gre:0}encrypted") is not None


def test_a_body_of_a_message_that_is_not_encrypted_stays():
    message = encrypted()
    message.remove(message.find("{urn:xmpp:gre:0}encrypted"))
    hide_fallback(Message(xml=message))
    assert message.findtext(f"{{{CLIENT}}}body")


@pytest.mark.parametrize("kind", ["result", "error"])
def test_an_empty_answer_that_nobody_waits_for_is_passed_over(kind):
    """RFC 6120, section 8.2.3: a result may be empty. Whatever is raised here would end the stream."""
    mend_slixmpp()
    Iq(xml=fromstring(f"<iq xmlns='jabber:client' type='{kind}' id='1' from='a@b.c'/>")).unhandled()


@pytest.mark.parametrize("child", ["", "<x xmlns='urn:example:unknown'/>"])
def test_a_request_that_nobody_handles_is_answered_even_when_it_is_empty(child, monkeypatch):
    mend_slixmpp()
    answers = []
    monkeypatch.setattr(traps, "answer_error", lambda _stream, stanza, error: answers.append((stanza, error)))
    request = f"<iq xmlns='jabber:client' type='get' id='1' from='a@b.c' to='d@e.f'>{child}</iq>"
    Iq(xml=fromstring(request)).unhandled()
    ((stanza, error),) = answers
    assert (stanza.get("id"), error.condition) == ("1", "service-unavailable")
