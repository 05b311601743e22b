"""Files of plain messages, both ways, with the upload services of real servers: byte for byte."""

from __future__ import annotations

import random
from email import message_from_bytes, policy
from email.message import EmailMessage
from xml.sax.saxutils import escape, quoteattr

import pytest

from gre_core.testing import require
from gre_core.testing.ejabberd import EjabberdServer
from gre_core.testing.prosody import ProsodyServer
from gre_core.web import HttpsWeb

BOB = "bob\\40example.net@mail.localhost"
BODY, SUBJECT = "{jabber:client}body", "{jabber:client}subject"
URL = "{jabber:x:oob}x/{jabber:x:oob}url"
UPLOAD = "urn:xmpp:http:upload:0"
SLOT = f"{{{UPLOAD}}}slot/{{{UPLOAD}}}"
PICTURE = b"\x89PNG\r\n\x1a\n" + random.Random(7).randbytes(200_000)


on_both = pytest.mark.parametrize("server", ["prosody", "ejabberd"], indirect=True)


@pytest.fixture
async def server(request):
    """A real server with an upload service."""
    name = getattr(request, "param", "prosody")
    made = EjabberdServer if name == "ejabberd" else ProsodyServer
    require(made.installed(), f"{name} (apt-get install {name})")
    accounts, components = {"juliet": "secret1"}, {"mail.localhost": "secret3"}
    async with made(accounts=accounts, components=components, upload=True) as running:
        yield running


@pytest.fixture
def web(server):
    return HttpsWeb(hosts=[server.upload_host])


@pytest.fixture
def files(server):
    """The configuration that lets the gateway use the upload service of this machine."""
    return f'[files]\nhosts = ["{server.upload_host}"]'


async def share(juliet, web, name, content, kind):
    """What a chat program does with a file; give its address."""
    request = (
        f"<request xmlns='{UPLOAD}' filename={quoteattr(name)} size='{len(content)}' content-type='{kind}'/>"
    )
    answer = await juliet.iq("upload.localhost", request)
    put = answer.find(f"{SLOT}put")
    headers = [(each.get("name"), each.text) for each in put]
    assert await web.put(put.get("url"), content, content_type=kind, headers=headers) in {200, 201}
    return answer.find(f"{SLOT}get").get("url")


def message(url, id_, body=None, subject=""):
    subject = subject and f"<subject>{escape(subject)}</subject>"
    return (
        f"<message to='{BOB}' id='{id_}' type='chat'>{subject}<body>{escape(body or url)}</body>"
        f"<x xmlns='jabber:x:oob'><url>{escape(url)}</url></x><request xmlns='urn:xmpp:receipts'/></message>"
    )


def parsed(mail):
    return message_from_bytes(mail, policy=policy.default)


def files_of(mail):
    return [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in mail.iter_attachments()
    ]


def mail_with(*files, text="Look at this", subject="Rosen für Julia"):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "bob@example.net", "juliet@example.org", subject
    mail.set_content(text)
    for name, content in files:
        mail.add_attachment(content, maintype="image", subtype="png", filename=name)
    return mail.as_bytes(policy=policy.SMTP)


@on_both
async def test_a_shared_picture_leaves_as_an_attachment(start, juliet, relay, web, files):
    await start(files)
    url = await share(juliet, web, "röse.png", PICTURE, "image/png")
    juliet.send(message(url, "m1"))
    _, recipients, raw = await relay.next()
    assert recipients == ["bob@example.net"]
    mail = parsed(raw)
    ((name, kind, content),) = files_of(mail)
    assert (name, kind) in {("röse.png", "image/png"), ("r_se.png", "image/png")}
    assert content == PICTURE
    assert mail.get_body().get_content().strip() == ""
    assert b"http:" not in raw
    receipt = await juliet.until("{urn:xmpp:receipts}received")
    assert receipt.find("{urn:xmpp:receipts}received").get("id") == "m1"


@on_both
async def test_an_attached_picture_arrives_as_a_shared_one(start, juliet, web, files):
    gateway = await start(files)
    content = mail_with(("Röse 1.png", PICTURE), ("b.png", b"x"))
    assert (await gateway.deliver(content))[0].startswith("250")
    text = await juliet.until(BODY)
    assert (text.findtext(BODY), text.findtext(SUBJECT)) == ("Look at this", "Rosen für Julia")
    assert (text.get("type"), text.get("from")) == ("chat", BOB)
    shared = [await juliet.until(URL) for _ in range(2)]
    for each, expected in zip(shared, (PICTURE, b"x"), strict=True):
        url = each.findtext(URL)
        assert each.findtext(BODY) == url
        assert (each.get("type"), each.get("from")) == ("chat", BOB)
        assert each.find("{urn:xmpp:hints}store") is not None
        found = await web.download(url, max_size=1_000_000)
        assert (found.status, found.content_type, found.body) == (200, "image/png", expected)
    asks = [each.find("{urn:xmpp:receipts}request") is not None for each in (text, *shared)]
    assert asks == [False, False, True]


