"""From mail to stanza: what is refused within the dialogue, what is stored, and when it is forgotten."""

from __future__ import annotations

import asyncio
import json

import pytest
from gre_gateway_email.carrier import Carriers
from gre_gateway_email.carriers.pgp_mime import PgpMime
from gre_gateway_email.relaying import delivery as delivery_module
from gre_gateway_email.relaying import inbound as inbound_module
from gre_gateway_email.relaying.delivery import Delivery
from gre_gateway_email.relaying.inbound import REPORT, Inbound
from gre_gateway_email.relaying.spool import Entry, Spool
from gre_gateway_email.relaying.users import Users

from gre_core.errors import InvalidAddress, PeerError, PeerTimeout, StoreError

USERS = Users([("Juliet@example.org", "juliet@localhost"), ("romeo@example.org", "romeo@elsewhere")])
PLAIN = b"Subject: Hi\r\n\r\nSoft! what light\r\n"


class Courier:
    """The XMPP side, played by the test."""

    def __init__(self):
        self.connected = True
        self.sent = []
        self.pings = []
        self.receipts = False
        self.ping_error = None
        self.send_error = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, entry, content):
        if self.send_error:
            raise self.send_error
        self.sent.append((entry, content))

    async def ping(self, domain):
        self.pings.append(domain)
        await self.gate.wait()
        if self.ping_error:
            raise self.ping_error

    async def gives_receipts(self, user):
        return self.receipts


class Post:
    """Spool, delivery and inbound, tied together."""

    def __init__(self, folder, courier, *, encrypted_only=False, max_encrypted=100_000):
        self.folder = folder
        self.courier = courier
        self.spool = Spool(folder)
        self.delivery = Delivery(self.spool, courier)
        self.inbound = Inbound(
            USERS,
            Carriers([PgpMime()]),
            self.spool,
            self.delivery,
            encrypted_only=encrypted_only,
            max_encrypted=max_encrypted,
        )

    async def mail(self, content, *, to=("juliet@example.org",), sender="bob@example.net"):
        return await self.inbound.mail(sender, to, content)

    def left(self):
        return [entry.id for entry in self.spool.entries()]

    def dead(self):
        return sorted(path.suffix for path in (self.folder / "dead").iterdir())


async def settled():
    for _ in range(30):
        await asyncio.sleep(0.001)


@pytest.fixture
def courier():
    return Courier()


@pytest.fixture
async def post(tmp_path, courier):
    made = Post(tmp_path / "spool", courier)
    made.delivery.start()
    yield made
    await made.delivery.stop()


@pytest.fixture
def mail(kit, scripted_mail):
    return scripted_mail(kit.openpgp_message())


@pytest.fixture
def scripted_mail(kit):
    from datetime import UTC, datetime

    from gre_gateway_email.carrier import Envelope

    def make(data):
        envelope = Envelope("bob@example.net", ("juliet@example.org",), "x@example.net", datetime.now(UTC))
        return PgpMime().wrap(kit.body_of(data), envelope)

    return make


# -- within the dialogue -----------------------------------------------------------------------------


async def test_users_are_known_by_their_address_in_any_case(post):
    assert await post.inbound.recipient("JULIET@example.org") == "250 2.1.5 OK"
    assert (await post.inbound.recipient("nobody@example.org")).startswith("550 5.1.1")
    assert (await post.inbound.recipient("juliet@example.com")).startswith("550 5.1.1")
    assert (await post.inbound.recipient("")).startswith("550 5.1.1")


async def test_senders_that_cannot_be_contacts_are_refused(post):
    assert await post.inbound.sender("bob@example.net") == "250 2.1.0 OK"
    assert await post.inbound.sender("") == "250 2.1.0 OK"
    assert (await post.inbound.sender('"bob b"@example.net')).startswith("553 5.1.7")
    assert (await post.inbound.sender("bob@[127.0.0.1]")).startswith("553 5.1.7")


async def test_an_encrypted_mail_is_stored_and_delivered(post, courier, mail, kit):
    assert await post.mail(mail) == ["250 2.1.5 Stored"]
    await settled()
    ((entry, content),) = courier.sent
    assert (entry.user, entry.sender, entry.kind) == ("juliet@localhost", "bob@example.net", "encrypted")
    assert (entry.formatter, entry.encrypter) == tuple(map(str, kit.pair))
    assert content == kit.body_of(kit.openpgp_message()).text


