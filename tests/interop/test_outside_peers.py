"""Each program reads what we send, and we read what it sends: through client, gateway and mail server, as they run.

One class for each program: with ``--dist loadscope`` one worker has all its tests, and it starts once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from peers.deltachat import DeltaChat
from peers.gnupg import GnuPG
from peers.meeting import OPTIONS
from peers.mutt import Mutt, NeoMutt
from peers.notmuch import Notmuch
from peers.openpgpjs import OpenPGPjs
from peers.rnp import Rnp
from peers.sqop import Sqop
from peers.table import READS, WRITES, lines_of
from peers.thunderbird import Thunderbird

from gre_core.model import Signature

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


def _name(kind: type[Peer]) -> str:
    return kind.name + ("" if kind.knows_mail else " ¹")
