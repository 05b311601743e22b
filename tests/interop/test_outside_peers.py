"""Each program reads what we send, and we read what it sends: through client, gateway and mail server, as they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from peers.everyone import PEERS
from peers.meeting import OPTIONS
from peers.table import READS, WRITES, lines_of

from gre_core.model import Signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from peers.meeting import Meeting
    from peers.peer import Peer
    from peers.table import Row

    Meet = Callable[[type[Peer]], Meeting]
    Tell = Callable[[Row, Peer], None]


def _tried(kind: type[Peer], *more: str) -> object:
    """One worker has all tests of a program, so that it starts once (``--dist loadgroup``)."""
    return pytest.param(
        kind, *more, id="-".join((kind.__name__, *more)), marks=pytest.mark.xdist_group(kind.__name__)
    )


@pytest.mark.parametrize(
    ("kind", "message"), [_tried(kind, message) for kind in PEERS for message in OPTIONS]
)
def test_it_reads_what_we_send_and_says_good(kind: type[Peer], message: str, meet: Meet, tell: Tell) -> None:
    meeting = meet(kind)
    row, _ = meeting.reads(message)
    assert (row.opens, row.signature, row.header, row.attachments) == ("yes", "good", "subject", "2 of 2")
    tell(row, meeting.peer)


@pytest.mark.parametrize(("kind", "way"), [_tried(peer, way) for peer in PEERS for way in peer.ways])
def test_we_read_what_it_sends_and_say_good(kind: type[Peer], way: str, meet: Meet, tell: Tell) -> None:
    meeting = meet(kind)
    row, came = meeting.writes(way)
    assert came.verdict.signature is Signature.GOOD
    files = f"{kind.most_files} of {kind.most_files}"
    assert (row.opens, row.signature, row.attachments) == ("yes", "good", files)
    # Nobody compared the fingerprint yet: that is said once for each contact.
    said = [notice.code for notice in came.notices if notice.code != "key-from-gateway-only"]
    assert said == (["no-inner-header"] if row.header.startswith("none") else [])
    tell(row, meeting.peer)


def test_the_page_tells_of_everything_that_is_tried_and_of_nothing_else() -> None:
    page = (Path(__file__).parents[2] / "docs" / "interop.md").read_text(encoding="utf-8")
    told = [
        (direction, *(cell.strip() for cell in line.split("|")[1:3])) for direction, line in lines_of(page)
    ]
    tried = [(READS, _name(kind), message) for kind in PEERS for message in OPTIONS]
    tried += [(WRITES, _name(kind), way) for kind in PEERS for way in kind.ways]
    assert sorted(told) == sorted(tried)


def _name(kind: type[Peer]) -> str:
    return kind.name + ("" if kind.knows_mail else " ¹")