async def test_what_stood_around_the_encrypted_part_is_stored_and_delivered_with_it(tmp_path, courier, mail):
    post = Post(tmp_path / "spool", courier)
    courier.connected = False
    await post.mail(
        mail.replace(b"=_gre-gateway--", b"=_gre-gateway\r\n\r\nmylist mailing list\r\n--=_gre-gateway--")
    )
    again = Post(tmp_path / "spool", courier)  # after a restart
    courier.connected = True
    again.delivery.start()
    await settled()
    await again.delivery.stop()
    ((entry, _),) = courier.sent
    assert entry.notes == ("list-footer",)


async def test_a_mail_for_several_users_is_stored_for_each(post, courier, mail):
    replies = await post.mail(mail, to=("juliet@example.org", "nobody@example.org", "romeo@example.org"))
    assert [reply[:3] for reply in replies] == ["250", "550", "250"]
    await settled()
    assert {entry.user for entry, _ in courier.sent} == {"juliet@localhost", "romeo@elsewhere"}
    assert len({entry.id for entry, _ in courier.sent}) == 2
    assert set(courier.pings) == {"localhost", "elsewhere"}


async def test_plain_mail_under_encrypted_only_is_refused(tmp_path, courier, mail):
    post = Post(tmp_path, courier, encrypted_only=True)
    assert (await post.mail(PLAIN))[0].startswith("523 5.7.10")
    assert post.left() == []
    assert (await post.mail(mail))[0].startswith("250")


async def test_plain_mail_is_delivered_otherwise(post, courier):
    assert (await post.mail(PLAIN))[0].startswith("250")
    await settled()
    ((entry, content),) = courier.sent
    assert (entry.kind, entry.subject, content) == ("plain", "Hi", "Soft! what light")


async def test_reports_of_mail_systems_come_from_the_mailer_daemon(tmp_path, courier):
    for only in (False, True):
        post = Post(tmp_path / str(only), courier, encrypted_only=only)
        assert (await post.mail(PLAIN, sender=""))[0].startswith("250")
        (entry,) = post.spool.entries()
        assert entry.sender == "mailer-daemon@example.org"
        text = post.spool.content(entry)
        assert text.startswith(REPORT)
        assert ("what light" in text) is not only, "plain words pass no encrypted-only policy"


async def test_an_encrypted_report_is_refused(post, mail):
    assert (await post.mail(mail, sender=""))[0].startswith("554")


async def test_what_is_too_large_for_a_stanza_is_refused_with_its_size(tmp_path, courier, scripted_mail, kit):
    post = Post(tmp_path, courier, max_encrypted=2000)
    (reply,) = await post.mail(scripted_mail(kit.openpgp_message(3000)))
    assert reply.startswith("552 5.3.4")
    assert "2000" in reply
    (reply,) = await post.mail(b"\r\n" + b"<" * 400)
    assert reply.startswith("552 5.3.4"), "what grows by escaping counts as it grows"
    assert post.left() == []


BAD = {
    "damaged": b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\n--b\r\n\r\n\xffhello\r\n--b--\r\n",
    "200 KB of header": b"X: " + b"y" * 200_000 + b"\r\n\r\nx",
    "too many fields": b"A: b\r\n" * 5000 + b"\r\nx",
}


@pytest.mark.parametrize("name", BAD)
async def test_unreadable_mails_are_refused_in_ascii_on_one_line(post, name):
    (reply,) = await post.mail(BAD[name])
    assert reply.startswith("554 5.6.0")
    assert reply.isascii()
    assert reply.isprintable()
    assert post.left() == []


async def test_a_full_disk_puts_the_mail_off(post, mail, monkeypatch):
    async def full(*_):
        raise StoreError("disk full")

    monkeypatch.setattr(post.spool, "add", full)
    assert (await post.mail(mail))[0].startswith("452 4.3.1")


async def test_a_full_queue_puts_the_mail_off(post, courier, mail, monkeypatch):
    courier.connected = False
    monkeypatch.setattr(inbound_module, "MAX_QUEUE", 1)
    assert (await post.mail(mail))[0].startswith("250")
    assert (await post.mail(PLAIN))[0].startswith("452 4.3.1")