async def test_there_and_back_again(start, juliet, relay, web, files):
    """What the user sends is what the user gets when the mail comes back."""
    gateway = await start(files)
    url = await share(juliet, web, "there.png", PICTURE, "image/png")
    juliet.send(message(url, "m2", body=f"See:\n{url}", subject="There"))
    _, _, raw = await relay.next()
    await gateway.deliver(raw)
    text = await juliet.until(BODY)
    # Bob sent it back as it was: From still names Juliet, and that is said.
    said, _, body = text.findtext(BODY).partition("\n\n")
    assert "says that it is from juliet@example.org" in said
    assert (body, text.findtext(SUBJECT)) == ("See:", "There")
    back = (await juliet.until(URL)).findtext(URL)
    assert back != url
    assert (await web.download(back, max_size=1_000_000)).body == PICTURE


async def test_a_host_of_this_machine_that_is_not_listed_is_never_asked(start, juliet, relay, web):
    gateway = await start()
    url = await share(juliet, web, "rose.png", b"x", "image/png")
    juliet.send(message(url, "m3"))
    mail = parsed((await relay.next())[2])
    text = mail.get_body().get_content().replace("\r\n", "\n").strip()
    assert text == f"{url}\n\n[Not attached, because it cannot be fetched from there.]"
    assert files_of(mail) == []
    await gateway.deliver(mail_with(("rose.png", PICTURE)))
    got = (await juliet.until(BODY)).findtext(BODY)
    assert got.startswith("Look at this\n\n[1 attachment was not delivered: rose.png. ")


async def test_more_than_the_limit_is_named(start, juliet, files):
    gateway = await start(f"{files}\nmax_size = 100_000")
    assert (await gateway.deliver(mail_with(("large.png", PICTURE))))[0].startswith("250")
    got = (await juliet.until(BODY)).findtext(BODY)
    assert "large.png. Files of up to 100,000 bytes are passed on.]" in got


MAIL_CANNOT = {
    "reaction": (
        "<reactions xmlns='urn:xmpp:reactions:0' id='m'><reaction>x</reaction></reactions>",
        "not-acceptable",
    ),
    "retraction": (
        "<retract xmlns='urn:xmpp:message-retract:1' id='m'/><body>x</body>",
        "feature-not-implemented",
    ),
    "omemo": ("<body>aesgcm://up.example.org/x.jpg#0011</body>", "not-acceptable"),
}
SAYS_NOTHING = (
    "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
    "<displayed xmlns='urn:xmpp:chat-markers:0' id='m'/>",
    "<received xmlns='urn:xmpp:receipts' id='m'/>",
)


async def test_what_a_mail_cannot_do_is_answered_and_what_says_nothing_is_not(start, juliet, relay, kit):
    await start()
    for id_, (children, _) in MAIL_CANNOT.items():
        juliet.send(f"<message to='{BOB}' id='{id_}' type='chat'>{children}</message>")
    errors = [await juliet.until("{jabber:client}error") for _ in MAIL_CANNOT]
    found = {error.get("id"): kit.error_of(error)[1] for error in errors}
    assert found == {id_: condition for id_, (_, condition) in MAIL_CANNOT.items()}
    assert all(kit.error_of(error)[2] for error in errors)
    for child in SAYS_NOTHING:
        juliet.send(f"<message to='{BOB}' id='m6' type='chat'>{child}</message>")
    juliet.send(f"<message to='{BOB}' id='m7' type='chat'><body>words</body></message>")
    assert parsed((await relay.next())[2]).get_body().get_content().strip() == "words"
    assert relay.count == 1
    assert juliet.inbox.empty()


async def test_a_correction_is_a_mail_that_says_so(start, juliet, relay):
    await start()
    replace = "<replace xmlns='urn:xmpp:message-correct:0' id='m8'/>"
    juliet.send(f"<message to='{BOB}' id='m8' type='chat'><body>at nine</body></message>")
    juliet.send(f"<message to='{BOB}' id='m9' type='chat'><body>at ten</body>{replace}</message>")
    mails = {(mail := parsed((await relay.next())[2]))["Message-ID"]: mail for _ in range(2)}
    first, second = mails["<m8@example.org>"], mails["<m9@example.org>"]
    assert (second["Subject"], second["In-Reply-To"]) == ("Correction", first["Message-ID"])
