"""From stanza to mail, each once: resent stanzas, the journal, Message-IDs."""

from __future__ import annotations

import asyncio
import base64
from email import message_from_bytes, policy

import pytest
from gre_gateway_email.carrier import Carriers
from gre_gateway_email.carriers.pgp_mime import PgpMime
from gre_gateway_email.relaying import journal as journal_module
from gre_gateway_email.relaying.journal import Journal
from gre_gateway_email.relaying.outbound import Outbound, message_id

from gre_core.errors import BadEncrypted, Refused, StoreError


class Relay:
    def __init__(self):
        self.mails = []
        self.refuse = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, sender, recipients, mail):
        await self.gate.wait()
        if self.refuse:
            raise self.refuse
        self.mails.append((sender, tuple(recipients), mail))


class Desk:
    """An outbound with everything around it."""

    def __init__(self, folder):
        self.relay = Relay()
        self.path = folder / "relayed.journal"
        self.header = None
        self.restart()

    def restart(self):
        self.journal = Journal(self.path)
        self.outbound = Outbound(Carriers([PgpMime()]), self.relay, self.journal, self.autocrypt)

    async def autocrypt(self, user):
        assert user == "juliet@localhost"
        return self.header


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.fixture
def text(kit):
    return base64.b64encode(kit.openpgp_message()).decode()


async def test_an_encrypted_message_becomes_a_mail(desk, kit, text):
    desk.header = "addr=juliet@example.org; keydata=\r\n AAAA"
    await desk.outbound.encrypted(kit.relayed(text))
    ((sender, recipients, mail),) = desk.relay.mails
    assert (sender, recipients) == ("juliet@example.org", ("bob@example.net",))
    parsed = message_from_bytes(mail)
    assert parsed["Message-ID"] == "<id-1@example.org>"
    assert parsed["Autocrypt"].startswith("addr=juliet@example.org")
    assert PgpMime().unwrap(mail).body.text == text


async def test_one_mail_for_several_recipients_that_shows_no_blind_copy(desk, kit, text):
    await desk.outbound.encrypted(
        kit.relayed(text, to="bob@example.net carol@example.net", bcc="dave@example.net")
    )
    ((_, recipients, mail),) = desk.relay.mails
    assert recipients == ("bob@example.net", "carol@example.net", "dave@example.net")
    assert message_from_bytes(mail, policy=policy.default)["To"] == "bob@example.net, carol@example.net"
    assert b"dave" not in mail


async def test_a_mail_of_blind_copies_only(desk, kit, text):
    await desk.outbound.encrypted(kit.relayed(text, to="", bcc="dave@example.net"))
    ((_, recipients, mail),) = desk.relay.mails
    assert recipients == ("dave@example.net",)
    assert message_from_bytes(mail)["To"] == "undisclosed-recipients:;"
    assert b"dave" not in mail


async def test_the_same_origin_id_to_others_is_another_mail(desk, kit, text):
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.outbound.encrypted(kit.relayed(text, to="dave@example.net"))
    await desk.outbound.encrypted(kit.relayed(text, to="dave@example.net"))
    assert [recipients for _, recipients, _ in desk.relay.mails] == [
        ("bob@example.net",),
        ("dave@example.net",),
    ]
    assert len({message_from_bytes(mail)["Message-ID"] for *_, mail in desk.relay.mails}) == 1


async def test_a_resent_stanza_is_answered_and_not_mailed_twice(desk, kit, text):
    await desk.outbound.encrypted(kit.relayed(text))
    await desk.outbound.encrypted(kit.relayed(text))
    assert len(desk.relay.mails) == 1
    desk.restart()
    await desk.outbound.encrypted(kit.relayed(text))
    assert len(desk.relay.mails) == 1, "not even after a restart"
    await desk.outbound.encrypted(kit.relayed(text, id_="id-2"))
    assert len(desk.relay.mails) == 2


async def test_a_stanza_that_comes_twice_at_once_is_mailed_once(desk, kit, text):
    desk.relay.gate.clear()
    twice = [asyncio.create_task(desk.outbound.encrypted(kit.relayed(text))) for _ in range(3)]
    await asyncio.sleep(0.01)
    desk.relay.gate.set()
    await asyncio.gather(*twice)
    assert len(desk.relay.mails) == 1


async def test_a_refusal_reaches_each_who_waits_and_is_not_remembered(desk, kit, text):
    desk.relay.refuse = Refused("no", condition="item-not-found", error_type="cancel")
    results = await asyncio.gather(
        *(desk.outbound.encrypted(kit.relayed(text)) for _ in range(2)), return_exceptions=True
    )
    assert [type(each) for each in results] == [Refused, Refused]
    desk.relay.refuse = None
    await desk.outbound.encrypted(kit.relayed(text))
    assert len(desk.relay.mails) == 1


async def test_an_id_that_a_client_counts_anew_loses_no_message(desk, kit, text):
    other = base64.b64encode(kit.openpgp_message(seed=2)).decode()
    await desk.outbound.encrypted(kit.relayed(text, id_="1", origin=False))
    await desk.outbound.encrypted(kit.relayed(other, id_="1", origin=False))
    assert len(desk.relay.mails) == 2
    await desk.outbound.encrypted(kit.relayed(text, id_="1", origin=False))
    assert len(desk.relay.mails) == 2