async def test_a_mail_that_comes_again_before_it_was_delivered_is_stored_once(post, courier, mail):
    courier.connected = False
    for _ in range(3):
        assert (await post.mail(mail))[0].startswith("250")
    assert len(post.left()) == 1


# -- until it has arrived ----------------------------------------------------------------------------


async def test_without_receipts_a_later_ping_on_the_same_stream_is_the_proof(post, courier, mail):
    courier.gate.clear()
    await post.mail(mail)
    await settled()
    assert len(courier.sent) == 1
    assert len(post.left()) == 1, "not before the ping was answered"
    courier.gate.set()
    await settled()
    assert post.left() == []
    assert len(post.delivery) == 0


async def test_an_error_answer_to_the_ping_is_an_answer(post, courier, mail):
    courier.ping_error = PeerError("no", condition="service-unavailable")
    await post.mail(mail)
    await settled()
    assert post.left() == []


async def test_a_server_that_cannot_be_reached_proves_nothing(post, courier, mail):
    courier.ping_error = PeerError("no", condition="remote-server-not-found")
    await post.mail(mail)
    await settled()
    assert len(post.left()) == 1


async def test_a_ping_without_answer_proves_nothing_and_is_sent_again(post, courier, mail, monkeypatch):
    monkeypatch.setattr(delivery_module, "FIRST_RETRY", 0.01)
    courier.ping_error = PeerTimeout("no")
    await post.mail(mail)
    await settled()
    assert len(post.left()) == 1
    courier.ping_error = None
    await asyncio.sleep(0.1)
    assert post.left() == []


async def test_with_receipts_the_receipt_is_the_proof(post, courier, mail):
    courier.receipts = True
    await post.mail(mail)
    await settled()
    (entry_id,) = post.left()
    post.delivery.receipt(entry_id, "romeo@elsewhere")
    post.delivery.receipt("another", "juliet@localhost")
    assert post.left() == [entry_id], "only the user's own receipt counts"
    post.delivery.receipt(entry_id, "juliet@localhost")
    assert post.left() == []
    assert not post.delivery.knows(entry_id)


async def test_a_receipt_that_never_comes_is_not_waited_for_for_ever(post, courier, mail, monkeypatch):
    monkeypatch.setattr(delivery_module, "RECEIPT_GRACE", 0.01)
    courier.receipts = True
    await post.mail(mail)
    await asyncio.sleep(0.1)
    assert post.left() == []


async def test_after_a_new_connection_what_is_left_is_sent_again_with_the_same_id(post, courier, mail):
    courier.gate.clear()
    await post.mail(mail)
    await settled()
    post.delivery.connected()
    await settled()
    assert len(courier.sent) == 2
    assert len({entry.id for entry, _ in courier.sent}) == 1
    courier.gate.set()
    await settled()
    assert post.left() == []


async def test_an_answer_to_a_ping_of_the_old_stream_proves_nothing(post, courier, mail):
    courier.gate.clear()
    await post.mail(mail)
    await settled()
    courier.connected = False
    post.delivery.connected()  # a new stream, on which nothing was sent yet
    courier.gate.set()
    await settled()
    assert len(post.left()) == 1


async def test_what_waits_while_the_stream_is_down_goes_out_afterwards(post, courier, mail):
    courier.connected = False
    await post.mail(mail)
    await settled()
    assert courier.sent == []
    courier.connected = True
    post.delivery.connected()
    await settled()
    assert len(courier.sent) == 1


async def test_a_stream_that_breaks_while_sending_loses_nothing(post, courier, mail):
    courier.send_error = PeerTimeout("down")
    await post.mail(mail)
    await settled()
    assert len(post.left()) == 1
    courier.send_error = None
    post.delivery.connected()
    await settled()
    assert post.left() == []


