"""Files of plain mails: where they are uploaded, what the service may say, and that none vanishes."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage
from xml.etree import ElementTree as ET

import pytest
from gre_gateway_email.config import Files
from gre_gateway_email.files import incoming
from gre_gateway_email.files.incoming import Receive
from gre_gateway_email.files.slots import FORGOTTEN, REMEMBERED, Services

from gre_core.errors import PeerError, PeerTimeout, Refused

USER = "juliet@localhost"
UPLOAD = "urn:xmpp:http:upload:0"
PICTURE = bytes(range(256)) * 500


def settings(**changes):
    given = {
        "download": True,
        "upload": True,
        "service": None,
        "max_size": 200_000,
        "max_count": 3,
        "hosts": (),
    }
    return Files(**(given | changes))


class Server:
    """The XMPP side and the web side of an upload service."""

    def __init__(self):
        self.up = True
        self.asked = []
        self.limit = "150000"
        self.headers = "<header name='Authorization'>Bearer 1</header>"
        self.has_service = True
        self.refuses = False
        self.status = [201]
        self.stored = []
        self.stall = asyncio.Event()
        self.stall.set()
        self.get = "https://up.localhost/get/{}/{}"

    async def iq(self, jid, type_, payload):
        assert type_ == "get"
        self.asked.append((jid, payload.tag.rpartition("}")[2], dict(payload.attrib)))
        what = payload.tag
        if what.endswith("disco#items}query"):
            return ET.fromstring(
                "<query xmlns='http://jabber.org/protocol/disco#items'><item jid='muc.localhost'/>"
                "<item jid='away.localhost'/><item jid='up.localhost'/></query>"
            )
        if what.endswith("disco#info}query"):
            if jid == "away.localhost":
                raise PeerTimeout("away")
            if jid != "up.localhost" or not self.has_service:
                return ET.fromstring("<query xmlns='http://jabber.org/protocol/disco#info'/>")
            return ET.fromstring(
                f"""<query xmlns='http://jabber.org/protocol/disco#info'><feature var='{UPLOAD}'/>
                <x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>{UPLOAD}</value></field>
                <field var='max-file-size'><value>{self.limit}</value></field></x></query>"""
            )
        if self.refuses:
            raise PeerError("no", condition="forbidden")
        url = self.get.format(len(self.asked), payload.get("filename"))
        return ET.fromstring(
            f"<slot xmlns='{UPLOAD}'><put url='https://up.localhost/put'>{self.headers}</put><get url='{url}'/></slot>"
        )

    async def put(self, url, content, /, *, content_type, headers=()):
        await self.stall.wait()
        status = self.status.pop(0) if len(self.status) > 1 else self.status[0]
        if isinstance(status, Exception):
            raise status
        if status in {200, 201, 204}:
            self.stored.append((url, content, content_type, list(headers)))
        return status


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def server():
    return Server()


def receiver(server, clock=None, **changes):
    given = settings(**changes)
    receive = Receive(given, Services(server, given.service, clock or Clock()), server)

    async def for_one(user, content):
        return (await receive([user], content))[user]

    for_one.all = receive
    return for_one


def mail(text="Look", files=(("rose.png", PICTURE),), subject="Greetings"):
    made = EmailMessage()
    made["Subject"] = subject
    if text is not None:
        made.set_content(text)
    for name, content in files:
        made.add_attachment(content, maintype="image", subtype="png", filename=name)
    return made.as_bytes()


async def test_a_file_goes_to_the_service_of_the_users_server(server):
    shown = await receiver(server)(USER, mail())
    assert (shown.text, shown.subject) == ("Look", "Greetings")
    ((url, content, kind, headers),) = server.stored
    assert (url, content, kind) == ("https://up.localhost/put", PICTURE, "image/png")
    assert headers == [("Authorization", "Bearer 1")]
    (link,) = shown.links
    assert link.startswith("https://up.localhost/get/")
    jid, what, attributes = server.asked[-1]
    assert (jid, what) == ("up.localhost", "request")
    assert attributes == {"filename": "rose.png", "size": str(len(PICTURE)), "content-type": "image/png"}
    assert "Look" not in repr(shown)


async def test_the_service_is_remembered_for_a_while(server):
    clock = Clock()
    receive = receiver(server, clock)
    await receive(USER, mail())
    before = len(server.asked)
    await receive(USER, mail("again"))
    assert len(server.asked) == before + 1
    clock.now += REMEMBERED
    await receive(USER, mail("later"))
    assert len(server.asked) > before + 2
    server.has_service = False
    clock.now += REMEMBERED
    assert not (await receive(USER, mail("gone"))).links
    server.has_service = True
    clock.now += FORGOTTEN
    assert (await receive(USER, mail("back"))).links


async def test_the_operator_can_name_the_service(server):
    await receiver(server, service="up.localhost")(USER, mail())
    assert {jid for jid, _, _ in server.asked} == {"up.localhost"}
    assert len(server.stored) == 1


async def test_recipients_of_one_mail_get_the_same_links(server):
    both = await receiver(server).all([USER, "romeo@localhost", "nurse@elsewhere"], mail())
    assert list(both) == [USER, "romeo@localhost", "nurse@elsewhere"]
    assert both[USER] == both["romeo@localhost"]
    assert len(server.stored) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"upload": False}, "Files of unencrypted mails are not passed on here."),
        ({"max_size": 1000}, "Files of up to 1,000 bytes are passed on."),
    ],
)
async def test_what_is_not_wanted_is_named(server, changes, why):
    shown = await receiver(server, **changes)(USER, mail())
    assert shown.text == f"Look\n\n[1 attachment was not delivered: rose.png. {why}]"
    assert (shown.links, server.stored) == ((), [])


async def test_the_limit_of_the_service_counts_too(server):
    server.limit = "100"
    assert "up to 100 bytes" in (await receiver(server)(USER, mail())).text
    for limit in ("", "-1", "9" * 50, "²"):
        server.limit = limit
        assert (await receiver(server)(USER, mail())).links


async def test_without_a_service_files_are_named(server):
    server.has_service = False
    shown = await receiver(server)(USER, mail())
    assert "rose.png. Your XMPP server has no upload service" in shown.text


async def test_without_a_stream_the_mail_can_come_later(server):
    server.up = False
    with pytest.raises(PeerTimeout):
        await receiver(server)(USER, mail())
    assert (await receiver(server)(USER, mail(files=()))).text == "Look"


async def test_more_files_than_wanted_are_named(server):
    shown = await receiver(server)(USER, mail(files=[(f"{n}.png", b"%d" % n) for n in range(5)]))
    assert len(shown.links) == len(server.stored) == 3
    assert "[2 attachments were not delivered: 3.png, 4.png. At most 3 files" in shown.text


@pytest.mark.parametrize("failure", [PeerTimeout("x"), Refused("not public"), 403, 413, 500, 301])
async def test_what_the_service_does_not_take_is_named(server, failure):
    server.status = [failure]
    shown = await receiver(server)(USER, mail())
    assert "rose.png. The upload service of your XMPP server did not take it.]" in shown.text


@pytest.mark.parametrize("failure", [PeerTimeout("x"), 500, 503])
async def test_a_passing_failure_leads_to_a_second_try(server, failure):
    server.status = [failure, 201]
    shown = await receiver(server)(USER, mail())
    assert (shown.text, len(shown.links)) == ("Look", 1)


async def test_a_refused_slot_is_no_loss_for_other_files(server):
    server.refuses = True
    assert "rose.png. The upload" in (await receiver(server)(USER, mail())).text


async def test_a_slow_service_costs_half_a_minute_and_no_mail(server, monkeypatch):
    monkeypatch.setattr(incoming, "UPLOAD_SECONDS", 0.05)
    server.stall.clear()
    shown = await receiver(server)(USER, mail(files=[("a", b"1"), ("b", b"2")]))
    assert "[2 attachments were not delivered: a, b. The upload service" in shown.text


async def test_only_headers_of_the_specification_are_sent(server):
    server.headers = """<header name='aUTHORIZATION&#10;'>Bearer&#10;2</header><header name='Host'>evil</header>
      <header name='Cookie'>a=b</header><header name='Cookie'>c=d</header><header name='X'/><header/>
      <header name='Expires'>ä</header>"""
    await receiver(server)(USER, mail())
    assert server.stored[0][3] == [("Authorization", "Bearer2"), ("Cookie", "a=b"), ("Cookie", "c=d")]


@pytest.mark.parametrize(
    "url", ["", "javascript:x", "https://a b", "https://" + "x" * 3000, "file:///etc/passwd"]
)
async def test_an_odd_address_is_not_given_to_the_user(server, url):
    server.get = url
    shown = await receiver(server)(USER, mail())
    assert (shown.links, server.stored) == ((), [])
    assert "rose.png" in shown.text


async def test_empty_files_and_files_alone(server):
    shown = await receiver(server)(USER, mail(None, files=[("empty", b"")], subject=""))
    assert (shown.text, len(shown.links)) == ("", 1)
    assert server.stored[0][1] == b""
    shown = await receiver(server)(USER, mail(None))
    assert (shown.text, shown.subject) == ("[The mail has no text.]", "Greetings")


async def test_the_loop_is_not_held_by_a_large_mail(server):
    """A mail of 60 MB is read elsewhere: meanwhile others are served."""
    large = b"Content-Type: text/html\r\n\r\n" + b"<p>x" * 15_000_000
    work = asyncio.ensure_future(receiver(server)(USER, large))
    ticks = 0
    while not work.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks > 3
    assert "[The rest of this text is left out.]" in work.result().text
