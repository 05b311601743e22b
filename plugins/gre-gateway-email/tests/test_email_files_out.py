"""Files that users send: the stanzas of real programs, what becomes of their links, and who may not be asked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email import message_from_bytes, policy
from xml.etree import ElementTree as ET

import pytest
from gre_gateway_email.carrier import Envelope
from gre_gateway_email.config import Files
from gre_gateway_email.files import outgoing
from gre_gateway_email.files.answers import Answered
from gre_gateway_email.files.outgoing import Compose
from gre_gateway_email.mail.reply_ids import ReplyIds
from gre_gateway_email.relaying.composing import message_id

from gre_core.errors import NoSuchHost, PeerTimeout, Refused
from gre_core.gateway import Plain
from gre_core.model import Recipient
from gre_core.web import Document

PICTURE = bytes(range(256)) * 50
URL = "https://upload.example.org/share/kZ1/rose.jpg"
OTHER = "https://upload.example.org/share/kZ2/notes.txt"
IDS = ReplyIds(b"s" * 32)
BOB = Recipient("bob\\40example.net@mail.localhost", "bob@example.net")

CONVERSATIONS = f"""
<message type='chat' to='bob\\40example.net@mail.localhost' id='c1' from='juliet@localhost/phone'>
 <body>{URL}</body>
 <x xmlns='jabber:x:oob'><url>{URL}</url></x>
 <request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/>
 <origin-id xmlns='urn:xmpp:sid:0' id='c1'/>
</message>"""
GAJIM = f"""
<message type='chat' to='bob\\40example.net@mail.localhost' id='g1' from='juliet@localhost/desk'>
 <origin-id xmlns='urn:xmpp:sid:0' id='g1'/><request xmlns='urn:xmpp:receipts'/>
 <active xmlns='http://jabber.org/protocol/chatstates'/>
 <body>{URL}</body><x xmlns='jabber:x:oob'><url>{URL}</url><desc>a rose</desc></x>
</message>"""
DINO = f"""
<message type='chat' to='bob\\40example.net@mail.localhost' id='d1' from='juliet@localhost/dino'>
 <body>{URL}</body><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'><body/></fallback>
 <file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'>
  <file xmlns='urn:xmpp:file:metadata:0'><media-type>image/jpeg</media-type><name>Röse.jpg</name><size>12800</size></file>
  <sources><url-data xmlns='http://jabber.org/protocol/url-data' target='{URL}'/></sources>
 </file-sharing>
 <x xmlns='jabber:x:oob'><url>{URL}</url></x>
