"""All mails of other projects take the whole way of a received mail, to the stanzas that go out."""

from __future__ import annotations

import random
import time
from xml.etree import ElementTree as ET

from gre_gateway_email.config import Files
from gre_gateway_email.config.settings import STANZA_HEADROOM, STANZA_LIMIT
from gre_gateway_email.files.incoming import Receive
from gre_gateway_email.files.slots import Service, Slot
from gre_gateway_email.mail.reply_ids import ReplyIds
from gre_gateway_email.relaying.reading import PlainContent

from gre_core.gateway import GatewayEngine

SECONDS = 60.0
"""Of processor time for one mail: far beyond what any takes, on any machine; without bounds a mail can take hours."""

IDS = ReplyIds(b"s" * 32)


class Cloud:
    """An upload service that takes everything."""

    def __init__(self):
        self.files = 0

    async def of(self, _user):
        return Service("upload.example.org", None)

    async def slot(self, _service, name, size, media_type):
        assert name.isprintable()
        assert "/" not in name
        assert media_type.isascii()
        assert size >= 0
        self.files += 1
        url = f"https://upload.example.org/{self.files}"
        return Slot(url, url, ())

    async def put(self, _url, _content, /, *, content_type, headers=()):
        return 201


def stanzas(engine, message, content):
    """What the courier sends of a plain message."""
    stanza_id = IDS.stanza_id(message.id, message.user, message.message_id)
    thread = IDS.thread(message.user, message.thread)
    subject = message.subject or None
    return engine.emit_plain(
        message.sender, message.user, content, subject, stanza_id, message.files, thread=thread
    )


async def test_each_mail_arrives_or_is_refused_in_time(post, corpora, kit):
    await post.restart(
        max_encrypted=STANZA_LIMIT - STANZA_HEADROOM, waiting=10**6, waiting_size=10**12, queue=10**7
    )
    cloud = Cloud()
    settings = Files(download=True, upload=True, service=None, max_size=10**7, max_count=10, hosts=())
    receive = Receive(settings, cloud, cloud)

    async def read(users, mail):
        shown = await receive(users, mail)
        return {user: PlainContent(each.text, each.subject, each.links) for user, each in shown.items()}

    post.inbound._read = read
    engine = GatewayEngine("mail.localhost", [kit.pair], sender_id=lambda _: None)
    files = sorted(path for path in corpora.rglob("*") if path.is_file())
    random.Random(1).shuffle(files)
    assert len(files) > 1000
    plain = 0
    for path in files:
        raw = path.read_bytes()
        began = time.process_time()
        (reply,) = await post.mail(raw)
        assert time.process_time() - began < SECONDS, path
        assert reply[:3] in {"250", "552", "554"}, path
    await post.until(lambda left: all(message.state == "held" for message in left if message is not True))
    for message, content in post.courier.sent:
        if message.kind == "plain":
            plain += 1
            for stanza in stanzas(engine, message, content):
                written = ET.tostring(stanza)
                assert len(written) < STANZA_LIMIT
                assert ET.fromstring(written).findtext("{jabber:client}body")
    assert plain > 1000
    assert cloud.files > 50
