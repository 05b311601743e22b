"""Each program reads what we send, and we read what it sends: through client, gateway and mail server, as they run.

One class for each program: with ``--dist loadscope`` one worker has all its tests, and it starts once.
"""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pysequoia
import pytest
from peers.deltachat import DeltaChat
from peers.gnupg import GnuPG
from peers.meeting import FILES, FROM_PEER, OPTIONS
from peers.mutt import Mutt, NeoMutt
from peers.notmuch import Notmuch
from peers.office import ADDRESS
from peers.openpgpjs import OpenPGPjs
from peers.peer import pgp_mime
from peers.rnp import Rnp
from peers.sqop import Sqop
from peers.table import DEFAULT, READS, WRITES, lines_of
from peers.thunderbird import Thunderbird

from gre_core.client import Received
from gre_core.model import Message, Signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from peers.meeting import Meeting
    from peers.peer import Peer
    from peers.table import Row

    Meet = Callable[[type[Peer]], Meeting]
    Tell = Callable[[Row, Peer], None]


class Reads:
    kind: ClassVar[type[Peer]]

    @pytest.mark.parametrize("message", OPTIONS)
    def test_it_reads_what_we_send_and_says_good(self, message: str, meet: Meet, tell: Tell) -> None:
        meeting = meet(self.kind)
        row, _ = meeting.reads(message)
        assert (row.opens, row.signature, row.header, row.attachments) == ("yes", "good", "subject", "2 of 2")
        tell(row, meeting.peer)

    def test_it_does_not_say_good_of_what_nobody_signed(self, meet: Meet) -> None:
        meeting = meet(self.kind)
        assert meeting.peer.open(_unsigned(meeting)).signature != "good"


class Writes:
    kind: ClassVar[type[Peer]]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "way" in metafunc.fixturenames:
            metafunc.parametrize("way", self.kind.ways)

    def test_we_read_what_it_sends_and_say_good(self, way: str, meet: Meet, tell: Tell) -> None:
        meeting = meet(self.kind)
        row, came = meeting.writes(way)
        assert came.verdict.signature is Signature.GOOD
        files = f"{self.kind.most_files} of {self.kind.most_files}"
        assert (row.opens, row.signature, row.attachments) == ("yes", "good", files)
        # Nobody compared the fingerprint yet: that is said once for each contact.
        said = [notice.code for notice in came.notices if notice.code != "key-from-gateway-only"]
        assert said == (["no-inner-header"] if row.header.startswith("none") else [])
        tell(row, meeting.peer)


class TestDeltaChat(Reads, Writes):
    kind = DeltaChat

    def test_answers_to_and_fro_are_threaded_though_nothing_outside_says_so(self, meet: Meet) -> None:
        meeting = meet(DeltaChat)
        peer = meeting.peer
        assert isinstance(peer, DeltaChat)
        written = peer.write(replace(FROM_PEER, files=dict([*FILES.items()][:1])), ADDRESS, DEFAULT)
        outer = message_from_bytes(written.mail)
        assert "hidden-recipients" in outer["To"]
        assert not {"in-reply-to", "references", "autocrypt"} & {name.lower() for name in outer}
        came = meeting.office.deliver(written.mail, peer.address)
        assert isinstance(came, Received)
        question = came.message
        answer = Message(
            "Yes", subject=question.subject, in_reply_to=question.message_id, references=question.references
        )
        (shown,) = peer.receive(meeting.office.send(peer.address, answer))
        assert (shown.text, shown.show_padlock) == ("Yes", True)
        assert peer.id_of(shown.parent_id) == question.message_id

    def test_it_does_not_say_good_of_what_nobody_signed(self, meet: Meet) -> None:
        """It does not even show it; so a mail that comes later is waited for."""
        meeting = meet(DeltaChat)
        peer = meeting.peer
        assert isinstance(peer, DeltaChat)
        peer.put(_unsigned(meeting))
        meeting.reads(DEFAULT)
        shown = [each.get_snapshot() for chat in peer.account.get_chatlist() for each in chat.get_messages()]
        assert len(shown) > 1
        assert not [each for each in shown if "Forged" in each.subject + each.text and each.show_padlock]


class TestGnuPG(Reads, Writes):
    kind = GnuPG


class TestMutt(Reads, Writes):
    kind = Mutt


class TestNeoMutt(Reads, Writes):
    kind = NeoMutt


class TestNotmuch(Reads):
    kind = Notmuch


class TestOpenPGPjs(Reads, Writes):
    kind = OpenPGPjs


class TestRnp(Reads, Writes):
    kind = Rnp


class TestSqop(Reads, Writes):
    kind = Sqop


class TestThunderbird(Reads, Writes):
    kind = Thunderbird


def test_the_page_tells_of_everything_that_is_tried_and_of_nothing_else() -> None:
    page = (Path(__file__).parents[2] / "docs" / "interop.md").read_text(encoding="utf-8")
    told = [
        (direction, *(cell.strip() for cell in line.split("|")[1:3])) for direction, line in lines_of(page)
    ]
    tried = [(READS, _name(each.kind), message) for each in Reads.__subclasses__() for message in OPTIONS]
    tried += [(WRITES, _name(each.kind), way) for each in Writes.__subclasses__() for way in each.kind.ways]
    assert sorted(told) == sorted(tried)


def _unsigned(meeting: Meeting) -> bytes:
    payload = b"Content-Type: text/plain\r\nSubject: Forged\r\n\r\nForged\r\n"
    # Ours is among them, as in every mail of ours: it is the reason for a format that all of these programs read.
    certificates = [pysequoia.Cert.from_bytes(key.data) for key in (meeting.key, meeting.our_key)]
    armored = pysequoia.encrypt(payload, certificates, armor=True)
    return pgp_mime(armored, ADDRESS, meeting.peer.address)


def _name(kind: type[Peer]) -> str:
    return kind.name + ("" if kind.knows_mail else " ¹")