async def test_messages_without_any_id_are_all_mailed_with_new_message_ids(desk, kit, text):
    for _ in range(2):
        await desk.outbound.encrypted(kit.relayed(text, id_=None))
    ids = {message_from_bytes(mail)["Message-ID"] for _, _, mail in desk.relay.mails}
    assert len(ids) == 2


async def test_garbage_never_reaches_the_relay(desk, kit):
    for bad in ("hello there", base64.b64encode(b"plain words").decode()):
        with pytest.raises(BadEncrypted):
            await desk.outbound.encrypted(kit.relayed(bad))
    assert desk.relay.mails == []


async def test_a_pair_without_carrier_is_refused(tmp_path, kit, text):
    outbound = Outbound(Carriers([]), Relay(), Journal(tmp_path / "j"), Desk.autocrypt)
    with pytest.raises(Refused) as refused:
        await outbound.encrypted(kit.relayed(text))
    assert (refused.value.condition, refused.value.error_type) == ("not-acceptable", "modify")


async def test_a_full_disk_after_the_relay_took_it_is_no_error_for_the_user(desk, kit, text, monkeypatch):
    def full(*_):
        raise StoreError("full")

    monkeypatch.setattr(desk.journal, "remember", full)
    await desk.outbound.encrypted(kit.relayed(text))
    assert len(desk.relay.mails) == 1


async def test_drain_waits_for_what_is_under_way(desk, kit, text):
    desk.relay.gate.clear()
    task = asyncio.create_task(desk.outbound.encrypted(kit.relayed(text)))
    await asyncio.sleep(0.01)
    await desk.outbound.drain(0.01)
    assert not task.done()
    desk.relay.gate.set()
    await desk.outbound.drain(5)
    await task
    await desk.outbound.drain(5)


async def test_a_plain_message_becomes_a_mail(desk, kit):
    await desk.outbound.plain(
        kit.plain("Grüße & <b>\nvon\r\nJuliet", "Ein\r\nBcc: eve@example.net \N{GREEK SMALL LETTER ALPHA}")
    )
    ((_, recipients, mail),) = desk.relay.mails
    assert recipients == ("bob@example.net",)
    parsed = message_from_bytes(mail, policy=policy.default)
    assert parsed.get_content() == "Grüße & <b>\r\nvon\r\nJuliet"
    assert parsed["Subject"] == "Ein Bcc: eve@example.net α"
    assert parsed["Bcc"] is None
    assert parsed["Message-ID"] == "<id-2@example.org>"
    assert mail.isascii()
    assert mail.count(b"\n") == mail.count(b"\r\n")


@pytest.mark.parametrize("origin_id", ["abc-123", "0f" * 20, "a.b", "x" * 200])
def test_the_message_id_is_the_origin_id_at_the_domain(origin_id):
    assert message_id(origin_id, "juliet@example.org") == f"{origin_id}@example.org"


@pytest.mark.parametrize(
    "origin_id", ["a b", "a\r\nX: y", "<x>", "a@b", ".a", "a..b", "ä", "x" * 201, "", "\0"]
)
def test_origin_ids_that_are_no_message_ids_are_hashed(origin_id):
    made = message_id(origin_id, "juliet@example.org")
    left, _, domain = made.partition("@")
    assert domain == "example.org"
    assert len(left) == 64
    assert left.isalnum()
    assert made == message_id(origin_id, "juliet@example.org")


# -- the journal -------------------------------------------------------------------------------------


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


def test_the_journal_forgets_after_a_week(tmp_path):
    clock = Clock()
    journal = Journal(tmp_path / "j", clock)
    journal.remember("u@x", "one")
    clock.now += 6 * 86_400
    journal.remember("u@x", "two")
    assert journal.seen("u@x", "one")
    clock.now += 2 * 86_400
    journal.remember("u@x", "three")
    assert not journal.seen("u@x", "one")
    assert journal.seen("u@x", "two")
    assert len(Journal(tmp_path / "j", clock)) == 2


def test_the_journal_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "MAX_ENTRIES", 10)
    monkeypatch.setattr(journal_module, "_SLACK", 20)
    journal = Journal(tmp_path / "j")
    for number in range(100):
        journal.remember("u@x", str(number))
    assert len(journal) == 10
    assert journal.seen("u@x", "99")
    assert not journal.seen("u@x", "80")
    assert (tmp_path / "j").stat().st_size <= 44 * 31


def test_the_journal_holds_no_name_and_belongs_to_its_owner(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.remember("juliet@localhost", "origin-1")
    journal.close()
    content = (tmp_path / "j").read_bytes()
    assert b"juliet" not in content
    assert b"origin-1" not in content
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_damaged_lines_are_passed_over(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.remember("u@x", "one")
    journal.close()
    with (tmp_path / "j").open("ab") as stream:
        stream.write(b"rubbish\n\xff\xff\n0123 5\n" + b"0" * 32)
    again = Journal(tmp_path / "j")
    assert again.seen("u@x", "one")
    assert len(again) == 1


def test_users_do_not_share_ids(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.remember("u@x", "one")
    assert not journal.seen("v@x", "one")


def test_a_journal_that_cannot_be_used_says_so(tmp_path):
    with pytest.raises(StoreError, match="journal cannot be used"):
        Journal(tmp_path / "no" / "j")