async def test_an_error_moves_the_message_to_the_dead_letters(post, courier, mail):
    courier.receipts = True
    await post.mail(mail)
    await settled()
    (entry_id,) = post.left()
    error = PeerError("gone", condition="not-allowed", peer_text="you are blocked")
    post.delivery.refused(entry_id, "romeo@elsewhere", error)
    assert post.left() == [entry_id]
    post.delivery.refused(entry_id, "juliet@localhost", error)
    assert post.left() == []
    assert post.dead() == [".entry", ".reason"]
    reason = next((post.folder / "dead").glob("*.reason"))
    assert "not-allowed: you are blocked" in reason.read_text()
    assert reason.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "error",
    [
        PeerError("later", condition="remote-server-timeout", error_type="wait"),
        PeerError("away", condition="service-unavailable", error_type="cancel"),
    ],
    ids=["wait", "the user is away and the server keeps nothing"],
)
async def test_some_errors_lead_to_another_try(post, courier, mail, monkeypatch, error):
    monkeypatch.setattr(delivery_module, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(delivery_module, "MAX_ATTEMPTS", 3)
    courier.receipts = True
    await post.mail(mail)
    await settled()
    (entry_id,) = post.left()
    for attempt in (2, 3):
        post.delivery.refused(entry_id, "juliet@localhost", error)
        await asyncio.sleep(0.1)
        assert len(courier.sent) == attempt
    post.delivery.refused(entry_id, "juliet@localhost", error)
    assert post.dead() == [".entry", ".reason"]


async def test_a_message_that_cannot_be_sent_at_all_is_kept_dead(post, courier, mail):
    courier.send_error = InvalidAddress("no JID")
    await post.mail(mail)
    await settled()
    assert post.left() == []
    assert post.dead() == [".entry", ".reason"]


async def test_a_restart_delivers_what_was_acknowledged(tmp_path, courier, mail):
    first = Post(tmp_path, courier)
    courier.connected = False
    await first.mail(mail)
    await first.mail(PLAIN)
    again = Post(tmp_path, courier)
    courier.connected = True
    again.delivery.start()
    await settled()
    assert [entry.kind for entry, _ in courier.sent] == ["encrypted", "plain"], "in their order"
    await again.delivery.stop()


async def test_many_messages_need_few_pings(post, courier):
    courier.connected = False
    for number in range(250):
        await post.mail(b"\r\n%d" % number)
    courier.connected = True
    post.delivery.connected()
    for _ in range(300):
        await asyncio.sleep(0.001)
    assert len(courier.sent) == 250
    assert len(courier.pings) < 20
    assert post.left() == []


# -- the spool ---------------------------------------------------------------------------------------


async def test_files_of_the_spool_belong_to_their_owner(tmp_path):
    spool = Spool(tmp_path / "spool")
    entry = await spool.add(
        Entry("a" * 32, "juliet@localhost", "bob@example.net", "plain"), "text\nof two lines"
    )
    path = tmp_path / "spool" / f"{'a' * 32}.entry"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert spool.content(entry) == "text\nof two lines"
    assert spool.entries() == (entry,)
    assert "juliet" not in repr(entry)


async def test_damaged_files_go_to_the_dead_letters(tmp_path):
    spool = Spool(tmp_path)
    await spool.add(Entry("b" * 32, "juliet@localhost", "bob@example.net", "plain"), "x")
    for name, content in {
        "1": b"", "2": b"rubbish", "3": b"[]\nx", "4": b"{}\nx", "5": b'{"id": "5", "x": 1}\n', "6": b"\xff\xff",
        "7": json.dumps({"id": "other", "user": "u", "sender": "s", "kind": "plain"}).encode() + b"\nx",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.entry").write_bytes(content)
    assert [entry.id for entry in Spool(tmp_path).entries()] == ["b" * 32]
    assert len(list((tmp_path / "dead").glob("*.reason"))) == 7


async def test_what_was_not_finished_is_cleared_away(tmp_path):
    Spool(tmp_path)
    (tmp_path / "x.new").write_bytes(b"half")
    assert Spool(tmp_path).entries() == ()
    assert not (tmp_path / "x.new").exists()


async def test_a_spool_that_cannot_be_written_says_so(tmp_path):
    spool = Spool(tmp_path / "spool")
    entry = Entry("a/b", "juliet@localhost", "bob@example.net", "plain")
    with pytest.raises(StoreError, match="cannot be written"):
        await spool.add(entry, "x")
    with pytest.raises(StoreError, match="cannot be read"):
        spool.content(entry)