</message>"""


class Web:
    """Gives documents of a table, and keeps who asked for what."""

    def __init__(self, **documents):
        self.documents = {URL: Document(200, "image/jpeg", PICTURE), OTHER: Document(200, "text/plain", b"x")}
        self.asked = []
        self.most = self.now = 0
        self.stall = asyncio.Event()
        self.stall.set()

    async def download(self, url, /, *, max_size):
        self.asked.append(url)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.stall.wait()
            found = self.documents.get(url, Document(404, "text/html", b"gone"))
            if isinstance(found, Exception):
                raise found
            if len(found.body) > max_size:
                raise Refused("too large", limit=max_size)
            return found
        finally:
            self.now -= 1


@pytest.fixture
def web():
    return Web()


def settings(**changes):
    given = {
        "download": True,
        "upload": True,
        "service": None,
        "max_size": 100_000,
        "max_count": 3,
        "hosts": (),
    }
    return Files(**(given | changes))


def compose(web, **changes):
    return Compose(settings(**changes), web, Answered(lambda origin, _address: f"{origin}@example.org", IDS))


def plain(xml, user="juliet@localhost"):
    stanza = ET.fromstring(f"<stream xmlns='jabber:client'>{xml}</stream>")[0]
    text = stanza.findtext("{jabber:client}body") or ""
    subject = stanza.findtext("{jabber:client}subject")
    return Plain(user, f"{user}/r", "juliet@example.org", (BOB,), text, subject, stanza.get("id"), stanza)


async def sent(compose, xml, **about):
    envelope = Envelope("juliet@example.org", ("bob@example.net",), "m@example.org", datetime.now(UTC))
    raw = await compose(plain(xml, **about), envelope)
    return message_from_bytes(raw, policy=policy.default)


def text_of(mail):
    return mail.get_body().get_content().replace("\r\n", "\n").strip("\n")


def files_of(mail):
    return [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in mail.iter_attachments()
    ]


def linked(*urls, body="", more=""):
    links = "".join(f"<x xmlns='jabber:x:oob'><url>{url}</url></x>" for url in urls)
    return f"<message type='chat' id='m'><body>{body}</body>{links}{more}</message>"


@pytest.mark.parametrize(
    ("xml", "name"),
    [(CONVERSATIONS, "rose.jpg"), (GAJIM, "rose.jpg"), (DINO, "Röse.jpg")],
    ids=["Conversations", "Gajim", "Dino"],
)
async def test_a_picture_is_attached_and_its_link_is_gone(web, xml, name):
    mail = await sent(compose(web), xml)
    assert files_of(mail) == [(name, "image/jpeg", PICTURE)]
    assert text_of(mail) == ""
    assert web.asked == [URL]
    assert "upload.example.org" not in mail.as_string()


async def test_words_beside_the_link_stay(web):
    mail = await sent(compose(web), linked(URL, OTHER, body=f"Look:\n{URL}\nand this"))
    assert text_of(mail) == "Look:\nand this"
    assert [name for name, _, _ in files_of(mail)] == ["rose.jpg", "notes.txt"]


async def test_a_link_in_a_text_is_no_file(web):
    mail = await sent(compose(web), f"<message><body>{URL}</body></message>")
    assert (text_of(mail), web.asked) == (URL, [])
    assert mail.get_content_type() == "text/plain"


async def test_without_downloads_links_stay_links(web):
    mail = await sent(compose(web, download=False), linked(URL))
    assert (text_of(mail), web.asked) == (URL, [])


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Document(404, "", b""), "the server answered 404"),
        (Document(200, "", b"x" * 100_001), "it is too large"),
        (PeerTimeout("10.0.0.7 did not answer"), "its server did not answer"),
        (PeerTimeout("no valid certificate"), "its server did not answer"),
        (NoSuchHost("There is no intranet.example"), "its server does not exist"),
        (Refused("has an address that is not public"), "it cannot be fetched from there"),
        (ValueError("port out of range"), "it cannot be fetched from there"),
    ],
)
async def test_what_cannot_be_fetched_stays_a_link_with_the_reason(web, found, why):
    web.documents[URL] = found
    mail = await sent(compose(web), linked(URL, OTHER, body=URL))
    assert text_of(mail) == f"{URL}\n\n[Not attached, because {why}.]"
    assert [name for name, _, _ in files_of(mail)] == ["notes.txt"]


async def test_all_files_of_a_mail_together_have_a_limit(web):
    for number in range(3):
        web.documents[f"{URL}?{number}"] = Document(200, "image/jpeg", b"x" * 40_000)
    mail = await sent(compose(web), linked(*(f"{URL}?{number}" for number in range(3))))
    assert len(files_of(mail)) == 2
    assert text_of(mail) == f"{URL}?2\n\n[Not attached, because it is too large.]"


async def test_only_so_many_files_are_fetched(web):
    urls = [f"{OTHER}?{number}" for number in range(200)]
    web.documents |= {url: Document(200, "text/plain", b"x") for url in urls}
    mail = await sent(compose(web), linked(*urls))
    assert len(files_of(mail)) == len(web.asked) == 3
    assert "a mail gets at most 3 files" in text_of(mail)


async def test_a_slow_server_costs_a_minute_and_no_message(web, monkeypatch):
    monkeypatch.setattr(outgoing, "FETCH_SECONDS", 0.05)
    web.stall.clear()
    mail = await sent(compose(web), CONVERSATIONS)
    assert text_of(mail) == f"{URL}\n\n[Not attached, because it took too long.]"


async def test_few_are_fetched_at_once_and_of_one_user_one(web):
    web.stall.clear()
    made = compose(web)
    users = [f"user{number % 10}@localhost" for number in range(20)]
    work = [asyncio.ensure_future(sent(made, CONVERSATIONS, user=user)) for user in users]
    for _ in range(20):
        await asyncio.sleep(0)
    assert web.now == outgoing.AT_ONCE
    web.stall.set()
    assert all(files_of(mail) for mail in await asyncio.gather(*work))
    assert web.most == outgoing.AT_ONCE
    web.stall.clear()
    work = [asyncio.ensure_future(sent(made, CONVERSATIONS)) for _ in range(3)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert web.now == 1
    web.stall.set()
    await asyncio.gather(*work)


@pytest.mark.parametrize(
    ("url", "given", "kind", "name"),
    [
        (OTHER, "text/plain; charset=ISO-8859-1", "text/plain", "notes.txt"),
        (OTHER, 'text/plain; charset="utf-8"; x=\r\nEvil: 1', "text/plain", "notes.txt"),
        (URL, "", "image/jpeg", "rose.jpg"),
        (URL, "application/octet-stream", "image/jpeg", "rose.jpg"),
        (URL, "image/png\r\nX: y", "image/jpeg", "rose.jpg"),
        (URL, "no type", "image/jpeg", "rose.jpg"),
        (URL, "x/" + "y" * 500, "image/jpeg", "rose.jpg"),
        ("https://h.example.org/", "multipart/mixed", "application/octet-stream", "attachment"),
        ("https://h.example.org/..%2F..%2Fetc%2Fpasswd", "image/png", "image/png", "passwd"),
        ("https://h.example.org/a%0D%0AX:%20y.png", "image/png", "image/png", "aX_ y.png"),
    ],
)
async def test_what_the_server_says_of_a_file_is_bounded(web, url, given, kind, name):
    web.documents[url] = Document(200, given, b"x")
    mail = await sent(compose(web), linked(url))
    assert files_of(mail) == [(name, kind, b"x")]
    assert "Evil" not in mail
    assert "X" not in mail


async def test_addresses_are_written_in_ascii(web):
    await sent(compose(web), linked("https://h.example.org/ä b.png"))
    assert web.asked == ["https://h.example.org/%C3%A4%20b.png"]


@pytest.mark.parametrize(
    "xml",
    [
        "<message><body>aesgcm://upload.example.org/x#00</body></message>",
        linked("aesgcm://upload.example.org/x#00", body="look"),
        """<message><file-sharing xmlns='urn:xmpp:sfs:0'><sources><encrypted xmlns='urn:xmpp:esfs:0'/></sources>
        </file-sharing></message>""",
    ],
)
async def test_files_that_only_xmpp_programs_can_open_are_refused(web, xml):
    with pytest.raises(Refused, match="OMEMO"):
        await sent(compose(web), xml)
    assert web.asked == []


async def test_a_correction_is_a_new_mail_that_says_so(web):
    replace = "<replace xmlns='urn:xmpp:message-correct:0' id='before'/>"
    mail = await sent(compose(web), linked(body="tomorrow, I mean", more=replace))
    assert (mail["Subject"], mail["In-Reply-To"]) == ("Correction", "<before@example.org>")
    mail = await sent(compose(web), linked(body="x", more=f"{replace}<subject>When</subject>"))
    assert mail["Subject"] == "Correction: When"


async def test_an_answer_to_the_own_message_says_to_which(web):
    reply = "<reply xmlns='urn:xmpp:reply:0' to='{}' id='before'/>"
    mail = await sent(compose(web), linked(body="> x\nand", more=reply.format("juliet@localhost/r")))
    assert (mail["In-Reply-To"], text_of(mail)) == ("<before@example.org>", "> x\nand")
    mail = await sent(compose(web), linked(body="yes", more=reply.format(BOB.jid)))
    assert mail["In-Reply-To"] is None


STORED = "0123456789abcdef" * 2


async def test_an_answer_to_a_mail_names_it_and_the_conversation(web):
    reply = f"<reply xmlns='urn:xmpp:reply:0' to='{BOB.jid}' id='{{}}'/>"
    given = IDS.stanza_id(STORED, "juliet@localhost", "a/b+c=d@mail.example.net")
    thread = IDS.thread("juliet@localhost", "first@example.net")
    for id_ in (given, f"{given}-0"):
        mail = await sent(compose(web), linked(body="yes", more=reply.format(id_)))
        assert mail["In-Reply-To"] == mail["References"] == "<a/b+c=d@mail.example.net>"
    both = reply.format(given) + f"<thread>{thread}</thread>"
    mail = await sent(compose(web), linked(body="yes", more=both))
    assert mail["In-Reply-To"] == "<a/b+c=d@mail.example.net>"
    assert mail["References"].split() == ["<first@example.net>", "<a/b+c=d@mail.example.net>"]
    mail = await sent(compose(web), linked(body="yes", more=f"<thread>{thread}</thread>"))
    assert (mail["In-Reply-To"], mail["References"]) == (None, "<first@example.net>"), (
        "which mail is not known"
    )
    mail = await sent(compose(web), linked(body="yes", more="<thread>of the client</thread>"))
    assert (mail["In-Reply-To"], mail["References"]) == (None, None)


async def test_nobody_else_can_say_what_a_message_answers(web):
    given = IDS.stanza_id(STORED, "romeo@localhost", "a@example.net")
    thread = IDS.thread("romeo@localhost", "a@example.net")
    more = f"<reply xmlns='urn:xmpp:reply:0' to='{BOB.jid}' id='{given}'/><thread>{thread}</thread>"
    mail = await sent(compose(web), linked(body="yes", more=more))
    assert (mail["In-Reply-To"], mail["References"]) == (None, None)


async def test_ids_cannot_write_header_fields(web):
    made = Compose(settings(), web, Answered(message_id, IDS))
    replace = "<replace xmlns='urn:xmpp:message-correct:0' id='a&#10;Bcc: x@y.z'/>"
    mail = await sent(made, linked(body="x", more=replace))
    assert mail["Bcc"] is None
